-- count
select (select count(*) from "old"."t") as in_a, (select count(*) from "new"."t") as in_b

-- hash
select coalesce(x.bucket, y.bucket) as bucket
from (select bucket, count(*) as n, sum(h) as h
from (select mod(abs(h), 4096) as bucket, h from (select hash(r."id", r."amount", to_binary(r."no""te", 'UTF-8'), to_varchar(r."at", 'YYYY-MM-DD HH24:MI:SS.FF9 TZHTZM'), to_binary(to_varchar(r."mixed"), 'UTF-8')) as h from "old"."t" r) whole) hashed
group by bucket) x
full join (select bucket, count(*) as n, sum(h) as h
from (select mod(abs(h), 4096) as bucket, h from (select hash(r."id", r."amount", to_binary(r."no""te", 'UTF-8'), to_varchar(r."at", 'YYYY-MM-DD HH24:MI:SS.FF9 TZHTZM'), to_binary(to_varchar(r."mixed"), 'UTF-8')) as h from "new"."t" r) whole) hashed
group by bucket) y on x.bucket = y.bucket
where x.n is null or y.n is null or x.n <> y.n or x.h <> y.h

-- sample
select count(*) over () as differing, sum(least(in_a, in_b)) over () as modified,
  sum(in_a - least(in_a, in_b)) over () as only_a, sum(in_b - least(in_a, in_b)) over () as only_b, status
from (select k0, sum(in_a) as in_a, sum(in_b) as in_b,
  case when sum(in_a) > sum(in_b) then 'only_a' else 'only_b' end as status
from (select hash(r."id", r."amount", to_binary(r."no""te", 'UTF-8'), to_varchar(r."at", 'YYYY-MM-DD HH24:MI:SS.FF9 TZHTZM'), to_binary(to_varchar(r."mixed"), 'UTF-8')) as k0, 1 as in_a, 0 as in_b, hash(r."id", r."amount", to_binary(r."no""te", 'UTF-8'), to_varchar(r."at", 'YYYY-MM-DD HH24:MI:SS.FF9 TZHTZM'), to_binary(to_varchar(r."mixed"), 'UTF-8')) as h
from "old"."t" r where mod(abs(hash(r."id", r."amount", to_binary(r."no""te", 'UTF-8'), to_varchar(r."at", 'YYYY-MM-DD HH24:MI:SS.FF9 TZHTZM'), to_binary(to_varchar(r."mixed"), 'UTF-8'))), 4096) in (3, 14)
union all
select hash(r."id", r."amount", to_binary(r."no""te", 'UTF-8'), to_varchar(r."at", 'YYYY-MM-DD HH24:MI:SS.FF9 TZHTZM'), to_binary(to_varchar(r."mixed"), 'UTF-8')) as k0, 0 as in_a, 1 as in_b, hash(r."id", r."amount", to_binary(r."no""te", 'UTF-8'), to_varchar(r."at", 'YYYY-MM-DD HH24:MI:SS.FF9 TZHTZM'), to_binary(to_varchar(r."mixed"), 'UTF-8')) as h
from "new"."t" r where mod(abs(hash(r."id", r."amount", to_binary(r."no""te", 'UTF-8'), to_varchar(r."at", 'YYYY-MM-DD HH24:MI:SS.FF9 TZHTZM'), to_binary(to_varchar(r."mixed"), 'UTF-8'))), 4096) in (3, 14)) each_row
group by k0
having sum(in_a) <> sum(in_b) or sum(case when in_a = 1 then h end) <> sum(case when in_b = 1 then h end)) differing_keys
order by k0
limit 20

