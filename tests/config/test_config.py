"""A right config becomes settings; a wrong one is told every mistake, with its line, and never a value."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cockpit.config import Mistakes, load_config
from cockpit.model.secret import Secret
from cockpit.model.settings import Approvals, Config, Endpoint
from cockpit.places import became, door_folders, runs_folder, runtime_folder

from .conftest import ENVIRON, GOOD

Load = Callable[[str], Config]
Wrong = Callable[..., tuple[str, ...]]


def test_a_right_config(load: Load, tmp_path: Path) -> None:
    config = load(GOOD)
    pair = config.pairs["arp"]
    assert pair.blue.control == Endpoint("blue.example", 5432, "arp", "cockpit", Secret("blue-secret"))
    assert pair.blue.peer == Endpoint("blue.example", 5432, "arp", "replication", Secret("peer-secret"))
    assert pair.green.control.port == pair.green.peer.port == 5433
    assert [(app.name, app.role, app.channel) for app in pair.apps] == [
        ("orders", "app_orders", "pool"),
        ("billing", "app_billing", "pool"),
    ]
    assert pair.channel("pool").options == {"admin": Secret("pool-secret"), "hosts": ("a", "b"), "window": 1.0, "file": None}
    assert config.runs == str(tmp_path / "runs")
    assert "secret" not in repr(config).replace("Secret(•••)", "")


def test_the_digest_is_over_the_text(load: Load) -> None:
    assert load(GOOD).digest == load(GOOD).digest != load(GOOD + "\n").digest


def test_relative_paths_start_at_the_config(load: Load, tmp_path: Path) -> None:
    config = load(GOOD.replace('hosts = ["a", "b"]', 'file = "p/q"').replace("exempt_roles", 'activity_feed = "apps.json"\nexempt_roles'))
    assert config.pairs["arp"].channel("pool").options["file"] == tmp_path / "p" / "q"
    assert config.pairs["arp"].activity_feed == str(tmp_path / "apps.json")


def test_who_may_approve(load: Load, tmp_path: Path) -> None:
    def said(table: str) -> Approvals | None:
        return load(f"[cockpit.approvals]\n{table}\n{GOOD}").approvals

    assert load(GOOD).approvals is None
    assert said('users = ["eve", "otto"]') == Approvals(("eve", "otto"), None, None)
    assert said('group = "dba"\nfolder = "doors"') == Approvals((), "dba", str(tmp_path / "doors"))
    with pytest.raises(Mistakes, match=r"my.toml:1: cockpit.approvals: names nobody: add users = \[...\] or group = ..."):
        said("users = []")


def test_a_peer_of_another_user_never_inherits_the_password(load: Load) -> None:
    config = load(GOOD.replace('password = "file:peer.secret"\n', ""))
    assert config.pairs["arp"].blue.peer.password is None
    assert load(GOOD.replace('user = "replication"\n', "")).pairs["arp"].blue.peer.password == Secret("peer-secret")


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ('host = "blue.example"', 'hots = "blue.example"', "my.toml:8: pairs.arp.blue.hots is not a key of this file: did you mean host?"),
        ('host = "blue.example"', 'hots = "blue.example"', "my.toml:7: pairs.arp.blue.host is missing: add it"),
        ("port = 5433", 'port = "5433"', "my.toml:19: pairs.arp.green.port must be a whole number, without quotes"),
        ("port = 5433", "port = 70000", "my.toml:19: pairs.arp.green.port: should be less than or equal to 65535"),
        ("port = 5433", "port = 5433.5", "my.toml:19: pairs.arp.green.port must be a whole number"),
        ("port = 5433", "port = true", "my.toml:19: pairs.arp.green.port must be a whole number, without quotes"),
        ("port = 5433", "port = 2024-01-01", "my.toml:19: pairs.arp.green.port is a date: put it in quotes if text is meant"),
        ('exempt_roles = ["monitoring"]', 'exempt_roles = "monitoring"', "my.toml:5: pairs.arp.exempt_roles must be a list in [ ]"),
        ('exempt_roles = ["monitoring"]', 'exempt_roles = [\n"a",\n7]', "my.toml:7: pairs.arp.exempt_roles[2] must be text in quotes"),
        ('host = "blue.example"', 'host = "postgres://u:hunter2@blue"', "my.toml:8: pairs.arp.blue.host: must be a host name alone"),
        ('host = "green.example"\nport = 5433', 'host = "blue.example"', "my.toml:18: pairs.arp: blue and green are the same server"),
        ('name = "billing"', 'name = "orders"', "my.toml:35: pairs.arp.apps[2].name: orders is taken on line 30"),
        (
            'role = "app_billing"\nchannel = "pool"',
            'role = "b"\nchannel = "pol"',
            "my.toml:37: pairs.arp.apps[2].channel: no channel is named pol",
        ),
        ('kind = "gate"', 'kind = "gaet"', "my.toml:25: pairs.arp.channels[1].kind: no channel kind 'gaet'; one of: "),
        ('hosts = ["a", "b"]', 'hosts = ["a", 7]', "my.toml:27: pairs.arp.channels[1].hosts[2] must be text in quotes"),
        ('hosts = ["a", "b"]', "wnidow = 2", "my.toml:27: pairs.arp.channels[1].wnidow is not a key of this file: did you mean window?"),
        ('admin = "env:POOL"\n', "", "my.toml:23: pairs.arp.channels[1].admin is missing: add it"),
        ('role = "app_orders"', 'role = "cockpit"', "my.toml:31: pairs.arp.apps[1].role is the role the cockpit itself uses"),
        ('role = "app_orders"', 'role = "replication"', "my.toml:31: pairs.arp.apps[1].role is the role the cockpit itself uses"),
        ('role = "app_orders"', 'role = "monitoring"', "my.toml:31: pairs.arp.apps[1].role is also in exempt_roles"),
        (
            'role = "app_orders"',
            'role = "app_billing"',
            "my.toml:29: pairs.arp.apps[1] shares its role: give each app of that role its own",
        ),
        ("port = 5433", 'sslmode = "verify-full"', "my.toml:19: pairs.arp.green: this sslmode needs sslrootcert"),
        (
            "port = 5433",
            'sslmode = "verify-ca"\nsslrootcert = "ca"',
            "my.toml:19: pairs.arp.green.peer: this sslmode needs peer.sslrootcert",
        ),
        ("port = 5433", 'sslmode = "always"', "my.toml:19: pairs.arp.green.sslmode: should be 'disable', 'allow', 'prefer', "),
        ("[cockpit]", "[cokpit]", "my.toml:1: cokpit is not a key of this file: did you mean cockpit?"),
        ('name = "orders"', 'name = "ord\\u001bers"', "my.toml:30: pairs.arp.apps[1].name: must not hold control or invisible characters"),
        ('database = "arp"', 'database = "a\\u0000"', "my.toml:9: pairs.arp.blue.database: must not hold a NUL"),
        ('role = "app_orders"', f'role = "{"é" * 32}"', "my.toml:31: pairs.arp.apps[1].role: is longer than PostgreSQL's 63 bytes"),
    ],
)
def test_a_mistake_is_told_with_its_line(mistakes: Wrong, right: str, wrong: str, said: str) -> None:
    assert right in GOOD
    found = mistakes(GOOD.replace(right, wrong, 1))
    assert any(line.startswith(said) for line in found), found
    assert not any("hunter2" in line for line in found)


def test_every_mistake_is_told_at_once_in_the_order_of_the_lines(mistakes: Wrong) -> None:
    wrong = GOOD.replace("port = 5433", "prot = 5433").replace('kind = "gate"', 'kind = "gaet"').replace('"env:BLUE"', '"hunter2"')
    found = mistakes(wrong.replace('name = "billing"', 'name = "orders"'))
    assert [int(line.split(":")[1]) for line in found] == [11, 19, 25, 35]


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("hunter2", 'a secret does not stand in this file: write "env:NAME" or "file:PATH"'),
        ("env:NOWHERE", "the environment variable NOWHERE is not set"),
        ("env:EMPTY", "the environment variable EMPTY is empty"),
        ("env:not a name", "after env: stands the name of an environment variable"),
        ("aws-sm:arp/blue", "aws-sm: references are not available in this version: use env:NAME or file:PATH"),
        ("vault:kv/arp#password", "vault: references are not available in this version: use env:NAME or file:PATH"),
        ("file:missing", "missing cannot be read: No such file or directory"),
        ("file:.", "a directory, not a file"),
        ("file:open.secret", "has mode 0644: others can read or change it; chmod 0600"),
        ("file:two.secret", "holds more than one line"),
        ("file:binary.secret", "is not UTF-8"),
    ],
)
def test_a_secret_is_only_ever_a_reference(mistakes: Wrong, tmp_path: Path, reference: str, said: str) -> None:
    for name, content, mode in (("open", b"hunter2", 0o644), ("two", b"hunter2\nx", 0o600), ("binary", b"\xff\xfe", 0o600)):
        (tmp_path / f"{name}.secret").write_bytes(content)
        (tmp_path / f"{name}.secret").chmod(mode)
    for line, key in ((11, "env:BLUE"), (26, "env:POOL")):
        (found,) = mistakes(GOOD.replace(key, reference), {**ENVIRON, "EMPTY": ""})
        assert found.startswith(f"my.toml:{line}: ")
        assert said in found
        assert "hunter2" not in found


def test_a_kind_that_cannot_be_loaded_is_a_mistake(mistakes: Wrong, monkeypatch: pytest.MonkeyPatch) -> None:
    from cockpit.systems import kinds

    def broken(name: str) -> kinds.Kind:
        raise ImportError("libfoo is missing")

    monkeypatch.setattr(kinds, "load", broken)
    assert mistakes(GOOD) == ("my.toml:25: pairs.arp.channels[1].kind: the kind gate cannot be loaded: libfoo is missing",)


def test_the_example_loads_with_its_variables_set(tmp_path: Path) -> None:
    import re

    text = Path("config.example.toml").read_text()
    environ = dict.fromkeys(re.findall(r'"env:([A-Z0-9_]+)"', text), "x")
    config = load_config(Path("config.example.toml"), environ)
    assert {app.channel for app in config.pairs["arp"].apps} == {channel.name for channel in config.pairs["arp"].channels}


def test_the_example_names_every_key(load: Load) -> None:
    from cockpit import config

    text = Path("config.example.toml").read_text()
    for model in (
        config._Cockpit,
        config._Approvals,
        config._Pair,
        config._Side,
        config._Peer,
        config._App,
        config._Channel,
        config._Waiver,
    ):
        for key in model.model_fields:
            assert key in text, f"{model.__name__}.{key}"


def test_where_a_second_person_looks_and_who_became_another_user() -> None:
    assert door_folders({"COCKPIT_APPROVALS": "/run/doors"}) == [Path("/run/doors")]
    assert all(folder.name.startswith("cockpit-approvals-") for folder in door_folders({}))
    assert (became({"SUDO_USER": "ana"}), became({"DOAS_USER": "ana"}), became({})) == ("ana", "ana", "")


def test_the_folders_of_runs(tmp_path: Path) -> None:
    assert runs_folder({"COCKPIT_RUNS": "/x"}) == Path("/x")
    assert runs_folder({"HOME": "/h"}) == Path("/h/.local/state/cockpit/runs")
    assert runs_folder({"XDG_STATE_HOME": "/s"}) == Path("/s/cockpit/runs")
    assert runtime_folder({"XDG_RUNTIME_DIR": "/r"}) == Path("/r/cockpit")
    assert runtime_folder({}).name.startswith("cockpit-")
