"""Who is at the other end of a Unix socket, by the kernel's own word (SO_PEERCRED, unix(7)): a client cannot choose it.

The kernel gives the effective uid of when the connection was made; root counts as root. Where it keeps the uid of the login
(audit, pam_loginuid), a person who became another user since is found by that.
"""

from __future__ import annotations

import grp
import os
import pwd
import socket
import struct
from pathlib import Path

from cockpit.errors import ConfigError, Refused
from cockpit.model.approvals import Person

_UCRED = struct.Struct("iII")
_NO_LOGIN = 2**32 - 1


def peer_of(end: socket.socket) -> Person:
    """The process that connected to, or listens at, the other end. May ask a directory service: not for an event loop."""
    pid, uid, gid = credentials(end)
    return Person(uid, name_of(uid), _login(f"/proc/{pid}/loginuid"), _groups(uid, gid))


def credentials(end: socket.socket) -> tuple[int, int, int]:
    """pid, uid and gid of the other end; `Refused` where this system does not tell."""
    need_credentials()
    pid, uid, gid = _UCRED.unpack(end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return pid, uid, gid


def need_credentials() -> None:
    """Returns where the kernel tells who is at the other end; `Refused` elsewhere."""
    if not hasattr(socket, "SO_PEERCRED"):
        what = "this system does not tell who connects to a socket"
        raise Refused(what, remedy="use a scenario that asks for no second person, or fly from Linux")


def myself() -> Person:
    """This process, as the other end of a socket would see it."""
    return Person(os.geteuid(), name_of(os.geteuid()), _login("/proc/self/loginuid"), _groups(os.geteuid(), os.getegid()))


def name_of(uid: int) -> str:
    """The user's name, or `uid-1234` where it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid-{uid}"


def uid_of(user: str) -> int:
    """`ConfigError` where this machine knows no such user."""
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        raise ConfigError(
            f"this machine has no user {user!r}", where="cockpit.approvals.users", remedy="name users that log in here"
        ) from None


def gid_of(group: str) -> int:
    """`ConfigError` where this machine knows no such group."""
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise ConfigError(
            f"this machine has no group {group!r}", where="cockpit.approvals.group", remedy="name a group of this machine"
        ) from None


def _groups(uid: int, gid: int) -> frozenset[int]:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return frozenset({gid})
    return frozenset({gid, *os.getgrouplist(entry.pw_name, entry.pw_gid)})


def _login(path: str) -> int | None:
    try:
        login = int(Path(path).read_text())
    except (OSError, ValueError):
        return None
    return None if login == _NO_LOGIN else login
