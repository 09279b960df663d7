"""A plan: scenario + config + direction, resolved. What `cockpit plan` prints is what the runner flies."""

from __future__ import annotations

from dataclasses import dataclass

from cockpit.model.words import Direction


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement or request an action would send, exactly, secrets masked. `target` says where: `blue`, `green`, `pgbouncer pool-1`, `aws`."""

    target: str
    text: str


@dataclass(frozen=True, slots=True)
class PlannedAction:
    name: str
    """A desired state: `fence blue on`."""
    statements: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class PlannedStep:
    id: str
    title: str
    planned_s: float
    deadline_s: float
    actions: tuple[PlannedAction, ...]
    undone_by: str
    """What takes the world back from here, in words; empty where nothing changed."""
    in_window: bool
    """Whether writes are stalled while it runs."""


@dataclass(frozen=True, slots=True)
class PlannedGate:
    id: str
    title: str
    limit: float | None
    hold_s: float


@dataclass(frozen=True, slots=True)
class Plan:
    scenario: str
    scenario_digest: str
    config_digest: str
    pair: str
    direction: Direction
    steps: tuple[PlannedStep, ...]
    gates: tuple[PlannedGate, ...]
    downtime_budget_s: float
    rollback_budget_s: float
    confirmation: str
    """How the lead confirms: `type "arp"` or `B, then Y`."""
    objects: tuple[str, ...]
    """Every `cockpit_*` object that exists on a side while the run lasts, and that `cleanup` removes."""
    digest: str
    """SHA-256 over all of the above."""
