"""`cockpit init` on real servers: it looks, changes nothing, and writes one file that a plan can be made of."""

from __future__ import annotations

import asyncio
import os
import re
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from cockpit.config import load_config
from cockpit.errors import SystemFault
from cockpit.model.words import Side
from cockpit.systems.postgres.link import Link
from cockpit.systems.postgres.survey import STATEMENT_S
from tests.cli.conftest import APP, APP_WORD, Pair
from tests.cli.test_refusals import refusing_port
from tests.cli.typed import Answer, cockpit, files
from tests.screen.terminal import Terminal
from tests.systems.channels import bouncer

servers = pytest.mark.servers
WRONG = "wrong-word-canary"
EVIL = 'ev\x1b[2Jil"\n[pairs.x]'
EVIL_QUOTED = '"' + EVIL.replace('"', '""') + '"'


def flags(pair: Pair, **other: object) -> list[str]:
    said: dict[str, object] = {"blue-password": "env:CLI_BLUE", "green-password": "env:CLI_GREEN"}
    for side, server in pair.servers.items():
        said |= {f"{side}-host": "127.0.0.1", f"{side}-port": server.port, f"{side}-user": "postgres", f"{side}-database": "cli"}
    said |= {"pooler": f"127.0.0.1:{pair.pooler.port}", "pooler-user": "pooler_admin", "pooler-password": "env:CLI_POOL"}
    said |= {"pooler-file": pair.pooler.databases, "runs": pair.runs} | {key.replace("_", "-"): value for key, value in other.items()}
    return [word for key, value in said.items() for word in (f"--{key}", str(value))]


async def init(pair: Pair, *more: str, **other: object) -> Answer:
    """`cockpit init --yes`; the servers are as they were, and no password is told."""
    before = await pair.traces()
    told = await asyncio.to_thread(cockpit, "init", str(pair.folder / "made.toml"), "--yes", *flags(pair, **other), *more, env=pair.words)
    assert await pair.traces() == before
    for secret in (*pair.words.values(), APP_WORD, WRONG):
        assert secret not in told.out + told.err
    return told


@asynccontextmanager
async def session(pair: Pair, user: str, word: str, application: str) -> AsyncIterator[None]:
    settings = {"application_name": application}
    conn = await asyncpg.connect(
        host="127.0.0.1", port=pair.servers["blue"].port, user=user, password=word, database="cli", server_settings=settings, ssl=False
    )
    try:
        yield
    finally:
        await conn.close()


@servers
async def test_it_writes_a_config_that_plan_and_preflight_take(pair: Pair) -> None:
    async with session(pair, APP, APP_WORD, "orders"):
        told = await init(pair)
    made = pair.folder / "made.toml"
    assert told.code == 0, told.err
    assert told.out.startswith(f"written: {made}; next:\n  cockpit plan arp --config {made} ")
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    assert files(pair.folder) == [made], "nothing but the file, and no folder for runs"
    config = load_config(made, environ=pair.words)
    assert [(app.name, app.role, app.channel) for app in config.pairs["arp"].apps] == [("orders", APP, "pool-1")]
    plan = await asyncio.to_thread(cockpit, "plan", "arp", "--config", str(made), env=pair.words)
    assert (plan.code, plan.err) == (0, "")


@servers
async def test_a_pooler_that_has_the_entries_it_wrote_is_a_go(pair: Pair) -> None:
    async with session(pair, APP, APP_WORD, "orders"):
        await init(pair)
        made = pair.folder / "made.toml"
        told = re.findall(r"^#   (\w+ = host=.+)$", made.read_text(), re.MULTILINE)
        assert [line.split(" = ")[0] for line in told] == ["cli", "cockpit_probe", "cockpit_probe_blue", "cockpit_probe_green"]
        entries = [f"{line} user=postgres password={pair.words['CLI_GREEN']}" if "green" in line else line for line in told]
        pooler = await bouncer.start(pair.claim, "cli-init", "\n".join(entries), {APP: APP_WORD, "postgres": pair.words["CLI_BLUE"]})
        try:
            text = made.read_text().replace(str(pair.pooler.databases), str(pooler.databases))
            made.write_text(text.replace(f"port = {pair.pooler.port}\n", f"port = {pooler.port}\n"))
            found = await asyncio.to_thread(cockpit, "preflight", "arp", "--config", str(made), env=pair.words)
        finally:
            pooler.stop()
    assert (found.code, found.err) == (0, ""), found.out


@servers
async def test_it_tells_what_it_saw(pair: Pair) -> None:
    await pair.do("blue", "CREATE TABLE log (what text)")
    told = await init(pair)
    said = " ".join(told.err.split())
    assert "blue PostgreSQL 16." in said
    assert "green PostgreSQL 18." in said
    assert "2 tables in 1 schema (public) 1 table without a key (public.log)" in said
    assert "green has 1 of blue's 2 tables" in said
    assert f"may log in to blue, no session was seen: {APP}" in (pair.folder / "made.toml").read_text()


@servers
async def test_the_look_is_one_transaction_that_may_not_write(pair: Pair) -> None:
    link = Link(Side.BLUE, pair.servers["blue"].database("cli"), "look", statement_s=STATEMENT_S)
    try:
        asked = "SELECT current_setting('transaction_read_only') AS only, now() AS begun, current_setting('statement_timeout') AS most"
        (first,), (second,) = await link.look((asked, asked))
        assert (first["only"], first["most"], first["begun"]) == ("on", "5s", second["begun"])
        with pytest.raises(SystemFault, match="read-only transaction"):
            await link.look(("CREATE TABLE made_by_a_look (x int)",))
    finally:
        await link.close()


@servers
async def test_a_server_that_cannot_be_reached_is_told_and_the_file_is_written_all_the_same(pair: Pair) -> None:
    with refusing_port() as port:
        told = await init(pair, green_port=port)
    said = " ".join(told.err.split())
    assert told.code == 0
    assert f"green not looked at: 127.0.0.1:{port} cannot be reached: " in said
    assert "check the address and whether the server runs" in said
    text = (pair.folder / "made.toml").read_text()
    assert f"# not looked at: 127.0.0.1:{port} cannot be reached" in text
    assert f"port = {port}\n" in text


@servers
@pytest.mark.parametrize(
    ("words", "other", "said"),
    [
        ({"CLI_BLUE": WRONG}, {}, "blue not looked at: the password of role postgres was refused; check the password the config refers to"),
        ({}, {"blue_database": "nosuch"}, "blue not looked at: there is no database nosuch; check the database's name in the config"),
        ({"CLI_BLUE": ""}, {}, "blue not looked at: CLI_BLUE is not set; export it, then `cockpit preflight` looks"),
    ],
)
async def test_what_stands_in_the_way_of_a_look_is_told_with_what_to_do(
    pair: Pair, words: dict[str, str], other: dict[str, str], said: str
) -> None:
    pair.words.update(words)
    told = await asyncio.to_thread(cockpit, "init", str(pair.folder / "made.toml"), "--yes", *flags(pair, **other), env=pair.words)
    assert told.code == 0
    assert said in " ".join(told.err.split())
    assert WRONG not in told.out + told.err + (pair.folder / "made.toml").read_text()


@servers
async def test_hostile_names_are_quoted_in_the_file_and_steer_no_terminal(pair: Pair) -> None:
    await pair.do("blue", f"CREATE ROLE {EVIL_QUOTED} LOGIN PASSWORD '{APP_WORD}'; CREATE TABLE {EVIL_QUOTED} (x text)")
    try:
        async with session(pair, EVIL, APP_WORD, 'a"] \x1b]0;x\x07'):
            told = await init(pair)
    finally:
        await pair.do("blue", f"DROP ROLE {EVIL_QUOTED}")
    assert told.code == 0, told.err
    text = (pair.folder / "made.toml").read_text()
    assert "\x1b" not in told.out + told.err + text
    config = load_config(pair.folder / "made.toml", environ=pair.words)
    assert list(config.pairs) == ["arp"]
    assert [app.role for app in config.pairs["arp"].apps] == [EVIL]


# --- before any server ------------------------------------------------------------------------------------------------


def typed(folder: Path, *words: str) -> Answer:
    return cockpit("init", *words, env={"ARP_BLUE_PASSWORD": "", "ARP_GREEN_PASSWORD": "", "COCKPIT_RUNS": str(folder / "runs")})


def test_a_file_that_is_there_stays_unless_it_may_be_replaced(tmp_path: Path) -> None:
    made = tmp_path / "made.toml"
    made.write_text("mine")
    told = typed(tmp_path, str(made), "--yes")
    assert (told.code, told.line) == (2, f"{made}: it is there already; name another file, or say --force to replace it")
    assert made.read_text() == "mine"
    assert typed(tmp_path, str(made), "--yes", "--force").code == 0
    assert "[pairs.arp]" in made.read_text()
    assert files(tmp_path) == [made]


def test_a_link_that_leads_nowhere_is_a_file_that_is_there(tmp_path: Path) -> None:
    made = tmp_path / "made.toml"
    made.symlink_to(tmp_path / "elsewhere")
    assert typed(tmp_path, str(made), "--yes").code == 2
    assert files(tmp_path) == [made]


@pytest.mark.parametrize(
    ("name", "said"),
    [(".", "it is a folder; name a file in it"), ("no/made.toml", "its folder is not there; make the folder, or name another file")],
)
def test_where_no_file_can_be_is_told_before_anything_is_asked(tmp_path: Path, name: str, said: str) -> None:
    told = typed(tmp_path, str(tmp_path / name), "--yes")
    assert (told.code, told.line) == (2, f"{tmp_path / name}: {said}")
    assert files(tmp_path) == []


def test_a_password_on_the_command_line_is_refused_and_not_repeated(tmp_path: Path) -> None:
    told = typed(tmp_path, str(tmp_path / "made.toml"), "--yes", "--blue-password", WRONG)
    assert told.code == 2
    assert told.line.startswith("--blue-password: a password is never typed here: it would stand in the file, ")
    assert WRONG not in told.err
    assert files(tmp_path) == []


def test_what_is_not_set_here_is_told(tmp_path: Path) -> None:
    told = typed(tmp_path, str(tmp_path / "made.toml"), "--yes")
    assert told.code == 0
    assert "not set here, and needed by all but plan: export ARP_BLUE_PASSWORD, ARP_GREEN_PASSWORD\n" in told.err


# --- with a person ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """`cockpit init` in a terminal, two questions about servers left."""
    for name in ("ONE", "TWO"):
        monkeypatch.setenv(name, WRONG)
    given = ["--blue-password", "env:ONE", "--green-password", "env:TWO", "--pooler", "none", "--channel-file", "none", "--pair", "arp"]
    given += [part for side in ("blue", "green") for part in (f"--{side}-database", "arp", f"--{side}-user", "me")]
    return Terminal(80, 24, "-m", "cockpit", "init", str(tmp_path / "made.toml"), "--runs", "runs", "--green-host", "127.0.0.1", *given)


def answer(terminal: Terminal, prompt: bytes, text: bytes) -> None:
    terminal.wait_for(prompt, 30)
    assert prompt in terminal.seen, terminal.seen
    terminal.press(text + b"\n")


@pytest.mark.pty
def test_a_person_is_asked_offered_defaults_and_asked_again(tmp_path: Path, asked: Terminal) -> None:
    with refusing_port() as one, refusing_port() as two:
        answer(asked, b"[localhost] ", b"me@blue")
        asked.wait_for(b"must be a host name alone", 10)
        answer(asked, b"[localhost] ", b"127.0.0.1")
        answer(asked, b"[5432] ", str(one).encode())
        answer(asked, f"[{one % 65535 + 1}] ".encode(), str(two).encode())
        answer(asked, b"answer again for blue and green? [y/N] ", b"")
        answer(asked, b"made.toml? [Y/n] ", b"")
        assert asked.ended() == 0, asked.seen
    os.close(asked.master)
    pair = load_config(tmp_path / "made.toml", environ={"ONE": "1", "TWO": "2"}).pairs["arp"]
    assert (pair.blue.control.port, pair.green.control.port) == (one, two)


@pytest.mark.pty
@pytest.mark.parametrize(("key", "code"), [(b"\x03", 130), (b"\x04", 2)])
def test_who_leaves_in_the_middle_leaves_nothing(tmp_path: Path, asked: Terminal, key: bytes, code: int) -> None:
    asked.wait_for(b"[localhost] ", 30)
    asked.press(key)
    assert asked.ended() == code
    assert b"Traceback" not in asked.seen
    os.close(asked.master)
    assert files(tmp_path) == []


@pytest.mark.pty
def test_who_does_not_want_it_written_has_nothing(tmp_path: Path, asked: Terminal) -> None:
    with refusing_port() as one, refusing_port() as two:
        answer(asked, b"[localhost] ", b"127.0.0.1")
        answer(asked, b"[5432] ", str(one).encode())
        answer(asked, f"[{one % 65535 + 1}] ".encode(), str(two).encode())
        answer(asked, b"[y/N] ", b"")
        answer(asked, b"[Y/n] ", b"n")
        assert asked.ended() == 0
    assert b"nothing was written" in asked.seen
    os.close(asked.master)
    assert files(tmp_path) == []
