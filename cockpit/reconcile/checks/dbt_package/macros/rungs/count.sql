{#- One row: rows `in_a` and `in_b`. -#}
{% macro count_rows(a, b) -%}
select (select count(*) from {{ a }}) as in_a, (select count(*) from {{ b }}) as in_b
{%- endmacro %}
