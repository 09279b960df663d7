"""Both sides at one commit, 16 and 18, while the apps go on writing."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import pytest
import pytest_asyncio

from cockpit.drill.servers import Server
from cockpit.model.settings import Endpoint, Tuning
from cockpit.model.words import Known, ProofState, Side
from cockpit.reconcile import PostgresReconciler, aligned, meeting, schedule
from cockpit.reconcile.ledger import Standing
from cockpit.reconcile.meeting import Meetings, Missed
from cockpit.reconcile.sessions import Line
from cockpit.systems.postgres import PostgresPair, hold
from tests.conftest import MakeDatabase
from tests.reconcile.pairs import connect, drained, pair, run, silently, until

pytestmark = pytest.mark.servers

TABLES = """
CREATE TABLE account (id int PRIMARY KEY, owner text, balance numeric);
CREATE TABLE busy (n int, note text);
ALTER TABLE busy REPLICA IDENTITY FULL;
CREATE TABLE grown (at timestamptz, n int);
ALTER TABLE grown REPLICA IDENTITY FULL;
CREATE TABLE word (word text NOT NULL, n int);
CREATE UNIQUE INDEX word_as_typed ON word (word text_pattern_ops);
ALTER TABLE word REPLICA IDENTITY USING INDEX word_as_typed;
"""
ROWS = (
    "INSERT INTO account SELECT i, 'owner', i FROM generate_series(1, 100) i",
    "INSERT INTO busy SELECT i, 'x' FROM generate_series(1, 300) i",
    "INSERT INTO grown SELECT now(), i FROM generate_series(1, 3000) i",
    "INSERT INTO word SELECT 'word ' || i, i FROM generate_series(1, 500) i",
)
GROWS_S = 0.002
"""Seconds at least from one row of `grown` to the next."""
BUSY, GROWN, WORD = ("public", "busy"), ("public", "grown"), ("public", "word")


@dataclass
class Bench:
    reconciler: PostgresReconciler
    servers: PostgresPair
    ends: dict[Side, Endpoint]

    def standing(self, name: tuple[str, str]) -> Standing:
        return self.reconciler._ledger.standings[name]

    async def until(self, condition: Callable[[], bool], seconds: float = 40.0) -> None:
        async def met() -> bool:
            return condition()

        await until(met, seconds)

    async def value(self, side: Side, sql: str) -> object:
        connection = await connect(self.ends[side])
        try:
            return await connection.fetchval(sql)
        finally:
            await connection.close()

    async def errors(self, side: Side = Side.GREEN) -> object:
        return await self.value(
            side, "SELECT sum(apply_error_count)::int FROM pg_stat_subscription_stats s JOIN pg_subscription USING (subname)"
        )


@pytest_asyncio.fixture
async def bench(blue16: Server, green18: Server, make_database: MakeDatabase, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    monkeypatch.setattr(schedule, "AGAIN_S", 0.2)
    monkeypatch.setattr(aligned, "AGAIN_S", 0.2)
    ends = {Side.BLUE: await make_database(blue16, "aligned"), Side.GREEN: await make_database(green18, "aligned")}
    spec = pair(ends[Side.BLUE], ends[Side.GREEN])
    await run(ends[Side.BLUE], TABLES, *ROWS)
    await run(ends[Side.GREEN], TABLES)
    servers = PostgresPair(spec, Tuning())
    await servers.open()
    for side in Side:
        await servers.install(side).apply()
    await servers.replicate(Side.BLUE, Side.GREEN, copy=True).apply()
    await servers.replicate(Side.GREEN, Side.BLUE, copy=False).apply()
    reconciler = PostgresReconciler(spec, Tuning(recon_duty=0.5))
    await reconciler.open(Side.BLUE)
    made = Bench(reconciler, servers, ends)
    yield made
    await reconciler.close()
    await servers.close()


@contextlib.asynccontextmanager
async def working(bench: Bench, *, proven: bool = True) -> AsyncIterator[None]:
    """The background works, and every table was proven once."""

    async def iterate() -> None:
        async for _ in bench.reconciler.samples():
            pass

    task = asyncio.create_task(iterate())
    try:
        await bench.until(lambda: not proven or all(s.proven_mono is not None for s in bench.reconciler._ledger.provable()))
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@contextlib.asynccontextmanager
async def written(endpoint: Endpoint) -> AsyncIterator[None]:
    """Inserts into one table and updates, inserts and deletes in the other, without a rest for either."""
    stop = asyncio.Event()

    async def write(statements: tuple[str, ...], rest_s: float) -> None:
        connection = await connect(endpoint)
        number = 0
        while not stop.is_set():
            number += 1
            for statement in statements:
                await connection.execute(statement, number)
            await asyncio.sleep(rest_s)
        await connection.close()

    changing = (
        "UPDATE busy SET note = 'y' || $1::int WHERE n = $1::int % 300 + 1",
        "INSERT INTO busy VALUES (-$1::int, 'new')",
        "DELETE FROM busy WHERE n = 20 - $1::int",
    )
    tasks = [asyncio.create_task(write(changing, 0.01)), asyncio.create_task(write(("INSERT INTO grown VALUES (now(), $1)",), GROWS_S))]
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(*tasks)


@pytest.fixture
def no_quiet_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables without a key are read at one commit and in no other way."""
    monkeypatch.setattr("cockpit.reconcile.reconciler.waits", lambda standing: not standing.table.key)


def crowd(bench: Bench) -> None:
    """As after a reading that found them unequal while they were written."""
    for name in (BUSY, GROWN):
        bench.standing(name).crowded = True


async def test_tables_without_a_key_are_proven_while_they_are_written(bench: Bench) -> None:
    """No help: the one that grows without a rest is read at one commit by itself; the other has moments in which a plain reading does."""
    async with working(bench), written(bench.ends[Side.BLUE]):
        for _ in range(3):
            begun = asyncio.get_running_loop().time()
            await bench.until(lambda at=begun: bench.standing(GROWN).aligned and (bench.standing(GROWN).proven_mono or 0) > at)  # type: ignore[misc]
            await bench.until(lambda at=begun: (bench.standing(BUSY).proven_mono or 0) > at)  # type: ignore[misc]
        now = asyncio.get_running_loop().time()
        proof = bench.standing(GROWN).proof(now)
        assert "proven with both sides at one commit" in proof.reason, proof
        assert proof.rows_blue == proof.rows_green
        await bench.until(lambda: bench.standing(GROWN).aligned)
        bench.reconciler.hold()
    pauses = bench.reconciler._aligned.pauses
    print(f"\n{len(pauses)} meetings, apply waited {statistics.median(pauses) * 1000:.2f} ms, {max(pauses) * 1000:.2f} at most")
    assert await bench.errors() == 0
    await drained(bench.ends[Side.BLUE], bench.ends[Side.GREEN])
    verification = await bench.reconciler.verify_changed(Side.BLUE, Side.GREEN, 2.0)
    assert verification.equal is True, verification
    assert verification.evidence["tables_by_new_rows"] == 1, "of the table that only grew its new rows were enough"
    assert verification.evidence["at_one_commit"] == 1, verification
    assert verification.evidence["proven"] == 4, verification


async def test_no_round_tells_a_difference_that_is_none_and_a_planted_one_is_told(bench: Bench) -> None:
    async with working(bench), written(bench.ends[Side.BLUE]):
        rounds = 0
        while rounds < 12:
            before = len(bench.reconciler._aligned.pauses)
            await bench.until(lambda at=before: (crowd(bench), len(bench.reconciler._aligned.pauses) > at)[1])  # type: ignore[misc]
            assert not bench.standing(BUSY).differs
            assert not bench.standing(GROWN).differs
            rounds += 1
        await silently(bench.ends[Side.GREEN], "UPDATE grown SET n = -1 WHERE n = 7 AND at = (SELECT min(at) FROM grown)")

        def told() -> bool:
            crowd(bench)
            return bool(bench.standing(GROWN).differs)

        await bench.until(told)
        assert "at one commit" in bench.standing(GROWN).differs
        assert not bench.standing(BUSY).differs
        await silently(bench.ends[Side.GREEN], "UPDATE grown SET n = 7 WHERE n = -1")

        def mended() -> bool:
            crowd(bench)
            return (
                not bench.standing(GROWN).differs
                and bench.standing(GROWN).state(asyncio.get_running_loop().time()) is not ProofState.DIFFERS
            )

        await bench.until(mended)


@pytest.mark.usefixtures("no_quiet_reading")
async def test_a_strangers_write_under_way_is_no_difference(bench: Bench) -> None:
    """With replication back stopped for a while a row stands on green alone, and green's tap says so: nothing is concluded, before it was
    carried back and after it nothing is left to conclude."""
    async with working(bench), written(bench.ends[Side.BLUE]):
        await run(bench.ends[Side.BLUE], "ALTER SUBSCRIPTION cockpit_arp_g2b DISABLE")
        await run(bench.ends[Side.GREEN], "INSERT INTO busy VALUES (-5000000, 'a stranger')")
        for _ in range(3):
            bench.standing(BUSY).waiting = ""
            await bench.until(lambda: "something else was under way" in bench.standing(BUSY).waiting)
            assert not bench.standing(BUSY).differs
        await run(bench.ends[Side.BLUE], "ALTER SUBSCRIPTION cockpit_arp_g2b ENABLE")
        await bench.until(lambda: bench.standing(BUSY).aligned and not bench.standing(BUSY).waiting)
        assert not bench.standing(BUSY).differs


async def test_a_table_whose_keys_make_no_ranges_is_proven_so_too_and_its_differences_by_key(bench: Bench) -> None:
    async with working(bench), written(bench.ends[Side.BLUE]):
        word = bench.standing(WORD)
        assert not word.table.ranged
        word.touch_whole(asyncio.get_running_loop().time())
        word.crowded = True
        await bench.until(lambda: word.aligned and word.proven)
        await silently(bench.ends[Side.GREEN], "UPDATE word SET n = -1 WHERE word = 'word 7'")
        word.touch_whole(asyncio.get_running_loop().time())
        word.crowded = True
        await bench.until(lambda: bool(word.differing))
        assert list(word.differing) == [("word 7",)]


@contextlib.asynccontextmanager
async def meetings(bench: Bench, origin: Side = Side.BLUE) -> AsyncIterator[Meetings]:
    readers = {side: Line(side, bench.ends[side]) for side in Side}
    gates = {side: Line(side, bench.ends[side], writes=True, settings=meeting.SETTINGS) for side in Side}
    try:
        yield Meetings(readers, gates)
    finally:
        await asyncio.gather(*(line.close() for line in (*readers.values(), *gates.values())))


async def test_the_snapshots_show_the_same_commits_and_apply_goes_on(bench: Bench) -> None:
    """Every transaction writes one number to both tables: in each snapshot both know the same numbers, and but for what fell between, both
    sides the same ones."""
    same = near = 0
    async with meetings(bench) as together, written(bench.ends[Side.BLUE]):
        now = asyncio.get_running_loop().time
        for _ in range(20):
            began = now()
            async with together.meet(Side.BLUE, 10.0) as met:
                took_s = now() - began
                assert 0 < met.pause_s < hold.HOLD_MS / 1000
                counts = [(await together._readers[side].fetch("SELECT count(*) AS n FROM public.grown"))[0]["n"] for side in Side]
                again = [(await together._readers[side].fetch("SELECT count(*) AS n FROM public.grown"))[0]["n"] for side in Side]
                assert counts == again
                assert abs(counts[0] - counts[1]) <= 3 + took_s / GROWS_S, "no more than committed while they met"
                near += abs(counts[0] - counts[1]) <= 3
                same += counts[0] == counts[1]
                behind = await bench.value(Side.GREEN, "SELECT count(*) FROM grown")

                async def moves(n: object = behind) -> bool:
                    return await bench.value(Side.GREEN, "SELECT count(*) FROM grown") != n

                await until(moves)
    print(f"\n{same} of 20 meetings without a transaction between")
    assert same > 5
    assert near >= 15, "a fraction of a millisecond, but for a busy machine's moment"
    assert await bench.errors() == 0


async def _waiting(bench: Bench, gate: int) -> bool:
    sql = f"SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = {gate}"
    return bool(await bench.value(Side.GREEN, sql))


async def _wrote(bench: Bench, gate: int, side: Side = Side.BLUE) -> None:
    connection = await connect(bench.ends[side])
    try:
        await connection.execute(hold.WRITE, gate, str(side), "x", "y")
    finally:
        await connection.close()


async def _held(bench: Bench, gate: int) -> bool | None:
    return await bench.value(Side.GREEN, f"SELECT held FROM {hold.SCHEMA}.hold WHERE gate = {gate}")  # type: ignore[return-value]


async def test_a_dead_holder_holds_apply_no_longer_than_the_limit_and_no_later_row(bench: Bench) -> None:
    dead = await connect(bench.ends[Side.GREEN])
    try:
        await dead.execute("SELECT pg_advisory_lock(76), pg_advisory_lock(77)")
        loop = asyncio.get_running_loop()
        for gate in (76, 77):
            await _wrote(bench, gate)
            started = loop.time()
            await until(lambda at=gate: _waiting(bench, at))  # type: ignore[misc]

            async def applied(at: int = gate) -> bool:
                return await _held(bench, at) is False

            await until(applied)
            took = loop.time() - started
            assert took < hold.HOLD_MS / 1000 + 1, took
        await _wrote(bench, 78)

        async def passed() -> bool:
            return await _held(bench, 78) is True

        await until(passed)
        waited = await bench.value(Side.GREEN, f"SELECT extract(epoch FROM waited)::float8 FROM {hold.SCHEMA}.hold WHERE gate = 78")
        assert float(waited) < 0.2, "nobody holds this gate"  # type: ignore[arg-type]
        assert await bench.errors() == 0
        await drained(bench.ends[Side.BLUE], bench.ends[Side.GREEN])
    finally:
        await dead.close()


async def test_who_dies_while_it_waits_for_the_row_lets_apply_go_on(bench: Bench) -> None:
    """The server itself goes on with what was sent: apply is let go as soon as it waits."""
    line = Line(Side.GREEN, bench.ends[Side.GREEN])
    await line.run(hold.TAKE, 79)
    waiting = asyncio.create_task(_reads(line))

    async def polls() -> bool:
        return bool(await bench.value(Side.GREEN, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"))

    await until(polls)
    line.drop()
    await asyncio.gather(waiting, return_exceptions=True)
    await _wrote(bench, 79)

    async def passed() -> bool:
        return await _held(bench, 79) is True

    await until(passed)
    waited = await bench.value(Side.GREEN, f"SELECT extract(epoch FROM waited)::float8 FROM {hold.SCHEMA}.hold WHERE gate = 79")
    assert float(waited) < hold.HOLD_MS / 1000, waited  # type: ignore[arg-type]
    assert await bench.errors() == 0


async def _reads(line: Line) -> None:
    async with line.snapshot(10.0, hold.SNAPSHOT):
        pass


@pytest.mark.usefixtures("no_quiet_reading")
async def test_a_meeting_that_was_not_held_proves_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reading is late: apply went on before the other side's snapshot."""
    late = hold.SNAPSHOT.replace("END $wait$", f"PERFORM pg_catalog.pg_sleep({hold.HOLD_MS / 1000 + 0.5}); END $wait$")
    assert late != hold.SNAPSHOT
    monkeypatch.setattr(hold, "SNAPSHOT", late)
    async with working(bench, proven=False), written(bench.ends[Side.BLUE]):
        for _ in range(2):
            bench.standing(GROWN).waiting = ""
            await bench.until(lambda: "apply went on after" in bench.standing(GROWN).waiting)
        assert not bench.reconciler._aligned.pauses
        assert not bench.standing(GROWN).aligned
        assert not bench.standing(GROWN).differs
    assert await bench.errors() == 0


async def test_a_window_that_begins_lets_apply_go_on_at_once(bench: Bench) -> None:
    async with working(bench), written(bench.ends[Side.BLUE]):
        crowd(bench)
        for _ in range(5):
            bench.reconciler.hold()

            async def at_rest() -> bool:
                return not bench.reconciler._at_work

            await until(at_rest)

            async def nobody_waits() -> bool:
                return not await bench.value(Side.GREEN, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1")

            await until(nobody_waits, 1.0)
            bench.reconciler.release(Side.BLUE)
            crowd(bench)


async def test_where_the_trigger_is_missing_the_table_waits_for_the_window_and_says_why(bench: Bench) -> None:
    await run(bench.ends[Side.GREEN], f"DROP TRIGGER hold ON {hold.SCHEMA}.hold")
    async with meetings(bench) as together:
        reached, why = await together.reach(Side.BLUE, [GROWN])
        assert not reached
        assert "not on green" in why
    probe = await bench.servers.install(Side.GREEN).probe()
    assert (probe.known, probe.evidence["missing"]) == (Known.PENDING, ["trigger hold"])
    async with working(bench), written(bench.ends[Side.BLUE]):

        def said() -> bool:
            crowd(bench)
            return bench.standing(GROWN).waiting.endswith("it is made when the pair is armed")

        await bench.until(said)
        assert "all of it is read inside the window" in bench.standing(GROWN).waiting
        assert not bench.reconciler._aligned.pauses


async def test_a_table_that_would_outlast_its_snapshots_is_not_begun(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aligned, "LEASE_S", 0.0)
    bench.standing(GROWN).rows = dict.fromkeys(Side, 3000)
    assert await bench.reconciler._aligned.prove(bench.standing(GROWN), Side.BLUE, 0.5) is None
    assert "raise the load limit" in bench.standing(GROWN).apart
    assert await bench.value(Side.BLUE, f"SELECT count(*) FROM {hold.SCHEMA}.hold") == 0


async def test_after_a_handover_blue_is_held(bench: Bench) -> None:
    bench.reconciler.release(Side.GREEN)
    async with working(bench), written(bench.ends[Side.GREEN]):
        crowd(bench)
        await bench.until(lambda: (crowd(bench), bench.standing(GROWN).aligned and bench.standing(BUSY).aligned)[1])
    row = await bench.value(Side.BLUE, f"SELECT side FROM {hold.SCHEMA}.hold WHERE held")
    assert row == "green"
    assert await bench.errors(Side.BLUE) == 0


async def test_a_row_that_is_late_is_missed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hold, "SNAPSHOT", hold.SNAPSHOT.replace(f"'{hold.PARK_MS} ms'", "'200 ms'"))
    await run(bench.ends[Side.GREEN], "ALTER SUBSCRIPTION cockpit_arp_b2g DISABLE")
    async with meetings(bench) as together:
        with pytest.raises(Missed, match="replication is behind"):
            async with together.meet(Side.BLUE, 10.0):
                raise AssertionError("they did not meet")


async def test_nothing_is_left_after_the_clean_up(bench: Bench) -> None:
    for side in Side:
        await bench.servers.gone(side).apply()
        for left in ("pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace", "pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"):
            assert await bench.value(side, f"SELECT count(*) FROM {left} WHERE n.nspname = '{hold.SCHEMA}'") == 0
        assert await bench.value(side, "SELECT count(*) FROM pg_trigger WHERE tgname = 'hold'") == 0
