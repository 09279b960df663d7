-- count
select (select count(*) from "old"."t") as in_a, (select count(*) from "new"."t") as in_b

-- hash
select coalesce(x.bucket, y.bucket) as bucket
from (select bucket, count(*) as n, sum(h) as h
from (select ((h) & 4095) as bucket, h from (select pg_catalog.hash_record_extended(row(pg_catalog.int8send(r."id"), pg_catalog.numeric_send(r."amount"), r."no""te" collate "C", pg_catalog.timestamptz_send(r."at"), r."mixed"::pg_catalog.text collate "C"), pg_catalog.hash_record_extended(row(pg_catalog.int8send(r."id"), pg_catalog.numeric_send(r."amount"), r."no""te" collate "C", pg_catalog.timestamptz_send(r."at"), r."mixed"::pg_catalog.text collate "C"), 1)) as h from "old"."t" r offset 0) whole offset 0) hashed
group by bucket) x
full join (select bucket, count(*) as n, sum(h) as h
from (select ((h) & 4095) as bucket, h from (select pg_catalog.hash_record_extended(row(pg_catalog.int8send(r."id"), pg_catalog.numeric_send(r."amount"), r."no""te" collate "C", pg_catalog.timestamptz_send(r."at"), r."mixed"::pg_catalog.text collate "C"), pg_catalog.hash_record_extended(row(pg_catalog.int8send(r."id"), pg_catalog.numeric_send(r."amount"), r."no""te" collate "C", pg_catalog.timestamptz_send(r."at"), r."mixed"::pg_catalog.text collate "C"), 1)) as h from "new"."t" r offset 0) whole offset 0) hashed
group by bucket) y on x.bucket = y.bucket
where x.n is null or y.n is null or x.n <> y.n or x.h <> y.h

-- sample
select count(*) over () as differing, sum(least(in_a, in_b)) over () as modified,
  sum(in_a - least(in_a, in_b)) over () as only_a, sum(in_b - least(in_a, in_b)) over () as only_b, status
from (select k0, sum(in_a) as in_a, sum(in_b) as in_b,
  case when sum(in_a) > sum(in_b) then 'only_a' else 'only_b' end as status
from (select pg_catalog.hash_record_extended(row(pg_catalog.int8send(r."id"), pg_catalog.numeric_send(r."amount"), r."no""te" collate "C", pg_catalog.timestamptz_send(r."at"), r."mixed"::pg_catalog.text collate "C"), pg_catalog.hash_record_extended(row(pg_catalog.int8send(r."id"), pg_catalog.numeric_send(r."amount"), r."no""te" collate "C", pg_catalog.timestamptz_send(r."at"), r."mixed"::pg_catalog.text collate "C"), 1)) as k0, 1 as in_a, 0 as in_b, pg_catalog.hash_record_extended(row(pg_catalog.int8send(r."id"), pg_catalog.numeric_send(r."amount"), r."no""te" collate "C", pg_catalog.timestamptz_send(r."at"), r."mixed"::pg_catalog.text collate "C"), pg_catalog.hash_record_extended(row(pg_catalog.int8send(r."id"), pg_catalog.numeric_send(r."amount"), r."no""te" collate "C", pg_catalog.timestamptz_send(r."at"), r."mixed"::pg_catalog.text collate "C"), 1)) as h
from "old"."t" r where ((pg_catalog.hash_record_extended(row(pg_catalog.int8send(r."id"), pg_catalog.numeric_send(r."amount"), r."no""te" collate "C", pg_catalog.timestamptz_send(r."at"), r."mixed"::pg_catalog.text collate "C"), pg_catalog.hash_record_extended(row(pg_catalog.int8send(r."id"), pg_catalog.numeric_send(r."amount"), r."no""te" collate "C", pg_catalog.timestamptz_send(r."at"), r."mixed"::pg_catalog.text collate "C"), 1))) & 4095) in (3, 14)
union all
select pg_catalog.hash_record_extended(row(pg_catalog.int8send(r."id"), pg_catalog.numeric_send(r."amount"), r."no""te" collate "C", pg_catalog.timestamptz_send(r."at"), r."mixed"::pg_catalog.text collate "C"), pg_catalog.hash_record_extended(row(pg_catalog.int8send(r."id"), pg_catalog.numeric_send(r."amount"), r."no""te" collate "C", pg_catalog.timestamptz_send(r."at"), r."mixed"::pg_catalog.text collate "C"), 1)) as k0, 0 as in_a, 1 as in_b, pg_catalog.hash_record_extended(row(pg_catalog.int8send(r."id"), pg_catalog.numeric_send(r."amount"), r."no""te" collate "C", pg_catalog.timestamptz_send(r."at"), r."mixed"::pg_catalog.text collate "C"), pg_catalog.hash_record_extended(row(pg_catalog.int8send(r."id"), pg_catalog.numeric_send(r."amount"), r."no""te" collate "C", pg_catalog.timestamptz_send(r."at"), r."mixed"::pg_catalog.text collate "C"), 1)) as h
from "new"."t" r where ((pg_catalog.hash_record_extended(row(pg_catalog.int8send(r."id"), pg_catalog.numeric_send(r."amount"), r."no""te" collate "C", pg_catalog.timestamptz_send(r."at"), r."mixed"::pg_catalog.text collate "C"), pg_catalog.hash_record_extended(row(pg_catalog.int8send(r."id"), pg_catalog.numeric_send(r."amount"), r."no""te" collate "C", pg_catalog.timestamptz_send(r."at"), r."mixed"::pg_catalog.text collate "C"), 1))) & 4095) in (3, 14)) each_row
group by k0
having sum(in_a) <> sum(in_b) or sum(case when in_a = 1 then h end) <> sum(case when in_b = 1 then h end)) differing_keys
order by k0
limit 20

