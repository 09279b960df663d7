-- count
select (select count(*) from "old"."t") as in_a, (select count(*) from "new"."t") as in_b

-- hash
select coalesce(x.bucket, y.bucket) as bucket
from (select bucket, count(*) as n, sum(h) as h
from (select ((pg_catalog.hash_record_extended(row(r."no""te" collate "C", pg_catalog.int8send(r."id")), 1)) & 4095) as bucket, pg_catalog.hash_record_extended(row(pg_catalog.int8send(r."id"), pg_catalog.numeric_send(r."amount"), r."no""te" collate "C", pg_catalog.timestamptz_send(r."at"), r."mixed"::pg_catalog.text collate "C"), pg_catalog.hash_record_extended(row(r."no""te" collate "C", pg_catalog.int8send(r."id")), 1)) as h from "old"."t" r offset 0) hashed
group by bucket) x
full join (select bucket, count(*) as n, sum(h) as h
from (select ((pg_catalog.hash_record_extended(row(r."no""te" collate "C", pg_catalog.int8send(r."id")), 1)) & 4095) as bucket, pg_catalog.hash_record_extended(row(pg_catalog.int8send(r."id"), pg_catalog.numeric_send(r."amount"), r."no""te" collate "C", pg_catalog.timestamptz_send(r."at"), r."mixed"::pg_catalog.text collate "C"), pg_catalog.hash_record_extended(row(r."no""te" collate "C", pg_catalog.int8send(r."id")), 1)) as h from "new"."t" r offset 0) hashed
group by bucket) y on x.bucket = y.bucket
where x.n is null or y.n is null or x.n <> y.n or x.h <> y.h

-- columns
select sum(d0) as "id", sum(d1) as "amount", sum(d2) as "no""te", sum(d3) as "at", sum(d4) as "mixed"
from (
  select case when sum(in_a) > 0 and sum(in_b) > 0 and sum(case when in_a = 1 then c0 end) <> sum(case when in_b = 1 then c0 end) then 1 else 0 end as d0, case when sum(in_a) > 0 and sum(in_b) > 0 and sum(case when in_a = 1 then c1 end) <> sum(case when in_b = 1 then c1 end) then 1 else 0 end as d1, case when sum(in_a) > 0 and sum(in_b) > 0 and sum(case when in_a = 1 then c2 end) <> sum(case when in_b = 1 then c2 end) then 1 else 0 end as d2, case when sum(in_a) > 0 and sum(in_b) > 0 and sum(case when in_a = 1 then c3 end) <> sum(case when in_b = 1 then c3 end) then 1 else 0 end as d3, case when sum(in_a) > 0 and sum(in_b) > 0 and sum(case when in_a = 1 then c4 end) <> sum(case when in_b = 1 then c4 end) then 1 else 0 end as d4
  from (select r."no""te"::pg_catalog.text collate "C" as k0, r."id" as k1, 1 as in_a, 0 as in_b, pg_catalog.hash_record_extended(row(pg_catalog.int8send(r."id")), 1) as c0, pg_catalog.hash_record_extended(row(pg_catalog.numeric_send(r."amount")), 1) as c1, pg_catalog.hash_record_extended(row(r."no""te" collate "C"), 1) as c2, pg_catalog.hash_record_extended(row(pg_catalog.timestamptz_send(r."at")), 1) as c3, pg_catalog.hash_record_extended(row(r."mixed"::pg_catalog.text collate "C"), 1) as c4
from "old"."t" r where ((pg_catalog.hash_record_extended(row(r."no""te" collate "C", pg_catalog.int8send(r."id")), 1)) & 4095) in (3, 14)
union all
select r."no""te"::pg_catalog.text collate "C" as k0, r."id" as k1, 0 as in_a, 1 as in_b, pg_catalog.hash_record_extended(row(pg_catalog.int8send(r."id")), 1) as c0, pg_catalog.hash_record_extended(row(pg_catalog.numeric_send(r."amount")), 1) as c1, pg_catalog.hash_record_extended(row(r."no""te" collate "C"), 1) as c2, pg_catalog.hash_record_extended(row(pg_catalog.timestamptz_send(r."at")), 1) as c3, pg_catalog.hash_record_extended(row(r."mixed"::pg_catalog.text collate "C"), 1) as c4
from "new"."t" r where ((pg_catalog.hash_record_extended(row(r."no""te" collate "C", pg_catalog.int8send(r."id")), 1)) & 4095) in (3, 14)) each_row
  group by k0, k1
  having sum(in_a) > 0 and sum(in_b) > 0
) each_key

-- sample
select count(*) over () as differing, sum(least(in_a, in_b)) over () as modified,
  sum(in_a - least(in_a, in_b)) over () as only_a, sum(in_b - least(in_a, in_b)) over () as only_b, status, k0::pg_catalog.text as t0, k1::pg_catalog.text as t1, d0
from (select k0, k1, sum(in_a) as in_a, sum(in_b) as in_b,
  case when sum(in_b) = 0 then 'only_a' when sum(in_a) = 0 then 'only_b' else 'modified' end as status, case when sum(in_a) > 0 and sum(in_b) > 0 and sum(case when in_a = 1 then c0 end) <> sum(case when in_b = 1 then c0 end) then 1 else 0 end as d0
from (select r."no""te"::pg_catalog.text collate "C" as k0, r."id" as k1, 1 as in_a, 0 as in_b, pg_catalog.hash_record_extended(row(pg_catalog.int8send(r."id"), pg_catalog.numeric_send(r."amount"), r."no""te" collate "C", pg_catalog.timestamptz_send(r."at"), r."mixed"::pg_catalog.text collate "C"), pg_catalog.hash_record_extended(row(r."no""te" collate "C", pg_catalog.int8send(r."id")), 1)) as h, pg_catalog.hash_record_extended(row(pg_catalog.numeric_send(r."amount")), 1) as c0
from "old"."t" r where ((pg_catalog.hash_record_extended(row(r."no""te" collate "C", pg_catalog.int8send(r."id")), 1)) & 4095) in (3, 14)
union all
select r."no""te"::pg_catalog.text collate "C" as k0, r."id" as k1, 0 as in_a, 1 as in_b, pg_catalog.hash_record_extended(row(pg_catalog.int8send(r."id"), pg_catalog.numeric_send(r."amount"), r."no""te" collate "C", pg_catalog.timestamptz_send(r."at"), r."mixed"::pg_catalog.text collate "C"), pg_catalog.hash_record_extended(row(r."no""te" collate "C", pg_catalog.int8send(r."id")), 1)) as h, pg_catalog.hash_record_extended(row(pg_catalog.numeric_send(r."amount")), 1) as c0
from "new"."t" r where ((pg_catalog.hash_record_extended(row(r."no""te" collate "C", pg_catalog.int8send(r."id")), 1)) & 4095) in (3, 14)) each_row
group by k0, k1
having sum(in_a) <> sum(in_b) or sum(case when in_a = 1 then h end) <> sum(case when in_b = 1 then h end)) differing_keys
order by k0, k1
limit 20

