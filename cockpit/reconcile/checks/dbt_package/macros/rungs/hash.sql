{#-
  The buckets in which both relations do not hold the same rows; no row: they hold the same rows, and as many of each.

  A row falls into a bucket by the hash of its key (without a key, of the whole row). Hashes of a bucket are summed: XOR would cancel rows
  that are there twice. They are keyed, so that a value that was swapped between two rows shows.
-#}
{% macro keyed_hash(a, b, columns, key=[]) -%}
select coalesce(x.bucket, y.bucket) as bucket
from ({{ cockpit.summed(a, columns, key) }}) x
full join ({{ cockpit.summed(b, columns, key) }}) y on x.bucket = y.bucket
where x.n is null or y.n is null or x.n <> y.n or x.h <> y.h
{%- endmacro %}

{% macro summed(relation, columns, key) -%}
select bucket, count(*) as n, {{ cockpit.hash_sum('h') }} as h
from ({{ cockpit.hashed(relation, columns, key) }}) hashed
group by bucket
{%- endmacro %}

{#- Bucket and hash of every row. -#}
{% macro hashed(relation, columns, key) -%}
{%- if key -%}
select {{ cockpit.bucket_of(cockpit.key_hash(columns, key)) }} as bucket, {{ cockpit.row_hash(columns, key) }} as h from {{ relation }} r{{ cockpit.apart() }}
{%- else -%}
select {{ cockpit.bucket_of('h') }} as bucket, h from (select {{ cockpit.row_hash(columns, key) }} as h from {{ relation }} r{{ cockpit.apart() }}) whole{{ cockpit.apart() }}
{%- endif -%}
{%- endmacro %}

{#- How many buckets there are: enough for ten differences to leave nearly all rows unread, few enough for one aggregate in memory. -#}
{% macro buckets() -%}4096{%- endmacro %}

{#- Where more of them differ, reading everything again is no dearer than naming them. -#}
{% macro most_buckets() -%}1024{%- endmacro %}
