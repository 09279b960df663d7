"""reladiff, the peer that `benchmarks/reconcile.py` measures beside: in a virtual environment of its own, never among our dependencies."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from cockpit.model.settings import Endpoint

RELADIFF = "reladiff==0.6.0"
DRIVER = "psycopg2-binary==2.9.13"
HOME = Path(__file__).parents[1] / ".venv" / "bench"

# Its defaults: 32 segments an iteration, one thread a database. Imports and connecting are not measured; the key's rows are.
_DIFF = """
import json, sys, time
from reladiff import connect_to_table, diff_tables
asked = json.load(sys.stdin)
one, other = (connect_to_table(url, asked["table"], asked["key"]) for url in asked["urls"])
began = time.monotonic()
found = {row[0] for sign, row in diff_tables(one, other, extra_columns=tuple(asked["columns"]))}
print(json.dumps({"seconds": time.monotonic() - began, "rows": len(found)}))
"""


@dataclass(frozen=True, slots=True)
class Timed:
    """How long a comparison took, and how many differing rows it located."""

    seconds: float
    rows: int = 0


def install() -> str:
    """Why it cannot be had; empty where it can."""
    if (HOME / "bin" / "reladiff").exists():
        return ""
    for command in ([sys.executable, "-m", "venv", str(HOME)], [_python(), "-m", "pip", "install", "--quiet", RELADIFF, DRIVER]):
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            return (done.stderr.strip() or f"{command[1:4]} ended with {done.returncode}").splitlines()[-1]
    return ""


def diff(ends: tuple[Endpoint, Endpoint], table: str, key: str, columns: tuple[str, ...]) -> Timed:
    """One comparison of the table on both ends."""
    asked = {"urls": [_url(end) for end in ends], "table": table, "key": key, "columns": columns}
    done = subprocess.run([_python(), "-c", _DIFF], input=json.dumps(asked), capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    return Timed(found["seconds"], found["rows"])


def _python() -> str:
    return str(HOME / "bin" / "python")


def _url(end: Endpoint) -> str:
    word = end.password.reveal() if end.password else ""
    return f"postgresql://{end.user}:{word}@{end.host}:{end.port}/{end.database}"
