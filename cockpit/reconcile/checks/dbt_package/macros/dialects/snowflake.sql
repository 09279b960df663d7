{#-
  Snowflake's HASH takes any number of values of any type and returns a signed 64-bit number, never NULL, also for NULL; numbers that are
  equal hash alike whatever their scale, instants that are equal whatever their zone (docs.snowflake.com/en/sql-reference/functions/hash).
  So a zone, a variant and a text, whose collation may call other texts equal, go by what they are written as. A NUMBER's scale is its
  type's; that -0 is 0 for a FLOAT is Snowflake's own rule.
-#}
{% macro snowflake__canonical(column) -%}
{%- set family = cockpit.family(column) | upper -%}
{%- set sql = cockpit.of(column) -%}
{%- if not family -%}to_binary(to_varchar({{ sql }}), 'UTF-8')
{%- elif family in ['TEXT', 'VARCHAR', 'CHARACTER VARYING', 'STRING', 'CHAR', 'CHARACTER'] -%}to_binary({{ sql }}, 'UTF-8')
{%- elif family == 'TIMESTAMP_TZ' -%}to_varchar({{ sql }}, 'YYYY-MM-DD HH24:MI:SS.FF9 TZHTZM')
{%- elif family in ['VARIANT', 'OBJECT', 'ARRAY', 'MAP', 'VECTOR'] -%}to_binary(to_json(to_variant({{ sql }})), 'UTF-8')
{%- elif family in ['GEOGRAPHY', 'GEOMETRY'] -%}st_asewkb({{ sql }})
{%- else -%}{{ sql }}
{%- endif -%}
{%- endmacro %}

{#- Under the collation utf8 texts are equal whose characters are (docs.snowflake.com/en/sql-reference/collation). -#}
{% macro snowflake__group_key(column) -%}
{{ cockpit.of(column) if (cockpit.family(column) | upper) in ['NUMBER', 'FIXED', 'DATE', 'BOOLEAN', 'TIMESTAMP_NTZ', 'TIMESTAMP_LTZ'] else "collate(to_varchar(" ~ cockpit.of(column) ~ "), 'utf8')" }}
{%- endmacro %}

{% macro snowflake__column_hash(column) -%}hash({{ cockpit.canonical(column) }}){%- endmacro %}
{% macro snowflake__row_hash(columns, key) -%}hash({{ (cockpit.canonical_key(columns, key) ~ ', ') if key }}{{ cockpit.canonical_row(columns) }}){%- endmacro %}
{% macro snowflake__key_hash(columns, key) -%}hash({{ cockpit.canonical_key(columns, key) }}){%- endmacro %}
{% macro snowflake__bucket_of(hash) -%}mod(abs({{ hash }}), {{ cockpit.buckets() }}){%- endmacro %}

{#- A sum of NUMBER is a NUMBER(38,0): 10^19 of these hashes (docs.snowflake.com/en/sql-reference/functions/sum). -#}
{% macro snowflake__hash_sum(hash) -%}sum({{ hash }}){%- endmacro %}
{% macro snowflake__as_text(sql) -%}to_varchar({{ sql }}){%- endmacro %}
