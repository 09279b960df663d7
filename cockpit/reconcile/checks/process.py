"""dbt as a process of its own: what it prints is read line by line while it runs, and nothing of it outlives the reading.

dbt is never imported: the import alone takes seconds, and it brings settings, threads and signal handlers of its own. It gets the
environment that a program needs and what the config names for it, no more: the cockpit's own secrets are not its business.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cockpit.model.checks import DbtSpec
from cockpit.model.secret import Secret
from cockpit.model.text import plain

LONGEST_LINE = 16 << 20
LEAVE_S = 15.0
"""How long the keeper may take to end dbt; its own grace is shorter."""
TAIL = 3
LEAST_SECRET = 3
"""A shorter value is a number or a flag; masked it would leave no text to read."""
INSTALL = "dbt is not installed: pip install 'cockpit[dbt]', or name the one of your project in checks.dbt.program"

_KEPT = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"}
)
_PROXIES = frozenset({"http_proxy", "https_proxy", "no_proxy", "all_proxy"})
_QUIET = {"DO_NOT_TRACK": "1", "DBT_SEND_ANONYMOUS_USAGE_STATS": "false", "NO_COLOR": "1", "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"}

FLAGS = ("--no-use-colors", "--log-format", "json", "--log-level-file", "none", "--no-send-anonymous-usage-stats", "--no-version-check")

Each = Callable[[Mapping[str, Any]], None]
"""Called with every event of dbt's log."""


def program(spec: DbtSpec) -> str | None:
    """The dbt to run, or None where there is none."""
    if spec.program is not None:
        return shutil.which(spec.program)
    beside = Path(sys.executable).with_name("dbt")
    return str(beside) if os.access(beside, os.X_OK) else shutil.which("dbt")


def environment(named: Mapping[str, Secret]) -> dict[str, str]:
    """What dbt is started with. Telemetry is off whatever the user's own settings say."""
    kept = {k: v for k, v in os.environ.items() if k in _KEPT or k.startswith("LC_") or k.lower() in _PROXIES}
    return {**kept, **{name: secret.reveal() for name, secret in named.items()}, **_QUIET}


@dataclass(slots=True)
class Said:
    """What is kept of what dbt printed beside its events: the last errors and the last lines that were no events, no secret in them."""

    secrets: tuple[Secret, ...]
    errors: list[str] = field(default_factory=list)
    other: list[str] = field(default_factory=list)

    def masked(self, text: object, limit: int = 300) -> str:
        """`text` as one printable line without any of the secrets that dbt was given."""
        shown = str(text)
        for secret in sorted((s.reveal() for s in self.secrets), key=len, reverse=True):
            shown = shown.replace(secret, "•••") if len(secret) >= LEAST_SECRET else shown
        return plain(" ".join(shown.split()), limit)

    def take(self, line: bytes) -> Mapping[str, Any] | None:
        """The event that the line is; None where it is none."""
        event = _event(line)
        if event is None:
            if text := self.masked(line.decode("utf-8", "replace")):
                self.other = [*self.other, text][-TAIL:]
        elif event["info"].get("level") == "error" and (text := self.masked(event["info"].get("msg", ""))):
            self.errors = [*self.errors, text][-TAIL:]
        return event

    @property
    def last(self) -> str:
        return "; ".join(self.errors or self.other) or "it said nothing"


def _event(line: bytes) -> Mapping[str, Any] | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    parts = (found.get("info"), found.get("data")) if isinstance(found, dict) else (None, None)
    return found if all(isinstance(part, dict) for part in parts) else None


async def run(argv: Sequence[str], env: Mapping[str, str], cwd: Path, said: Said, each: Each) -> int:
    """The program's exit code after it ended; cancelled (or out of time) it is ended with every process it started, before this returns."""
    keeper = Path(__file__).with_name("keeper.py")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        str(keeper),
        *argv,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=dict(env),
        cwd=cwd,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        async for line in _lines(process.stdout):
            if (event := said.take(line)) is not None:
                each(event)
        return await process.wait()
    finally:
        await _leave(process)


async def _lines(stream: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Lines of at most `LONGEST_LINE` bytes; of a longer one nothing is given."""
    held, skipping = bytearray(), False
    while part := await stream.read(1 << 16):
        *ended, rest = part.split(b"\n")
        for piece in ended:
            if not skipping:
                yield bytes(held + piece)
            held.clear()
            skipping = False
        held += rest
        if len(held) > LONGEST_LINE:
            held.clear()
            skipping = True
    if held and not skipping:
        yield bytes(held)


async def _leave(process: asyncio.subprocess.Process) -> None:
    """The keeper is told to end what it keeps, and has ended."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    try:
        async with asyncio.timeout(LEAVE_S):
            while await process.stdout.read(1 << 16):
                pass
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    with contextlib.suppress(ConnectionError, BrokenPipeError):
        await process.stdin.wait_closed()
