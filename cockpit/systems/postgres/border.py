"""Where asyncpg's exceptions end: each becomes one of `cockpit.errors`, on one line, with what to do next and never a secret."""

from __future__ import annotations

import ssl

import asyncpg

from cockpit.errors import LinkError, OutcomeUnknown, SystemFault
from cockpit.model.settings import Endpoint
from cockpit.model.text import plain

BROKEN = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.exceptions.AdminShutdownError,
    asyncpg.exceptions.CrashShutdownError,
    asyncpg.exceptions.CannotConnectNowError,
    asyncpg.exceptions.IdleSessionTimeoutError,
    ConnectionError,
    OSError,
)
"""What says that the connection, not the statement, failed."""


def ends_session(err: asyncpg.PostgresError) -> bool:
    """Whether the server ends the session with this error, not only the statement."""
    return isinstance(err, BROKEN) or getattr(err, "severity_en", None) in {"FATAL", "PANIC"}


_REMEDIES = {
    "42501": "give the control role that right, or make it a superuser for the time of the move",
    "55000": "see the server's message; `wal_level = logical` needs a restart",
    "53400": "raise max_replication_slots (a restart) or drop a slot that is not needed",
    "53300": "raise max_connections or end idle sessions",
    "55P03": "another session holds a lock: end it, then try again",
    "57014": "something held the statement up past its time limit",
    "42P01": "the object is gone or was never made",
    "3F000": "the schema is gone or was never made",
}


_REFUSES_TLS = "rejected SSL upgrade"
"""asyncpg's words for a server that answers a request for TLS with no; they come without a code."""


def unreachable(err: BaseException, where: str, endpoint: Endpoint) -> LinkError:
    """A failed connection attempt, in words a person can act on."""
    what, remedy = _why(err, endpoint)
    return LinkError(what, where=where, remedy=remedy)


def _why(err: BaseException, endpoint: Endpoint) -> tuple[str, str]:
    address = plain(f"{endpoint.host}:{endpoint.port}")
    role = plain(endpoint.user)
    if isinstance(err, asyncpg.InvalidPasswordError):
        return f"the password of role {role} was refused", "check the password the config refers to"
    if isinstance(err, asyncpg.InvalidAuthorizationSpecificationError):
        return f"role {role} may not log in: {_first_line(err)}", "check the role and pg_hba.conf"
    if isinstance(err, asyncpg.InvalidCatalogNameError):
        return f"there is no database {plain(endpoint.database)}", "check the database's name in the config"
    if isinstance(err, asyncpg.TooManyConnectionsError):
        return "no connection is free", _REMEDIES["53300"]
    if isinstance(err, asyncpg.PostgresError):
        return _first_line(err), _REMEDIES.get(err.sqlstate or "", "see the server's log")
    if isinstance(err, TimeoutError):
        return f"no answer from {address} in time", "check the address, the firewall and whether the server runs"
    if isinstance(err, ssl.SSLError):
        return f"TLS with {address} failed: {plain(err.reason)}", "check sslmode and sslrootcert"
    if isinstance(err, ConnectionError) and _REFUSES_TLS in str(err):
        seen = f"{address} speaks no TLS, which sslmode = {plain(endpoint.sslmode)} asks for"
        return seen, "set up TLS on the server (ssl = on), or change sslmode in the config"
    if isinstance(err, OSError):
        why = err.strerror or _first_line(err)  # several addresses tried, or the driver's own: no error number
        return f"{address} cannot be reached: {plain(why)}", "check the address and whether the server runs"
    return f"{address} cannot be reached: {type(err).__name__}", "check the address and whether the server runs"


def fault(err: asyncpg.PostgresError, where: str) -> SystemFault:
    """A statement the server refused. Its DETAIL may quote rows, so only message and hint are kept."""
    code = str(err.sqlstate or "")
    remedy = plain(err.hint, 200) if getattr(err, "hint", None) else _REMEDIES.get(code, "")
    return SystemFault(_first_line(err), where=where, remedy=remedy, code=code)


def broken(where: str, effect: bool, why: str) -> LinkError:
    """The connection failed in the middle: a change may or may not have taken effect."""
    if effect:
        return OutcomeUnknown(f"{why}; the statement may or may not have taken effect", where=where, remedy="probe before repeating")
    return LinkError(why, where=where, remedy="the connection is made anew at the next use")


def _first_line(err: BaseException) -> str:
    return plain(str(getattr(err, "message", None) or err).splitlines()[0] if str(err) else type(err).__name__, 300)
