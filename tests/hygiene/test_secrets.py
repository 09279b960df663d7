"""No secret of a config reaches anything that is shown, written or sent: not a plan, not a repr, not an error."""

from __future__ import annotations

import base64
import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from pydantic import BaseModel

from cockpit.config import load_config
from cockpit.model.secret import Secret
from cockpit.model.settings import Config
from cockpit.model.words import Direction, Side
from cockpit.scenario import load_scenario

EXAMPLE = Path("config.example.toml")
CANARY = "kanary/+%:{name}@Zq7"


def canaries() -> dict[str, str]:
    names = re.findall(r'= "env:([A-Z0-9_]+)"', EXAMPLE.read_text())
    return {name: CANARY.format(name=name) for name in names}


@pytest.fixture
def config() -> Config:
    return load_config(EXAMPLE, canaries())


def betrayed(text: str) -> list[str]:
    """The canaries that `text` gives away, also quoted for a URL, in base64, or in hexadecimal."""
    found = []
    for value in canaries().values():
        forms = {value, quote(value), quote(value, safe=""), base64.b64encode(value.encode()).decode().rstrip("="), value.encode().hex()}
        found += [value for form in forms if form in text]
    return found


def test_the_canaries_are_in_the_config(config: Config) -> None:
    held = {secret.reveal() for secret in secrets_in(config)}
    assert held == set(canaries().values())


def secrets_in(value: Any) -> list[Secret]:
    if isinstance(value, Secret):
        return [value]
    if dataclasses.is_dataclass(value):
        return [s for field in dataclasses.fields(value) for s in secrets_in(getattr(value, field.name))]
    if isinstance(value, BaseModel):
        return [s for _, item in value for s in secrets_in(item)]
    items = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return [s for item in items for s in secrets_in(item)]


def test_no_way_of_printing_a_config_shows_one(config: Config) -> None:
    control = config.pairs["arp"].blue.control
    assert betrayed(f"{config!r} {config} {control!r} {control.password} {control.password:>40}") == []
    with pytest.raises(TypeError, match="not serialised"):
        dataclasses.asdict(control)


@pytest.mark.parametrize("direction", Direction)
def test_no_plan_shows_one(config: Config, direction: Direction) -> None:
    from cockpit.handover.plan import make_plan
    from cockpit.wiring import build_world

    scenario = load_scenario("arp")
    spec = config.pairs["arp"]
    world = build_world(spec, scenario)
    plan = make_plan(world, spec, scenario, config.digest, direction)
    statements = [s.text for step in plan.steps for action in step.actions for s in action.statements]
    assert len(statements) > 20
    assert betrayed(repr(plan)) == []


@pytest.mark.parametrize("side", Side)
def test_no_description_shows_one(config: Config, side: Side) -> None:
    from cockpit.wiring import build_world

    world = build_world(config.pairs["arp"], load_scenario("arp"))
    actions = [
        *(
            world.servers.install(side),
            world.servers.fence(side, on=True),
            world.servers.fence(side, on=False),
            world.servers.quiesce(side),
        ),
        *(
            world.servers.replicate(side, side.other, copy=True),
            world.servers.canary(side, side.other),
            world.servers.drain(side, side.other),
        ),
        *(world.servers.sequences(side, side.other), world.servers.gone(side), world.reconciler.gone(side)),
        *(pooler.route(side) for pooler in world.poolers),
        *(action for channel in world.channels for action in (channel.stage(), channel.route(side))),
    ]
    shown = "\n".join(f"{action.name}\n{action!r}\n" + "\n".join(f"{s.target} {s.text}" for s in action.describe()) for action in actions)
    assert betrayed(shown) == []
    assert betrayed(repr(world)) == []


def test_a_mistake_beside_a_secret_does_not_show_it(tmp_path: Path) -> None:
    path = tmp_path / "wrong.toml"
    text = re.sub(r'(?<== )"env:[A-Z0-9_]+"', f'"{CANARY}"', EXAMPLE.read_text())
    path.write_text(text)
    with pytest.raises(Exception, match="a secret does not stand in this file") as caught:
        load_config(path, {})
    assert "kanary" not in f"{caught.value} {caught.value!r} {caught.getrepr(showlocals=False)}".replace(str(path), "")
