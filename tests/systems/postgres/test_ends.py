"""Beginnings and ends: connecting, refusing, the lock, what is refused before anything is made, and cleaning up."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from cockpit import wiring
from cockpit.drill.servers import Server
from cockpit.errors import LinkError, OutcomeUnknown, Refused, Superseded, SystemFault
from cockpit.handover.ports import Claim
from cockpit.model.secret import Secret
from cockpit.model.settings import Config, Tuning
from cockpit.model.words import Severity, Side
from cockpit.scenario import load_scenario
from cockpit.systems.postgres import PostgresPair, replicate
from cockpit.systems.postgres.names import Names, conninfo
from tests.systems.postgres.conftest import BLUE, GREEN, Rig, Waiver, quoted, until

pytestmark = pytest.mark.servers


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"password": Secret("wrong-secret-canary")}, "the password of role postgres was refused"),
        ({"database": "no such\ndatabase"}, r"there is no database no such\\ndatabase"),
        ({"user": "nobody\x1b[31m"}, r"nobody\^\[\[31m"),
        ({"port": 1}, "127.0.0.1:1 cannot be reached"),
        ({"host": "no-such-host.invalid"}, "no-such-host.invalid"),
    ],
)
async def test_a_side_that_cannot_be_reached_is_named(bare: Rig, wrong: dict[str, Any], says: str) -> None:
    green = replace(bare.spec.green, control=replace(bare.spec.green.control, **wrong))
    pair = PostgresPair(replace(bare.spec, green=green), bare.tuning)
    with pytest.raises(LinkError, match=says) as caught:
        await pair.open()
    line = str(caught.value)
    assert "green (" in line
    assert caught.value.remedy
    assert "\n" not in line
    assert "secret-canary" not in line
    assert type(caught.value) is LinkError


async def test_a_pair_that_nobody_set_up_is_told_as_that_and_as_nothing_broken(rig: Rig) -> None:
    sample = await rig.pair.lag(BLUE, GREEN)
    assert sample.not_set_up, sample
    assert (sample.slot_state, sample.sender, sample.worker) == ("missing", "missing", "missing")
    assert (sample.lag_s, sample.reverse_armed) == (None, False)
    assert "canary" not in sample.error


async def test_a_broken_connection_is_made_anew(rig: Rig) -> None:
    link = rig.pair._wires.act[BLUE]
    kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'cockpit%' AND datname = current_database() AND pid <> pg_backend_pid()"
    await rig.pair.install(BLUE).apply()
    for _ in range(3):
        await rig.fetch(BLUE, kill)
        assert (await link.row("SELECT 1 AS one"))["one"] == 1
        assert (await rig.pair.server(BLUE)).up
    await rig.fetch(BLUE, kill)

    async def dropped() -> bool:
        return not link.up

    await until(dropped)
    await rig.pair.fence(BLUE, on=True).apply()


async def test_warm_connections_hold_nothing(rig: Rig) -> None:
    await rig.mesh()
    await rig.remade()
    for side in (BLUE, GREEN):
        open_ones = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'cockpit%' AND xact_start IS NOT NULL AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        assert await rig.value(side, open_ones) == 0


async def test_a_lost_answer_is_unknown(rig: Rig) -> None:
    link = rig.pair._wires.act[BLUE]
    task = asyncio.create_task(link.change("SELECT pg_sleep(20)"))
    kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(20)' AND state = 'active' AND pid <> pg_backend_pid()"

    async def killed() -> bool:
        return bool(await rig.value(BLUE, kill))

    await until(killed)
    with pytest.raises(OutcomeUnknown):
        await task
    await link.open()
    with pytest.raises(OutcomeUnknown):
        await link.change("SELECT pg_sleep(20)", within=0.05)
    with pytest.raises(LinkError) as caught:
        await link.rows("SELECT pg_sleep(20)", within=0.05)
    assert type(caught.value) is LinkError


async def test_one_cockpit_flies(rig: Rig) -> None:
    await rig.pair.lock("cockpit ann@ops pid 7")
    await rig.pair.lock("cockpit ann@ops pid 7")
    second = PostgresPair(rig.spec, rig.tuning)
    try:
        with pytest.raises(Refused, match=r"cockpit ann@ops pid 7, since \d{4}-.* from 127.0.0.1"):
            await second.lock("cockpit bob@ops pid 8")
        await rig.pair.close()

        async def taken() -> bool:
            try:
                await second.lock("cockpit bob@ops pid 8")
            except Refused:
                return False
            return True

        await until(taken)
    finally:
        await second.close()


LOCKERS = """SELECT pg_terminate_backend(l.pid) FROM pg_locks l WHERE l.locktype = 'advisory' AND l.granted
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"""
HELD = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"


async def lost(rig: Rig, *sides: Side) -> None:
    """The lock's sessions on the sides were ended by somebody."""
    for side in sides:
        await rig.fetch(side, LOCKERS)

        async def freed(side: Side = side) -> bool:
            return bool(await rig.value(side, HELD) == 0)

        await until(freed)


@pytest.mark.parametrize("sides", [(BLUE,), (GREEN,), (BLUE, GREEN)])
async def test_a_lock_that_was_lost_is_taken_again(rig: Rig, sides: tuple[Side, ...]) -> None:
    second = PostgresPair(rig.spec, rig.tuning)
    try:
        await rig.pair.lock("cockpit ann@ops pid 7")
        await lost(rig, *sides)
        await rig.pair.lock("cockpit ann@ops pid 7")
        with pytest.raises(Refused, match="ann@ops"):
            await second.lock("cockpit bob@ops pid 8")
        for side in (BLUE, GREEN):
            assert await rig.value(side, HELD) == 1
    finally:
        await second.close()


async def test_a_lock_that_somebody_took_meanwhile_is_not_ours_any_more(rig: Rig) -> None:
    second = PostgresPair(rig.spec, rig.tuning)
    try:
        await rig.pair.lock("cockpit ann@ops pid 7")
        await lost(rig, BLUE, GREEN)
        await second.lock("cockpit bob@ops pid 8")
        for _ in range(2):
            with pytest.raises(Refused, match="cockpit bob@ops pid 8, since"):
                await rig.pair.lock("cockpit ann@ops pid 7")
        await second.lock("cockpit bob@ops pid 8")
    finally:
        await second.close()


async def test_a_free_lock_is_not_ours_when_another_sat_down_and_left(rig: Rig) -> None:
    second = PostgresPair(rig.spec, rig.tuning)
    try:
        for side in (BLUE, GREEN):
            await rig.pair.install(side).apply()
        await rig.pair.lock("cockpit ann@ops pid 7", Claim("seat a"))
        assert not rig.pair.lock_lost
        await lost(rig, BLUE)

        async def known() -> bool:
            return rig.pair.lock_lost

        await until(known)
        await lost(rig, GREEN)
        await second.lock("cockpit bob@ops pid 8", Claim("seat b"))
        await second.close()
        with pytest.raises(Superseded, match=r"taken up by bob@ops pid 8 at \d{4}-"):
            await rig.pair.lock("cockpit ann@ops pid 7", Claim("seat a"))
    finally:
        await second.close()


async def test_a_side_that_was_down_has_its_record_raised_by_who_flies_now(rig: Rig) -> None:
    second, heir = (PostgresPair(rig.spec, rig.tuning) for _ in range(2))
    try:
        for side in (BLUE, GREEN):
            await rig.pair.install(side).apply()
        await rig.pair.lock("cockpit ann@ops pid 7", Claim("seat a"))
        await rig.pair.close()
        blue = rig.spec.side(BLUE)
        second._lock._spec = replace(rig.spec, blue=replace(blue, control=replace(blue.control, port=1)))
        with pytest.raises(LinkError, match="blue"):
            await second.lock("cockpit bob@ops pid 8", Claim("seat b"))
        assert await rig.value(BLUE, "SELECT name FROM cockpit_control.seat") == "seat a"
        await second.fence(BLUE, on=True).apply()
        assert await rig.value(BLUE, "SELECT name FROM cockpit_control.seat") == "seat b"
        await second.close()
        await heir.lock("cockpit bob@ops pid 9", Claim("seat b", heir=True))
        with pytest.raises(Superseded):
            await rig.pair.lock("cockpit ann@ops pid 7", Claim("seat a"))
    finally:
        await second.close()
        await heir.close()


async def test_who_sat_down_apart_later_is_the_owner_of_both_sides(rig: Rig) -> None:
    """One take-up while blue is silent, the next while green is: the first is dead, and does not keep the second out."""
    first, second = (PostgresPair(rig.spec, rig.tuning) for _ in range(2))
    blue, green = rig.spec.side(BLUE), rig.spec.side(GREEN)
    try:
        for side in (BLUE, GREEN):
            await rig.pair.install(side).apply()
        first._lock._spec = replace(rig.spec, blue=replace(blue, control=replace(blue.control, port=1)))
        with pytest.raises(LinkError, match="blue"):
            await first.lock("cockpit ann@ops pid 7", Claim("seat a", 1_000))
        await first.close()
        second._lock._spec = replace(rig.spec, green=replace(green, control=replace(green.control, port=1)))
        with pytest.raises(LinkError, match="green"):
            await second.lock("cockpit bob@ops pid 8", Claim("seat b", 2_000))
        assert [await rig.value(side, "SELECT name FROM cockpit_control.seat") for side in (BLUE, GREEN)] == ["seat b", "seat a"]
        second._lock._links[GREEN].endpoint = green.control
        await second.lock("cockpit bob@ops pid 8", Claim("seat b", 2_000))
        await second.fence(GREEN, on=True).apply()
        assert [await rig.value(side, "SELECT name FROM cockpit_control.seat") for side in (BLUE, GREEN)] == ["seat b", "seat b"]
    finally:
        await first.close()
        await second.close()


async def test_a_fence_that_was_left_standing_by_a_clean_up_is_not_seen_as_lifted(rig: Rig) -> None:
    await rig.pair.install(BLUE).apply()
    await rig.pair.fence(BLUE, on=True).apply()
    await rig.run(BLUE, "DROP SCHEMA cockpit_control CASCADE")
    assert not (await rig.pair.fence(BLUE, on=False).probe()).done


async def test_half_a_lock_is_not_given_away_while_the_other_side_is_down(rig: Rig) -> None:
    await rig.pair.lock("cockpit ann@ops pid 7")
    lock = rig.pair._lock._links[BLUE]
    there, lock.endpoint = lock.endpoint, replace(lock.endpoint, port=1)
    await lost(rig, BLUE)
    with pytest.raises(LinkError, match="blue"):
        await rig.pair.lock("cockpit ann@ops pid 7")
    assert await rig.value(GREEN, HELD) == 1
    lock.endpoint = there
    await rig.pair.lock("cockpit ann@ops pid 7")
    assert await rig.value(BLUE, HELD) == 1


async def test_an_idle_session_of_ours_outlives_the_servers_patience(rig: Rig) -> None:
    for name in ("idle_session_timeout", "idle_in_transaction_session_timeout"):
        await rig.run(BLUE, f"ALTER DATABASE {quoted(rig.blue.database)} SET {name} = '100ms'")
    await rig.pair.lock("cockpit ann@ops pid 7")
    theirs = await rig.app(BLUE)

    async def ended() -> bool:
        return bool(theirs.is_closed())

    await until(ended)
    assert await rig.value(BLUE, HELD) == 1


async def test_of_many_exactly_one_gets_the_lock(rig: Rig) -> None:
    pairs = [PostgresPair(rig.spec, rig.tuning) for _ in range(8)]
    outcomes = await asyncio.gather(*(pair.lock(f"cockpit {n}") for n, pair in enumerate(pairs)), return_exceptions=True)
    won = [outcome for outcome in outcomes if outcome is None]
    await asyncio.gather(*(pair.close() for pair in pairs))
    assert len(won) == 1
    assert all(outcome is None or isinstance(outcome, Refused) for outcome in outcomes)


async def test_nothing_is_made_for_a_table_that_cannot_be_replicated(rig: Rig) -> None:
    for side in (BLUE, GREEN):
        await rig.run(side, "CREATE TABLE log (line text)")
        await rig.pair.install(side).apply()
    with pytest.raises(SystemFault, match=r"1 table.s. cannot carry UPDATE or DELETE: public.log"):
        await rig.pair.replicate(BLUE, GREEN, copy=True).apply()
    assert await rig.value(BLUE, "SELECT count(*) FROM pg_publication") == 0
    pair = await rig.remade(exclude_tables=("public.log",))
    await pair.replicate(BLUE, GREEN, copy=True).apply()
    published = "SELECT count(*) FROM pg_publication_tables WHERE tablename = 'log'"
    assert await rig.value(BLUE, published) == 0
    pair = await rig.remade(exclude_tables=(), waivers=(Waiver("D1", "public.log", "only INSERT"),))
    await rig.run(BLUE, "INSERT INTO log VALUES ('old')")
    assert not (await pair.replicate(BLUE, GREEN, copy=True).probe()).evidence["not_ready"]
    await pair.replicate(BLUE, GREEN, copy=True).apply()
    assert await rig.value(BLUE, published) == 1
    assert await rig.value(GREEN, "SELECT count(*) FROM log") == 1


async def test_a_slot_held_up_names_the_holder(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replicate, "SLOT_S", 0.5)
    for side in (BLUE, GREEN):
        await rig.pair.install(side).apply()
    app = await rig.app(BLUE)
    await app.execute("BEGIN; INSERT INTO plain (note) VALUES ('open')")
    with pytest.raises(SystemFault, match=f"pid {app.get_server_pid()}"):
        await rig.pair.replicate(BLUE, GREEN, copy=True).apply()
    await app.execute("COMMIT")
    await rig.pair.replicate(BLUE, GREEN, copy=True).apply()


async def test_a_lost_slot_is_never_papered_over(rig: Rig) -> None:
    await rig.mesh()
    name = rig.pair._wires.names.link(BLUE)
    await rig.run(GREEN, f"ALTER SUBSCRIPTION {name} DISABLE")

    async def dropped() -> bool:
        return bool(
            await rig.fetch(
                BLUE, "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1 AND NOT active", name
            )
        )

    await until(dropped)
    probe = await rig.pair.replicate(BLUE, GREEN, copy=True).probe()
    assert (probe.done, probe.evidence["slot"]) == (False, "missing")
    assert (await rig.pair.lag(BLUE, GREEN)).slot_state == "missing"
    with pytest.raises(SystemFault, match="is gone: what was written since is missing"):
        await rig.pair.replicate(BLUE, GREEN, copy=True).apply()


async def test_a_disabled_subscription_is_taken_up_again(rig: Rig) -> None:
    await rig.mesh()
    await rig.run(GREEN, f"ALTER SUBSCRIPTION {rig.pair._wires.names.link(BLUE)} DISABLE")
    await rig.run(BLUE, "INSERT INTO plain (note) VALUES ('meanwhile')")
    action = rig.pair.replicate(BLUE, GREEN, copy=False)
    assert not (await action.probe()).done
    await action.apply()
    await rig.pair.canary(BLUE, GREEN).apply()
    assert await rig.value(GREEN, "SELECT count(*) FROM plain") == 1


_LEFT = """SELECT (SELECT count(*) FROM pg_subscription WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database()))
  + (SELECT count(*) FROM pg_publication) + (SELECT count(*) FROM pg_replication_slots WHERE database = current_database())
  + (SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'cockpit%')"""


async def test_cleanup_leaves_nothing(rig: Rig) -> None:
    assert len(rig.pair.objects()) == 9
    await rig.mesh()
    for _ in range(2):
        for side in (BLUE, GREEN):
            await rig.pair.gone(side).apply()
            assert (await rig.pair.gone(side).probe()).done
            assert await rig.value(side, _LEFT) == 0
    await rig.mesh()


async def test_cleanup_of_half_a_set_up(rig: Rig) -> None:
    await rig.pair.install(BLUE).apply()
    await rig.run(BLUE, f"CREATE PUBLICATION {rig.pair._wires.names.link(BLUE)}")
    assert not (await rig.pair.gone(BLUE).probe()).done
    for side in (GREEN, BLUE):
        await rig.pair.gone(side).apply()
        assert await rig.value(side, _LEFT) == 0


async def test_cleanup_with_the_other_side_down(rig: Rig, blue16: Server) -> None:
    await rig.mesh()
    pair = await rig.remade()
    away = replace(rig.spec.blue, control=replace(rig.spec.blue.control, port=1))
    lone = PostgresPair(replace(rig.spec, blue=away), rig.tuning)
    try:
        evidence = await lone.gone(GREEN).apply()
        assert "sync_slots" in evidence
        assert await rig.value(GREEN, _LEFT) == 0
    finally:
        await lone.close()
    await pair.gone(BLUE).apply()
    assert await rig.value(BLUE, _LEFT) == 0


async def test_cleanup_says_how_to_lift_a_fence_that_stays(rig: Rig) -> None:
    database, giver = quoted(rig.blue.database), quoted(f"{rig.role} giver")
    await rig.run(
        BLUE,
        f"CREATE ROLE {giver}; GRANT CONNECT ON DATABASE {database} TO {giver} WITH GRANT OPTION;"
        f"SET ROLE {giver}; GRANT CONNECT ON DATABASE {database} TO {quoted(rig.role)}; RESET ROLE",
    )
    acl = "SELECT coalesce(datacl, acldefault('d', datdba))::text FROM pg_database WHERE datname = current_database()"
    found = await rig.value(BLUE, acl)
    await rig.pair.install(BLUE).apply()
    assert "fence_stays" not in (await rig.pair.gone(BLUE).probe()).evidence
    await rig.pair.fence(BLUE, on=True).apply()
    foreseen = (await rig.pair.gone(BLUE).probe()).evidence["fence_stays"]
    evidence = await rig.pair.gone(BLUE).apply()
    lifts = evidence["fence_stays"]
    assert isinstance(lifts, list)
    assert foreseen == lifts
    assert f"GRANT CONNECT ON DATABASE {quoted(rig.blue.database)} TO PUBLIC" in lifts
    with pytest.raises(Exception, match="permission denied"):
        await rig.app(BLUE)
    pasted = await rig._connect(
        rig.blue, {"application_name": "cockpit test"}
    )  # as a person would: nothing lifts the read-only default first
    for statement in lifts:
        await pasted.execute(statement)
    assert sorted((await rig.value(BLUE, acl)).strip("{}").split(",")) == sorted(found.strip("{}").split(","))
    await rig.app(BLUE)
    await rig.run(BLUE, f"DROP OWNED BY {giver}; DROP ROLE {giver}")


async def test_the_clean_up_of_a_pair_tells_what_it_leaves_fenced(rig: Rig) -> None:
    await rig.mesh()
    await rig.pair.fence(BLUE, on=True).apply()
    await rig.pair.close()
    order = wiring.Order(Config({}, "", ""), load_scenario("arp"), rig.spec)
    cleaned = await wiring.cleanup(order)
    assert cleaned.failed == ()
    assert cleaned.stays[0].startswith("blue stays fenced")
    assert not any(line.startswith("green") for line in cleaned.stays)
    for side in (BLUE, GREEN):
        assert await rig.value(side, _LEFT) == 0
    again = await wiring.cleanup(order)
    assert again.failed == ()
    assert again.stays[0].startswith(f"blue stays fenced: it is read-only and {rig.role} cannot log in there")
    assert [line.strip() for line in again.stays[1:]] == [
        "SET default_transaction_read_only = off;",
        f"ALTER DATABASE {quoted(rig.blue.database)} RESET default_transaction_read_only;",
        f"GRANT CONNECT ON DATABASE {quoted(rig.blue.database)} TO {quoted(rig.role)};",
    ]
    pasted = await rig._connect(rig.blue, {"application_name": "cockpit test"})
    for line in again.stays[1:]:
        await pasted.execute(line)
    assert await (await rig.app(BLUE)).fetchval("SHOW transaction_read_only") == "off"
    for line in cleaned.stays[1:]:
        await rig.run(BLUE, line)
    await rig.app(BLUE)
    assert await wiring.cleanup(order) == wiring.Cleaned((), ())


async def test_a_fence_that_a_clean_up_left_is_told_by_preflight_and_opened_by_its_remedy(rig: Rig) -> None:
    await rig.pair.install(BLUE).apply()
    await rig.pair.fence(BLUE, on=True).apply()
    await rig.pair.gone(BLUE).apply()
    (found,) = [f for f in await rig.pair.preflight(GREEN) if f.object == "blue read-only"]
    assert (found.check, found.severity) == ("D14", Severity.BLOCK)
    assert found.seen == f"read-only, and {rig.role} cannot log in: a fence that is on no record, as `cockpit cleanup` leaves one standing"
    pasted = await rig._connect(rig.blue, {"application_name": "cockpit test"})
    for statement in found.remedy.split("; "):
        await pasted.execute(statement)
    await (await rig.app(BLUE)).execute("INSERT INTO plain (note) VALUES ('open again')")
    assert not [f for f in await rig.pair.preflight(GREEN) if f.object == "blue read-only"]


async def test_a_read_only_setting_without_a_fence_is_somebody_elses(rig: Rig) -> None:
    await rig.run(GREEN, f"ALTER DATABASE {quoted(rig.green.database)} SET default_transaction_read_only = on")
    (found,) = [f for f in await rig.pair.preflight(BLUE) if f.object == "green read-only"]
    assert "not the cockpit's" in found.seen
    assert "GRANT" not in found.remedy
    assert (await rig.pair.gone(GREEN).probe()).evidence == {"left": []}


def test_names() -> None:
    assert Names.of("ARP").link(BLUE) == "cockpit_arp_b2g"
    assert Names.of("ARP").link(GREEN) == "cockpit_arp_g2b"
    odd = {Names.of(name).link(BLUE) for name in ("A-B", "A.B", "Имя", "x" * 80, "x" * 81)}
    assert len(odd) == 5
    assert all(len(name) <= 63 and name.isascii() and name == name.lower() for name in odd)
    assert len({Names.of(name).lock_key for name in ("a", "b", "A-B", "A.B")}) == 4
    assert Tuning().sequence_stride > 0


def test_conninfo_quotes_and_masks(bare: Rig) -> None:
    end = replace(bare.blue, password=Secret("a'b\\c"), database="d'x")
    assert "password='a\\'b\\\\c'" in conninfo(end, "app", masked=False)
    assert "dbname='d\\'x'" in conninfo(end, "app", masked=True)
    assert "a\\'b" not in conninfo(end, "app", masked=True)
