"""The wire: one reply an intent, in order; a pilot that is not there or does not answer is a `LinkError`."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

import pytest

from cockpit.errors import LinkError
from cockpit.model.intents import Ask, Intent
from cockpit.timeline.wire import Door, PilotLink, Reply


async def test_replies_come_in_order_over_a_private_socket(tmp_path: Path) -> None:
    async def answer(intent: Intent) -> Reply:
        return Reply(intent.ask is Ask.NOTE, intent.saw + 1, intent.argument)

    path = tmp_path / "s"
    door = Door(answer)
    await door.open(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    link = PilotLink(path)
    replies = await asyncio.gather(*(link.ask(Intent(Ask.NOTE, "ana", n, f"n{n}\x1b[2J")) for n in range(20)))
    assert [r.seq for r in replies] == list(range(1, 21))
    assert (await link.ask(Intent(Ask.GO, "ana", 0))).ok is False
    await link.close()
    await door.close()


async def test_whose_intent_it_is_is_the_kernels_word(tmp_path: Path) -> None:
    heard: list[int | None] = []

    async def answer(intent: Intent) -> Reply:
        heard.append(intent.uid)
        return Reply(True, 1)

    door = Door(answer)
    await door.open(tmp_path / "s")
    link = PilotLink(tmp_path / "s")
    await link.ask(Intent(Ask.ARM, "ana", 0))
    await link.ask(Intent(Ask.ARM, "ana", 0, uid=os.geteuid() + 7))
    assert heard == [os.geteuid(), os.geteuid()]
    await link.close()
    await door.close()


async def test_what_is_no_intent_is_refused_and_the_link_goes_on(tmp_path: Path) -> None:
    async def answer(intent: Intent) -> Reply:
        return Reply(True, 1)

    door = Door(answer)
    await door.open(tmp_path / "s")
    reader, writer = await asyncio.open_unix_connection(str(tmp_path / "s"))
    for bad in (b"hello\n", b"{}\n", b'{"ask":"fly","by":"x","saw":1}\n', b"\xff\xfe\n"):
        writer.write(bad)
        assert b"not an intent" in await reader.readline()
    writer.close()
    await writer.wait_closed()
    await door.close()


async def test_no_pilot_and_a_silent_pilot(tmp_path: Path) -> None:
    with pytest.raises(LinkError, match="cannot be reached"):
        await PilotLink(tmp_path / "none").ask(Intent(Ask.ARM, "ana", 0))

    async def never(intent: Intent) -> Reply:
        await asyncio.sleep(3600)
        return Reply(True, 0)

    door = Door(never)
    await door.open(tmp_path / "s")
    link = PilotLink(tmp_path / "s", deadline=0.05)
    with pytest.raises(LinkError, match="did not answer"):
        await link.ask(Intent(Ask.ARM, "ana", 0))
    await door.close()
