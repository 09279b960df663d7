select date_trunc('month', placed at time zone 'UTC')::date as month, count(*) as orders, sum("Total") as total
from {{ source('sales', 'order') }}
group by 1
