select c.id as customer_id, c.kind::text as kind, count(o.id) as orders, coalesce(sum(o."Total"), 0) as total
from {{ source('core', 'customer') }} c
left join {{ source('sales', 'order') }} o on o.customer_id = c.id
group by 1, 2
