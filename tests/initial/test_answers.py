"""What is answered is checked as the file would be, told in one sentence, and never holds a password."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from cockpit.errors import ConfigError
from cockpit.initial.answers import Pooler, Server, answers, gather
from cockpit.initial.questions import QUESTIONS, Question
from cockpit.places import runs_folder

WORD = "hunter2-canary"


def unasked(folder: Path, given: Mapping[str, str]) -> dict[str, str]:
    return gather(given, folder, None, lambda text: None)


def test_nothing_said_is_a_pair_of_this_machine(tmp_path: Path) -> None:
    told = answers(unasked(tmp_path, {}))
    assert told.blue == Server("localhost", 5432, "arp", "cockpit", "env:ARP_BLUE_PASSWORD")
    assert told.green == Server("localhost", 5433, "arp", "cockpit", "env:ARP_GREEN_PASSWORD")
    assert (told.pair, told.pooler, told.channel_file, told.runs) == ("arp", None, None, None)


def test_defaults_rest_on_what_was_said_before(tmp_path: Path) -> None:
    said = {
        "pair": "otc",
        "blue-host": "old",
        "blue-port": "6000",
        "blue-user": "mover",
        "green-host": "new",
        "pooler": "p-1:6432, p-2:6433",
    }
    told = answers(unasked(tmp_path, said))
    assert told.green == Server("new", 6000, "otc", "mover", "env:OTC_GREEN_PASSWORD")
    assert told.pooler == Pooler((("p-1", 6432), ("p-2", 6433)), "cockpit", "env:OTC_POOLER_PASSWORD", "/etc/pgbouncer/otc.ini")


def test_another_place_for_runs_is_kept_and_the_usual_one_is_not(tmp_path: Path) -> None:
    assert answers(unasked(tmp_path, {"runs": "runs"})).runs == "runs"
    assert answers(unasked(tmp_path, {"runs": str(runs_folder())})).runs is None


@pytest.mark.parametrize(
    ("key", "text", "said"),
    [
        ("pair", "ARP; DROP", "a pair's name is lower-case letters, digits and _, a letter first, 31 at most"),
        ("blue-host", "postgresql://me@blue", "it must be a host name alone: user, password, port and database have keys of their own"),
        ("blue-port", "70000", "a port is a number from 1 to 65535"),
        ("blue-port", "\u0665", "a port is a number from 1 to 65535"),
        ("green-port", "5432", "blue and green are the same server: they must differ in host or port"),
        ("blue-database", "x" * 64, "it is longer than PostgreSQL's 63 bytes for a name"),
        ("blue-user", "", "it should have at least 1 character"),
        ("blue-user", "\udc80", "it is not UTF-8"),
        ("pooler", "pool-1", "each console is HOST:PORT, such as pool-1:6432: a port is a number from 1 to 65535"),
        ("blue-password", "env:no-name", "after env: stands the name of an environment variable: letters, digits and _"),
        ("blue-password", "vault:x", "vault: references are not available in this version: use env:NAME or file:PATH"),
    ],
)
def test_a_wrong_answer_is_one_sentence_that_names_its_flag(tmp_path: Path, key: str, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        unasked(tmp_path, {key: text})
    assert (raised.value.where, raised.value.what) == (f"--{key}", said)


def test_a_password_is_refused_with_the_reason_and_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        unasked(tmp_path, {"green-password": WORD})
    assert raised.value.what.startswith("a password is never typed here: ")
    assert WORD not in str(raised.value)


def test_a_secret_file_must_be_there_and_private(tmp_path: Path) -> None:
    secret = tmp_path / "word"
    with pytest.raises(ConfigError, match="cannot be read"):
        unasked(tmp_path, {"blue-password": "file:word"})
    secret.write_text(WORD)
    secret.chmod(0o644)
    with pytest.raises(ConfigError, match="others can read or change it; chmod 0600"):
        unasked(tmp_path, {"blue-password": "file:word"})
    secret.chmod(0o600)
    assert unasked(tmp_path, {"blue-password": "file:word"})["blue-password"] == "file:word"


def test_what_belongs_to_no_pooler_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--pooler-user: there is no pooler that this could be of; say --pooler HOST:PORT too"):
        unasked(tmp_path, {"pooler-user": "me"})


def test_a_person_is_asked_again_until_it_is_right_and_offered_what_was_said(tmp_path: Path) -> None:
    typed = {"pair": ["Arp!", "otc"], "green-port": ["5432", "5440"], "blue-user": ["mover"]}
    offered: dict[str, str] = {}
    heard: list[str] = []

    def ask(question: Question, default: str) -> str:
        offered[question.key] = default
        return typed[question.key].pop(0) if typed.get(question.key) else ""

    said = gather({"blue-database": "legacy"}, tmp_path, ask, heard.append, before={"green-user": "again"})
    assert (said["pair"], said["green-port"], said["blue-database"]) == ("otc", "5440", "legacy")
    assert [text.split(":")[0].strip() for text in heard] == [
        "a pair's name is lower-case letters, digits and _, a letter first, 31 at most",
        "blue and green are the same server",
    ]
    assert "blue-database" not in offered, "a flag is an answer"
    assert (offered["green-user"], offered["blue-password"]) == ("again", "env:OTC_BLUE_PASSWORD")
    assert set(offered) == {question.key for question in QUESTIONS if not question.key.startswith("pooler-")} - {"blue-database"}


def test_a_question_fits_a_line_of_a_small_terminal() -> None:
    assert [question.key for question in QUESTIONS if len(f"{question.key}: {question.asks}") > 79] == []
