"""The apps' counters: what is old or torn is absent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cockpit.systems.feed import FileFeed, NoFeed


def write(path: Path, mono: object = 100.0) -> None:
    app = {"writes": 10, "writes_s": 3.5, "errors": 0, "last_ack_mono": 99.9}
    path.write_text(
        json.dumps({"mono": mono, "apps": {"billing": app, "odd\x1b[31m": app, "mute": {"writes": 1}, "bad": {"writes_s": "x"}}})
    )


async def test_rates_by_app(tmp_path: Path) -> None:
    write(tmp_path / "apps.json")
    feed = FileFeed(tmp_path / "apps.json", clock=lambda: 101.0)
    assert await feed.writes_s() == {"billing": 3.5, "odd^[[31m": 3.5}


@pytest.mark.parametrize("now", [102.5, 1e9, 90.0])
async def test_old_or_from_the_future_is_absent(tmp_path: Path, now: float) -> None:
    write(tmp_path / "apps.json")
    assert await FileFeed(tmp_path / "apps.json", clock=lambda: now).writes_s() == {}


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"mono": 100}', '{"mono": "x", "apps": {}}', '{"mono": NaN, "apps": {"a": {"writes_s": 1}}}']
)
async def test_torn_or_strange_is_absent(tmp_path: Path, text: str) -> None:
    (tmp_path / "apps.json").write_text(text)
    assert await FileFeed(tmp_path / "apps.json", clock=lambda: 100.0).writes_s() == {}


async def test_no_file_and_no_feed(tmp_path: Path) -> None:
    assert await FileFeed(tmp_path / "none").writes_s() == {}
    assert await NoFeed().writes_s() == {}
