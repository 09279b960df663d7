"""The file that is written is one that the config's own loader takes, whatever the servers call what they hold."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cockpit.config import load_config
from cockpit.initial.answers import Answers, Pooler
from cockpit.initial.proposals import propose
from cockpit.initial.telling import between, facts
from cockpit.initial.writing import channels, written
from cockpit.model.settings import Config
from cockpit.model.text import plain
from cockpit.systems.postgres.survey import Survey
from tests.initial.looks import ANSWERS, BLUE, GREEN, POOL, blue, role, seen

# What PostgreSQL takes for a name: 63 bytes without a NUL.
NAME = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=63).filter(
    lambda t: len(t.encode()) < 64
)
WORDS = {"B": "blue", "P": "pool"}


def text_of(told: Answers, look: Survey | str, green: Survey | str = GREEN) -> str:
    surveys = [each for each in (look, green) if isinstance(each, Survey)]
    return written(told, {"blue": look, "green": green}, propose(surveys, {"cockpit"}, {POOL}, channels(told)), ["cockpit plan arp"])


def loaded(folder: Path, text: str) -> Config:
    path = folder / "made.toml"
    path.write_text(text, encoding="utf-8")
    return load_config(path, environ=WORDS)


def test_what_was_answered_and_seen_is_in_it(tmp_path: Path) -> None:
    look = blue(seen("app_orders", "orders"), seen("app", clients=["10.0.0.5"]), roles=[role("mon", watches=True), role("idle")])
    text = text_of(ANSWERS, look)
    config = loaded(tmp_path, text)
    pair = config.pairs["arp"]
    assert [(app.name, app.role, app.channel) for app in pair.apps] == [("orders", "app_orders", "pool-1")]
    assert pair.exempt_roles == ("mon",)
    assert (pair.blue.control.host, pair.blue.control.sslmode, pair.green.control.password) == ("blue.example", "require", None)
    assert [(channel.name, channel.kind) for channel in pair.channels] == [("pool-1", "pgbouncer")]
    assert "# may log in to blue, no session was seen: idle\n" in text
    assert '# role = "app"\n' in text


def test_a_commented_app_is_right_once_its_marks_are_taken_away() -> None:
    text = text_of(ANSWERS, blue(seen("a\n]x", clients=["10.0.0.5"])))
    head, _, tail = text.partition("# [[pairs.arp.apps]]")
    assert tomllib.loads(head + ("# [[pairs.arp.apps]]" + tail).replace("\n# ", "\n")[2:])["pairs"]["arp"]["apps"][0]["role"] == "a\n]x"


@pytest.mark.parametrize(
    "told",
    [
        replace(ANSWERS, pooler=None),
        replace(ANSWERS, pooler=None, channel_file="/srv/app.conf"),
        replace(ANSWERS, channel_file='/srv/"app".json', runs="my runs"),
        replace(ANSWERS, pooler=Pooler((("p-1", 6432), ("::1", 6433)), "me", None, "it's.ini")),
    ],
)
@pytest.mark.parametrize("look", [blue(seen("app"), seen("app", "x")), 'no answer from "blue"\nin time'])
def test_every_mix_of_answers_is_a_config(tmp_path: Path, told: Answers, look: Survey | str) -> None:
    config = loaded(tmp_path, text_of(told, look, "not there"))
    assert len(config.pairs["arp"].channels) == channels(told)
    if told.runs:
        assert config.runs == str(tmp_path / told.runs)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(NAME, NAME), min_size=1, max_size=6, unique=True), NAME, st.booleans())
def test_hostile_names_are_read_back_and_steer_nothing(tmp_path: Path, names: list[tuple[str, str]], other: str, super: bool) -> None:
    roles = [role(name, super=super, watches=watches) for name, watches in {**{r: False for r, _ in names}, other: True}.items()]
    look = replace(blue(*(seen(*each) for each in names), roles=roles), database=other, schemas=(other,), keyless=(other,), version=other)
    text = text_of(ANSWERS, look)
    assert all(plain(line) == line for line in text.splitlines())
    pair = loaded(tmp_path, text).pairs["arp"]
    assert {app.role for app in pair.apps} <= {name for name, _ in names}
    assert {app.application_name for app in pair.apps} <= {name for _, name in names} | {None}
    assert pair.exempt_roles in ((), (other,))


def test_what_preflight_will_refuse_is_told_now() -> None:
    old = replace(BLUE, version="14.2", version_num=140002, settings=(("wal_level", "replica"),), keyless=("audit.log",), tls=False)
    assert facts(old)[2:5] == (
        "NO-GO below PostgreSQL 16: the way back could not stand beside the mirror; upgrade first",
        "NO-GO wal_level = replica: ALTER SYSTEM SET wal_level = logical, then restart the server",
        "1 table without a key (audit.log): add one, or REPLICA IDENTITY FULL",
    )
    assert facts(BLUE)[:2] == ("PostgreSQL 16.4, TLS; database arp, 200 GB", "12 tables in 1 schema (public)")
    assert len(facts(BLUE)) == 3


def test_a_green_without_its_tables_is_told() -> None:
    assert between(BLUE, GREEN) == ()
    assert between(BLUE, replace(GREEN, tables=3))[0].startswith("green has 3 of blue's 12 tables: ")
