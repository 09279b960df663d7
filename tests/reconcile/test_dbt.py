"""A dbt project run for both sides: by real dbt on two real servers, and by programs that only pretend to be dbt and behave badly."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from cockpit.drill.folders import start_time
from cockpit.drill.servers import Server
from cockpit.model.checks import DbtProgress, DbtResult, DbtSpec, DbtTarget, NodeRun, NodeVerdict, Outcome
from cockpit.model.secret import Secret
from cockpit.model.settings import Endpoint
from cockpit.model.words import Side
from cockpit.reconcile.checks import dbt, process, render_dbt, run_dbt
from cockpit.reconcile.checks.asking import jinja, macro
from tests.conftest import MakeDatabase
from tests.reconcile.pairs import connect, run, until

PROJECT = Path(__file__).parent / "dbt_arp"
KANARY = "kanary-Zq7"


@pytest.fixture(autouse=True)
def nothing_left_behind(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Neither a private folder nor anything in the user's own project."""
    scratch, project = tmp_path_factory.mktemp("scratch"), sorted(map(str, PROJECT.rglob("*")))
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    yield
    assert list(scratch.glob("cockpit-dbt-*")) == []
    assert sorted(map(str, PROJECT.rglob("*"))) == project


# --- real dbt --------------------------------------------------------------------------------------------

SCHEMA = Path("cockpit/drill/arp_schema.sql").read_text()
FILL = """
INSERT INTO core.customer (public_id, name, kind, created)
SELECT gen_random_uuid(), 'c' || g, (enum_range(NULL::core.customer_kind))[1 + g % 4], now() FROM generate_series(1, 200) g;
INSERT INTO sales."Order" (id, customer_id, placed, "Total")
SELECT g, 1 + g % 200, timestamptz '2024-01-01' + g * interval '1 day', g * 1.25 FROM generate_series(1, 600) g;
"""


@dataclass
class Arp:
    blue: Endpoint
    green: Endpoint
    spec: DbtSpec

    async def run(self, **changed: object) -> tuple[DbtResult, list[DbtProgress]]:
        told: list[DbtProgress] = []
        result = await run_dbt(replace(self.spec, **changed), told.append)  # type: ignore[arg-type]
        assert all(line.isprintable() for line in render_dbt(result).split("\n"))
        return result, told


def environment(blue: Endpoint, green: Endpoint) -> dict[str, Secret]:
    assert blue.password is not None
    assert green.password is not None
    texts = {
        "ARP_HOST": blue.host,
        "ARP_USER": blue.user,
        "ARP_DATABASE": blue.database,
        "ARP_BLUE_PORT": str(blue.port),
        "ARP_GREEN_PORT": str(green.port),
    }
    secrets = {"ARP_BLUE_PASSWORD": blue.password, "ARP_GREEN_PASSWORD": green.password}
    return {**{name: Secret(text) for name, text in texts.items()}, **secrets}


@pytest_asyncio.fixture
async def arp(blue16: Server, green18: Server, make_database: MakeDatabase) -> Arp:
    blue, green = await make_database(blue16, "arp_dbt"), await make_database(green18, "arp_dbt")
    for side in (blue, green):
        await run(side, SCHEMA, FILL)
    env = environment(blue, green)
    return Arp(blue, green, DbtSpec(str(PROJECT), str(PROJECT / "profiles"), DbtTarget("blue"), DbtTarget("green"), timeout=240, env=env))


@pytest.mark.servers
@pytest.mark.timeout(300)
async def test_a_project_that_says_the_same_on_both_and_then_does_not(arp: Arp) -> None:
    result, told = await arp.run(commands=("build",))
    assert (result.outcome, result.failed) == (Outcome.EQUAL, ())
    assert {node.kind for node in result.nodes} == {"model", "test"}
    assert [node.verdict for node in result.nodes] == [NodeVerdict.SAME] * 7
    for side in Side:
        mine = [step for step in told if step.side is side]
        assert {step.total for step in mine} == {7}
        assert sorted(step.number for step in mine if step.status != "started") == list(range(1, 8))
    _no_secret(arp, repr(result), repr(told), render_dbt(result))
    # A kind of customer that only green knows.
    await run(arp.green, "ALTER TYPE core.customer_kind ADD VALUE 'ghost'")
    await run(arp.green, "INSERT INTO core.customer (public_id, name, kind, created) VALUES (gen_random_uuid(), 'x', 'ghost', now())")
    result, _ = await arp.run(commands=("build",), at_once=False, select=("customer_orders",))
    by_name = {node.name: node for node in result.nodes}
    differing = by_name.pop("accepted_values_customer_orders_kind__person__company__state_office____")
    assert (result.outcome, differing.verdict) == (Outcome.DIFFERENT, NodeVerdict.DIFFERS)
    assert differing.blue is not None
    assert differing.green is not None
    assert (differing.blue.status, differing.green.status, differing.green.failures) == ("pass", "fail", 1)
    assert {node.verdict for node in by_name.values()} == {NodeVerdict.SAME}
    assert "blue pass | green fail (1)" in render_dbt(result)


@pytest.mark.servers
@pytest.mark.timeout(300)
async def test_a_run_that_is_given_up_leaves_nothing_on_the_machine_nor_on_the_server(arp: Arp) -> None:
    holder, watcher = await connect(arp.green), await connect(arp.green)
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    try:
        async with holder.transaction():
            await holder.execute('LOCK TABLE sales."Order" IN ACCESS EXCLUSIVE MODE')
            task = asyncio.create_task(run_dbt(arp.spec, lambda step: None))

            async def both_threads() -> bool:
                return int(await watcher.fetchval(waiting)) == 2

            await until(both_threads, 120)
            begun = dbt_processes(arp)
            assert begun
            _no_secret(arp, *begun.values())
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert dbt_processes(arp) == {}

            async def free() -> bool:
                return not await watcher.fetchval(waiting)

            await until(free, 20)
    finally:
        await holder.close()
        await watcher.close()


def dbt_processes(arp: Arp) -> dict[int, str]:
    """Process and its arguments, of those that were given this pair's server: other workers' tests run the same project at the same time."""
    mine = f"ARP_BLUE_PORT={arp.blue.port}".encode()
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if str(PROJECT) in (arguments := (entry / "cmdline").read_text()) and mine in (entry / "environ").read_bytes().split(b"\0"):
                found[int(entry.name)] = arguments
        except OSError:
            continue
    return found


def _no_secret(arp: Arp, *texts: str) -> None:
    for side in (arp.blue, arp.green):
        assert side.password is not None
        assert not any(side.password.reveal() in text for text in texts)


@pytest.mark.servers
@pytest.mark.timeout(300)
async def test_a_server_that_cannot_be_reached_is_no_difference(arp: Arp) -> None:
    result, _ = await arp.run(env={**arp.spec.env, "ARP_GREEN_PORT": Secret("1")}, select=("source:*",))
    assert result.outcome in {Outcome.NOT_PROVEN, Outcome.DIFFERENT}
    assert result.outcome is not Outcome.EQUAL
    assert "Connection refused" in render_dbt(result)


# --- what only pretends to be dbt ------------------------------------------------------------------------

Pretend = Callable[[str], DbtSpec]


@pytest.fixture
def pretend(tmp_path: Path) -> Pretend:
    """`pretend(code)`: a project whose dbt is that Python; `target`, `side` and `write(results)` are there for it."""
    for name, file in (("project", "dbt_project.yml"), ("profiles", "profiles.yml")):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_text("profile: p\n")

    def made(code: str) -> DbtSpec:
        program = tmp_path / "dbt"
        program.write_text(f"#!{sys.executable} -I\n{HEAD}\n{textwrap.dedent(code)}")
        program.chmod(0o755)
        project, profiles = str(tmp_path / "project"), str(tmp_path / "profiles")
        env = {"ARP_PASSWORD": Secret(KANARY), "NOTES": Secret(str(tmp_path / "notes"))}
        return DbtSpec(project, profiles, DbtTarget("blue"), DbtTarget("green"), timeout=20, program=str(program), env=env)

    return made


HEAD = """
import json, os, pathlib, signal, subprocess, sys, time
target = pathlib.Path(sys.argv[sys.argv.index("--target-path") + 1])
side = sys.argv[sys.argv.index("--target") + 1]
target.mkdir(parents=True, exist_ok=True)
def write(results):
    text = results if isinstance(results, str) else json.dumps({"results": results})
    (target / "run_results.json").write_text(text)
def one(status, failures=0, **more):
    return {"unique_id": "test.p.t.abc", "status": status, "failures": failures, "execution_time": 0.1, "message": None, **more}
def note(text):
    with open(os.environ["NOTES"], "a") as file:
        file.write(text + "\\n")
"""


async def result_of(spec: DbtSpec) -> DbtResult:
    result = await run_dbt(spec, lambda step: None)
    assert KANARY not in render_dbt(result) + repr(result)
    assert all(line.isprintable() for line in render_dbt(result).split("\n"))
    return result


@pytest.mark.parametrize(
    ("code", "outcome", "said"),
    [
        ("write([one('pass')])", Outcome.EQUAL, "1 same"),
        ("write([one('fail', 3)]); sys.exit(1)", Outcome.EQUAL, "fails on both  test t: blue fail (3) | green fail (3)"),
        ("write([one('warn', 3)])", Outcome.EQUAL, "fails on both  test t: blue warn (3) | green warn (3)"),
        ("write([one('fail', 3 if side == 'blue' else 4)]); sys.exit(1)", Outcome.DIFFERENT, "blue fail (3) | green fail (4)"),
        ("write([one('pass' if side == 'blue' else 'error', message='no ' + os.environ['ARP_PASSWORD'])])", Outcome.DIFFERENT, "no •••"),
        ("write([one('pass')] if side == 'blue' else [one('pass', unique_id='test.p.u.x')])", Outcome.DIFFERENT, "green not run"),
        ("write([one('error')]); sys.exit(1)", Outcome.NOT_PROVEN, "1 unproven"),
        ("write([one('skipped')])", Outcome.NOT_PROVEN, "1 unproven"),
        ("write([one('something new')])", Outcome.NOT_PROVEN, "1 unproven"),
        ("write([])", Outcome.NOT_PROVEN, "blue: nothing was run"),
        ("pass", Outcome.NOT_PROVEN, "blue: dbt test did not come to its end (exit 0): it said nothing"),
        ("print('boom', os.environ['ARP_PASSWORD']); sys.exit(2)", Outcome.NOT_PROVEN, "(exit 2): boom •••"),
        ("write([one('pass')]); sys.exit(2)", Outcome.NOT_PROVEN, "(exit 2)"),
        ("write([one('pass')]); os.kill(os.getpid(), 11)", Outcome.NOT_PROVEN, "(exit 139)"),
        ("if side == 'blue': write([one('pass')])", Outcome.NOT_PROVEN, "green: dbt test did not come to its end"),
        ("write('{')", Outcome.NOT_PROVEN, "run_results.json is not what dbt writes"),
        ("write('[1]')", Outcome.NOT_PROVEN, "run_results.json is not what dbt writes"),
        ("write('{\"results\": 3}')", Outcome.NOT_PROVEN, "run_results.json is not what dbt writes"),
        ("write('[' * 100000)", Outcome.NOT_PROVEN, "run_results.json is not what dbt writes"),
        ("write([{'status': 'pass'}])", Outcome.NOT_PROVEN, "run_results.json is not what dbt writes"),
        ("write([one('pass', execution_time='x')])", Outcome.NOT_PROVEN, "run_results.json is not what dbt writes"),
        ("(target / 'run_results.json').mkdir()", Outcome.NOT_PROVEN, "a directory, not a file"),
        ("os.mkfifo(target / 'run_results.json')", Outcome.NOT_PROVEN, "a FIFO, not a file"),
    ],
)
async def test_what_came_out(pretend: Pretend, code: str, outcome: Outcome, said: str) -> None:
    result = await result_of(pretend(code))
    assert result.outcome is outcome
    assert said in render_dbt(result)


GARBAGE = r"""
out = sys.stdout.buffer
out.write(b"\x00\xff\x1b[31m garbage\n" + b"[" * 100000 + b"\n" + b"{}\n[]\n3\nnull\n")
for event in ({"info": 3, "data": {}}, {"info": {}, "data": {"node_info": 3, "index": 1}}, {"info": {"msg": 5, "level": "error"}, "data": {}},
              {"info": {}, "data": {"node_info": {"node_name": "\x1b[2Jn"}, "index": 1, "total": "x", "execution_time": "y"}}):
    out.write(json.dumps(event).encode() + b"\n")
out.write(b"x" * 40_000_000 + b"\n")
out.write(b'{"info": {}, "data": {"node_info": {"node_name": "last", "node_status": "pass"}, "index": 2, "total": 2}}\n')
out.write(b"no line end")
out.flush()
write([one("pass")])
"""


async def test_a_dbt_that_prints_garbage(pretend: Pretend) -> None:
    told: list[DbtProgress] = []
    result = await run_dbt(pretend(GARBAGE), told.append)
    assert result.outcome is Outcome.EQUAL
    assert [(step.node, step.number, step.total) for step in told if step.side is Side.BLUE] == [("^[[2Jn", 1, 0), ("last", 2, 2)]


STUBBORN = """
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen(["sleep", "300"])
loose = subprocess.Popen(["setsid", "sh", "-c", "trap '' INT TERM; sleep 300 & echo $! >> \\"$NOTES\\"; wait"])
note(str(os.getpid())); note(str(child.pid)); note(str(loose.pid))
print("ready", flush=True)
time.sleep(300)
"""


def alive(notes: Path) -> list[int]:
    return [pid for pid in map(int, notes.read_text().split()) if start_time(pid) is not None and not zombie(pid)]


def zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


async def test_at_its_deadline_it_is_killed_with_everything_it_started(pretend: Pretend, tmp_path: Path) -> None:
    result = await result_of(replace(pretend(STUBBORN), timeout=2))
    assert result.outcome is Outcome.NOT_PROVEN
    assert "dbt test took longer than checks.dbt.timeout, 2 s, and was ended; a query it could not cancel may run on" in render_dbt(result)
    assert len((tmp_path / "notes").read_text().split()) == 8
    assert alive(tmp_path / "notes") == []


DRIVER = """
import asyncio, sys
from pathlib import Path
from cockpit.model.secret import Secret
from cockpit.reconcile.checks import process
asyncio.run(process.run([sys.argv[1], "test", "--target-path", sys.argv[2], "--target", "blue"], process.environment({"NOTES": Secret(sys.argv[3])}),
            Path("/"), process.Said(()), print))
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
async def test_it_ends_when_we_end(pretend: Pretend, tmp_path: Path, how: int) -> None:
    spec, notes = pretend(STUBBORN), tmp_path / "notes"
    assert spec.program is not None
    driver = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-c", DRIVER, spec.program, str(tmp_path), str(notes)]
    )

    async def begun() -> bool:
        return notes.exists() and len(notes.read_text().split()) == 4

    await until(begun)
    driver.send_signal(how)
    driver.wait(20)

    async def ended() -> bool:
        return alive(notes) == []

    await until(ended)


async def test_it_gets_what_the_config_names_and_no_other_secret(pretend: Pretend, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ARP_BLUE_PASSWORD", "not-for-dbt")
    monkeypatch.setenv("PGPASSWORD", "not-for-dbt")
    monkeypatch.setenv("DBT_SEND_ANONYMOUS_USAGE_STATS", "true")
    await result_of(replace(pretend("note(json.dumps([dict(os.environ), sys.argv]))"), at_once=False))
    for line in (tmp_path / "notes").read_text().splitlines():
        env, argv = json.loads(line)
        assert "not-for-dbt" not in line
        assert (env["ARP_PASSWORD"], env["DO_NOT_TRACK"], env["DBT_SEND_ANONYMOUS_USAGE_STATS"]) == (KANARY, "1", "false")
        assert KANARY not in " ".join(argv)
        assert "--no-send-anonymous-usage-stats" in argv


async def test_what_is_not_there_is_said_in_one_line(pretend: Pretend, tmp_path: Path) -> None:
    spec = pretend("")
    assert (await result_of(replace(spec, program="no-such-dbt"))).failed == (process.INSTALL,)
    assert (
        (await result_of(replace(spec, profiles=str(tmp_path / "none")))).failed[0].startswith(f"{tmp_path}/none: there is no profiles.yml")
    )
    (tmp_path / "dbt").write_text("#!/no/such/interpreter\n")
    result = await result_of(spec)
    assert "cannot be started: No such file or directory" in result.failed[0]
    assert result.outcome is Outcome.NOT_PROVEN


async def test_one_after_the_other_where_asked(pretend: Pretend, tmp_path: Path) -> None:
    code = "note('in ' + side); time.sleep(0.2); note('out ' + side); write([one('pass')])"
    await result_of(replace(pretend(code), at_once=False))
    assert (tmp_path / "notes").read_text().split("\n")[:4] == ["in blue", "out blue", "in green", "out green"]


async def test_an_earlier_commands_results_are_not_a_later_ones(pretend: Pretend) -> None:
    code = "write([one('pass')]) if 'run' in sys.argv else None"
    result = await result_of(replace(pretend(code), commands=("run", "test")))
    assert result.outcome is Outcome.NOT_PROVEN
    assert "dbt test did not come to its end" in result.failed[0]


# --- pure ------------------------------------------------------------------------------------------------

runs = st.none() | st.builds(
    NodeRun, st.sampled_from(["pass", "fail", "warn", "error", "skipped", "success"]), st.none() | st.integers(0, 3)
)


@given(st.dictionaries(st.text(max_size=20), st.tuples(runs, runs), max_size=5), st.booleans())
def test_every_node_is_judged_and_the_sides_are_alike(nodes: dict[str, tuple[NodeRun | None, NodeRun | None]], whole: bool) -> None:
    blue = {name: pair[0] for name, pair in nodes.items() if pair[0] is not None}
    green = {name: pair[1] for name, pair in nodes.items() if pair[1] is not None}
    found, mirrored = dbt.judged(blue, green, whole=whole), dbt.judged(green, blue, whole=whole)
    assert len(found) == len(blue.keys() | green.keys())
    assert [node.verdict for node in found] == [node.verdict for node in mirrored]
    for node in found:
        if node.verdict in {NodeVerdict.SAME, NodeVerdict.FAILS_ON_BOTH}:
            assert node.blue is not None
            assert node.green is not None
            assert (node.blue.status, node.blue.failures) == (node.green.status, node.green.failures)


@given(st.text())
def test_a_statement_stays_inside_its_literal(text: str) -> None:
    made = jinja(text)
    assert not set(made[1:-1]) & set("\"'{}%#\n\r")
    assert made[1:-1].encode("ascii", "backslashreplace").decode("unicode-escape") == text
    assert macro([{"catalog": [text]}], "mark").count("{%") == macro([], "mark").count("{%")


def test_dbt_is_never_imported_here() -> None:
    code = "import cockpit.reconcile.checks, sys; sys.exit(any(name.split('.')[0] in {'dbt', 'dbt_common', 'agate', 'jinja2'} for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], env=dict(os.environ), check=False).returncode == 0
