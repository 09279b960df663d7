"""The scenario: the procedure's parameters, from `scenarios/*.toml` to a linted `Scenario`.

The same scenario, by its digest, flies in a drill and in the live run. The digest is over the content with every default filled in
and without `[drill]`, so comments, order and spelling do not change it and any figure that matters does.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from cockpit._checks import ChecksFile, checks_of, lint
from cockpit._mistakes import Checked, Mistakes
from cockpit.handover.procedure import IDS, WINDOW
from cockpit.model.budgets import rollback_parts
from cockpit.model.settings import Budgets, Confirmation, DrillSpec, GateSpec, Scenario, StepSpec, Tuning
from cockpit.model.text import plain


@dataclass(frozen=True, slots=True)
class GateWords:
    """What a gate asks for; `unit` is its limit's, empty where it has none."""

    title: str
    unit: str = ""
    limited: bool = False
    """Whether the limit must be given; else leaving it out asks for the strictest."""


GATES: Mapping[str, GateWords] = {
    "lag_bytes": GateWords("replication lag, bytes", "bytes", limited=True),
    "lag_seconds": GateWords("replication lag, seconds", "seconds", limited=True),
    "tables_ready": GateWords("every table streams"),
    "slot": GateWords("slot active, its WAL kept"),
    "apply_errors": GateWords("apply reports no error", "errors"),
    "reverse": GateWords("the way back is armed"),
    "long_transactions": GateWords("no long transaction", "seconds", limited=True),
    "prepared": GateWords("no prepared transaction"),
    "poolers": GateWords("every pooler can pause"),
    "census": GateWords("every session is a known app's"),
    "recon": GateWords("both sides proven equal", "share of rows, 0 to 1"),
    "freeze_cost": GateWords("proof in the window is short", "seconds", limited=True),
    "schema": GateWords("schemas unchanged"),
    "target_fenced": GateWords("the target takes no writes yet"),
    "preflight": GateWords("no preflight finding blocks"),
    "guardian": GateWords("the guardian watches"),
}
"""Every gate that a scenario may ask for."""

_NEEDED = {
    "cutover": (
        "lag_bytes",
        "tables_ready",
        "slot",
        "apply_errors",
        "reverse",
        "prepared",
        "poolers",
        "recon",
        "schema",
        "target_fenced",
        "preflight",
        "guardian",
    ),
    "rollback": ("lag_bytes", "slot", "apply_errors", "target_fenced"),
}
"""Gates without which a handover could lose writes, or leave two sides writable."""


# --- the file's shape -------------------------------------------------------------------

_Seconds = Annotated[float, Field(gt=0, le=86400, allow_inf_nan=False)]
_Limit = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_Title = Annotated[str, StringConstraints(min_length=1, max_length=100)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _Step(_Strict):
    planned: Annotated[float, Field(ge=0, le=86400, allow_inf_nan=False)]
    deadline: _Seconds


class _Gate(_Strict):
    limit: _Limit | None = None
    hold: Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)] = 0.0


class _Gates(_Strict):
    cutover: dict[str, _Gate]
    rollback: dict[str, _Gate]


class _Budgets(_Strict):
    downtime: _Seconds = 300.0
    rollback: _Seconds = 300.0
    rollback_target: _Seconds = 180.0


_Approval = Literal["none", "second"]


class _Typed(_Strict):
    gesture: Literal["typed"] = "typed"
    expires: _Seconds = 20.0
    approval: _Approval = "none"
    approval_expires: _Seconds = 900.0


class _Keys(_Strict):
    gesture: Literal["keys"] = "keys"
    expires: _Seconds = 10.0
    approval: _Approval = "none"


class _Confirm(_Strict):
    cutover: _Typed = _Typed()
    rollback: _Keys = _Keys()


class _Tuning(_Strict):
    pause_attempt: _Seconds = 2.0
    pause_attempts: Annotated[int, Field(ge=1, le=100)] = 5
    terminate_blockers_after: Annotated[int, Field(ge=0, le=100)] = 2
    long_transaction: _Seconds = 15.0
    sequence_stride: Annotated[int, Field(ge=1, le=1_000_000_000)] = 1000
    verify_box: _Seconds = 1.0
    verify_required: bool = True
    recon_duty: Annotated[float, Field(gt=0, le=1)] = 0.10
    stale_after: _Seconds = 2.0


class _Drill(_Strict):
    rows: Annotated[int, Field(ge=1, le=1_000_000_000)] = 1_000_000
    apps: Annotated[int, Field(ge=1, le=500)] = 15
    rate: Annotated[float, Field(gt=0, le=100_000, allow_inf_nan=False)] = 400.0
    soak: Annotated[float, Field(ge=0, le=86400, allow_inf_nan=False)] = 5.0
    handovers: Annotated[tuple[Literal["cutover", "rollback"], ...], Field(min_length=1)] = ("cutover", "rollback", "cutover")
    recon_duty: Annotated[float, Field(gt=0, le=1)] | None = None


class _File(_Strict):
    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,40}$")]
    title: _Title
    budgets: _Budgets = _Budgets()
    confirm: _Confirm = _Confirm()
    steps: dict[str, _Step]
    gates: _Gates
    tuning: _Tuning = _Tuning()
    checks: ChecksFile = ChecksFile()
    drill: _Drill = _Drill()


# --- finding and loading ------------------------------------------------------------------


def load_scenario(path_or_name: str | Path) -> Scenario:
    """The scenario in that file, or of that name: `scenarios/NAME.toml` here, else the one that came with the program.

    `Mistakes` (a `ConfigError`, exit 2) lists everything that is wrong with it, each as `file:line: what`."""
    checked = Checked(find(path_or_name))
    file = checked.validated(_File, checked.content, (), {})
    if file is not None:
        for rule in _RULES:
            rule(checked, file)
    checked.done()
    assert file is not None
    return _scenario(file)


def find(path_or_name: str | Path) -> Path:
    """The file meant by a path, or by a name such as `arp`."""
    name = str(path_or_name)
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        return Path(name)
    for folder in _folders():
        if (folder / f"{name}.toml").is_file():
            return folder / f"{name}.toml"
    raise Mistakes([f"{name}: no scenario has this name: there is {', '.join(names()) or 'none'}; or give the path of a .toml file"])


def names() -> tuple[str, ...]:
    """The names of all scenarios that `find` knows, sorted."""
    return tuple(sorted({file.stem for folder in _folders() for file in folder.glob("*.toml")}))


def named_for(pair: str) -> str:
    """The scenario that is proposed for a pair: the one of its name, else the first that there is."""
    known = names()
    return pair if pair in known or not known else known[0]


def _folders() -> tuple[Path, ...]:
    here = Path(__file__).parent
    return (Path("scenarios"), here / "_scenarios", here.parent / "scenarios")


def _scenario(file: _File) -> Scenario:
    return Scenario(
        name=file.name,
        title=file.title,
        digest=_digest(file),
        steps={step: StepSpec(step, file.steps[step].planned, file.steps[step].deadline) for step in IDS},
        gates=_gates(file.gates.cutover),
        rollback_gates=_gates(file.gates.rollback),
        budgets=Budgets(**file.budgets.model_dump()),
        cutover_confirmation=Confirmation(**file.confirm.cutover.model_dump()),
        rollback_confirmation=Confirmation(**file.confirm.rollback.model_dump()),
        tuning=Tuning(**file.tuning.model_dump()),
        checks=checks_of(file.checks),
        drill=DrillSpec(**file.drill.model_dump()),
    )


def _gates(gates: Mapping[str, _Gate]) -> tuple[GateSpec, ...]:
    return tuple(GateSpec(id, GATES[id].title, gates[id].limit, gates[id].hold) for id in GATES if id in gates)


def _digest(file: _File) -> str:
    content = file.model_dump(mode="json", exclude={"drill"})
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


# --- the lint -----------------------------------------------------------------------------


def _every_step(checked: Checked, file: _File) -> None:
    for step in IDS:
        if step not in file.steps:
            checked.add(("steps",), f"steps.{step} is missing: add [steps.{step}] with planned and deadline in seconds")
    for step in file.steps:
        if step not in IDS:
            checked.add(("steps", step), f"steps.{plain(step, 80)} is no step of the procedure: the steps are {', '.join(IDS)}")


def _deadlines(checked: Checked, file: _File) -> None:
    for id, step in file.steps.items():
        if step.deadline < step.planned:
            checked.add(("steps", id, "deadline"), f"steps.{plain(id, 80)}.deadline is below planned: allow at least {step.planned:g} s")
        if id in WINDOW and step.deadline > file.budgets.downtime:
            where = ("steps", id, "deadline")
            checked.add(where, f"steps.{id}.deadline is above the downtime budget: at most {file.budgets.downtime:g} s")


def _confirmation_fits(checked: Checked, file: _File) -> None:
    if file.confirm.rollback.approval == "second":
        what = "confirm.rollback.approval: the way back waits for nobody: remove the key; a cutover may ask for a second person"
        checked.add(("confirm", "rollback", "approval"), what)
    cutover = file.confirm.cutover
    waits = cutover.expires + (cutover.approval_expires if cutover.approval == "second" else 0.0)
    if "confirm" in file.steps and file.steps["confirm"].deadline < waits:
        what = f"steps.confirm.deadline is below what confirm.cutover lets people take: allow at least {waits:g} s"
        checked.add(("steps", "confirm", "deadline"), what)


def _window_fits(checked: Checked, file: _File) -> None:
    window = sum(step.planned for id, step in file.steps.items() if id in WINDOW)
    if window >= file.budgets.downtime:
        what = f"budgets.downtime is {file.budgets.downtime:g} s but the window's steps are planned to take {window:g} s: plan less or allow more"
        checked.add(("budgets", "downtime"), what)


def _rollback_fits(checked: Checked, file: _File) -> None:
    planned = {id: step.planned for id, step in file.steps.items()}
    whole = sum(rollback_parts(planned, (gate.hold for gate in file.gates.rollback.values())).values())
    if file.budgets.rollback_target > file.budgets.rollback:
        checked.add(
            ("budgets", "rollback_target"), f"budgets.rollback_target must be at most budgets.rollback, {file.budgets.rollback:g} s"
        )
    if whole >= file.budgets.rollback_target:
        what = f"budgets.rollback_target is {file.budgets.rollback_target:g} s but a rollback is planned to take {whole:g} s"
        checked.add(("budgets", "rollback_target"), f"{what}: shorten its gates' holds or its steps")


def _gates_known(checked: Checked, file: _File) -> None:
    for direction, gates in _both(file):
        for id, gate in gates.items():
            path = ("gates", direction, id)
            if id not in GATES:
                checked.add(path, f"gates.{direction}.{plain(id, 80)} is no gate: the gates are {', '.join(GATES)}")
            elif GATES[id].limited and gate.limit is None:
                checked.add(path, f"gates.{direction}.{id}.limit is missing: add it, in {GATES[id].unit}")
            elif not GATES[id].unit and gate.limit is not None:
                checked.add((*path, "limit"), f"gates.{direction}.{id} has no limit: it holds or it does not; remove the key")


def _gates_needed(checked: Checked, file: _File) -> None:
    for direction, gates in _both(file):
        for id in _NEEDED[direction]:
            if id not in gates:
                what = f"gates.{direction}.{id} is missing: no {direction} is safe without it; add [gates.{direction}.{id}]"
                checked.add(("gates", direction), what)


def _gates_quick(checked: Checked, file: _File) -> None:
    longest = max((gate.hold for gate in file.gates.cutover.values()), default=0.0)
    for id, gate in file.gates.rollback.items():
        limit = file.gates.cutover[id].hold if id in file.gates.cutover else longest
        if gate.hold > limit:
            what = f"gates.rollback.{plain(id, 80)}.hold is longer than the cutover's: a rollback must be quick, at most {limit:g} s"
            checked.add(("gates", "rollback", id, "hold"), what)


def _both(file: _File) -> tuple[tuple[str, Mapping[str, _Gate]], tuple[str, Mapping[str, _Gate]]]:
    return ("cutover", file.gates.cutover), ("rollback", file.gates.rollback)


def _tuning_fits(checked: Checked, file: _File) -> None:
    tuning, steps = file.tuning, file.steps
    pausing = tuning.pause_attempt * tuning.pause_attempts
    if "pause" in steps and steps["pause"].deadline < pausing:
        what = f"steps.pause.deadline is below pause_attempts x pause_attempt: allow at least {pausing:g} s"
        checked.add(("steps", "pause", "deadline"), what)
    if "verify" in steps and steps["verify"].deadline < tuning.verify_box:
        checked.add(
            ("steps", "verify", "deadline"), f"steps.verify.deadline is below tuning.verify_box: allow at least {tuning.verify_box:g} s"
        )
    for way, gates in file.gates:
        limit = gates["freeze_cost"].limit if "freeze_cost" in gates else None
        if limit is not None and 2 * limit > tuning.verify_box:
            what = f"gates.{way}.freeze_cost.limit is above half of tuning.verify_box: a prediction may be wrong, allow at least {2 * limit:g} s"
            checked.add(("gates", way, "freeze_cost", "limit"), what)
    if tuning.terminate_blockers_after >= tuning.pause_attempts:
        what = (
            f"tuning.terminate_blockers_after must be below tuning.pause_attempts, {tuning.pause_attempts}: else blockers are never ended"
        )
        checked.add(("tuning", "terminate_blockers_after"), what)


def _checks(checked: Checked, file: _File) -> None:
    lint(checked, file.checks)


def _handovers_alternate(checked: Checked, file: _File) -> None:
    for number, direction in enumerate(file.drill.handovers):
        wanted = "rollback" if number % 2 else "cutover"
        if direction != wanted:
            what = f"drill.handovers[{number + 1}]: should be '{wanted}': a drill begins with a cutover, and each handover goes back on the last"
            checked.add(("drill", "handovers", number), what)
            return


_RULES: tuple[Callable[[Checked, _File], None], ...] = (
    _every_step,
    _deadlines,
    _confirmation_fits,
    _window_fits,
    _rollback_fits,
    _gates_known,
    _gates_needed,
    _gates_quick,
    _tuning_fits,
    _checks,
    _handovers_alternate,
)
