"""`cockpit approve` as a second person types it: what they see, what they may say, and what is refused."""

from __future__ import annotations

import asyncio
import grp
import json
import os
import pwd
import socket
from pathlib import Path

import pytest

from cockpit import approving, wiring
from cockpit.errors import ConfigError, Refused
from cockpit.model import events as ev
from cockpit.model.approvals import Approvers, Asker
from cockpit.model.words import Mode
from cockpit.timeline.sidedoor import TALKS_EACH, Place
from tests.cli.second import HOSTILE, LEAD, PLAN, RUN, as_user, typing, waiting
from tests.hygiene.test_secrets import canaries

ME = os.geteuid()
NOT_ROOT = pytest.mark.skipif(ME != 0, reason="only root can become another user of this machine")


def nobody() -> tuple[int, int]:
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        pytest.skip("this machine has no user nobody")
    return entry.pw_uid, entry.pw_gid


# --- looking ---------------------------------------------------------------------------------------------------------


async def test_it_shows_what_is_decided_on(tmp_path: Path) -> None:
    async with waiting(tmp_path) as run:
        told = await run.ask()
        assert told.code == 2
        assert told.line.startswith("cockpit approve: nothing was decided: there is no terminal to ask on; ")
        assert "--approve arp or --reject" in told.line
        for shown in (
            "cutover 1 of arp: blue to green",
            f"asked by   ana@bastion, uid {LEAD}; the run was opened by ana, its pilot runs as {pwd.getpwuid(ME).pw_name} (uid {ME})",
            f"plan       {PLAN}",
            f"scenario   {'5c' * 32}",
            f"config     {'c0' * 32}",
            "blue 16.9, green 18.1",
            "left to decide; once approved, the lead must confirm within 20 s",
            "pass     lag_bytes          12 B behind",
            "WARN     D6 sales.daily: a materialized view ^[[2J\\u202eevil",
            "waived   D4 ops.scratch: unlogged",
            "waived because: scratch only",
            "39 of 40 tables equal, 99.0% of 1,000 rows proven, 0 differ",
            "sales.hot: hot, 50.0% proven, changes all the time",
            "about 1.9 s (drain 0.4 s, prove 1.5 s)",
        ):
            assert shown in told.out, told.out
        assert "wal_level" not in told.out, "what is good is not what they decide on"
        assert "\x1b" not in told.out
        assert run.facts(ev.ApprovalGiven) == []


async def test_as_json_it_only_looks(tmp_path: Path) -> None:
    async with waiting(tmp_path) as run:
        told = await run.ask("--json")
        assert (told.code, told.err) == (0, "")
        offer = json.loads(told.out)["offer"]
        assert (offer["plan_digest"], offer["handover"], offer["pair"], offer["seq"]) == (PLAN, 1, "arp", 9)
        assert offer["findings"][0]["seen"].endswith(HOSTILE)
        assert "\x1b" not in told.out
        assert run.recorder.state.seq == 9


async def test_who_may_not_approve_sees_nothing(tmp_path: Path) -> None:
    async with waiting(tmp_path, Approvers(frozenset({LEAD + 1}))) as run:
        for words in ((), ("--json",), ("--approve", "arp", "--comment", "yes")):
            told = await run.ask(*words)
            assert (told.code, told.out) == (2, "")
            assert "is not among those who may approve" in told.line


# --- deciding --------------------------------------------------------------------------------------------------------


async def test_an_approval_is_on_record_with_what_was_seen(tmp_path: Path) -> None:
    async with waiting(tmp_path) as run:
        told = await run.ask("--approve", "arp", "--comment", "read it all")
        assert (told.code, told.err) == (0, "")
        assert told.out.splitlines()[-1] == "approved: cutover 1 of arp; the lead has 20 s to confirm it"
        name = pwd.getpwuid(ME).pw_name
        assert run.facts(ev.ApprovalGiven) == [ev.ApprovalGiven(1, PLAN, name, ME, 9, "read it all")]
        again = await run.ask("--approve", "arp", "--comment", "twice")
        assert (again.code, again.out) == (2, "")
        assert f"cutover 1 was approved by {name}" in again.line


async def test_a_rejection_is_on_record(tmp_path: Path) -> None:
    async with waiting(tmp_path) as run:
        told = await run.ask("--reject", "--comment", "not on a Friday")
        assert (told.code, told.out.splitlines()[-1]) == (0, "rejected: cutover 1 of arp is disarmed")
        assert [fact.comment for fact in run.facts(ev.ApprovalRejected)] == ["not on a Friday"]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--approve", "arp"), "an answer needs its reason; add --comment TEXT"),
        (("--reject", "--comment", " "), "an answer needs its reason; add --comment TEXT"),
        (("--approve", "", "--comment", "yes"), "type arp to approve"),
        (("--approve", "ARP", "--comment", "yes"), "type arp to approve"),
        (("--approve", "REJECT", "--comment", "yes"), "type arp to approve"),
    ],
)
async def test_half_a_word_decides_nothing(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    async with waiting(tmp_path) as run:
        told = await run.ask(*words)
        assert told.code == 2
        assert said in told.line
        assert run.facts(ev.ApprovalGiven) + run.facts(ev.ApprovalRejected) == []


async def test_what_was_disarmed_meanwhile_is_told_with_its_reason(tmp_path: Path) -> None:
    async with waiting(tmp_path) as run:
        run.recorder.record(ev.ApprovalExpired(1, "disarm by ana"))
        run.recorder.record(ev.ModeChanged(Mode.READY))
        told = await run.ask("--approve", "arp", "--comment", "late")
        assert (told.code, told.out) == (2, "")
        assert told.line == f"{RUN}: cutover 1 no longer waits: disarm by ana; nothing was decided; ask the lead"


@pytest.mark.pty
@pytest.mark.parametrize(
    ("typed", "code", "said"),
    [
        (["arp", "looks right"], 0, "approved: cutover 1 of arp"),
        (["REJECT", "not today"], 0, "rejected: cutover 1 of arp"),
        (["reject"], 2, "nothing was decided: reject is neither"),
        ([""], 2, "nothing was decided: nothing was typed"),
        (["arp", ""], 2, "nothing was decided: an answer needs its reason"),
    ],
)
async def test_on_a_terminal_it_asks(tmp_path: Path, typed: list[str], code: int, said: str) -> None:
    async with waiting(tmp_path) as run:
        told = await asyncio.to_thread(typing, ["approve", RUN, "--at", str(run.folder)], typed)
        assert told.code == code, told
        assert said in told.out + told.err
        assert len(run.facts(ev.ApprovalGiven) + run.facts(ev.ApprovalRejected)) == (code == 0)


# --- finding the door ------------------------------------------------------------------------------------------------


async def test_a_run_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    from tests.cli.typed import cockpit

    async with waiting(tmp_path) as run:
        told = await asyncio.to_thread(cockpit, "approve", "otc-1111", "--at", str(run.folder))
        assert told.code == 2
        assert told.line == f"{run.folder}: no run 'otc-1111' has a second person's door; one of: {RUN}"
    told = await asyncio.to_thread(cockpit, "approve", "arp", "--at", str(tmp_path / "nowhere"))
    assert told.code == 2
    assert "you may not look into this folder, or it is not there" in told.line


async def test_a_dead_pilots_socket_is_no_defect(tmp_path: Path) -> None:
    from tests.cli.typed import cockpit

    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / f"{RUN}.sock"))
    told = await asyncio.to_thread(cockpit, "approve", RUN, "--at", str(tmp_path))
    assert told.code == 1
    assert told.line.endswith("no pilot answers: Connection refused; ask the lead: it may have ended")


@NOT_ROOT
async def test_a_socket_that_somebody_else_put_there_is_not_believed(tmp_path: Path) -> None:
    async with waiting(tmp_path) as run:
        os.chown(run.folder / f"{RUN}.sock", nobody()[0], -1)
        told = await run.ask("--approve", "arp", "--comment", "yes")
        assert (told.code, told.out) == (2, "")
        assert "whoever listens there did not make this socket" in told.line
        assert run.facts(ev.ApprovalGiven) == []


# --- the door itself ---------------------------------------------------------------------------------------------------


async def test_a_client_that_dies_or_babbles_leaves_the_door_open(tmp_path: Path) -> None:
    async with waiting(tmp_path) as run:
        path = str(run.folder / f"{RUN}.sock")
        for said in (b"", b'{"word":', b"\xff\xfe\n", b'{"ask":"go","by":"ana","saw":9,"argument":"arp"}\n' * 2, b"x" * 100_000 + b"\n"):
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(said)
            writer.close()
            await asyncio.gather(writer.wait_closed(), reader.read(), return_exceptions=True)
        assert run.recorder.state.seq == 9, "and no intent comes through it"
        assert (await run.ask("--json")).code == 0


async def test_it_is_no_door_for_intents(tmp_path: Path) -> None:
    async with waiting(tmp_path) as run:
        for said in (b'{"ask":"go","by":"ana","saw":9,"argument":"arp"}\n', b'{"word":"go"}\n', b"[]\n"):
            reader, writer = await asyncio.open_unix_connection(str(run.folder / f"{RUN}.sock"))
            writer.write(said)
            answer = json.loads(await reader.readline())
            assert await reader.read() == b"", "one thing a connection"
            writer.close()
            await writer.wait_closed()
            assert answer["ok"] is False or answer["offer"]["seq"] == 9
        assert run.recorder.state.seq == 9


async def test_a_crowd_is_sent_away_and_then_let_in(tmp_path: Path) -> None:
    async with waiting(tmp_path) as run:
        path = str(run.folder / f"{RUN}.sock")
        crowd = [await asyncio.open_unix_connection(path) for _ in range(TALKS_EACH)]
        late_reader, late = await asyncio.open_unix_connection(path)
        assert await late_reader.read() == b""
        for reader, writer in [*crowd, (late_reader, late)]:
            writer.write_eof()
            await reader.read()
            writer.close()
            await writer.wait_closed()
        assert (await run.ask("--json")).code == 0


async def test_the_same_run_in_two_folders_is_told_and_not_guessed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    doors = [tmp_path / name for name in ("cockpit-approvals-1", "cockpit-approvals-2")]
    for folder in doors:
        folder.mkdir()
        (folder / f"{RUN}.sock").touch()
    monkeypatch.setattr(approving, "_usual_folders", lambda: doors)
    with pytest.raises(Refused) as caught:
        approving._door("arp-7f3a", None)
    assert caught.value.what == "2 runs end in 'arp-7f3a'"
    assert all(str(folder / f"{RUN}.sock") in caught.value.remedy for folder in doors)
    with pytest.raises(Refused, match="no run ''"):
        approving._door("", doors[0])


def test_a_folder_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "doors"
    folder.mkdir()
    place = Place(folder)
    for mode, fits in ((0o755, True), (0o711, True), (0o775, False), (0o777, False), (0o1777, True)):
        folder.chmod(mode)
        if fits:
            place.check()
        else:
            with pytest.raises(Refused, match="others may put files into this folder"):
                place.check()
    (tmp_path / "link").symlink_to(folder)
    folder.chmod(0o700)
    for touch in (Place(tmp_path / "link").check, Place(tmp_path / "link").make):
        with pytest.raises(Refused, match=r"Not a directory|Too many levels"):
            touch()
    assert folder.stat().st_mode & 0o777 == 0o700, "no mode is changed through a link"
    with pytest.raises(Refused, match="too long for a socket"):
        Place(tmp_path / ("x" * 90)).socket(RUN)


def test_the_default_folder_is_kept_as_it_must_be(tmp_path: Path) -> None:
    folder = tmp_path / "doors"
    Place(folder).make()
    assert folder.stat().st_mode & 0o777 == 0o755
    folder.chmod(0o700)
    Place(folder).make()
    assert folder.stat().st_mode & 0o777 == 0o755
    folder.chmod(0o700)
    Place(folder, ours=False).make()
    assert folder.stat().st_mode & 0o777 == 0o700, "a folder that the config names keeps its mode"
    Place(folder, gid=os.getegid()).make()
    assert folder.stat().st_mode & 0o777 == 0o750


# --- what the config names -----------------------------------------------------------------------------------------------


def order_of(folder: Path, monkeypatch: pytest.MonkeyPatch, approvals: str) -> wiring.Order:
    """A scenario that asks for a second person and a config that names some."""
    for name, word in canaries().items():
        monkeypatch.setenv(name, word)
    text = Path("scenarios/arp.toml").read_text().replace("expires = 20 ", 'approval = "second"\nexpires = 20 ', 1)
    (folder / "two.toml").write_text(text.replace("deadline = 25", "deadline = 1000", 1))
    text = Path("config.example.toml").read_text()
    start, end = text.index("[cockpit.approvals]"), text.index("[pairs.arp]")
    (folder / "my.toml").write_text(f"{text[:start]}[cockpit.approvals]\n{approvals}\n{text[end:]}")
    return wiring.read_order(folder / "my.toml", str(folder / "two.toml"), None)


def test_who_flies_is_known_by_every_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    door = wiring.second_door(order_of(tmp_path, monkeypatch, 'users = ["root"]'), RUN, frozenset({"ana", ""}))
    assert door is not None
    assert door.asker.uids == {ME}
    assert door.asker.names == {pwd.getpwuid(ME).pw_name, "ana"}
    assert (door.approvers.uids, door.approvers.anyone, door.place.gid) == ({0}, False, None)
    assert door.command == "cockpit approve arp-7f3a"


def test_a_folder_of_the_config_is_part_of_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    group = grp.getgrgid(os.getegid()).gr_name
    door = wiring.second_door(order_of(tmp_path, monkeypatch, f'group = "{group}"\nfolder = "/tmp/no such doors"'), RUN)
    assert door is not None
    assert (door.place.folder, door.place.gid, door.place.ours) == (Path("/tmp/no such doors"), os.getegid(), False)
    assert door.command == "cockpit approve arp-7f3a --at '/tmp/no such doors'"
    everybody = wiring.second_door(order_of(tmp_path, monkeypatch, f'users = ["*"]\ngroup = "{group}"'), RUN)
    assert everybody is not None
    assert (everybody.approvers.anyone, everybody.place.gid) == (True, None)


@pytest.mark.parametrize(
    ("approvals", "said"),
    [
        ('users = ["nosuch-user"]', "cockpit.approvals.users: this machine has no user 'nosuch-user'"),
        ('group = "nosuch-group"', "cockpit.approvals.group: this machine has no group 'nosuch-group'"),
    ],
)
def test_whom_this_machine_does_not_know_is_a_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, approvals: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        wiring.second_door(order_of(tmp_path, monkeypatch, approvals), RUN)
    assert caught.value.brief == said


# --- other users of this machine -----------------------------------------------------------------------------------------


@NOT_ROOT
async def test_another_user_approves_and_the_kernel_says_who(tmp_path: Path) -> None:
    uid, gid = nobody()
    async with waiting(tmp_path, Approvers(frozenset({uid})), Asker(frozenset({ME}), frozenset({"root"}))) as run:
        mine = await run.ask("--approve", "arp", "--comment", "my own")
        assert (mine.code, mine.out) == (2, "")
        assert "root asks for it: another person must approve" in mine.line
        words = ("approve", "arp-7f3a", "--at", str(run.folder), "--approve", "arp", "--comment", "four eyes")
        told = await asyncio.to_thread(as_user, uid, gid, *words)
        assert (told.code, told.err) == (0, ""), told
        assert run.facts(ev.ApprovalGiven) == [ev.ApprovalGiven(1, PLAN, "nobody", uid, 9, "four eyes")]


@NOT_ROOT
async def test_another_user_who_is_not_named_is_refused(tmp_path: Path) -> None:
    uid, gid = nobody()
    async with waiting(tmp_path) as run:
        told = await asyncio.to_thread(as_user, uid, gid, "approve", RUN, "--at", str(run.folder), "--json")
        assert (told.code, told.out) == (2, "")
        assert "nobody is not among those who may approve" in told.line


@NOT_ROOT
async def test_a_group_lets_its_members_in_and_the_file_system_keeps_the_others_out(tmp_path: Path) -> None:
    uid, gid = nobody()
    daemon = pwd.getpwnam("daemon")
    async with waiting(tmp_path, Approvers(gid=gid), gid=gid) as run:
        assert (run.folder / f"{RUN}.sock").stat().st_mode & 0o777 == 0o660
        words = ("approve", RUN, "--at", str(run.folder), "--json")
        told = await asyncio.to_thread(as_user, daemon.pw_uid, daemon.pw_gid, *words)
        assert (told.code, told.out) == (2, "")
        assert "you may not look into this folder" in told.line
        root = await run.ask("--json")
        assert (root.code, root.out) == (2, ""), "root passes the file system, and is no member"
        assert "root is not among those who may approve" in root.line
        told = await asyncio.to_thread(as_user, uid, gid, *words)
        assert (told.code, told.err) == (0, "")
