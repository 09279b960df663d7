"""What the drill's apps do to ARP: transactions of several statements over several tables, and reads between them.

A transaction is text for one or two round trips; numbers alone are put into it, and they are integers. Every one ends with a row
in `public.app_ledger`, written with everything else or not at all, and with the name of the server it ran on. Rows are locked in
one order of tables everywhere (customer, product, order, account, goods, people, reports, jobs, counters), so apps never deadlock.
"""

# ruff: noqa: S608 - the statements are made of our own words, integers and UUIDs alone
from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from uuid import UUID

from cockpit.drill.fleet import App
from cockpit.drill.links import literal

Sizes = Mapping[str, int]
_STREET = '"Street ""old"""'


@dataclass(frozen=True, slots=True)
class Draw:
    """The numbers of one transaction."""

    rng: random.Random
    sizes: Sizes
    op: UUID

    def row(self, table: str) -> int:
        """The id of one of the rows `table` had when it was filled."""
        return self.rng.randint(1, max(self.sizes[table], 1))

    def order(self) -> int:
        return 999_999 + self.row('sales."Order"')

    def upto(self, limit: int) -> int:
        return self.rng.randint(1, limit)


@dataclass(frozen=True, slots=True)
class Transaction:
    """`opening` and `closing` are sent one after the other, in one round trip each; COMMIT is the last word of `closing`."""

    opening: str
    closing: str


Work = Callable[[Draw], tuple[str, str]]
"""The statements before and after the app has looked at what it read."""


def transaction(app: App, work: Work, draw: Draw) -> Transaction:
    """One transaction of `work` with its ledger row."""
    before, after = work(draw)
    ledger = f"INSERT INTO public.app_ledger (app, op_id) VALUES ({literal(app.name)}, '{draw.op}')"
    return Transaction(f"BEGIN; {before}", f"{after}; {ledger}; SELECT current_setting('cluster_name'); COMMIT")


def lookup(op: UUID) -> str:
    """Which server the transaction with this ledger row was committed on; no row when it was not."""
    return f"SELECT side FROM public.app_ledger WHERE op_id = '{op}' LIMIT 1"


def _place(d: Draw) -> tuple[str, str]:
    return (
        f"SELECT credit FROM core.customer WHERE id = {d.row('core.customer')}",
        f"""WITH o AS (INSERT INTO sales."Order" (customer_id, "Total") VALUES ({d.row("core.customer")}, {d.upto(900)}) RETURNING id)
            INSERT INTO sales."Order Line" (order_id, line, product_id, qty, price)
            SELECT id, n, 1 + (n * {d.row("sales.product")}) % {d.sizes["sales.product"]}, n, 9.5 FROM o, generate_series(1, 3) n""",
    )


def _pay(d: Draw) -> tuple[str, str]:
    order = d.order()
    return (
        f"UPDATE sales.\"Order\" SET status = 'paid' WHERE id = {order}",
        f"""INSERT INTO sales.payment (paid_on, order_id, amount, method) VALUES (date '2026-01-01' + {d.upto(300)}, {order}, {d.upto(9999)}.25, 'card');
            INSERT INTO sales.invoice (order_id, due, paid_after) VALUES ({order}, current_date + 14, interval '{d.upto(30)} days')""",
    )


def _book(d: Draw) -> tuple[str, str]:
    account = d.row("billing.account")
    return (
        f"SELECT balance FROM billing.account WHERE id = {account}",
        f"INSERT INTO billing.entry (account_id, amount, ref) VALUES ({account}, {d.upto(500)}.10, '{d.op}')",
    )


def _dun(d: Draw) -> tuple[str, str]:
    return (
        f"INSERT INTO billing.dunning (account_id, level, sent) VALUES ({d.row('billing.account')}, {d.upto(9)}, now())",
        f"INSERT INTO billing.voucher (worth) VALUES ({d.upto(100)}); INSERT INTO sales.coupon (code, off) VALUES ('{d.op}', {d.upto(90)})",
    )


def _contact(d: Draw) -> tuple[str, str]:
    customer = d.row("core.customer")
    return (
        f"""UPDATE core.customer SET profile = profile || jsonb_build_object('seen', {d.upto(1000000)}), credit = credit + 1 WHERE id = {customer}""",
        f"""INSERT INTO core.customer_contact (customer_id, phone, seen) VALUES ({customer}, '+7 {d.upto(9999999)}', localtimestamp);
            INSERT INTO core."Address Book" VALUES ({customer}, {d.upto(50)}, 'new', NULL)
            ON CONFLICT (customer_id, "Line No") DO UPDATE SET {_STREET} = 'moved ' || {d.upto(99)}""",
    )


def _goods(d: Draw) -> tuple[str, str]:
    good = d.row('"Склад"."Товар"')
    return (
        f'UPDATE "Склад"."Товар" SET "Кол-во" = "Кол-во" - 1 WHERE id = {good}',
        f"""INSERT INTO "Склад"."Движение" ("Товар", "Количество") VALUES ({good}, -1);
            INSERT INTO "Склад"."Остаток" ("Товар", "Полка", n) VALUES ({good}, 'П-1', 1)
            ON CONFLICT ("Товар", "Полка") DO UPDATE SET n = "Остаток".n + 1""",
    )


def _visit(d: Draw) -> tuple[str, str]:
    at = d.op.int & 0x7FFFFFFFFFFFFFFF
    region = d.rng.choice(("eu", "us", "азия"))
    return (
        f"INSERT INTO sales.click VALUES (clock_timestamp(), 'web', json_build_object('x', {d.upto(1920)}))",
        f"INSERT INTO sales.visit VALUES ('{region}', {at}, localtimestamp, '/page/{d.upto(500)}') ON CONFLICT DO NOTHING",
    )


def _price(d: Draw) -> tuple[str, str]:
    return (
        f"UPDATE sales.product SET net = net + 0.01, attributes = attributes || '{{\"touched\": true}}' WHERE id = {d.row('sales.product')}",
        f"INSERT INTO public.outbox (topic, body) VALUES ('price', jsonb_build_object('n', {d.upto(99999)}))",
    )


def _payroll(d: Draw) -> tuple[str, str]:
    who = d.row('"HR & Payroll"."Employee"')
    return (
        f"""INSERT INTO "HR & Payroll"."Time-Sheet" VALUES ({who}, date '2026-01-01' + {d.upto(300)}, interval '7 hours')
            ON CONFLICT (employee, day) DO UPDATE SET worked = EXCLUDED.worked + interval '1 minute'""",
        f"""INSERT INTO "HR & Payroll".payslip (employee, month, net, lines) VALUES ({who}, current_date, {d.upto(5000)}, '[1, 2]');
            UPDATE "HR & Payroll".skill SET level = {d.upto(6)} WHERE ctid IN
            (SELECT ctid FROM "HR & Payroll".skill WHERE employee = {who} LIMIT 1 FOR UPDATE SKIP LOCKED)""",
    )


def _job(d: Draw) -> tuple[str, str]:
    return (
        f"INSERT INTO public.job_queue (state, payload) VALUES ('n', json_build_object('job', {d.upto(99999)}))",
        """WITH next AS (SELECT id FROM public.job_queue WHERE state = 'n' ORDER BY id DESC LIMIT 1 FOR UPDATE SKIP LOCKED),
           done AS (UPDATE public.job_queue q SET state = 'd', tries = tries + 1 FROM next WHERE q.id = next.id RETURNING q.id)
           INSERT INTO public.job_result SELECT id, interval '1 second', 'ok' FROM done ON CONFLICT DO NOTHING""",
    )


def _report(d: Draw) -> tuple[str, str]:
    return (
        f"""INSERT INTO "Reporting"."Daily Sales" VALUES (date '2026-01-01' + {d.upto(60)}, 'region {d.upto(400)}', 1, 10)
            ON CONFLICT (day, region) DO UPDATE SET orders = "Daily Sales".orders + 1, amount = "Daily Sales".amount + 10""",
        f"UPDATE public.hot_counter SET value = value + 1 WHERE name = 'counter-{d.upto(63)}'",
    )


def _watch(d: Draw) -> tuple[str, str]:
    customer = d.row("core.customer")
    return (
        f"INSERT INTO sales.watchlist VALUES ({customer}, {d.row('sales.product')}, current_date)",
        f"DELETE FROM sales.watchlist WHERE ctid IN (SELECT ctid FROM sales.watchlist WHERE customer_id <> {customer} LIMIT 1 FOR UPDATE SKIP LOCKED)",
    )


def _document(d: Draw) -> tuple[str, str]:
    return (
        f"INSERT INTO core.document (id, customer_id, body, pages) VALUES ('{d.op}', {d.row('core.customer')}, '\\x{d.op.hex * 8}', '[1,{1 + d.upto(9)}]')",
        f"INSERT INTO core.countdown_mark (what) VALUES ('document {d.upto(9999)}')",
    )


def _audit(d: Draw) -> tuple[str, str]:
    return (
        f"INSERT INTO audit.log (what) VALUES (jsonb_build_object('op', '{d.op}', 'ключ', {d.upto(99)}))",
        f"""INSERT INTO audit.note (id, at, body, stars) VALUES ('{d.op}', clock_timestamp(), 'noted', {d.upto(5)});
            INSERT INTO audit.session_cache VALUES ('{d.upto(500)}', '{{}}') ON CONFLICT (token) DO UPDATE SET seen = now()""",
    )


def _legacy(d: Draw) -> tuple[str, str]:
    return (
        f"UPDATE core.setting SET value = json_build_object('v', {d.upto(99999)}), changed = now() WHERE key = 'setting.{d.upto(200)}'",
        f"""INSERT INTO public."weird.name" VALUES ({d.upto(2000)}, 'y', localtimestamp) ON CONFLICT ("a.b") DO UPDATE SET "E" = EXCLUDED."E" """,
    )


_MIXES: tuple[tuple[Work, ...], ...] = (
    (_place, _pay),
    (_book, _dun),
    (_contact, _place),
    (_goods,),
    (_visit, _place),
    (_visit, _contact),
    (_price,),
    (_pay, _book),
    (_job, _contact),
    (_goods, _pay),
    (_payroll,),
    (_legacy, _document),
    (_watch, _book),
    (_report, _job),
    (_audit, _legacy),
)

_READS = (
    "SELECT name, credit FROM core.customer WHERE id = {customer}",
    "SELECT * FROM sales.order_overview WHERE id = {order}",
    'SELECT line, qty, amount FROM sales."Order Line" WHERE order_id = {order} ORDER BY line',
    "SELECT sku, gross FROM sales.product WHERE id = {product}",
    "SELECT count(*), sum(amount) FROM billing.entry WHERE id BETWEEN {product} AND {product} + 50",
)


def mix(app: App) -> tuple[Work, ...]:
    """The kinds of transactions the app does."""
    return _MIXES[app.number % len(_MIXES)]


def one_trip(app: App) -> bool:
    """Whether the app sends its transactions whole; the others hold them open over two round trips."""
    return app.number % 3 != 0


def reads_per_write(app: App) -> float:
    """How many reads the app does for each write, on average."""
    return (0.3, 0.8, 1.5)[app.number % 3]


def read(draw: Draw) -> str:
    """One read on its own."""
    values = {"customer": draw.row("core.customer"), "order": draw.order(), "product": draw.row("sales.product")}
    return draw.rng.choice(_READS).format(**values)
