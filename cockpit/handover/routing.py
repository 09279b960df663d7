"""Where apps really are: verdicts from the servers' own sessions against what the channels intend. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from cockpit.handover.ports import Session
from cockpit.model.settings import AppSpec
from cockpit.model.telemetry import AppRoute, RoutingSample
from cockpit.model.text import plain
from cockpit.model.words import Side, Verdict


def belongs(app: AppSpec, session: Session) -> bool:
    """Whether the session is one of the app's: by role, and by application name where the config gives one."""
    return session.role == app.role and app.application_name in (None, session.application)


def verdict_of(app: AppSpec, intended: Side | None, serving: Side, sessions: Iterable[Session]) -> Verdict:
    """The app's verdict; where no channel says, the serving side is where it should be."""
    sides = {session.side for session in sessions if belongs(app, session)}
    if not sides:
        return Verdict.DARK
    if len(sides) == 2:
        return Verdict.DUAL
    return Verdict.ROUTED if sides == {intended or serving} == {serving} else Verdict.STRAGGLER


def routing_sample(
    mono: float,
    apps: Sequence[AppSpec],
    serving: Side,
    intended: Mapping[str, Side | None],
    sessions: Mapping[Side, Sequence[Session] | None],
    writes_s: Mapping[str, float],
    query: str,
) -> RoutingSample:
    """One reading of every app, and one line for each group of sessions that no configured app explains.

    `sessions[side]` is None where that side could not be read: then every verdict that needs it is `unknown`."""
    known = [session for side in Side for session in sessions[side] or ()]
    blind = [side for side in Side if sessions[side] is None]
    routes = [_route(app, serving, intended.get(app.channel), sessions, known, blind, writes_s.get(app.name)) for app in apps]
    return RoutingSample(mono, (*routes, *_strangers(apps, known)), query)


def _route(
    app: AppSpec,
    serving: Side,
    intended: Side | None,
    sessions: Mapping[Side, Sequence[Session] | None],
    known: Sequence[Session],
    blind: Sequence[Side],
    writes_s: float | None,
) -> AppRoute:
    own = [session for session in known if belongs(app, session)]
    counts = {side: None if side in blind else sum(s.side is side for s in own) for side in Side}
    verdict = Verdict.UNKNOWN if blind else verdict_of(app, intended, serving, own)
    ages = [s.xact_age_s for s in own if s.xact_age_s is not None]
    return AppRoute(
        app=plain(app.name),
        channel=app.channel,
        intended=intended,
        blue=counts[Side.BLUE],
        green=counts[Side.GREEN],
        writes_s=writes_s,
        verdict=verdict,
        cause=_cause(verdict, intended, serving, blind),
        oldest_xact_s=max(ages, default=None),
    )


def _cause(verdict: Verdict, intended: Side | None, serving: Side, blind: Sequence[Side]) -> str:
    match verdict:
        case Verdict.UNKNOWN:
            return f"the sessions of {' and '.join(blind)} cannot be read"
        case Verdict.DUAL:
            return "sessions on both sides"
        case Verdict.DARK:
            return "no session on either side"
        case Verdict.STRAGGLER if intended is not None and intended is not serving:
            return f"its channel says {intended}, {serving} serves"
        case Verdict.STRAGGLER:
            return f"its sessions are on {serving.other}, {serving} serves"
        case _:
            return ""


def _strangers(apps: Sequence[AppSpec], known: Sequence[Session]) -> list[AppRoute]:
    groups: dict[tuple[str, str], list[Session]] = {}
    for session in known:
        if not any(belongs(app, session) for app in apps):
            groups.setdefault((session.role, session.application), []).append(session)
    return [_stranger(role, application, group) for (role, application), group in sorted(groups.items())]


def _stranger(role: str, application: str, group: Sequence[Session]) -> AppRoute:
    clients = sorted({session.client for session in group})
    return AppRoute(
        app=plain(f"{role}/{application}" if application else role, 40),
        channel="?",
        intended=None,
        blue=sum(s.side is Side.BLUE for s in group),
        green=sum(s.side is Side.GREEN for s in group),
        writes_s=None,
        verdict=Verdict.STRANGER,
        cause=plain(f"no configured app explains it; from {', '.join(clients[:3])}; pid {group[0].pid}"),
    )
