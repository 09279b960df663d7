{#- One row: under each column's name, of the keys that both relations have, in how many the column differs. Needs a key. -#}
{% macro which_columns_differ(a, b, columns, key, buckets=[]) -%}
select {% for column in columns %}{{ ', ' if not loop.first }}sum(d{{ loop.index0 }}) as {{ cockpit.named(column.name) }}{% endfor %}
from (
  select {% for column in columns %}{{ ', ' if not loop.first }}{{ cockpit.unlike(loop.index0) }} as d{{ loop.index0 }}{% endfor %}
  from ({{ cockpit.both(a, b, columns, key, buckets, columns, whole=false) }}) each_row
  group by {{ cockpit.places(key) }}
  having sum(in_a) > 0 and sum(in_b) > 0
) each_key
{%- endmacro %}

{#-
  The keys whose rows are not the same in both relations, and no others: columns k0, k1, ... (without a key the row's own hash), how often
  each is `in_a` and `in_b`, and its `status`: modified, only_a or only_b. For each column of `shown` d0, d1, ... is 1 where it differs.

  Rows of both are grouped by the key instead of joined on it: so a key that is NULL or there twice is one key, and nothing is multiplied.
-#}
{% macro differing_keys(a, b, columns, key=[], buckets=[], shown=[]) -%}
select {{ cockpit.places(key) }}, sum(in_a) as in_a, sum(in_b) as in_b,
  {% if key %}case when sum(in_b) = 0 then 'only_a' when sum(in_a) = 0 then 'only_b' else 'modified' end
  {%- else %}case when sum(in_a) > sum(in_b) then 'only_a' else 'only_b' end{% endif %} as status
  {%- for column in shown %}, {{ cockpit.unlike(loop.index0) }} as d{{ loop.index0 }}{% endfor %}
from ({{ cockpit.both(a, b, columns, key, buckets, shown) }}) each_row
group by {{ cockpit.places(key) }}
having sum(in_a) <> sum(in_b) or {{ cockpit.hash_sum('case when in_a = 1 then h end') }} <> {{ cockpit.hash_sum('case when in_b = 1 then h end') }}
{%- endmacro %}

{#-
  The first `sample` differing keys in order. Every row begins with the totals: differing keys, rows `modified`, `only_a` and `only_b`; then
  its status, its key as text and, for each column of `shown`, 1 where it differs. Of a key with several rows as many as both have are
  modified; without a key these are identical, for then the key is the whole row.
-#}
{% macro classified_sample(a, b, columns, key=[], buckets=[], shown=[], sample=20) -%}
select count(*) over () as differing, sum(least(in_a, in_b)) over () as modified,
  sum(in_a - least(in_a, in_b)) over () as only_a, sum(in_b - least(in_a, in_b)) over () as only_b, status
  {%- for name in key %}, {{ cockpit.as_text('k' ~ loop.index0) }} as t{{ loop.index0 }}{% endfor %}
  {%- for column in shown %}, d{{ loop.index0 }}{% endfor %}
from ({{ cockpit.differing_keys(a, b, columns, key, buckets, shown) }}) differing_keys
order by {{ cockpit.places(key) }}
limit {{ sample }}
{%- endmacro %}

{#- Every row of both relations within the buckets: its key, its side, its hash where it is wanted `whole`, and the hash of each column of `shown`. -#}
{% macro both(a, b, columns, key, buckets, shown, whole=true) -%}
{{ cockpit.rows_of(a, columns, key, buckets, shown, whole, 1, 0) }}
union all
{{ cockpit.rows_of(b, columns, key, buckets, shown, whole, 0, 1) }}
{%- endmacro %}

{% macro rows_of(relation, columns, key, buckets, shown, whole, in_a, in_b) -%}
{%- set hash = cockpit.key_hash(columns, key) if key else cockpit.row_hash(columns, key) -%}
select {% for name in key %}{% set place = loop.index0 %}{% for column in columns if column.name == name %}{{ cockpit.group_key(column) }} as k{{ place }}, {% endfor %}{% endfor -%}
  {%- if not key %}{{ cockpit.row_hash(columns, key) }} as k0, {% endif -%}
  {{ in_a }} as in_a, {{ in_b }} as in_b
  {%- if whole %}, {{ cockpit.row_hash(columns, key) }} as h{% endif %}
  {%- for column in shown %}, {{ cockpit.column_hash(column) }} as c{{ loop.index0 }}{% endfor %}
from {{ relation }} r
{%- if buckets %} where {{ cockpit.bucket_of(hash) }} in ({{ buckets | join(', ') }}){% endif -%}
{%- endmacro %}

{% macro unlike(number) -%}
case when sum(in_a) > 0 and sum(in_b) > 0 and {{ cockpit.hash_sum('case when in_a = 1 then c' ~ number ~ ' end') }} <> {{ cockpit.hash_sum('case when in_b = 1 then c' ~ number ~ ' end') }} then 1 else 0 end
{%- endmacro %}

{% macro places(key) -%}
{% for name in key or [''] %}{{ ', ' if not loop.first }}k{{ loop.index0 }}{% endfor %}
{%- endmacro %}
