"""The plan: every step with its exact statements, gates, budgets and confirmation; what is printed is what will be flown."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import msgspec

from cockpit.handover.ports import World
from cockpit.handover.procedure import WINDOW, Step, steps
from cockpit.handover.ungraceful import ungraceful_steps
from cockpit.model.events import PlannedLine
from cockpit.model.plan import Plan, PlannedAction, PlannedGate, PlannedStep
from cockpit.model.settings import GateSpec, PairSpec, Scenario
from cockpit.model.words import Direction


def make_plan(
    world: World, spec: PairSpec, scenario: Scenario, config_digest: str, direction: Direction, *, ungraceful: bool = False
) -> Plan:
    """The plan of one direction; `ungraceful`: of a rollback without what blue has not. Asks no system anything: `describe` needs no
    connection."""
    cutover = direction is Direction.CUTOVER
    confirmation = scenario.cutover_confirmation if cutover else scenario.rollback_confirmation
    flown = ungraceful_steps(world, spec, scenario) if ungraceful else steps(world, spec, scenario, direction)
    plan = Plan(
        scenario=scenario.name,
        scenario_digest=scenario.digest,
        config_digest=config_digest,
        pair=spec.name,
        direction=direction,
        steps=tuple(_planned(step, scenario) for step in flown),
        gates=tuple(PlannedGate(g.id, g.title, g.limit, g.hold) for g in (() if ungraceful else gates_of(scenario, direction))),
        downtime_budget_s=scenario.budgets.downtime,
        rollback_budget_s=scenario.budgets.rollback,
        confirmation=confirmation.words(spec.name, ungraceful=ungraceful),
        objects=(*world.servers.objects(), *world.reconciler.objects()),
        digest="",
    )
    return replace(plan, digest=hashlib.sha256(msgspec.json.encode(plan)).hexdigest())


def gates_of(scenario: Scenario, direction: Direction) -> tuple[GateSpec, ...]:
    """The scenario's gates of a direction, and the guardian, which no scenario can leave out."""
    gates = scenario.gates if direction is Direction.CUTOVER else scenario.rollback_gates
    watched = any(gate.id == "guardian" for gate in gates)
    return gates if watched else (*gates, GateSpec("guardian", "the guardian watches"))


def lines(plan: Plan) -> tuple[PlannedLine, ...]:
    """The plan's steps as the timeline keeps them."""
    return tuple(PlannedLine(step.id, step.title, step.planned_s, step.in_window) for step in plan.steps)


def planned(step: Step, scenario: Scenario) -> PlannedLine:
    """The step as the timeline keeps it."""
    return PlannedLine(step.id, step.title, scenario.steps[step.id].planned, step.in_window)


def _planned(step: Step, scenario: Scenario) -> PlannedStep:
    spec = scenario.steps[step.id]
    return PlannedStep(
        id=step.id,
        title=step.title,
        planned_s=spec.planned,
        deadline_s=spec.deadline,
        actions=tuple(PlannedAction(doing.action.name, doing.action.describe()) for doing in step.doings),
        undone_by=step.undone_by,
        in_window=step.in_window,
    )


def render(plan: Plan) -> str:
    """The plan as text: stable, so that two plans can be compared line by line."""
    out = [
        f"plan {plan.scenario} / {plan.pair}: {plan.direction}, {plan.direction.origin} to {plan.direction.target}",
        f"  digest    {plan.digest}",
        f"  scenario  {plan.scenario_digest}",
        f"  config    {plan.config_digest}",
        f"  budgets   downtime {plan.downtime_budget_s:g} s, rollback {plan.rollback_budget_s:g} s",
        f"  confirmed by: {plan.confirmation}",
        "",
        "gates",
        *(_gate_line(gate) for gate in plan.gates),
    ]
    for number, step in enumerate(plan.steps):
        out += ["", *_step_lines(number, step)]
    out += ["", "objects of ours while the run lasts, removed by `cockpit cleanup`", *(f"  {name}" for name in plan.objects)]
    return "\n".join(out) + "\n"


def _gate_line(gate: PlannedGate) -> str:
    limit = "" if gate.limit is None else f"  limit {gate.limit:.12g}"
    hold = "" if not gate.hold_s else f"  held for {gate.hold_s:g} s"
    return f"  {gate.id:<18} {gate.title}{limit}{hold}"


def _step_lines(number: int, step: PlannedStep) -> list[str]:
    window = "  [writes stalled]" if step.id in WINDOW else ""
    head = f"{number:>2} {step.id:<10} {step.title}{window}"
    out = [
        head,
        f"   planned {step.planned_s:g} s, at most {step.deadline_s:g} s" + (f"; undone by: {step.undone_by}" if step.undone_by else ""),
    ]
    for action in step.actions:
        out.append(f"   - {action.name}")
        for statement in action.statements:
            first, *rest = statement.text.rstrip().split("\n")
            out.append(f"       {statement.target}: {first}")
            out += [f"         {line}" for line in rest]
    return out
