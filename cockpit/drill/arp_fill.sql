-- What fills ARP: one statement a table. `-- fill NAME SHARE LEAST TABLE` says how many rows: SHARE of all, at least LEAST.
-- @n is this table's number of rows, @NAME another's, @seed the seed; g runs from 1 to @n. Same seed, same rows.

-- fill country 0 26 core.country
INSERT INTO core.country SELECT chr(64 + g) || chr(91 - g), 'Country № ' || g, g % 2 = 0 FROM generate_series(1, @n) g
-- fill currency 0 20 core.currency
INSERT INTO core.currency SELECT 'C' || chr(64 + g) || 'X', g % 4 FROM generate_series(1, @n) g
-- fill customer 0.08 50 core.customer
INSERT INTO core.customer (public_id, name, email, kind, tags, home, profile, credit, created)
SELECT md5(@seed || 'c' || g)::uuid, 'Customer ' || g || CASE g % 7 WHEN 0 THEN ' "Ltd"' WHEN 1 THEN ' и сыновья' ELSE '' END,
       'c' || g || '@example.org', (enum_range(NULL::core.customer_kind))[1 + g % 4], ARRAY['t' || g % 9, 'segment ' || g % 5],
       ROW('Street ' || g % 977, g % 99999, 'City ' || g % 311, 'DE')::core.address,
       jsonb_build_object('score', g % 100, 'язык', CASE WHEN g % 3 = 0 THEN 'ru' ELSE 'de' END), (hashint8extended(g, @seed) & 1048575) / 100.0,
       timestamptz '2019-01-01 00:00+00' + g * interval '11 minutes'
FROM generate_series(1, @n) g
-- fill contact 0.06 50 core.customer_contact
INSERT INTO core.customer_contact (customer_id, phone, preferred, seen)
SELECT 1 + g % @customer, '+49 ' || (hashint8extended(g, @seed) & 99999999), CASE g % 3 WHEN 0 THEN NULL ELSE g % 2 = 0 END,
       timestamp '2023-03-26 02:30' + g * interval '1 hour'
FROM generate_series(1, @n) g
-- fill address_book 0.02 20 core."Address Book"
INSERT INTO core."Address Book" SELECT 1 + (g - 1) / 2 % @customer, 1 + g % 2 + 2 * ((g - 1) / (2 * @customer)), 'Old "Lane" ' || g, ROW('a', 'b', NULL, 'FR')::core.address
FROM generate_series(1, @n) g
-- fill setting 0 200 core.setting
INSERT INTO core.setting (key, value, changed) SELECT 'setting.' || g, json_build_object('v', g, 'nested', json_build_array(1, NULL, 'x')), timestamptz '2024-02-29 12:00+00' FROM generate_series(1, @n) g
-- fill flag 0 60 core.feature_flag
INSERT INTO core.feature_flag SELECT 'flag-' || g, g % 2 = 0, g % 101 FROM generate_series(1, @n) g
-- fill document 0.02 20 core.document
INSERT INTO core.document (id, customer_id, body, pages)
SELECT md5(@seed || 'd' || g)::uuid, 1 + g % @customer, decode(repeat(md5(g::text), 4), 'hex'), int4range(1, 2 + g % 40)
FROM generate_series(1, @n) g
-- fill rate 0.002 40 core.exchange_rate
INSERT INTO core.exchange_rate SELECT 'C' || chr(65 + g % 20) || 'X', daterange(date '2015-01-01' + g / 20, date '2015-01-02' + g / 20), 1 + (hashint8extended(g, @seed) & 65535) / 100000.0
FROM generate_series(1, @n) g
-- fill countdown 0 40 core.countdown_mark
INSERT INTO core.countdown_mark (what) SELECT 'mark ' || g FROM generate_series(1, @n) g
-- fill product 0.02 50 sales.product
INSERT INTO sales.product (sku, name, net, attributes, shelf, weight)
SELECT 'SKU-' || lpad(g::text, 8, '0'), 'Product ' || g, (hashint8extended(g, @seed) & 65535) / 100.0, jsonb_build_object('colour', g % 12, 'sizes', jsonb_build_array(g % 3, g % 5)),
       point(g % 100, g % 37), g % 1000 / 7.0
FROM generate_series(1, @n) g
-- fill order 0.12 100 sales."Order"
INSERT INTO sales."Order" (customer_id, status, placed, "Total", "select")
SELECT 1 + (hashint8extended(g, @seed) & 2147483647) % @customer, (enum_range(NULL::sales.order_status))[1 + g % 5], timestamptz '2024-01-01 00:00+00' + g * interval '3 minutes',
       g % 100000 / 100.0, CASE g % 10 WHEN 0 THEN E'line\nbreak' WHEN 1 THEN NULL ELSE 'note' END
FROM generate_series(1, @n) g
-- fill line 0.22 200 sales."Order Line"
INSERT INTO sales."Order Line" (order_id, line, product_id, qty, price)
SELECT 1000000 + g % @order, 1 + g / @order, 1 + (hashint8extended(g, @seed) & 2147483647) % @product, 1 + g % 9, g % 10000 / 100.0
FROM generate_series(0, @n - 1) g
-- fill payment 0.10 100 sales.payment
INSERT INTO sales.payment (paid_on, order_id, amount, method)
SELECT date '2023-11-01' + (g % 1100)::int, 1000000 + g % @order, g % 100000 / 100.0, CASE g % 3 WHEN 0 THEN 'card' WHEN 1 THEN 'cash' END
FROM generate_series(1, @n) g
-- fill visit 0.04 100 sales.visit
INSERT INTO sales.visit SELECT CASE g % 3 WHEN 0 THEN 'us' WHEN 1 THEN 'eu' ELSE 'азия' END, g, timestamp '2025-01-01' + g * interval '1 second', '/page/' || g % 500
FROM generate_series(1, @n) g
-- fill click 0.04 100 sales.click
INSERT INTO sales.click SELECT timestamptz '2025-06-01 00:00+00' + g * interval '1 second', 'web', json_build_object('x', g % 1920, 'y', g % 1080) FROM generate_series(1, @n) g
-- fill coupon 0 500 sales.coupon
INSERT INTO sales.coupon (code, off) SELECT 'C-' || g, g % 100 FROM generate_series(1, @n) g
-- fill watch 0.001 50 sales.watchlist
INSERT INTO sales.watchlist SELECT 1 + g % @customer, 1 + g % @product, date '2025-01-01' + (g % 300)::int FROM generate_series(1, @n) g
-- fill account 0.03 60 billing.account
INSERT INTO billing.account (customer_id, balance, entries, opened) SELECT 1 + g % @customer, g % 1000, 1, date '2020-01-01' + (g % 2000)::int FROM generate_series(1, @n) g
-- fill entry 0.08 100 billing.entry
INSERT INTO billing.entry (account_id, amount, at, ref)
SELECT 1 + g % @account, (g % 20000 - 10000) / 100.0, timestamptz '2025-01-01 00:00+00' + g * interval '7 seconds', md5(@seed || 'e' || g)::uuid
FROM generate_series(1, @n) g
-- fill tax 0 30 billing."Tax Rate"
INSERT INTO billing."Tax Rate" SELECT 'Region ' || g, g % 30, date '2024-01-01' FROM generate_series(1, @n) g
-- fill statement 0.01 40 billing.statement
INSERT INTO billing.statement (account_id, period, body) SELECT 1 + g % @account, daterange(date '2025-01-01', date '2025-02-01'), repeat('Statement line ' || g || E'\n', 4) FROM generate_series(1, @n) g
-- fill dunning 0.005 40 billing.dunning
INSERT INTO billing.dunning (account_id, level, sent) SELECT 1 + g % @account, g % 10, CASE WHEN g % 2 = 0 THEN timestamptz '2025-10-26 01:30+00' END FROM generate_series(1, @n) g
-- fill voucher 0.005 40 billing.voucher
INSERT INTO billing.voucher (worth, used) SELECT g / 3.0, CASE WHEN g % 5 = 0 THEN tstzrange(timestamptz '2025-01-01 00:00+00', NULL) END FROM generate_series(1, @n) g
-- fill good 0.01 50 "Склад"."Товар"
INSERT INTO "Склад"."Товар" ("Название", "Кол-во", "Цены") SELECT 'Товар «' || g || '»', g % 500, ARRAY[g % 100, g % 77 + 0.5] FROM generate_series(1, @n) g
-- fill move 0.05 100 "Склад"."Движение"
INSERT INTO "Склад"."Движение" ("Товар", "Количество", "Когда") SELECT 1 + g % @good, g % 21 - 10, timestamp '2025-01-01' + g * interval '5 seconds' FROM generate_series(1, @n) g
-- fill shelf 0.002 30 "Склад"."Полка"
INSERT INTO "Склад"."Полка" SELECT 'П-' || g, ARRAY[g, g % 7, 2.5], ROW('Lager', NULL, 'Köln', 'DE')::core.address FROM generate_series(1, @n) g
-- fill stock 0.02 30 "Склад"."Остаток"
INSERT INTO "Склад"."Остаток" SELECT 1 + g % @good, 'П-' || 1 + g / @good, g % 4 FROM generate_series(0, @n - 1) g
-- fill employee 0.002 40 "HR & Payroll"."Employee"
INSERT INTO "HR & Payroll"."Employee" ("First Name", "Last ""Nick"" Name", manager, hired, salary, photo)
SELECT 'Имя ' || g, 'O''Neil "' || g || '"', CASE WHEN g > 1 THEN 1 + (g - 2) / 8 END, date '2010-01-01' + (g % 5000)::int, 2000 + g % 7000, decode(md5(g::text), 'hex') FROM generate_series(1, @n) g
-- fill sheet 0.02 40 "HR & Payroll"."Time-Sheet"
INSERT INTO "HR & Payroll"."Time-Sheet" SELECT 1 + g % @employee, date '2024-01-01' + (g / @employee)::int, make_interval(hours => (g % 9)::int, mins => (g % 60)::int) FROM generate_series(0, @n - 1) g
-- fill payslip 0.01 40 "HR & Payroll".payslip
INSERT INTO "HR & Payroll".payslip (employee, month, net, lines) SELECT 1 + g % @employee, date '2024-01-01' + 30 * (g % 20)::int, 1500 + g % 4000, jsonb_build_array(jsonb_build_object('tax', g % 40)) FROM generate_series(1, @n) g
-- fill skill 0.001 40 "HR & Payroll".skill
INSERT INTO "HR & Payroll".skill SELECT 1 + g % @employee, 'skill ' || g % 30, g % 6 FROM generate_series(1, @n) g
-- fill log 0.02 50 audit.log
INSERT INTO audit.log (at, actor, what) SELECT timestamptz '2025-01-01 00:00+00' + g * interval '9 seconds', 'legacy', jsonb_build_object('n', g, 'what', 'import') FROM generate_series(1, @n) g
-- fill note_base 0.001 20 audit.note_base
INSERT INTO audit.note_base SELECT md5(@seed || 'nb' || g)::uuid, timestamptz '2025-01-01 00:00+00', 'base ' || g FROM generate_series(1, @n) g
-- fill note 0.003 20 audit.note
INSERT INTO audit.note (id, at, body, stars) SELECT md5(@seed || 'n' || g)::uuid, timestamptz '2025-01-01 00:00+00', 'note ' || g, g % 6 FROM generate_series(1, @n) g
-- fill login 0.01 40 audit.login
INSERT INTO audit.login SELECT 'user' || g % 50, timestamptz '2025-01-01 00:00+00' + g * interval '1 minute', ('10.0.' || g % 255 || '.' || g % 250)::inet, g % 11 <> 0 FROM generate_series(1, @n) g
-- fill cache 0.001 20 audit.session_cache
INSERT INTO audit.session_cache SELECT md5(g::text), '{"a": 1}', timestamptz '2025-01-01 00:00+00' FROM generate_series(1, @n) g
-- fill daily 0.003 50 "Reporting"."Daily Sales"
INSERT INTO "Reporting"."Daily Sales" SELECT date '2010-01-01' + (g / 4)::int, 'region ' || g % 4, g % 900, g / 7.0 FROM generate_series(1, @n) g
-- fill kpi 0 40 "Reporting".kpi
INSERT INTO "Reporting".kpi (name, value, history) SELECT 'kpi ' || g, CASE g % 5 WHEN 0 THEN 'NaN'::float8 WHEN 1 THEN '-Infinity' ELSE g / 3.0 END, ARRAY[g, g / 2.0, NULL] FROM generate_series(1, @n) g
-- fill dim 0 3000 "Reporting".dim_date
INSERT INTO "Reporting".dim_date SELECT date '2020-01-01' + g::int, to_char(date '2020-01-01' + g::int, 'IYYY-"W"IW'), extract(isodow FROM date '2020-01-01' + g::int), tsrange(date '2020-01-01' + g::int, NULL) FROM generate_series(1, @n) g
-- fill job 0.01 50 public.job_queue
INSERT INTO public.job_queue (state, payload, run_at) SELECT 'd', json_build_object('job', g), timestamptz '2025-01-01 00:00+00' + g * interval '1 minute' FROM generate_series(1, @n) g
-- fill result 0.01 50 public.job_result
INSERT INTO public.job_result SELECT g, g * interval '3 milliseconds', 'done ' || g FROM generate_series(1, @n) g
-- fill weird 0.001 40 public."weird.name"
INSERT INTO public."weird.name" SELECT g, 'x' || g, timestamp '2024-01-01' + g * interval '1.001 seconds' FROM generate_series(1, @n) g
-- fill counter 0 64 public.hot_counter
INSERT INTO public.hot_counter SELECT 'counter-' || g, 0 FROM generate_series(0, @n - 1) g
-- fill outbox 0.01 50 public.outbox
INSERT INTO public.outbox (topic, body, sent) SELECT 'topic ' || g % 10, jsonb_build_object('id', g, 'text', 'Ünïcödé ' || g), true FROM generate_series(1, @n) g
-- fill bits 0 300 public.bits
INSERT INTO public.bits SELECT g, (g::bit(16))::bit varying, ('10.' || g % 255 || '.0.0/16')::cidr, ('08:00:2b:01:02:' || to_hex(16 + g % 200))::macaddr, to_tsvector('simple', 'word' || g), NULL, g::money, time '10:00' + g * interval '1 second', timetz '10:00+02' FROM generate_series(1, @n) g
