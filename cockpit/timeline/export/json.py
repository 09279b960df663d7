"""The report as one JSON object, for machines: the same facts, and the events in full."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping

from cockpit.model.text import plain
from cockpit.timeline.export.report import Report, Story


def to_json(report: Report) -> str:
    """The report as JSON, one object, a newline at the end; its strings hold no control character."""
    return json.dumps(_plain(_object(report)), indent=2, ensure_ascii=False) + "\n"


def _object(report: Report) -> dict[str, object]:
    state, opened = report.state, report.opened
    return {
        "run": report.name,
        "pair": state.pair,
        "scenario": state.scenario,
        "drill": state.drill,
        "outcome": report.outcome,
        "exit_code": state.exit_code,
        "serving": state.serving,
        "user": state.user,
        "host": state.host,
        "version": opened.version if opened else "",
        "opened_at": state.opened_at,
        "closed_at": report.closed_at,
        "servers": {"blue": state.versions[0], "green": state.versions[1]},
        "budgets": {"downtime_s": state.downtime_budget_s, "rollback_s": state.rollback_budget_s},
        "chain": report.chain,
        "digests": {
            "scenario": opened.scenario_digest if opened else "",
            "config": opened.config_digest if opened else "",
            "plan": opened.plan_digest if opened else "",
        },
        "handovers": [_handover(story) for story in report.stories],
        "gates": state.gates,
        "findings": state.findings,
        "checks": report.preflight_checks,
        "parity": state.parity,
        "alarms": state.alarms,
        "open_ends": state.open_ends,
        "bill_exported": state.bill_exported,
        "scorecard": report.scorecard,
        "timeline": [{"seq": e.seq, "at": e.at, "mono": e.mono, "by": e.by, "kind": e.kind, "fact": e.fact} for e in report.events],
    }


def _handover(story: Story) -> dict[str, object]:
    view = story.view
    return {
        "number": view.number,
        "direction": view.direction,
        "outcome": view.outcome,
        "why": view.why,
        "opened_at": story.opened_at,
        "closed_at": story.closed_at,
        "seconds": view.seconds,
        "downtime_s": view.downtime_s,
        "past_return": view.past_return,
        "fence_lsn": view.fence_lsn,
        "plan_digest": view.plan_digest,
        "approval": view.approval,
        "ungraceful": view.ungraceful,
        "bill": view.bill,
        "unanswered_s": story.unanswered_s,
        "checks": story.checks,
        "steps": [
            {
                "id": step.id,
                "title": step.title,
                "state": step.state,
                "in_window": step.in_window,
                "planned_s": step.planned_s,
                "ms": step.ms,
                "detail": step.detail,
                "evidence": story.evidence(step.id),
            }
            for step in view.steps
        ],
    }


def _plain(value: object) -> object:
    """`value` as JSON's own types; text made plain."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return plain(value) if isinstance(value, str) else value
