{#-
  Redshift has no hash of a record. FNV_HASH(value, seed) hashes the value's bytes on from the seed and returns BIGINT
  (docs.aws.amazon.com/redshift/latest/dg/r_FNV_HASH.html), so columns are chained without making one text of them, which may not be longer
  than 65535 bytes. What it gives for NULL is not written there, and nothing at all is the seed again; so before each text goes its length,
  and for NULL -1: no text is another's, and none runs into the next column.

  FNV-1a ends with one exclusive or of a byte and one multiplication: its sums do not see half of all bits that were swapped between two rows
  in the last column, whatever came first. Therefore the chain's end goes through FARMFINGERPRINT64, which takes text and returns BIGINT
  (docs.aws.amazon.com/redshift/latest/dg/r_FARMFINGERPRINT64.html).
-#}
{% macro redshift__canonical(column) -%}
{%- set family = cockpit.family(column) -%}
{%- set sql = cockpit.of(column) -%}
{#- The value's own bytes: as text a float has 15 digits. -#}
{%- if family in ['real', 'double precision'] -%}case when {{ sql }} is not null then cast(fnv_hash({{ sql }}) as varchar) end
{#- A boolean has no cast to text. -#}
{%- elif family == 'boolean' -%}case when {{ sql }} then 'true' when not {{ sql }} then 'false' end
{#- Pad blanks are not data. -#}
{%- elif family in ['character', 'char', 'bpchar'] -%}rtrim({{ sql }})
{#- Without its zone, and so without the session's. -#}
{%- elif family in ['timestamp with time zone', 'timestamptz'] -%}cast({{ sql }} at time zone 'UTC' as varchar)
{%- elif family == 'super' -%}json_serialize({{ sql }})
{%- elif family in ['varbyte', 'binary varying'] -%}from_varbyte({{ sql }}, 'hex')
{%- elif family in ['geometry', 'geography'] -%}st_ashexewkb({{ sql }})
{%- else -%}cast({{ sql }} as varchar(65535))
{%- endif -%}
{%- endmacro %}

{% macro redshift__group_key(column) -%}
{%- set family = cockpit.family(column) -%}
{{ cockpit.of(column) if family in ['smallint', 'integer', 'bigint', 'numeric', 'date', 'timestamp without time zone'] else cockpit.canonical(column) }}
{%- endmacro %}

{#- 1 as BIGINT begins every chain: any number will do that is the same in both relations. -#}
{% macro redshift_chained(columns) -%}
{%- set made = namespace(hash='cast(1 as bigint)') -%}
{%- for column in columns -%}
{%- set text = cockpit.canonical(column) -%}
{%- set made.hash = "fnv_hash(coalesce(" ~ text ~ ", ''), fnv_hash(coalesce(octet_length(" ~ text ~ "), -1), " ~ made.hash ~ "))" -%}
{%- endfor -%}
farmfingerprint64(cast({{ made.hash }} as varchar))
{%- endmacro %}

{% macro redshift__column_hash(column) -%}{{ cockpit.redshift_chained([column]) }}{%- endmacro %}

{#- The key is one of the columns, and the fingerprint lets nothing cancel: the hash is keyed as it is. -#}
{% macro redshift__row_hash(columns, key) -%}{{ cockpit.redshift_chained(columns) }}{%- endmacro %}

{% macro redshift__key_hash(columns, key) -%}
{%- set found = [] -%}
{%- for name in key -%}{%- for column in columns if column.name == name -%}{%- do found.append(column) -%}{%- endfor -%}{%- endfor -%}
{{ cockpit.redshift_chained(found) }}
{%- endmacro %}

{% macro redshift__hash_sum(hash) -%}sum(cast({{ hash }} as decimal(38, 0))){%- endmacro %}

{#- dbt gives an adapter PostgreSQL's words where Redshift has none of its own here; these are not its. -#}
{% macro redshift__as_text(sql) -%}{{ cockpit.default__as_text(sql) }}{%- endmacro %}
{% macro redshift__literal(text) -%}{{ cockpit.default__literal(text) }}{%- endmacro %}
{% macro redshift__apart() -%}{%- endmacro %}
