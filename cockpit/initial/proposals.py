"""What a first look suggests for the config: which sessions are an app's, which roles only watch. What is not sure says why.

A wrong app is worse than a missing one, since preflight names every session that no app claims: only what was seen coming through the one
pooler is proposed as it is.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from cockpit.model.text import plain
from cockpit.systems.postgres.survey import Role, Seen, Survey

NAMES_OF_A_ROLE = 8
"""With more application names than this a role's sessions are taken for one app that counts or dates its names."""

_BY_HAND = re.compile(r"psql|pgcli|pgadmin|dbeaver|datagrip|tableplus|postico|navicat|pg_dump|pg_restore|pg_basebackup", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class App:
    """One application as it may stand in the config; `doubt` says why it is not sure, empty where it is."""

    name: str
    role: str
    application_name: str | None
    seen: str
    doubt: str


@dataclass(frozen=True, slots=True)
class Proposals:
    """`exempt` are roles that watch and cannot write; `unseen` may log in and had no session at that moment."""

    apps: tuple[App, ...] = ()
    exempt: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()


def propose(surveys: Collection[Survey], ours: Collection[str], poolers: Collection[str], channels: int) -> Proposals:
    """From what both sides showed: apps are those seen on blue. `ours` are the cockpit's own roles, `poolers` the addresses of the poolers."""
    blue = next((each for each in surveys if each.side == "blue"), None)
    exempt = tuple(sorted({role.name for each in surveys for role in each.roles if _only_watches(role) and role.name not in ours}))
    if blue is None:
        return Proposals(exempt=exempt)
    shut = {*ours, *exempt, *(role.name for role in blue.roles if role.ours)}
    found = [seen for seen in blue.seen if seen.role not in shut]
    supers = {role.name for role in blue.roles if role.super}
    apps = [_app(seen, shares, supers, poolers, channels) for seen, shares in _told_apart(found)]
    seen_roles = {seen.role for seen in found}
    unseen = (role.name for role in blue.roles if role.name not in shut | seen_roles and not role.super and not role.replication)
    return Proposals(_named_apart(apps), exempt, tuple(unseen))


def _only_watches(role: Role) -> bool:
    return role.watches and not role.writes and not role.super


def _told_apart(found: Iterable[Seen]) -> Iterable[tuple[Seen, bool]]:
    """Each app's sessions, and whether its role has other apps too, from which only the application's name tells it."""
    by_role: dict[str, list[Seen]] = {}
    for seen in found:
        by_role.setdefault(seen.role, []).append(seen)
    for role, group in by_role.items():
        if len(group) > NAMES_OF_A_ROLE:
            clients = tuple(dict.fromkeys(client for seen in group for client in seen.clients))
            yield Seen(role, "", clients, sum(seen.sessions for seen in group)), False
            continue
        for seen in group:
            yield seen, len(group) > 1


def _app(seen: Seen, shares: bool, supers: Collection[str], poolers: Collection[str], channels: int) -> App:
    label = seen.application if shares and seen.application else None
    count = f"{seen.sessions} session{'s' if seen.sessions > 1 else ''}"
    where = f" from {', '.join(seen.clients[:3])}" if seen.clients else ""
    return App(
        name=plain(seen.application or seen.role, 60),
        role=seen.role,
        application_name=label,
        seen=f"{count}{where}",
        doubt=_doubt(seen, shares, supers, poolers, channels),
    )


def _doubt(seen: Seen, shares: bool, supers: Collection[str], poolers: Collection[str], channels: int) -> str:
    if _BY_HAND.match(seen.application):
        return "looks like a person or a backup, not an app"
    if seen.role in supers:
        return "a superuser, whom no fence keeps out: give the app a role of its own"
    if shares and not seen.application:
        return "shares its role with others and does not say its name: set application_name in the app"
    if channels != 1:
        return "which channel it takes is not known" if channels else "no channel is named yet"
    if not poolers or not seen.clients or not set(seen.clients) <= set(poolers):
        return "not seen coming from the pooler: say by which channel it learns where its database is"
    return ""


def _named_apart(apps: Iterable[App]) -> tuple[App, ...]:
    taken: set[str] = set()
    named = []
    for app in apps:
        name, number = app.name, 1
        while name in taken:
            number += 1
            name = f"{app.name} {number}"
        taken.add(name)
        named.append(replace(app, name=name))
    return tuple(named)
