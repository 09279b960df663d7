{#-
  What the cockpit asks of one start of dbt, in one snapshot where the warehouse has one. Each job is {catalog: [schemas]}, answered by the
  catalog's rows, or {a: [schema, name], b: [schema, name], columns, key}, answered by the ladder. Each answer, and each rung on the way to
  it, is logged as JSON behind the mark.
-#}
{% macro ask(jobs, mark) %}
  {%- do cockpit.open_snapshot() -%}
  {%- for job in jobs -%}
    {%- do log(mark ~ tojson({'answer': cockpit.answer(job, mark)}), info=True) -%}
  {%- endfor -%}
  {%- do cockpit.close_snapshot() -%}
{% endmacro %}

{% macro answer(job, mark) %}
  {%- if job.catalog -%}
    {%- set found = [] -%}
    {%- for row in run_query(cockpit.catalog(job.catalog)).rows -%}
      {%- do found.append([row[0], row[1], row[2], row[3], row[4] | int if row[4] is not none else none]) -%}
    {%- endfor -%}
    {{ return(found) }}
  {%- endif -%}
  {{ return(cockpit.ladder(cockpit.relation(job.a), cockpit.relation(job.b), job.columns, job.key, mark)) }}
{% endmacro %}

{#- [schema, name] as SQL of the profile's own database. -#}
{% macro relation(place) -%}{{ cockpit.named(place[0]) }}.{{ cockpit.named(place[1]) }}{%- endmacro %}
