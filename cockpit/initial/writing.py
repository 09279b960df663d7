"""The config as `cockpit init` writes it: what was answered, what was seen as remarks, and what may be added as lines to uncomment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from cockpit.initial.answers import Answers, Pooler, Server
from cockpit.initial.proposals import App, Proposals
from cockpit.initial.telling import facts
from cockpit.initial.toml import listed, quoted, remark
from cockpit.model.text import plain
from cockpit.systems.postgres.survey import Survey

UNSEEN = 30
"""Roles without a session that are named; there may be one for each employee."""

HEAD = """\
# Written by `cockpit init`. Check it, and fill in what it could not know. Nothing here has to be guessed right: a mistake is told with
# its line, and what does not fit the servers is a finding of the preflight.
#
{commands}
#
# Relative paths start at this file's folder. Secrets never stand here, only where they are: "env:NAME", a variable of the shell that
# starts the cockpit, or "file:PATH", a file that not everyone can read (mode 0600, or 0640).
"""
PEER = """\
# [{table}.peer]  # how {other}'s subscription reaches {side}, where that is not as above
# host = "10.0.4.7"
# user = "cockpit_replication"
# password = "env:{variable}"
"""
POOLER = """\
# PgBouncer holds its clients while a handover runs; they see no error. Before the first preflight its databases_file has these
# entries, and it knows the user that the cockpit has on blue (auth_file or auth_query):
#   [databases]
{entries}
"""
NO_CHANNEL = """\
# None yet. How apps learn where their database is: PgBouncer, a file, AWS Secrets Manager; config.example.toml shows each.
# [[{pair}.channels]]
# name = "pool-1"
# kind = "pgbouncer"
# databases_file = "/etc/pgbouncer/arp.ini"
# [{pair}.channels.admin]
# host = "pool-1.example"
# port = 6432
# user = "cockpit"
# password = "env:POOL_PASSWORD"
"""
APPS = """\
# role is what the app logs in as; apps that share a role need an application_name each. What is commented out needs your word:
# preflight names every session that no app here claims.
"""


def written(told: Answers, looks: Mapping[str, Survey | str], proposals: Proposals, commands: Iterable[str]) -> str:
    """The file's text. `looks` is, for each side, what was seen or why nothing was; `commands` check the file."""
    parts = (
        HEAD.format(commands="\n".join(remark(f"  {command}") for command in commands)),
        _cockpit(told),
        _pair(told, proposals),
        *(_side(told, side, server, looks[side]) for side, server in told.sides),
        "# --- channels: the ways in which apps learn where their database is\n",
        *_channels(told),
        "# --- apps: whose sessions are whose\n",
        APPS,
        *(_app(_table(told), app, channel) for channel in [_names(told)[0]] for app in proposals.apps),
        _unseen(proposals),
    )
    return "\n".join(part for part in parts if part)


def _table(told: Answers) -> str:
    return f"pairs.{told.pair}"


def _lines(*lines: str) -> str:
    return "".join(f"{line}\n" for line in lines)


def _cockpit(told: Answers) -> str:
    if told.runs is None:
        return _lines("[cockpit]", '# runs = "runs"  # without it: $COCKPIT_RUNS, else ~/.local/state/cockpit/runs')
    return _lines("[cockpit]", f"runs = {quoted(told.runs)}")


def _pair(told: Answers, proposals: Proposals) -> str:
    return _lines(
        f"[{_table(told)}]  # its name is what you type to confirm",
        f"exempt_roles = {listed(proposals.exempt)}  # never fenced: roles that do not write app data (monitoring, backup)",
        'exclude_tables = []  # "schema.table": neither replicated nor compared',
        'sensitive_columns = []  # "schema.table.column", with * for any: differences there are told without their values',
    )


def _side(told: Answers, side: str, server: Server, look: Survey | str) -> str:
    table, other = f"{_table(told)}.{side}", "green" if side == "blue" else "blue"
    seen = [remark(line) for line in (facts(look) if isinstance(look, Survey) else [f"not looked at: {look}"])]
    tls = isinstance(look, Survey) and look.tls
    body = _lines(
        *seen,
        f"[{table}]",
        f"host = {quoted(server.host)}",
        f"port = {server.port}",
        f"database = {quoted(server.database)}",
        f"user = {quoted(server.user)}",
        *_password(server.password),
        f'sslmode = "{"require" if tls else "prefer"}"  # disable, allow, prefer, require, verify-ca, verify-full (the last two with sslrootcert)',
    )
    variable = f"{told.pair.upper()}_{side.upper()}_REPLICATION_PASSWORD"
    return body + PEER.format(table=table, other=other, side=side, variable=variable)


def _password(reference: str | None) -> tuple[str, ...]:
    return (f"password = {quoted(reference)}",) if reference else ('# password = "env:NAME"  # the server asks for none',)


# --- channels -------------------------------------------------------------------------------------------------


def _names(told: Answers) -> tuple[str, ...]:
    """The channels' names, in the file's order; one to be filled in where there is none."""
    pools = tuple(f"pool-{number}" for number, _ in enumerate(told.pooler.consoles, 1)) if told.pooler else ()
    return (*pools, *(("file",) if told.channel_file else ())) or ("CHANNEL",)


def channels(told: Answers) -> int:
    """How many channels the file names."""
    return (len(told.pooler.consoles) if told.pooler else 0) + bool(told.channel_file)


def _channels(told: Answers) -> Iterator[str]:
    table = _table(told)
    if told.pooler:
        yield POOLER.format(entries="\n".join(_entries(told)))
        for name, (host, port) in zip(_names(told), told.pooler.consoles, strict=False):
            yield _pool(table, told, told.pooler, name, host, port)
    if told.channel_file:
        yield _file(table, told.channel_file)
    if not channels(told):
        yield NO_CHANNEL.format(pair=table)


def _entries(told: Answers) -> Iterator[str]:
    """The databases_file as the preflight wants to find it."""
    names = (
        (told.blue.database, told.blue),
        ("cockpit_probe", told.blue),
        ("cockpit_probe_blue", told.blue),
        ("cockpit_probe_green", told.green),
    )
    for name, server in names:
        yield remark(f"  {name} = host={server.host} port={server.port} dbname={server.database}")


def _pool(table: str, told: Answers, pooler: Pooler, name: str, host: str, port: int) -> str:
    return _lines(
        f"[[{table}.channels]]",
        f"name = {quoted(name)}",
        'kind = "pgbouncer"',
        f"databases_file = {quoted(pooler.file)}",
        f"database = {quoted(told.blue.database)}  # the entry that the apps use",
        f"[{table}.channels.admin]",
        f"host = {quoted(host)}",
        f"port = {port}",
        f"user = {quoted(pooler.user)}",
        *_password(pooler.password),
        f"[{table}.channels.probe]  # entries that only the cockpit uses: which server answers through the pooler",
        'name = "cockpit_probe"',
        'blue = "cockpit_probe_blue"',
        'green = "cockpit_probe_green"',
    )


def _file(table: str, path: str) -> str:
    is_json = Path(path).suffix == ".json"
    shape = (
        ('format = "json"', 'keys = { host = "host", port = "port" }  # where in the object each stands: "db.host" is host inside db')
        if is_json
        else ('template = "host={host}\\nport={port}\\n"  # the whole file; also {database}, {user}, {password}',)
    )
    return _lines(
        f"[[{table}.channels]]  # check its shape: preflight says whether it fits the file",
        'name = "file"',
        'kind = "file"',
        f"path = {quoted(path)}",
        *shape,
    )


# --- apps -------------------------------------------------------------------------------------------------------


def _app(table: str, app: App, channel: str) -> str:
    lines = [f"[[{table}.apps]]", f"name = {quoted(app.name)}", f"role = {quoted(app.role)}", f"channel = {quoted(channel)}"]
    if app.application_name is not None:
        lines.append(f"application_name = {quoted(app.application_name)}")
    if app.doubt:
        return _lines(remark(f"{app.seen}; {app.doubt}"), *(f"# {line}" for line in lines))
    return _lines(remark(app.seen), *lines)


def _unseen(proposals: Proposals) -> str:
    if not proposals.unseen:
        return ""
    more = len(proposals.unseen) - UNSEEN
    named = ", ".join(plain(name, 63) for name in proposals.unseen[:UNSEEN])
    return _lines(remark(f"may log in to blue, no session was seen: {named}{f', and {more} more' if more > 0 else ''}"))
