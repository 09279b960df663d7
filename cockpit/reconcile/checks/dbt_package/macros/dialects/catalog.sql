{#-
  The relations of the schemas, a row for each of their columns: schema, relation, column, type, and the column's
  place in the primary key. Only where a primary key is enforced is it one: elsewhere the project says what names a row.
-#}
{% macro catalog(schemas) -%}{{ adapter.dispatch('catalog', 'cockpit')(schemas) }}{%- endmacro %}

{% macro postgres__catalog(schemas) -%}
select n.nspname, c.relname, a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod),
  (select k.n from pg_catalog.pg_index i cross join lateral unnest(i.indkey::int2[]) with ordinality as k(att, n)
   where i.indrelid = c.oid and i.indisprimary and k.att = a.attnum and k.n <= i.indnkeyatts) as key_at
from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
left join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where n.nspname in ({{ cockpit.literals(schemas) }}) and c.relkind in ('r', 'p', 'v', 'm', 'f')
order by 1, 2, 3
{%- endmacro %}

{#- With late-binding views (docs.aws.amazon.com/redshift/latest/dg/r_SVV_COLUMNS.html). -#}
{% macro redshift__catalog(schemas) -%}
select table_schema, table_name, column_name,
  data_type || case when data_type = 'numeric' then '(' || cast(numeric_precision as varchar) || ',' || cast(numeric_scale as varchar) || ')' else '' end as shown,
  cast(null as integer) as key_at
from svv_columns where table_schema in ({{ cockpit.literals(schemas) }})
order by 1, 2, 3
{%- endmacro %}

{% macro snowflake__catalog(schemas) -%}
select table_schema, table_name, column_name,
  data_type || case when data_type = 'NUMBER' then '(' || numeric_precision || ',' || numeric_scale || ')' else '' end as shown,
  cast(null as integer) as key_at
from information_schema.columns where table_schema in ({{ cockpit.literals(schemas) }})
order by 1, 2, 3
{%- endmacro %}
