"""What the README says is so: its keys, its links, its commands, its exit codes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

README = Path("README.md").read_text()


def test_the_keys_are_those_of_the_program() -> None:
    shown = README.split("<!-- keys -->\n")[1].split("<!-- /keys -->")[0]
    made = subprocess.run([sys.executable, "-m", "cockpit.screen.actions"], capture_output=True, text=True, timeout=60, check=True)
    assert shown.strip() == made.stdout.strip(), "run: python -m cockpit.screen.actions, and put it between the markers"


def test_every_link_leads_somewhere() -> None:
    pages = [Path("README.md"), Path("CHANGELOG.md"), *Path("docs").rglob("*.md")]
    dead = [
        (str(page), target)
        for page in pages
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text())
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert dead == []


def test_the_scorecard_is_documented_key_by_key() -> None:
    from dataclasses import fields

    from cockpit.drill import scorecard

    page = Path("docs/scorecard.md").read_text()
    cards = (scorecard.Scorecard, scorecard.HandoverCard, scorecard.Stall, scorecard.StepCard, scorecard.AppCard, scorecard.FaultCard)
    assert [
        name for card in cards for name in (field.name for field in fields(card)) if f"{name}`" not in page and f"{name}[]`" not in page
    ] == []


def help_of(*command: str) -> str:
    ran = subprocess.run([sys.executable, "-m", "cockpit", *command, "--help"], capture_output=True, text=True, timeout=60, check=True)
    return ran.stdout


def test_its_commands_are_those_of_the_program() -> None:
    listed = re.findall(r"^\| `cockpit ([a-z]+)", README, re.MULTILINE)
    assert sorted(listed) == sorted(re.findall(r"^    ([a-z]+)\b", help_of(), re.MULTILINE))
    shown = set(re.findall(r"^\s*cockpit ([a-z]+)\b", README, re.MULTILINE)) | set(re.findall(r"`cockpit ([a-z]+)\b", README))
    assert shown <= set(listed)


def test_every_option_it_shows_is_one_of_that_command() -> None:
    typed = re.findall(r"^\s*cockpit ([a-z]+)(.*)$", README, re.MULTILINE) + re.findall(r"`cockpit ([a-z]+)([^`]*)`", README)
    unknown = [(command, option) for command, rest in typed for option in re.findall(r"--[a-z-]+", rest) if option not in help_of(command)]
    assert typed
    assert unknown == []


def test_its_exit_codes_are_those_of_the_program() -> None:
    told = re.findall(r"^\| (\d) \| (.+) \|$", README, re.MULTILINE)
    text = " ".join(help_of().split())
    assert [code for code, _ in told] == ["0", "1", "2", "3", "4", "5"]
    # The first word of what a code means is the same in both.
    assert [(code, what) for code, what in told if f"{code} {re.split(r'[ ,;:]', what)[0]}" not in text] == []


def test_the_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", Path("Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`?make ([a-z]+)", README)) <= targets
