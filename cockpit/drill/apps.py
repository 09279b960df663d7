"""The process of the drill's apps: all of them at work on ARP, counted, and answering questions about what they felt.

`python -m cockpit.drill.apps FILE` works until it is told to stop. FILE (JSON, 0600) is what `rig.py` writes; beside it appear

- `apps.json`, four times a second: `{"mono": …, "apps": {NAME: {"writes", "writes_s", "errors", "last_ack_mono"}}}`,
- `ledger/N.acks`, every acknowledgement of app N: op_id, due, sent, acked (CLOCK_MONOTONIC seconds), the side that answered,
- `apps.sock`, the control: one JSON object a line each way (`apps_control.py`).
"""

from __future__ import annotations

import asyncio
import gc
import json
import math
import os
import random
import secrets
import signal
import sys
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cockpit.drill import fleet, work
from cockpit.drill.ledger import Ledger
from cockpit.drill.reach import Address, Finder, Fixed, InFile, InSecret, Source
from cockpit.drill.worker import Runner

FEED_S = 0.25
_SLOW_S = 0.05
_WINDOW = 4
"""Feed ticks that `writes_s` is counted over: one second."""


@dataclass(slots=True)
class Crew:
    """All apps of the process."""

    folder: Path
    runners: dict[str, Runner]
    stopped: asyncio.Event

    def feed(self, before: Mapping[str, int], seconds: float) -> dict[str, Any]:
        """The live feed: `before` is what each app had written `seconds` ago."""
        apps = {
            name: {
                "writes": runner.ledger.writes,
                "writes_s": round((runner.ledger.writes - before.get(name, 0)) / seconds, 1) if seconds else 0.0,
                "errors": len(runner.ledger.errors),
                "last_ack_mono": runner.ledger.last_ack,
            }
            for name, runner in self.runners.items()
        }
        return {"mono": asyncio.get_running_loop().time(), "apps": apps}

    def writes(self) -> dict[str, int]:
        return {name: runner.ledger.writes for name, runner in self.runners.items()}

    def flush(self) -> None:
        """What was acknowledged is in the files."""
        for runner in self.runners.values():
            runner.ledger.file.flush()

    def answer(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to one question of the control socket."""
        match question.get("ask"):
            case "interval":
                now = asyncio.get_running_loop().time()
                t0, t1 = float(question["t0"]), float(question["t1"])
                return {"apps": {name: asdict(runner.ledger.felt(t0, t1, now)) for name, runner in self.runners.items()}}
            case "totals":
                self.flush()
                return {"apps": {name: _totals(runner.ledger) for name, runner in self.runners.items()}}
            case "rest":
                for runner in self.runners.values():
                    runner.rest()
                return {"resting": True}
            case "go on":
                for runner in self.runners.values():
                    runner.go_on()
                return {"going": True}
            case "stop":
                self.stop()
                return {"stopping": True}
        return {"error": "ask for interval, totals, rest, go on or stop"}

    def stop(self) -> None:
        for runner in self.runners.values():
            runner.stop()


def _totals(ledger: Ledger) -> dict[str, Any]:
    return {
        "writes": ledger.writes,
        "errors": len(ledger.errors),
        "breaks": len(ledger.breaks),
        "open": len(ledger.open),
        "kinds": ledger.kinds,
    }


def crew(folder: Path, spec: Mapping[str, Any], ledgers: ExitStack) -> Crew:
    """The apps that `spec` asks for, their ledgers open."""
    (folder / "ledger").mkdir(exist_ok=True)
    apps = fleet.fleet(spec["apps"], pooler=spec["pool"] is not None)
    rates = fleet.rates(apps, spec["rate"])
    nonce = secrets.randbits(48)
    runners: dict[str, Runner] = {}
    for app in apps:
        file = ledgers.enter_context((folder / "ledger" / f"{app.number}.acks").open("a", encoding="utf-8"))
        finder = Finder(app, _source(app, spec), random.Random(f"{spec['seed']}/{app.name}/way"))  # noqa: S311 - a drill repeats itself
        runner = Runner(app, rates[app.name], finder, Ledger(file), spec["sizes"], nonce, _workers(app, rates[app.name]))
        runner.seed(spec["seed"])
        runners[app.name] = runner
    return Crew(folder, runners, asyncio.Event())


def _workers(app: fleet.App, rate: float) -> int:
    """Connections that keep up with `rate` while a round trip takes 50 ms, so that one slow call holds up nobody."""
    trips = 1 if work.one_trip(app) else 2
    return max(2, math.ceil(rate * trips * _SLOW_S))


def _source(app: fleet.App, spec: Mapping[str, Any]) -> Source:
    password = spec["passwords"][app.role]
    match app.path:
        case fleet.Path.FILE:
            return InFile(Path(spec["address_file"]), app.role, password)
        case fleet.Path.SECRET:
            return InSecret(app.secret, spec["cloud"])
        case fleet.Path.POOL:
            pool = spec["pool"]
            return Fixed(Address(pool["host"], pool["port"], pool["database"], app.role, password))


async def serve(file: Path) -> None:
    """The apps work until they are stopped and what was due is done."""
    folder = file.parent
    with ExitStack() as ledgers:
        apps = crew(folder, _spec(file), ledgers)
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, apps.stop)
        async with _control(apps), asyncio.TaskGroup() as group:
            feed = group.create_task(_feed(apps))
            await _all_done(apps)
            feed.cancel()
        apps.flush()
        _replace(folder / "apps.json", apps.feed(apps.writes(), 1.0))
        (folder / "apps.done").touch()


def _spec(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


async def _all_done(apps: Crew) -> None:
    async with asyncio.TaskGroup() as group:
        for runner in apps.runners.values():
            group.create_task(runner.connect())
    # Everything is loaded: a full collection over it takes 15 to 40 ms, which an app's ledger would book as a stall of the database.
    gc.collect()
    gc.freeze()
    async with asyncio.TaskGroup() as group:
        for runner in apps.runners.values():
            group.create_task(runner.run())


async def _feed(apps: Crew) -> None:
    loop = asyncio.get_running_loop()
    past: deque[tuple[float, dict[str, int]]] = deque(maxlen=_WINDOW + 1)
    while True:
        past.append((loop.time(), apps.writes()))
        apps.flush()
        _replace(apps.folder / "apps.json", apps.feed(past[0][1], loop.time() - past[0][0]))
        await asyncio.sleep(FEED_S)


def _replace(file: Path, value: Mapping[str, Any]) -> None:
    fresh = file.with_suffix(".new")
    fresh.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
    os.replace(fresh, file)


@asynccontextmanager
async def _control(apps: Crew) -> AsyncIterator[None]:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(json.dumps(apps.answer(json.loads(line))).encode() + b"\n")
                await writer.drain()
        except (OSError, ValueError, KeyError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_unix_server(talk, apps.folder / "apps.sock")
    try:
        yield
    finally:
        server.close()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
