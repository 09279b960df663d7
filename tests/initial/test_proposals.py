"""What is proposed as it is was seen to be so; what is not sure is commented out and says why."""

from __future__ import annotations

import pytest

from cockpit.initial.proposals import NAMES_OF_A_ROLE, App, Proposals, propose
from cockpit.systems.postgres.survey import Survey
from tests.initial.looks import GREEN, POOL, blue, role, seen


def proposed(look: Survey, channels: int = 1, poolers: frozenset[str] = frozenset({POOL})) -> Proposals:
    return propose([look, GREEN], {"cockpit"}, poolers, channels)


def test_sessions_of_the_one_pooler_are_an_apps() -> None:
    (app,) = proposed(blue(seen("app_orders", "orders", sessions=3))).apps
    assert app == App("orders", "app_orders", None, f"3 sessions from {POOL}", "")


def test_apps_of_one_role_are_told_apart_by_their_names() -> None:
    apps = proposed(blue(seen("app", "orders"), seen("app", "billing"), seen("app", ""))).apps
    assert [(app.application_name, bool(app.doubt)) for app in apps] == [("orders", False), ("billing", False), (None, True)]


def test_names_that_count_are_one_app() -> None:
    many = [seen("app", f"worker-{number}") for number in range(NAMES_OF_A_ROLE + 1)]
    (app,) = proposed(blue(*many)).apps
    assert (app.name, app.application_name, app.doubt) == ("app", None, "")
    assert app.seen.startswith(f"{NAMES_OF_A_ROLE + 1} sessions")


@pytest.mark.parametrize(
    ("look", "channels", "doubt"),
    [
        (blue(seen("app", clients=["10.0.0.5"])), 1, "not seen coming from the pooler"),
        (blue(seen("app", clients=[POOL, "10.0.0.5"])), 1, "not seen coming from the pooler"),
        (blue(seen("app", clients=[])), 1, "not seen coming from the pooler"),
        (blue(seen("app")), 2, "which channel it takes is not known"),
        (blue(seen("app")), 0, "no channel is named yet"),
        (blue(seen("app", "psql")), 1, "looks like a person or a backup"),
        (blue(seen("app", "DBeaver 24.1 - Main")), 1, "looks like a person or a backup"),
        (blue(seen("root"), roles=[role("root", super=True)]), 1, "a superuser, whom no fence keeps out"),
    ],
)
def test_what_is_not_sure_says_why(look: Survey, channels: int, doubt: str) -> None:
    (app,) = proposed(look, channels).apps
    assert app.doubt.startswith(doubt)


def test_the_cockpits_own_sessions_are_no_apps() -> None:
    assert proposed(blue(seen("cockpit"), seen("me"), roles=[role("me", ours=True)])).apps == ()


def test_only_a_role_that_watches_and_cannot_write_is_exempt() -> None:
    roles = [
        role("watcher", watches=True),
        role("writer", watches=True, writes=True),
        role("root", watches=True, super=True),
        role("plain"),
    ]
    found = proposed(blue(seen("watcher", "prometheus"), seen("writer"), roles=[*roles, role("cockpit", watches=True)]))
    assert found.exempt == ("watcher",)
    assert [app.role for app in found.apps] == ["writer"]


def test_who_may_log_in_and_was_not_there_is_named() -> None:
    roles = [role("idle"), role("root", super=True), role("standby", replication=True), role("watcher", watches=True)]
    assert proposed(blue(seen("app"), roles=roles)).unseen == ("idle",)


def test_every_app_has_a_name_of_its_own_on_one_line() -> None:
    apps = proposed(blue(seen("a", "x"), seen("b", "x"), seen("c", "x\x1b[2J\n"), seen("d", "n" * 63))).apps
    names = [app.name for app in apps]
    assert names[:3] == ["x", "x 2", "x^[[2J\\n"]
    assert len(set(names)) == 4
    assert all(len(name) <= 63 and name.isprintable() for name in names)


def test_without_blue_there_are_no_apps() -> None:
    assert propose([GREEN], set(), {POOL}, 1) == Proposals()
