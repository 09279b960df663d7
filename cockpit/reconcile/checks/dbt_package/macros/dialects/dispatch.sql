{#-
  What each warehouse says in its own words. Of a column named in SQL as `r."name"`:

  canonical    an expression that differs whenever the stored value does; a column whose type is empty goes by its text
  group_key    an expression whose equality finds the same key in the other relation
  column_hash  a signed 64-bit hash of the column, never NULL
  row_hash     likewise of the whole row, keyed by its key; without one by the row itself
  key_hash     likewise of the key alone
  bucket_of    of a hash the number of its bucket
  hash_sum     the sum of hashes, in a type that cannot overflow
  as_text      an expression as text, to be shown
  apart        what keeps a subquery from being merged into the one around it
-#}
{% macro canonical(column) -%}{{ adapter.dispatch('canonical', 'cockpit')(column) }}{%- endmacro %}
{% macro group_key(column) -%}{{ adapter.dispatch('group_key', 'cockpit')(column) }}{%- endmacro %}
{% macro column_hash(column) -%}{{ adapter.dispatch('column_hash', 'cockpit')(column) }}{%- endmacro %}
{% macro row_hash(columns, key) -%}{{ adapter.dispatch('row_hash', 'cockpit')(columns, key) }}{%- endmacro %}
{% macro key_hash(columns, key) -%}{{ adapter.dispatch('key_hash', 'cockpit')(columns, key) }}{%- endmacro %}
{% macro bucket_of(hash) -%}{{ adapter.dispatch('bucket_of', 'cockpit')(hash) }}{%- endmacro %}
{% macro hash_sum(hash) -%}{{ adapter.dispatch('hash_sum', 'cockpit')(hash) }}{%- endmacro %}
{% macro as_text(sql) -%}{{ adapter.dispatch('as_text', 'cockpit')(sql) }}{%- endmacro %}
{% macro apart() -%}{{ adapter.dispatch('apart', 'cockpit')() }}{%- endmacro %}

{% macro default__bucket_of(hash) -%}(({{ hash }}) & {{ cockpit.buckets() | int - 1 }}){%- endmacro %}
{% macro default__hash_sum(hash) -%}sum({{ hash }}){%- endmacro %}
{% macro default__as_text(sql) -%}cast({{ sql }} as varchar){%- endmacro %}
{% macro default__apart() -%}{%- endmacro %}

{#- A name as a quoted identifier. -#}
{% macro named(name) -%}"{{ name | replace('"', '""') }}"{%- endmacro %}
{% macro of(column) -%}r.{{ cockpit.named(column.name) }}{%- endmacro %}

{#- `numeric(10,2)` is numeric, `timestamp(3) without time zone` timestamp without time zone. -#}
{% macro family(column) -%}
{%- for part in (column.type or '').split('(') -%}{{ part.split(')')[-1] if not loop.first else part }}{%- endfor -%}
{%- endmacro %}

{#- The canonical expressions of the key's columns, in its order. -#}
{% macro canonical_key(columns, key) -%}
{%- for name in key -%}
{{ ', ' if not loop.first }}{% for column in columns if column.name == name %}{{ cockpit.canonical(column) }}{% endfor %}
{%- endfor -%}
{%- endmacro %}

{% macro canonical_row(columns) -%}
{%- for column in columns -%}{{ ', ' if not loop.first }}{{ cockpit.canonical(column) }}{%- endfor -%}
{%- endmacro %}

{#- Texts as literals. Where a backslash escapes, it is doubled. -#}
{% macro literals(texts) -%}
{%- for text in texts -%}{{ ', ' if not loop.first }}{{ adapter.dispatch('literal', 'cockpit')(text) }}{%- endfor -%}
{%- endmacro %}
{% macro default__literal(text) -%}'{{ text | replace('\\', '\\\\') | replace("'", "''") }}'{%- endmacro %}
{% macro postgres__literal(text) -%}'{{ text | replace("'", "''") }}'{%- endmacro %}
