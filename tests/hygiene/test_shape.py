"""The code keeps the shape its readers were promised: short functions, modules that are read in one go, words of its own."""

from __future__ import annotations

import ast
import re
import statistics
from collections.abc import Iterator
from pathlib import Path

FILES = sorted(Path("cockpit").rglob("*.py"))
WALL = 60
MODULE_WALL = 500
LONGER_FUNCTIONS: set[str] = set()
"""`path:name` of functions that may be longer than the wall, each with its reason beside it here."""
LONGER_MODULES: set[str] = set()


def functions() -> Iterator[tuple[str, int]]:
    """Each function and its lines without its docstring."""
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                doc = node.body[0] if ast.get_docstring(node, clean=False) is not None else None
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                yield f"{file}:{node.name}", length - ((doc.end_lineno or 0) - doc.lineno + 1 if doc else 0)


def test_functions_are_short() -> None:
    found = dict(functions())
    assert statistics.median(found.values()) < 10
    assert {name: length for name, length in found.items() if length > WALL and name not in LONGER_FUNCTIONS} == {}


def test_modules_are_read_in_one_go() -> None:
    lengths = {str(file): len(file.read_text().splitlines()) for file in FILES}
    assert {name: length for name, length in lengths.items() if length > MODULE_WALL and name not in LONGER_MODULES} == {}


def test_no_exception_outlives_its_reason() -> None:
    found = dict(functions())
    assert {name for name in LONGER_FUNCTIONS if found.get(name, 0) <= WALL} == set()
    assert {name for name in LONGER_MODULES if len(Path(name).read_text().splitlines()) <= MODULE_WALL} == set()


def test_every_module_says_what_it_is() -> None:
    silent = [str(file) for file in FILES if file.read_text().strip() and ast.get_docstring(ast.parse(file.read_text())) is None]
    assert silent == []


def test_nothing_is_a_manager() -> None:
    named = re.compile(r"^\s*class \w*(Manager|Helper|Util)|^def (helper|util)", re.MULTILINE)
    assert [str(file) for file in FILES if named.search(file.read_text()) or "util" in file.stem or "helper" in file.stem] == []


def test_only_the_config_reads_the_environment() -> None:
    """Beside it only what passes the whole environment on to a process, and what a rig makes for its own children."""
    readers = {str(file) for file in FILES if re.search(r"os\.environ\[|os\.environ\.get|os\.getenv", file.read_text())}
    assert {name for name in readers if not name.startswith(("cockpit/config.py", "cockpit/places.py", "cockpit/drill/"))} == set()


def test_no_text_from_outside_is_markup() -> None:
    """`markup=True` would let a table's name paint the screen; `Text.from_markup` likewise."""
    loud = re.compile(r"markup\s*=\s*True|from_markup|Content\.from_markup")
    assert [str(file) for file in FILES if loud.search(file.read_text())] == []


def test_no_machine_paths_and_no_leftovers() -> None:
    leftover = re.compile(r"/work/|/home/\w+/|TODO|FIXME|XXX\b|breakpoint\(|pdb")
    texts = [*FILES, Path("README.md"), Path("config.example.toml"), *Path("scenarios").glob("*.toml"), *Path("docs").rglob("*.md")]
    assert {str(file): found.group() for file in texts if (found := leftover.search(file.read_text()))} == {}
