"""Whatever stands where the config should be: one line with file and line, exit code 2, no traceback, no waiting."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cockpit.config import Mistakes, load_config
from cockpit.scenario import load_scenario

LOADERS: tuple[Callable[[Path], object], ...] = (lambda path: load_config(path, {}), load_scenario)


def only_line(path: Path, load: Callable[[Path], object]) -> str:
    with pytest.raises(Mistakes) as caught:
        load(path)
    assert caught.value.exit_code == 2
    (line,) = caught.value.mistakes
    assert line.startswith(f"{path}:")
    assert "\n" not in line
    return line.removeprefix(f"{path}:")


FILES = {
    "empty table": (b"[a]\nx =\n", "2: not TOML: Invalid value, at column 4"),
    "open string": (b'x = 1\ny = "abc\n', "2: not TOML"),
    "twice": (b"x = 1\nx = 2\n", "2: not TOML: Cannot overwrite a value"),
    "table twice": (b"[a]\n[b]\n[a]\n", "3: not TOML: Cannot declare"),
    "ends too early": (b"x = 1\n[a", "2: not TOML"),
    "mark": (b"\xef\xbb\xbfx = 1\n", "1: starts with a byte order mark: save it as UTF-8 without one"),
    "latin-1": (b"a = 1\nb = '\xe9'\n", "2: byte 11 is not UTF-8"),
    "utf-16": ("x = 1".encode("utf-16"), "1: byte 0 is not UTF-8"),
    "control": (b"x = 1\ny = '\x1b[31m'\n", "2: not TOML"),
    "carriage return": (b"x = 1\ry = 2\n", "1: not TOML"),
    "too large": (b"x = 1\n" * 2_000_000, "1: larger than 1024 KiB"),
    "deep list": (b"a = 1\nx = " + b"[" * 100_000 + b"]" * 100_000, "2: nested deeper than 32 levels"),
    "deep table": (b"y = 1\n\n[" + b".".join([b"a"] * 5000) + b"]\n", "3: nested deeper than 32 levels"),
    "deep inline": (b"x = " + b"{a = " * 3000 + b"1" + b"}" * 3000, "1: nested deeper than 32 levels"),
    "long number": (b"x = " + b"9" * 10_000 + b"\n", "1: not a value TOML can hold"),
}


@pytest.mark.parametrize("load", LOADERS)
@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_not_toml(tmp_path: Path, name: str, load: Callable[[Path], object]) -> None:
    content, said = FILES[name]
    path = tmp_path / "my.toml"
    path.write_bytes(content)
    line = only_line(path, load)
    assert line.startswith(said), line
    assert line.isprintable()


@pytest.mark.parametrize("load", LOADERS)
@pytest.mark.parametrize(
    "content", [b"", b"# nothing\n", b"pairs = 3", b"pairs = []", b"[pairs]", b"[pairs.arp]", b"pairs.arp = 1", b"[[pairs]]"]
)
def test_a_file_of_the_wrong_shape(tmp_path: Path, content: bytes, load: Callable[[Path], object]) -> None:
    path = tmp_path / "my.toml"
    path.write_bytes(content)
    with pytest.raises(Mistakes) as caught:
        load(path)
    assert all(line.startswith(f"{path}:1: ") for line in caught.value.mistakes)


@pytest.mark.parametrize("load", LOADERS)
def test_what_is_no_file(tmp_path: Path, load: Callable[[Path], object]) -> None:
    assert "a directory, not a file" in only_line(tmp_path, load)
    assert "No such file" in only_line(tmp_path / "none.toml", load)
    os.mkfifo(tmp_path / "fifo.toml")
    assert "a FIFO, not a file" in only_line(tmp_path / "fifo.toml", load)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s.toml"))
        assert "cannot be read" in only_line(tmp_path / "s.toml", load)
    assert "a device, not a file" in only_line(Path("/dev/zero"), load)
    (tmp_path / "loop.toml").symlink_to(tmp_path / "loop.toml")
    assert "symbolic links" in only_line(tmp_path / "loop.toml", load)
    assert "cannot be read" in only_line(tmp_path / ("x" * 300 + ".toml"), load)


def test_a_file_without_permission(tmp_path: Path) -> None:
    """In a process that is nobody, because the superuser may read everything."""
    path = tmp_path / "my.toml"
    path.write_text("x = 1")
    path.chmod(0)
    result = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, str(path)],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert result.stdout.strip() == f"{path}:1: cannot be read: Permission denied", result.stderr


AS_NOBODY = """
import os, sys
from pathlib import Path
from cockpit.config import Mistakes, load_config
path = Path(sys.argv[1])
if os.geteuid() == 0:
    for folder in reversed(path.parents[:3]):
        folder.chmod(0o755)
    os.setgroups([])
    os.setuid(65534)
try:
    load_config(path, {})
except Mistakes as err:
    print(err)
"""


def test_a_hostile_file_name_is_shown_and_not_obeyed(tmp_path: Path) -> None:
    with pytest.raises(Mistakes) as caught:
        load_config(tmp_path / "a\x1b[31m\n.toml", {})
    assert str(caught.value).isprintable()


calm = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""How long an example takes is the machine's affair: other tests run beside it."""


@calm
@given(st.binary(max_size=200))
def test_any_bytes_end_in_mistakes(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_bytes(content)
    for load in LOADERS:
        with pytest.raises(Mistakes):
            load(path)


@calm
@given(st.text(alphabet="pairs.arp[]{}=\"' \n,#\\1-:tx", max_size=80))
def test_almost_toml_ends_in_mistakes(tmp_path_factory: pytest.TempPathFactory, content: str) -> None:
    path = tmp_path_factory.getbasetemp() / "almost.toml"
    path.write_text(content)
    for load in LOADERS:
        with pytest.raises(Mistakes) as caught:
            load(path)
        assert all(line.split(":")[1].isdigit() for line in caught.value.mistakes)
