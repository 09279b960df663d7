"""What must be so of an instance before a handover: checks P5 (it can stall its clients) and P6 (its logins reach the servers)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from cockpit.errors import CockpitError, LinkError, SystemFault
from cockpit.model.events import FindingSeen
from cockpit.model.text import plain
from cockpit.model.words import Severity, Side
from cockpit.systems.pgbouncer import seen
from cockpit.systems.pgbouncer.console import quoted

if TYPE_CHECKING:
    from cockpit.systems.pgbouncer.pooler import PgBouncer

Findings = list[FindingSeen]


async def findings(pooler: PgBouncer, window_s: float) -> tuple[FindingSeen, ...]:
    """Every check, worst cause first: an instance that does not answer is one finding, not ten."""
    try:
        version = await pooler.console.ask("SHOW VERSION", pooler.options.deadline)
    except CockpitError as err:
        return (_finding(pooler, "P5", Severity.BLOCK, str(err), "SHOW VERSION", "start it, or correct `admin`"),)
    found = [_finding(pooler, "P5", Severity.GOOD, plain(next(iter(version[0].values())), 80), "SHOW VERSION", "")]
    for check in (_mode, _settings(window_s), _entry, _rights, _file, _others, _proof):
        try:
            found += await check(pooler)
        except CockpitError as err:
            found.append(_finding(pooler, "P5", Severity.BLOCK, str(err), "", "correct this first"))
    return tuple(found)


def _finding(pooler: PgBouncer, check: str, severity: Severity, what: str, query: str, remedy: str) -> FindingSeen:
    return FindingSeen(check, pooler.name, severity, what, query, remedy if severity is not Severity.GOOD else "")


async def _mode(pooler: PgBouncer) -> Findings:
    """PAUSE never ends in session pooling behind a client that stays."""
    load = seen.Load.of(await pooler.console.ask("SHOW POOLS", pooler.options.deadline), pooler.database)
    mode = load.pool_mode or await _config(pooler, "pool_mode")
    severity = Severity.BLOCK if "session" in mode else Severity.GOOD
    return [
        _finding(pooler, "P5", severity, f"pool_mode = {mode}", "SHOW POOLS; SHOW CONFIG", "set pool_mode = transaction for this entry")
    ]


def _settings(window_s: float) -> Callable[[PgBouncer], Awaitable[Findings]]:
    async def check(pooler: PgBouncer) -> Findings:
        wait, retry = float(await _config(pooler, "query_wait_timeout")), float(await _config(pooler, "server_login_retry"))
        short = 0 < wait <= window_s
        remedy = f"set query_wait_timeout above {window_s:g}: clients that wait longer are cut off"
        return [
            _finding(pooler, "P5", Severity.BLOCK if short else Severity.GOOD, f"query_wait_timeout = {wait:g} s", "SHOW CONFIG", remedy),
            _finding(
                pooler, "P5", Severity.WARN if retry > 1 else Severity.GOOD, f"server_login_retry = {retry:g} s", "SHOW CONFIG",
                "set server_login_retry = 1: after one failed login every client is refused for so long",
            ),
        ]  # fmt: skip

    return check


async def _config(pooler: PgBouncer, key: str) -> str:
    rows = await pooler.console.ask("SHOW CONFIG", pooler.options.deadline)
    return plain(next((row["value"] for row in rows if row["key"] == key), ""), 80)


async def _entry(pooler: PgBouncer) -> Findings:
    """The apps' entry is there, leads to a side, and is not paused by somebody."""
    rows = await pooler.console.ask("SHOW DATABASES", pooler.options.deadline)
    entry = seen.Entry.of(rows, pooler.database)
    if entry is None:
        return [_finding(pooler, "P5", Severity.BLOCK, f"no database {pooler.database}", "SHOW DATABASES", "add it to the databases file")]
    side = pooler.side_of(entry)
    leads = f"{pooler.database} leads to {plain(entry.host, 80)}:{entry.port} ({side or 'neither blue nor green'})"
    found = [
        _finding(
            pooler, "P5", Severity.GOOD if side else Severity.BLOCK, leads, "SHOW DATABASES",
            "give `blue` and `green` of this channel host and port as the pooler knows them",
        )
    ]  # fmt: skip
    if entry.paused:
        found.append(_finding(pooler, "P5", Severity.BLOCK, "it is paused", "SHOW DATABASES", f"RESUME {quoted(pooler.database)}"))
    return found


async def _rights(pooler: PgBouncer) -> Findings:
    """RESUME of what is not paused changes nothing and is refused for want of rights first."""
    rows = await pooler.console.ask("SHOW DATABASES", pooler.options.deadline)
    entry = seen.Entry.of(rows, pooler.database)
    if entry is None or entry.paused:
        return []
    text = f"RESUME {quoted(pooler.database)}"
    try:
        await pooler.console.ask(text, pooler.options.deadline)
    except SystemFault as err:
        if "is not paused" not in err.what:
            return [_finding(pooler, "P5", Severity.BLOCK, err.what, text, "name the user in admin_users, not only in stats_users")]
    return [_finding(pooler, "P5", Severity.GOOD, f"{pooler.options.admin.user} may pause and resume", text, "")]


async def _file(pooler: PgBouncer) -> Findings:
    """The file can be replaced, and it is the one that the instance has read."""
    path, query = pooler.routes.path, "SHOW DATABASES"
    why = await pooler.routes.obstacle()
    if why:
        remedy = "give the cockpit's user the right to write in its folder and to give the file its owner"
        return [_finding(pooler, "P5", Severity.BLOCK, f"{path} cannot be replaced: {why}", f"write beside {path}", remedy)]
    entry = seen.Entry.of(await pooler.console.ask(query, pooler.options.deadline), pooler.database)
    side = pooler.side_of(entry) if entry else None
    if side is not None and not await pooler.routes.names_side(side):
        if lines := await pooler.routes.lacking(side):
            what = f"{path} has no entry {', '.join(line.split(' = ')[0] for line in lines)}"
            return [
                _finding(pooler, "P5", Severity.BLOCK, what, f"read {path}", f"add below [databases], then RELOAD: {' | '.join(lines)}")
            ]
        what = f"{path} does not say what the instance does ({side})"
        return [_finding(pooler, "P5", Severity.BLOCK, what, query, "RELOAD it, or name the file that its configuration includes")]
    return [_finding(pooler, "P5", Severity.GOOD, f"{path} can be replaced", f"write beside {path}", "")]


async def _others(pooler: PgBouncer) -> Findings:
    """Another entry to one of the sides is a way around the handover."""
    rows = await pooler.console.ask("SHOW DATABASES", pooler.options.deadline)
    ends = {(address.host, address.port) for address in pooler.addresses.values()}
    own = {database for side in ("blue", "green") if (database := getattr(pooler.witness.pair, side).control.database)}
    known = {*pooler.routes.names, *pooler.witness.standing}
    around = [
        plain(row["name"], 64)
        for row in rows
        if (row["host"], int(row["port"])) in ends and row["database"] in own and row["name"] not in known
    ]
    remedy = "route it by a channel of its own, or remove it"
    return [_finding(pooler, "P5", Severity.WARN, f"{name} leads there too and is not routed", "SHOW DATABASES", remedy) for name in around]


async def _proof(pooler: PgBouncer) -> Findings:
    """The server that answers through the pool is the one the console names."""
    if pooler.options.probe is None:
        remedy = "configure `probe`: an entry of the databases file that only the cockpit uses"
        return [_finding(pooler, "P6", Severity.WARN, "which server answers is known from the console alone", "SHOW DATABASES", remedy)]
    query = pooler.witness.texts[0]
    await pooler.witness.learn(pooler.options.deadline)
    try:
        proof = await pooler.witness.answer(pooler.options.deadline)
    except (LinkError, SystemFault) as err:
        remedy = "add the entry and the cockpit's login to the pooler (auth_file or auth_query) and to pg_hba.conf of both servers"
        return [_finding(pooler, "P6", Severity.BLOCK, str(err), query, remedy)]
    entry = seen.Entry.of(await pooler.console.ask("SHOW DATABASES", pooler.options.deadline), pooler.database)
    side = pooler.side_of(entry) if entry else None
    ahead = [] if side is None else [await _ahead(pooler, side.other)]
    agrees = side is not None and proof.side is side
    what = f"{proof} answers through the pool; the console says {side or 'neither'}"
    severity = Severity.GOOD if agrees else Severity.BLOCK
    return [_finding(pooler, "P6", severity, what, query, "look where the entries of the file lead"), *ahead]


async def _ahead(pooler: PgBouncer, side: Side) -> FindingSeen:
    """The pooler's logins reach the side that does not serve yet: its pg_hba.conf, its roles and the network between them."""
    query = pooler.witness.text_of(side)
    try:
        proof = await pooler.witness.answer_of(side, pooler.options.deadline)
    except (LinkError, SystemFault) as err:
        return _finding(pooler, "P6", Severity.BLOCK, f"{side} is not reached: {err}", query, f"check pg_hba.conf and roles of {side}")
    if not proof.asked:
        remedy = f"add an entry that always leads to {side} and name it as `{side}` of this channel's `probe`"
        return _finding(pooler, "P6", Severity.WARN, f"whether its logins reach {side} shows only in the window", query, remedy)
    reached = proof.side is side
    return _finding(pooler, "P6", Severity.GOOD if reached else Severity.BLOCK, f"{proof} answers there", query, "correct that entry")
