"""What the cockpit asks of a warehouse, through the adapter and the profile that the user's project has.

Jobs go to a project of ours in a private folder, whose one operation hands them to our package of macros (`dbt_package`), which stands
beside it; each answer comes back as a line of dbt's log behind a mark that nobody can guess.
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cockpit.model.checks import DbtProgress
from cockpit.model.text import plain
from cockpit.reconcile.checks.process import Each

PACKAGE = Path(__file__).with_name("dbt_package")
"""A dbt package, `cockpit`, that a project of the user's may name too: `packages: [{local: PATH}]`."""

Job = Mapping[str, Any]


@dataclass(slots=True)
class Asked:
    """Jobs of one start of dbt and their answers, as far as it came; `failed` says why it came no further."""

    answers: list[Any] = field(default_factory=list)
    failed: str = ""


class Asker:
    """Jobs through dbt, each with one answer; `ask` runs the operation of a project in a folder."""

    def __init__(self, ask: Callable[[Path, Each], Awaitable[tuple[int, str]]], scratch: Path, tell: Callable[[DbtProgress], None]) -> None:
        self._ask = ask
        self._folder = scratch / "ask"
        self._tell = tell

    async def answers(self, jobs: Sequence[Job], profile: str, names: Sequence[str], done: int = 0) -> Asked:
        """The jobs' answers in order, all of one snapshot where the warehouse has one; `done` of the relations were asked before."""
        mark, asked = secrets.token_hex(8), Asked()
        write(self._folder, jobs, profile, mark)

        def each(event: Mapping[str, Any]) -> None:
            said = heard(event, mark)
            if said is None or len(asked.answers) >= len(jobs):
                return
            number, status = len(asked.answers) + 1, str(said.get("rung", "read"))
            if "answer" in said:
                asked.answers.append(said["answer"])
            self._tell(DbtProgress(None, "relations", done + number, done + len(jobs), plain(names[number - 1], 120), plain(status, 20)))

        code, last = await self._ask(self._folder, each)
        if len(asked.answers) < len(jobs):
            asked.failed = f"exit {code}: {last}"
        return asked


def heard(event: Mapping[str, Any], mark: str) -> Mapping[str, Any] | None:
    """What the event says behind the mark; None where it says nothing there."""
    text = event["info"].get("msg")
    if not isinstance(text, str) or not text.startswith(mark):
        return None
    try:
        said = json.loads(text.removeprefix(mark))
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None


def write(folder: Path, jobs: Sequence[Job], profile: str, mark: str) -> None:
    """The project that asks the jobs stands in the folder, our package installed in it."""
    shutil.copytree(PACKAGE, folder / "dbt_packages" / "cockpit", dirs_exist_ok=True)
    (folder / "macros").mkdir(parents=True, exist_ok=True)
    project = {"name": "cockpit_ask", "version": "1.0", "config-version": 2, "profile": profile, "macro-paths": ["macros"]}
    (folder / "dbt_project.yml").write_text(json.dumps(project))  # JSON is YAML
    (folder / "macros" / "ask.sql").write_text(macro(jobs, mark), encoding="utf-8")


def macro(jobs: Sequence[Job], mark: str) -> str:
    """The operation that has the jobs answered."""
    return f'{{% macro cockpit_ask() %}}{{% do cockpit.ask(fromjson({jinja(json.dumps(list(jobs)))}), "{mark}") %}}{{% endmacro %}}\n'


def jinja(text: str) -> str:
    """`text` as a string literal of Jinja in which nothing can end the string or open a block, whatever it holds."""
    return '"' + "".join(ch if ch.isascii() and (ch.isalnum() or ch in " _.,=()") else f"\\U{ord(ch):08x}" for ch in text) + '"'
