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
    cards = (scorecard.Scorecard, scorecard.HandoverCard, scorecard.Stall, scorecard.StepCard, scorecard.AppCard)
    assert [
        name for card in cards for name in (field.name for field in fields(card)) if f"{name}`" not in page and f"{name}[]`" not in page
    ] == []


def test_every_command_it_shows_exists() -> None:
    from cockpit.cli import main

    assert main
    text = subprocess.run([sys.executable, "-m", "cockpit", "--help"], capture_output=True, text=True, timeout=60, check=True).stdout
    shown = set(re.findall(r"^\s*cockpit ([a-z]+)\b", README, re.MULTILINE)) | set(re.findall(r"`cockpit ([a-z]+)\b", README))
    assert {name for name in shown if name not in text} == set()


def test_the_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", Path("Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`?make ([a-z]+)", README)) <= targets
