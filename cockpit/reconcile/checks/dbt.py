"""A dbt project of the user's, run for both sides, and what its tests and models say compared one by one.

A node that says the same on both is fine; one that fails alike on both is told as such; one that says something else is a difference;
one that was skipped or ended by an error was not tested at all, and proves nothing. What did not come to its end is `failed`.
"""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cockpit._toml import Mistake, slurp
from cockpit.model.checks import DbtProgress, DbtResult, DbtSpec, NodeResult, NodeRun, NodeVerdict, RelationResult
from cockpit.model.text import plain
from cockpit.model.words import Side
from cockpit.reconcile.checks import process
from cockpit.reconcile.checks.asking import Asker
from cockpit.reconcile.checks.process import FLAGS, INSTALL, Said
from cockpit.reconcile.checks.relations import compare_schemas

LARGEST = 256 << 20
"""Bytes of a results file or a manifest."""
_FINE = frozenset({"pass", "success", "no-op"})
_BAD = frozenset({"fail", "warn"})

Tell = Callable[[DbtProgress], None]


class _Failed(Exception):
    """Why a run of dbt says nothing."""


@dataclass(slots=True)
class SideRun:
    """One side's run: its nodes as far as it came, and why it did not come to its end."""

    nodes: dict[str, NodeRun] = field(default_factory=dict)
    failed: str = ""
    seconds: float = 0.0


async def run_dbt(spec: DbtSpec, tell: Tell) -> DbtResult:
    """Both sides are run and compared; with a warehouse its relations too. When this ends, however it does, no process of dbt is left."""
    found = process.program(spec)
    if found is None:
        return DbtResult(failed=(INSTALL,))
    for folder, file in ((spec.project, "dbt_project.yml"), (spec.profiles, "profiles.yml")):
        if not (Path(folder) / file).is_file():
            return DbtResult(failed=(f"{plain(folder)}: there is no {file} in it: name the project's and the profiles' folders",))
    # mkdtemp makes it 0700: compiled statements and results hold values of the warehouse.
    with tempfile.TemporaryDirectory(prefix="cockpit-dbt-", ignore_cleanup_errors=True) as scratch:
        return await _Runs(spec, found, Path(scratch), tell).both()


class _Runs:
    def __init__(self, spec: DbtSpec, program: str, scratch: Path, tell: Tell) -> None:
        self._spec = spec
        self._program = program
        self._scratch = scratch
        self._tell = tell
        self._env = process.environment(spec.env)
        self._end = asyncio.get_running_loop().time() + spec.timeout

    async def both(self) -> DbtResult:
        sides = {side: SideRun() for side in Side}
        if self._spec.at_once:
            async with asyncio.TaskGroup() as group:
                for side, run in sides.items():
                    group.create_task(self._side(side, run))
        else:
            for side, run in sides.items():
                await self._side(side, run)
        failed = [f"{side}: {run.failed}" for side, run in sides.items() if run.failed]
        relations, why = await self._relations()
        return DbtResult(
            tuple(judged(sides[Side.BLUE].nodes, sides[Side.GREEN].nodes, whole=not failed)),
            tuple(relations),
            (*failed, *([why] if why else ())),
            {side: run.seconds for side, run in sides.items()},
        )

    async def _side(self, side: Side, run: SideRun) -> None:
        started = asyncio.get_running_loop().time()
        try:
            for command in self._spec.commands:
                run.nodes.update(await self._command(side, command))
            if self._spec.commands and not run.nodes:
                run.failed = "nothing was run: see what select names"
        except _Failed as err:
            run.failed = str(err)
        run.seconds = asyncio.get_running_loop().time() - started

    async def _command(self, side: Side, command: str) -> dict[str, NodeRun]:
        """What every node of the command's run says; `_Failed` where the run did not come to its end."""
        results = self._folder(side) / "run_results.json"
        results.unlink(missing_ok=True)
        said = self._said()
        code = await self._dbt(side, command, [], said, lambda event: self._heard(side, command, event))
        if code not in (0, 1) or not results.exists():
            raise _Failed(f"dbt {command} did not come to its end (exit {code}): {said.last}")
        return await asyncio.to_thread(read_results, results, said)

    async def _dbt(self, side: Side, command: str, more: list[str], said: Said, each: process.Each, project: Path | None = None) -> int:
        """One run of dbt against the side's target, within what is left of the time."""
        target = self._spec.target(side)
        argv = [self._program, *FLAGS, command, *more, "--project-dir", str(project or self._spec.project)]
        argv += ["--profiles-dir", self._spec.profiles, "--target", target.target]
        argv += ["--profile", target.profile] if target.profile else []
        argv += ["--target-path", str(self._folder(side, project)), "--log-path", str(self._scratch)]
        if self._spec.select and project is None and command != "parse":
            argv += ["--select", *self._spec.select]
        try:
            async with asyncio.timeout_at(self._end):
                return await process.run(argv, self._env, project or Path(self._spec.project), said, each)
        except TimeoutError:
            limit = f"{self._spec.timeout:g} s"
            left = "a query it could not cancel may run on (pg_stat_activity: application_name dbt)"
            raise _Failed(f"dbt {command} took longer than checks.dbt.timeout, {limit}, and was ended; {left}") from None
        except OSError as err:
            raise _Failed(f"dbt {command} cannot be run: {err.strerror}") from None

    def _folder(self, side: Side, project: Path | None = None) -> Path:
        return (project or self._scratch) / f"target-{side}"

    def _said(self) -> Said:
        return Said(tuple(self._spec.env.values()))

    def _heard(self, side: Side, command: str, event: Mapping[str, Any]) -> None:
        if (heard := progress(side, command, event)) is not None:
            self._tell(heard)

    async def _relations(self) -> tuple[list[RelationResult], str]:
        """The relations of both schemas, and why not all of them could be compared."""
        if self._spec.warehouse is None:
            return [], ""
        try:
            asker = Asker(self._ask, self._scratch, lambda p: self._tell(p))
            return await compare_schemas(self._spec.warehouse, self._profile(), await self._manifest(), asker), ""
        except (_Failed, Mistake, ValueError) as err:
            return [], f"relations: {plain(err, 400)}"

    def _profile(self) -> str:
        """The profile whose target holds both schemas: what the config names, else the project's own."""
        if self._spec.blue.profile:
            return self._spec.blue.profile
        text = slurp(Path(self._spec.project) / "dbt_project.yml", LARGEST).decode("utf-8", "replace")
        said = re.search(r"^profile:[ \t]*([\"']?)([\w.-]+)\1[ \t]*(?:#.*)?$", text, re.MULTILINE)
        if said is None:
            raise _Failed("dbt_project.yml names no profile that can be read: name it in checks.dbt.blue")
        return said[2]

    async def _manifest(self) -> Mapping[str, Any]:
        path = self._folder(Side.BLUE) / "manifest.json"
        if not path.exists():
            said = self._said()
            code = await self._dbt(Side.BLUE, "parse", [], said, lambda event: None)
            if not path.exists():
                raise _Failed(f"dbt parse left no manifest (exit {code}): {said.last}")
        found = await asyncio.to_thread(lambda: json.loads(slurp(path, LARGEST)))
        if not isinstance(found, dict):
            raise _Failed("dbt's manifest is no JSON object")
        return found

    async def _ask(self, project: Path, each: process.Each) -> tuple[int, str]:
        """The operation of a project of ours is run on blue's target; returns the exit code and the last that was said."""
        said = self._said()
        code = await self._dbt(Side.BLUE, "run-operation", ["cockpit_ask"], said, each, project)
        return code, said.last


def progress(side: Side, command: str, event: Mapping[str, Any]) -> DbtProgress | None:
    """What the event says of a node's progress; None for every other event."""
    data = event["data"]
    node, number = data.get("node_info"), data.get("index")
    if not isinstance(node, dict) or not isinstance(number, int):
        return None
    total, seconds = data.get("total", data.get("num_models")), data.get("execution_time")
    return DbtProgress(
        side,
        command,
        number,
        total if isinstance(total, int) else 0,
        plain(node.get("node_name", ""), 120),
        plain(node.get("node_status", ""), 20),
        float(seconds) if isinstance(seconds, int | float) else 0.0,
    )


def read_results(path: Path, said: Said) -> dict[str, NodeRun]:
    """What dbt's `run_results.json` says of every node; `_Failed` where it cannot be read as such."""
    try:
        found = json.loads(slurp(path, LARGEST))
        return {str(result["unique_id"]): _node(result, said) for result in found["results"]}
    except Mistake as err:
        raise _Failed(f"dbt's run_results.json {err.what}") from None
    except (ValueError, RecursionError, KeyError, TypeError) as err:
        raise _Failed(f"dbt's run_results.json is not what dbt writes: {type(err).__name__}") from None


def _node(result: Mapping[str, Any], said: Said) -> NodeRun:
    failures = result.get("failures")
    return NodeRun(
        str(result["status"]),
        failures if isinstance(failures, int) else None,
        float(result.get("execution_time") or 0.0),
        said.masked(result.get("message") or ""),
    )


def judged(blue: Mapping[str, NodeRun], green: Mapping[str, NodeRun], *, whole: bool = True) -> list[NodeResult]:
    """Every node of either side, by name. Unless both runs came to their end (`whole`), a node that one side lacks may be yet to come."""
    return [_judged(node, blue.get(node), green.get(node), whole) for node in sorted(blue.keys() | green.keys())]


def _judged(node: str, blue: NodeRun | None, green: NodeRun | None, whole: bool) -> NodeResult:
    kind, _, rest = node.partition(".")
    parts = rest.split(".")
    name = parts[1] if kind == "test" and len(parts) > 2 else rest.partition(".")[2] or rest or node
    return NodeResult(plain(name, 120), plain(kind, 20), blue, green, _verdict(blue, green, whole))


def _verdict(blue: NodeRun | None, green: NodeRun | None, whole: bool) -> NodeVerdict:
    if blue is None or green is None:
        return NodeVerdict.DIFFERS if whole else NodeVerdict.UNPROVEN
    if (blue.status, blue.failures) != (green.status, green.failures):
        return NodeVerdict.DIFFERS
    if blue.status in _FINE:
        return NodeVerdict.SAME
    return NodeVerdict.FAILS_ON_BOTH if blue.status in _BAD else NodeVerdict.UNPROVEN
