"""`cockpit plan`, word for word. `GOLDEN=write pytest tests/cli/test_plan.py` writes the texts anew; read the difference before keeping it."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from tests.cli.typed import cockpit
from tests.hygiene.test_secrets import betrayed, canaries

GOLDEN = Path(__file__).parent / "golden"
BOTH = pytest.mark.parametrize("direction", ["cutover", "rollback"])


def plan(direction: str, *more: str, env: dict[str, str] | None = None) -> str:
    told = cockpit("plan", "arp", "--config", "config.example.toml", "--direction", direction, *more, env={**canaries(), **(env or {})})
    assert (told.code, told.err) == (0, "")
    return told.out


@BOTH
def test_it_prints_what_will_be_sent(direction: str) -> None:
    text, golden = plan(direction), GOLDEN / f"plan-{direction}.txt"
    if os.environ.get("GOLDEN") == "write":
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text)
    assert text == golden.read_text(), "if this is meant: GOLDEN=write pytest tests/cli/test_plan.py"


@BOTH
def test_it_holds_no_secret_and_nothing_of_this_machine(direction: str, tmp_path: Path) -> None:
    text = plan(direction, env={"HOME": str(tmp_path), "TMPDIR": str(tmp_path), "USER": "somebody-else"})
    assert betrayed(text) == []
    assert text == plan(direction)
    for here in (str(Path.cwd()), str(tmp_path), str(Path.home()) + "/", os.uname().nodename):
        assert here not in text


@BOTH
def test_as_json_it_is_the_same_plan(direction: str) -> None:
    text, told = plan(direction), json.loads(plan(direction, "--json"))
    assert told["digest"] == re.search(r"^  digest    (\w+)$", text, re.MULTILINE)[1]  # type: ignore[index]
    assert [step["id"] for step in told["steps"]] == re.findall(r"^ ?\d+ (\w+)", text, re.MULTILINE)
    statements = [s["text"].split("\n")[0] for step in told["steps"] for action in step["actions"] for s in action["statements"]]
    assert len(statements) > 20
    assert all(statement in text for statement in statements)


def test_the_directions_differ_and_mirror_each_other() -> None:
    cutover, rollback = plan("cutover"), plan("rollback")
    assert "cutover, blue to green" in cutover.splitlines()[0]
    assert "rollback, green to blue" in rollback.splitlines()[0]
    assert re.findall(r"^ ?\d+ (\w+)", cutover, re.MULTILINE) == re.findall(r"^ ?\d+ (\w+)", rollback, re.MULTILINE)


def test_an_ungraceful_rollback_has_a_plan_of_its_own() -> None:
    text, golden = plan("rollback", "--ungraceful"), GOLDEN / "plan-ungraceful.txt"
    if os.environ.get("GOLDEN") == "write":
        golden.write_text(text)
    assert text == golden.read_text(), "if this is meant: GOLDEN=write pytest tests/cli/test_plan.py"
    assert 'confirmed by: type "arp ungraceful"' in text
    told = cockpit("plan", "arp", "--config", "config.example.toml", "--ungraceful", env=canaries())
    assert told.code == 2
    assert told.err == "--ungraceful: only a rollback can be ungraceful; add --direction rollback\n"


def two(folder: Path, config: str) -> tuple[str, ...]:
    """The arguments of a plan whose cutover asks for a second person, with the config's text changed by the caller."""
    text = Path("scenarios/arp.toml").read_text().replace("expires = 20 ", 'approval = "second"\nexpires = 20 ', 1)
    (folder / "two.toml").write_text(text.replace("deadline = 25", "deadline = 1000", 1))
    (folder / "my.toml").write_text(config)
    return "plan", str(folder / "two.toml"), "--config", str(folder / "my.toml")


def test_a_plan_says_that_a_second_person_must_approve(tmp_path: Path) -> None:
    words = two(tmp_path, Path("config.example.toml").read_text())
    told = cockpit(*words, env=canaries())
    assert (told.code, told.err) == (0, "")
    assert '  confirmed by: a second person approves within 900 s, then type "arp"\n' in told.out
    assert " 2 confirm    a second person approves, the lead confirms\n" in told.out
    back = cockpit(*words, "--direction", "rollback", env=canaries())
    assert "  confirmed by: B, then Y\n" in back.out
    assert " 2 confirm    the lead confirms\n" in back.out


def test_a_second_person_whom_no_config_names_is_a_mistake(tmp_path: Path) -> None:
    text = Path("config.example.toml").read_text()
    start, end = text.index("[cockpit.approvals]"), text.index("[pairs.arp]")
    told = cockpit(*two(tmp_path, text[:start] + text[end:]), env=canaries())
    assert (told.code, told.out) == (2, "")
    assert told.line.endswith(
        "my.toml: the scenario arp asks for a second person, and this config names nobody; "
        "add [cockpit.approvals] with users = [...], or fly a scenario that asks for none"
    )


def test_a_plan_needs_no_secret_and_says_which_are_not_set() -> None:
    told = cockpit("plan", "arp", "--config", "config.example.toml")
    assert told.code == 0, told.err
    assert told.out == plan("cutover")
    assert told.err.startswith("note: not set here, and not needed to plan: ARP_BLUE_PASSWORD, ")
    assert told.err.count("\n") == 1


def test_the_mistakes_of_config_and_scenario_are_told_together() -> None:
    told = cockpit("preflight", "nosuch", "--config", "config.example.toml")
    assert (told.code, told.out) == (2, "")
    assert "the environment variable ARP_BLUE_PASSWORD is not set" in told.err
    assert "nosuch" in told.err.splitlines()[-1]


def test_a_clean_up_needs_the_two_control_passwords_alone() -> None:
    told = cockpit("cleanup", "arp", "--config", "config.example.toml")
    assert told.code == 2
    assert told.line.endswith(": not set: ARP_BLUE_PASSWORD, ARP_GREEN_PASSWORD; export it before starting the cockpit")
