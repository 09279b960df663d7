{#-
  PostgreSQL 14 and later. Its own hash functions are made for equality classes, not for fingerprints: `hash_numeric` ignores sign and scale,
  interval takes a month for 30 days, jsonb hashes alike on other nestings, enums hash their OID (src/backend/utils/adt). So a type goes by
  its native hash where that misses nothing, by its binary form (`*_send`) where it does, and everything else, types of the user too, by its
  text: exact, and both relations are read under the same settings. `hash_record_extended` combines columns as 31*h + e modulo 2^64
  (rowtypes.c): summed without the key as its seed it would not see a value that was swapped between two rows.
-#}
{% macro postgres__canonical(column) -%}
{%- set native = ['boolean', 'smallint', 'integer', 'oid', '"char"', 'date', 'uuid', 'inet', 'cidr', 'macaddr', 'macaddr8', 'bytea'] -%}
{%- set sends = {
  'bigint': 'int8send', 'real': 'float4send', 'double precision': 'float8send', 'numeric': 'numeric_send', 'money': 'cash_send',
  'timestamp without time zone': 'timestamp_send', 'timestamp with time zone': 'timestamptz_send', 'time without time zone': 'time_send',
  'time with time zone': 'timetz_send', 'interval': 'interval_send', 'bit': 'bit_send', 'bit varying': 'varbit_send', 'character': 'bpcharsend'
} -%}
{%- set family = cockpit.family(column) -%}
{%- if family in native -%}{{ cockpit.of(column) }}
{%- elif family in ['text', 'character varying'] -%}{{ cockpit.of(column) }} collate "C"
{%- elif family in sends -%}pg_catalog.{{ sends[family] }}({{ cockpit.of(column) }})
{%- else -%}{{ cockpit.of(column) }}::pg_catalog.text collate "C"
{%- endif -%}
{%- endmacro %}

{% macro postgres__group_key(column) -%}
{%- set family = cockpit.family(column) -%}
{%- if family in ['smallint', 'integer', 'bigint', 'numeric', 'uuid', 'boolean', 'date', 'timestamp without time zone', 'timestamp with time zone'] -%}
{{ cockpit.of(column) }}
{%- else -%}{{ cockpit.of(column) }}::pg_catalog.text collate "C"
{%- endif -%}
{%- endmacro %}

{% macro postgres__column_hash(column) -%}pg_catalog.hash_record_extended(row({{ cockpit.canonical(column) }}), 1){%- endmacro %}

{% macro postgres__row_hash(columns, key) -%}
{%- set whole = cockpit.postgres_whole(columns, key) -%}
{%- set parts = [] -%}
{#- The seed holds a whole key's every bit: within the row it need not be exact once more, only be NULL or not. -#}
{%- for column in columns -%}{%- do parts.append(cockpit.of(column) if whole and column.name == key[0] else cockpit.canonical(column)) -%}{%- endfor -%}
{%- set row = 'row(' ~ parts | join(', ') ~ ')' -%}
{%- if not key -%}{%- set seed = 'pg_catalog.hash_record_extended(' ~ row ~ ', 1)' -%}
{%- else -%}{%- set seed = whole or cockpit.key_hash(columns, key) -%}
{%- endif -%}
pg_catalog.hash_record_extended({{ row }}, {{ seed }})
{%- endmacro %}

{#- `hashint8extended` is several times cheaper than a record's hash, and a bucket needs no more. -#}
{% macro postgres__key_hash(columns, key) -%}
{%- set whole = cockpit.postgres_whole(columns, key) -%}
{%- if whole -%}pg_catalog.hashint8extended({{ whole }}, 0)
{%- else -%}pg_catalog.hash_record_extended(row({{ cockpit.canonical_key(columns, key) }}), 1)
{%- endif -%}
{%- endmacro %}

{#- A key of one whole number is its own seed; NULL would make the hash NULL, and a sum passes over that. -#}
{% macro postgres_whole(columns, key) -%}
{%- for column in columns if key | length == 1 and column.name == key[0] and cockpit.family(column) in ['smallint', 'integer', 'bigint'] -%}
coalesce({{ cockpit.of(column) }}::pg_catalog.int8, 0)
{%- endfor -%}
{%- endmacro %}

{#- Of a sum of int8 PostgreSQL makes a numeric ("Aggregate Functions"). -#}
{% macro postgres__as_text(sql) -%}{{ sql }}::pg_catalog.text{%- endmacro %}

{#- Merged, the planner would take the buckets for as many as there are keys, sort all rows and write them to disk. A subquery with OFFSET is
    not merged, and its columns have no statistics: few groups are assumed, and they are hashed. Parallel workers remain. -#}
{% macro postgres__apart() %} offset 0{% endmacro %}
