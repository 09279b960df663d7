"""Who is at the other end of a socket: the kernel's word, with the login where it keeps one."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from cockpit.errors import ConfigError, Refused
from cockpit.timeline import peers


def test_a_peer_is_who_the_kernel_says() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert peers.credentials(ours) == (os.getpid(), os.geteuid(), os.getegid())
        person = peers.peer_of(ours)
    assert person == peers.myself()
    assert (person.uid, os.getegid() in person.groups) == (os.geteuid(), True)


@pytest.mark.parametrize(("kept", "login"), [("1000", 1000), ("0\n", 0), ("4294967295", None), ("", None), ("-", None)])
def test_a_login_counts_where_the_kernel_keeps_it(tmp_path: Path, kept: str, login: int | None) -> None:
    (tmp_path / "loginuid").write_text(kept)
    assert peers._login(str(tmp_path / "loginuid")) == login
    assert peers._login(str(tmp_path / "none")) is None


def test_a_user_without_a_name_still_has_a_number() -> None:
    assert peers.name_of(3_999_999_999) == "uid-3999999999"
    assert peers.name_of(0) == "root"
    assert peers.uid_of("root") == 0
    with pytest.raises(ConfigError, match="no user 'nosuch-user'"):
        peers.uid_of("nosuch-user")
    with pytest.raises(ConfigError, match="no group 'nosuch-group'"):
        peers.gid_of("nosuch-group")


def test_a_system_that_does_not_tell_is_no_place_for_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "SO_PEERCRED")
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(Refused, match="does not tell who connects"):
        peers.peer_of(ours)
