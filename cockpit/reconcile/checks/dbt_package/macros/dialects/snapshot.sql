{#- After this every statement reads the same state, read-only, and values are shown alike whatever the role's settings are. -#}
{% macro open_snapshot() -%}{{ adapter.dispatch('open_snapshot', 'cockpit')() }}{%- endmacro %}
{% macro close_snapshot() -%}{{ adapter.dispatch('close_snapshot', 'cockpit')() }}{%- endmacro %}

{% macro postgres__open_snapshot() -%}
{%- for setting in [
  'begin', 'set transaction isolation level repeatable read, read only', 'set local standard_conforming_strings = on',
  "set local TimeZone = 'UTC'", "set local DateStyle = 'ISO, YMD'",
  "set local IntervalStyle = 'postgres'", 'set local extra_float_digits = 1', "set local bytea_output = 'hex'", "set local xmlbinary = 'base64'",
  'set local row_security = off', 'set local jit = off'
] -%}{%- do run_query(setting) -%}{%- endfor -%}
{%- set found = run_query("select current_setting('transaction_isolation') || ', ' || current_setting('transaction_read_only')").rows[0][0] -%}
{%- if found != 'repeatable read, on' -%}
{%- do exceptions.raise_compiler_error('dbt gave no read-only snapshot to read in, but ' ~ found) -%}
{%- endif -%}
{%- endmacro %}
{% macro postgres__close_snapshot() -%}{%- do run_query('commit') -%}{%- endmacro %}

{#- Each transaction reads one snapshot (docs.aws.amazon.com/redshift/latest/dg/r_BEGIN.html). -#}
{% macro redshift__open_snapshot() -%}
{%- for setting in ['begin read only', "set timezone to 'UTC'"] -%}{%- do run_query(setting) -%}{%- endfor -%}
{%- endmacro %}
{% macro redshift__close_snapshot() -%}{%- do run_query('commit') -%}{%- endmacro %}

{#- Snowflake knows READ COMMITTED alone: a statement reads one snapshot, two read two, and the ladder says so where it shows. -#}
{% macro default__open_snapshot() -%}{%- endmacro %}
{% macro default__close_snapshot() -%}{%- endmacro %}
