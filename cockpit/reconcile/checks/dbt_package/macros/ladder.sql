{#-
  The ladder: are two relations of one warehouse the same, and where not, in which rows and columns. Each rung costs more than the one
  before it and is climbed only where that one could not say "equal":

  count     rows of both; equal counts alone prove nothing, so it always goes on
  hash      keyed set hash in buckets: no bucket differs, so both hold the same rows, and the ladder ends
  columns   of the keys that both have, in how many each column differs
  sample    differing keys alone, classified, and the first of them with the columns in which they differ

  `a` and `b` are relations or their quoted names; `columns` is a list of {name, type}, the type empty where it is not the same in both
  (then its text is compared); `key` names columns, or nothing: then rows are a multiset. From the second rung on only the buckets that
  differ are read again. With `mark` each rung is logged behind it as JSON while the ladder is climbed.

  Returns {in_a, in_b, rung, differing, modified, only_a, only_b, columns, sample, moved, seconds}; `moved` says that the rungs do not
  agree, which only happens where something writes and the warehouse gives no snapshot over several statements (Snowflake).
-#}
{% macro ladder(a, b, columns, key=[], mark=none, sample=20) %}
  {%- if not execute -%}{{ return({}) }}{%- endif -%}
  {%- set said = {'rung': 'hash', 'differing': 0, 'modified': 0, 'only_a': 0, 'only_b': 0, 'columns': {}, 'sample': [], 'moved': false, 'seconds': {}} -%}
  {%- set counted = cockpit.rung('count', cockpit.count_rows(a, b), said, mark)[0] -%}
  {%- do said.update({'in_a': counted[0] | int, 'in_b': counted[1] | int}) -%}
  {%- set found = cockpit.rung('hash', cockpit.keyed_hash(a, b, columns, key), said, mark) -%}
  {%- if not found -%}
    {%- do said.update({'moved': said.in_a != said.in_b}) -%}
    {{ return(said) }}
  {%- endif -%}
  {%- set buckets = [] -%}
  {%- for row in found if found | length <= cockpit.most_buckets() | int -%}{%- do buckets.append(row[0] | int) -%}{%- endfor -%}
  {%- do cockpit.locate(a, b, columns, key, buckets, said, mark, sample) -%}
  {{ return(said) }}
{% endmacro %}

{#- The last two rungs, written into `said`. -#}
{% macro locate(a, b, columns, key, buckets, said, mark, sample) %}
  {%- set unlike = [] -%}
  {%- if key -%}
    {%- set counts = cockpit.rung('columns', cockpit.which_columns_differ(a, b, columns, key, buckets), said, mark)[0] -%}
    {%- for column in columns -%}
      {%- set keys = (counts[loop.index0] or 0) | int -%}
      {%- if keys -%}{%- do unlike.append(column) -%}{%- do said.columns.update({column.name: keys}) -%}{%- endif -%}
    {%- endfor -%}
  {%- endif -%}
  {%- set rows = cockpit.rung('sample', cockpit.classified_sample(a, b, columns, key, buckets, unlike, sample), said, mark) -%}
  {%- do said.update({'moved': not rows}) -%}
  {%- for row in rows -%}
    {%- if loop.first -%}
      {%- do said.update({'differing': row[0] | int, 'modified': row[1] | int if key else 0, 'only_a': row[2] | int, 'only_b': row[3] | int}) -%}
    {%- endif -%}
    {%- set named = [] -%}
    {%- for column in unlike -%}
      {%- if row[5 + key | length + loop.index0] | int -%}{%- do named.append(column.name) -%}{%- endif -%}
    {%- endfor -%}
    {%- do said.sample.append({'status': row[4], 'key': row.values()[5:5 + key | length] | list, 'columns': named}) -%}
  {%- endfor -%}
{% endmacro %}

{#- The rows that the rung's statement gives; the seconds it took are in `said` under its name. -#}
{% macro rung(name, sql, said, mark=none) %}
  {%- set began = modules.datetime.datetime.now() -%}
  {%- set rows = run_query(sql).rows -%}
  {%- do said.update({'rung': name}) -%}
  {%- do said.seconds.update({name: (modules.datetime.datetime.now() - began).total_seconds()}) -%}
  {%- if mark -%}{%- do log(mark ~ tojson({'rung': name}), info=True) -%}{%- endif -%}
  {{ return(rows) }}
{% endmacro %}

{#- `dbt run-operation cockpit.compare --args '{a: [schema, name], b: [schema, name], key: [id]}'`: the ladder's answer as JSON. -#}
{% macro compare(a, b, key=[]) %}
  {%- set one = api.Relation.create(database=target.database, schema=a[0], identifier=a[1]) -%}
  {%- set other = api.Relation.create(database=target.database, schema=b[0], identifier=b[1]) -%}
  {%- do cockpit.open_snapshot() -%}
  {%- do log(tojson(cockpit.ladder(one, other, cockpit.columns_of(one, other), key)), info=True) -%}
  {%- do cockpit.close_snapshot() -%}
{% endmacro %}

{#- The columns that both relations have, as `columns` of the ladder. -#}
{% macro columns_of(a, b) %}
  {%- set found = [] -%}
  {%- if execute -%}
    {%- set types = {} -%}
    {%- for column in adapter.get_columns_in_relation(b) -%}{%- do types.update({column.name: column.data_type}) -%}{%- endfor -%}
    {%- for column in adapter.get_columns_in_relation(a) if column.name in types -%}
      {%- do found.append({'name': column.name, 'type': column.data_type if column.data_type == types[column.name] else ''}) -%}
    {%- endfor -%}
  {%- endif -%}
  {{ return(found) }}
{% endmacro %}
