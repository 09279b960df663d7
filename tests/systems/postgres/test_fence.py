"""The fence and the quiesce: each of the four leaks is shown, then closed; what was found is put back exactly."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from cockpit.errors import OutcomeUnknown, StepError, SystemFault
from cockpit.handover.ports import Action, Claim
from cockpit.systems.postgres import quiesce
from tests.systems.postgres.conftest import BLUE, GREEN, PASSWORD, Rig, quoted, until

pytestmark = pytest.mark.servers
WRITE = "INSERT INTO plain (note) VALUES ('late')"


@pytest.fixture
async def fenced(rig: Rig) -> Rig:
    await rig.pair.install(BLUE).apply()
    return rig


async def test_refuses_new_sessions_and_lets_them_in_again(fenced: Rig) -> None:
    fence, lift = fenced.pair.fence(BLUE, on=True), fenced.pair.fence(BLUE, on=False)
    assert not (await fence.probe()).done
    assert (await lift.probe()).done
    for _ in range(2):
        evidence = await fence.apply()
        assert evidence["open_to"] == []
        assert (await fence.probe()).done
        assert not (await lift.probe()).done
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await fenced.app(BLUE)
    for _ in range(2):
        await lift.apply()
        assert (await lift.probe()).done
    app = await fenced.app(BLUE)
    await app.execute(WRITE)


async def test_leak_a_session_from_before(fenced: Rig) -> None:
    app = await fenced.app(BLUE)
    await fenced.pair.fence(BLUE, on=True).apply()
    await app.execute(WRITE)  # the leak
    evidence = await fenced.pair.quiesce(BLUE).apply()
    assert evidence["terminated"] == 1
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await app.execute(WRITE)
    assert (await fenced.pair.quiesce(BLUE).probe()).done


async def test_leak_idle_in_transaction(fenced: Rig) -> None:
    app = await fenced.app(BLUE)
    await app.execute(f"BEGIN; {WRITE}")
    await fenced.pair.fence(BLUE, on=True).apply()
    probe = await fenced.pair.quiesce(BLUE).probe()
    assert not probe.done
    await fenced.pair.quiesce(BLUE).apply()
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await app.execute("COMMIT")
    assert await fenced.value(BLUE, "SELECT count(*) FROM plain") == 0


async def test_leak_begin_read_write(fenced: Rig) -> None:
    await fenced.run(BLUE, f"ALTER ROLE {quoted(fenced.role)} SET default_transaction_read_only = off")
    app = await fenced.app(BLUE)
    await fenced.pair.fence(BLUE, on=True).apply()
    await app.execute(f"BEGIN READ WRITE; {WRITE}; COMMIT")  # the leak
    await fenced.pair.quiesce(BLUE).apply()
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await fenced.app(BLUE)
    assert await fenced.value(BLUE, "SELECT count(*) FROM plain") == 1


async def test_leak_commit_prepared(fenced: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quiesce, "QUIESCE_S", 0.3)
    app = await fenced.app(BLUE)
    await app.execute(f"BEGIN; {WRITE}; PREPARE TRANSACTION 'a ''gid'")
    await fenced.pair.fence(BLUE, on=True).apply()
    with pytest.raises(StepError, match="prepared transaction a 'gid"):
        await fenced.pair.quiesce(BLUE).apply()
    await fenced.run(BLUE, "ROLLBACK PREPARED 'a ''gid'")
    await fenced.pair.quiesce(BLUE).apply()


async def test_an_exempt_writer_is_named_not_ended(fenced: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quiesce, "QUIESCE_S", 0.3)
    conn = await fenced._connect(fenced.blue, {"application_name": "nightly \x1b[31mcron"})
    await conn.execute("BEGIN READ WRITE; INSERT INTO plain (note) VALUES ('x')")
    await fenced.pair.fence(BLUE, on=True).apply()
    with pytest.raises(StepError, match=f"exempt writer pid {conn.get_server_pid()}, postgres") as caught:
        await fenced.pair.quiesce(BLUE).apply()
    assert "\x1b" not in str(caught.value)
    await conn.execute("COMMIT")
    await fenced.pair.quiesce(BLUE).apply()


@pytest.mark.parametrize("what", ["quiesce", "terminate"])
async def test_who_stood_still_ends_no_session_of_a_pair_that_another_took_up(
    fenced: Rig, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Between the fence and this it was suspended. Somebody else lifted the fence, and apps write again."""
    monkeypatch.setattr(quiesce, "QUIESCE_S", 0.3)
    await fenced.pair.lock("cockpit ann@ops pid 7", Claim("seat a"))
    app = await fenced.app(BLUE)
    pid = app.get_server_pid()

    def action() -> Action:
        return fenced.pair.quiesce(BLUE) if what == "quiesce" else fenced.pair.terminate(BLUE, (pid,))

    await fenced.run(BLUE, "UPDATE cockpit_control.seat SET epoch = epoch + 1, name = 'seat b'")
    with pytest.raises(StepError, match="not quiet" if what == "quiesce" else "do not end"):
        await action().apply()
    await app.execute(WRITE)
    await fenced.run(BLUE, "UPDATE cockpit_control.seat SET epoch = 0")
    await action().apply()
    assert await fenced.value(BLUE, f"SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}") == 0


async def test_nobody_slips_in_under_a_storm_of_logins(fenced: Rig) -> None:
    stop = asyncio.Event()
    acked: list[int] = []

    async def storm(n: int) -> None:
        while not stop.is_set():
            try:
                conn = await fenced.app(BLUE)
                while not stop.is_set():
                    acked.append(await conn.fetchval("INSERT INTO plain (note) VALUES ('s') RETURNING id"))
            except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError):
                await asyncio.sleep(0)

    tasks = [asyncio.create_task(storm(n)) for n in range(8)]

    try:
        await until(lambda: _more(acked, 100))
        for _ in range(5):
            await fenced.pair.fence(BLUE, on=True).apply()
            await fenced.pair.quiesce(BLUE).apply()
            rows, seen = await fenced.value(BLUE, "SELECT count(*) FROM plain"), len(acked)
            await asyncio.sleep(0.05)
            assert await fenced.value(BLUE, "SELECT count(*) FROM plain") == rows
            await fenced.pair.fence(BLUE, on=False).apply()
            await until(lambda seen=seen: _more(acked, seen + 50))
    finally:
        stop.set()
        await asyncio.gather(*tasks)


async def _more(acked: list[int], wanted: int) -> bool:
    return len(acked) > wanted


async def acl(rig: Rig) -> tuple[set[tuple[str, ...]], list[str]]:
    rows = await rig.fetch(
        BLUE,
        "SELECT a.grantor::regrole::text, coalesce(nullif(a.grantee, 0)::regrole::text, 'PUBLIC'), a.privilege_type, a.is_grantable::text"
        " FROM pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a WHERE d.datname = current_database()",
    )
    settings = await rig.fetch(
        BLUE,
        "SELECT unnest(setconfig) FROM pg_db_role_setting WHERE setrole = 0 AND setdatabase ="
        " (SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY 1",
    )
    return {tuple(row) for row in rows}, [row[0] for row in settings]


async def test_restores_every_grant_and_setting(fenced: Rig) -> None:
    app, mark = quoted(fenced.role), fenced.spec.name.lower()
    roles = [f"giver_{mark}", f"taker_{mark}", f"monitor_{mark}"]
    database = quoted(fenced.blue.database)
    for role in roles:
        await fenced.run(BLUE, f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'")
    await fenced.run(BLUE, f"REVOKE ALL ON DATABASE {database} FROM PUBLIC; GRANT TEMP ON DATABASE {database} TO PUBLIC")
    await fenced.run(
        BLUE, f"GRANT CONNECT ON DATABASE {database} TO {roles[0]} WITH GRANT OPTION; GRANT CREATE ON DATABASE {database} TO {app}"
    )
    await fenced.run(BLUE, f"SET ROLE {roles[0]}; GRANT CONNECT ON DATABASE {database} TO {roles[1]}, {roles[2]}; RESET ROLE")
    await fenced.run(BLUE, f"GRANT CONNECT ON DATABASE {database} TO {app}; ALTER DATABASE {database} OWNER TO {app}")
    await fenced.run(
        BLUE, f"ALTER DATABASE {database} SET default_transaction_read_only = 'off'; ALTER DATABASE {database} SET work_mem = '7MB'"
    )
    before = await acl(fenced)
    pair = await fenced.remade(exempt_roles=(roles[2], "no such role"))
    for _ in range(2):
        await pair.fence(BLUE, on=True).apply()
    for role in (fenced.role, roles[0], roles[1]):
        fenced.role, kept = role, fenced.role
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await fenced.app(BLUE)
        fenced.role = kept
    fenced.role, kept = roles[2], fenced.role
    monitor = await fenced.app(BLUE)
    assert await monitor.fetchval("SHOW default_transaction_read_only") == "on"
    fenced.role = kept
    await (await fenced.remade()).fence(BLUE, on=False).apply()
    assert await acl(fenced) == before
    await fenced.run(BLUE, f"ALTER DATABASE {database} OWNER TO postgres; DROP OWNED BY {', '.join(roles)} CASCADE")
    await monitor.close()
    for role in roles:
        await fenced.run(BLUE, f"DROP ROLE {role}")


async def test_a_member_of_an_exempt_role_is_named(fenced: Rig) -> None:
    group = f"group_{fenced.spec.name.lower()}"
    await fenced.run(BLUE, f"CREATE ROLE {group}; GRANT {group} TO {quoted(fenced.role)}")
    pair = await fenced.remade(exempt_roles=(group,))
    with pytest.raises(SystemFault, match="could still connect") as caught:
        await pair.fence(BLUE, on=True).apply()
    assert fenced.role in str(caught.value)
    assert not (await pair.fence(BLUE, on=True).probe()).done
    await pair.fence(BLUE, on=False).apply()
    await fenced.run(BLUE, f"DROP OWNED BY {group}; DROP ROLE {group}")


async def test_apply_goes_on_behind_the_fence(rig: Rig) -> None:
    await rig.mesh()
    await rig.pair.fence(GREEN, on=True).apply()
    await rig.run(BLUE, "INSERT INTO plain (note) VALUES ('a'); UPDATE plain SET note = 'b'")
    await rig.pair.canary(BLUE, GREEN).apply()
    assert await rig.value(GREEN, "SELECT note FROM plain") == "b"
    await rig.run(BLUE, "TRUNCATE plain")
    await rig.pair.canary(BLUE, GREEN).apply()
    await rig.pair.canary(GREEN, BLUE).apply()
    assert await rig.value(GREEN, "SELECT count(*) FROM plain") == 0


async def test_without_the_control_schema_it_says_so(rig: Rig) -> None:
    with pytest.raises(SystemFault, match="cockpit_control"):
        await rig.pair.fence(BLUE, on=True).apply()
    await rig.pair.fence(BLUE, on=False).apply()
    app = await rig.app(BLUE)
    await app.execute(WRITE)


def test_describe_needs_no_connection(bare: Rig) -> None:
    pair = bare.pair
    actions = (
        pair.install(BLUE),
        pair.replicate(BLUE, GREEN, copy=True),
        pair.canary(BLUE, GREEN),
        pair.fence(BLUE, on=True),
        pair.fence(BLUE, on=False),
        pair.quiesce(BLUE),
        pair.drain(BLUE, GREEN),
        pair.sequences(BLUE, GREEN),
        pair.gone(BLUE),
    )
    text = "\n".join(f"{s.target}: {s.text}" for action in actions for s in action.describe())
    password = bare.blue.password
    assert password is not None
    assert password.reveal() not in text
    assert "•••" in text
    assert "$1" not in text
    assert all(action.name for action in actions)


@pytest.mark.parametrize("how", ["cancelled", "killed"])
async def test_a_fence_whose_sender_is_gone_does_not_land_after_it_was_lifted(fenced: Rig, how: str) -> None:
    """The script is held up in the middle, its sender goes, and the side is opened again before the server has finished it."""
    holder = await fenced.admin(BLUE)
    await holder.execute("BEGIN; LOCK TABLE cockpit_control.fence IN SHARE MODE")
    going_up = asyncio.create_task(fenced.pair.fence(BLUE, on=True).apply())
    held = "SELECT pid FROM pg_locks WHERE NOT granted AND relation = 'cockpit_control.fence'::regclass"
    await until(lambda: _some(fenced, held))
    backend = await fenced.value(BLUE, held)
    if how == "killed":
        fenced.pair._wires.act[BLUE]._conn.terminate()
    else:
        going_up.cancel()
    with pytest.raises(OutcomeUnknown if how == "killed" else asyncio.CancelledError):
        await going_up
    lifting = asyncio.create_task(fenced.pair.fence(BLUE, on=False).apply())
    waits = f"SELECT 1 FROM pg_locks WHERE NOT granted AND locktype = 'advisory' AND pid <> {backend}"

    async def behind_it_or_through() -> bool:
        return lifting.done() or await _some(fenced, waits)

    await until(behind_it_or_through)
    await holder.execute("COMMIT")
    await lifting
    still = f"SELECT 1 FROM pg_stat_activity WHERE pid = {backend}"
    await until(lambda: _none(fenced, still))
    assert (await fenced.pair.fence(BLUE, on=False).probe()).done
    app = await fenced.app(BLUE)
    await app.execute(WRITE)


async def _some(rig: Rig, sql: str) -> bool:
    return bool(await rig.fetch(BLUE, sql))


async def _none(rig: Rig, sql: str) -> bool:
    return not await _some(rig, sql)
