"""The config: one environment's pairs, endpoints, apps and channels, from a TOML file to a `Config`.

`load_config` opens nothing but the file itself and the secret files it names. Every mistake is reported as
`file:line: what, and what would be right`, all of them together. The format is shown, with every key, in `config.example.toml`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from cockpit._checks import DbtFile, dbt_lint, dbt_of
from cockpit._mistakes import Checked, Mistakes, dotted
from cockpit._secrets import resolver
from cockpit._texts import Columns, FilePath, Host, Identifier, Name, PairName, Port, SslMode, Table, label, no_nul
from cockpit.errors import ConfigError
from cockpit.model.secret import Secret
from cockpit.model.settings import Approvals, AppSpec, ChannelSpec, Config, Endpoint, PairSpec, SideSpec, Waiver
from cockpit.model.text import plain
from cockpit.places import runs_folder
from cockpit.systems import kinds

__all__ = ["Mistakes", "load_config", "secret_at"]


# --- the file's shape -------------------------------------------------------------


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class _Peer(_Strict):
    """What differs when the other server's subscription connects here."""

    host: Host | None = None
    port: Port | None = None
    database: Identifier | None = None
    user: Identifier | None = None
    password: Secret | None = None
    sslmode: SslMode | None = None
    sslrootcert: FilePath | None = None


class _Side(_Strict):
    host: Host
    port: Port = 5432
    database: Identifier
    user: Identifier
    password: Secret | None = None
    sslmode: SslMode = "prefer"
    sslrootcert: FilePath | None = None
    peer: _Peer = _Peer()


class _App(_Strict):
    name: Name
    role: Identifier
    channel: Name
    application_name: Identifier | None = None


class _Channel(_Strict):
    """Every further key is the kind's own and is checked by it."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True, hide_input_in_errors=True)
    name: Name
    kind: Name


class _Waiver(_Strict):
    check: Name
    object: Annotated[str, StringConstraints(min_length=1), AfterValidator(no_nul)]
    reason: Annotated[str, StringConstraints(min_length=1, max_length=500), AfterValidator(label)]


class _Pair(_Strict):
    blue: _Side
    green: _Side
    apps: tuple[_App, ...] = ()
    channels: tuple[_Channel, ...] = ()
    exempt_roles: tuple[Identifier, ...] = ()
    exclude_tables: tuple[Table, ...] = ()
    sensitive_columns: tuple[Columns, ...] = ()
    waivers: tuple[_Waiver, ...] = ()
    activity_feed: FilePath | None = None


class _Approvals(_Strict):
    users: tuple[Name, ...] = ()
    group: Name | None = None
    folder: FilePath | None = None

    @model_validator(mode="after")
    def _names_somebody(self) -> _Approvals:
        if not self.users and self.group is None:
            raise ValueError("names nobody: add users = [...] or group = ...")
        return self


class _Cockpit(_Strict):
    runs: FilePath | None = None
    approvals: _Approvals | None = None


class _Checks(_Strict):
    dbt: DbtFile | None = None


class _File(_Strict):
    cockpit: _Cockpit = _Cockpit()
    checks: _Checks = _Checks()
    pairs: Annotated[dict[PairName, _Pair], Field(min_length=1)]


def secret_at(reference: str, folder: Path) -> Secret | None:
    """The secret of `reference`, None where its variable is not set; `ValueError` says why there is none, and never repeats what was given."""
    unset: set[str] = set()
    secret = Secret(resolver(folder, os.environ, unset)(reference))
    return None if unset else secret


# --- from the file to the settings ---------------------------------------------------


def load_config(path: Path, environ: Mapping[str, str] | None = None, unset: set[str] | None = None) -> Config:
    """The config at `path`, complete and consistent. `Mistakes` (a `ConfigError`, exit 2) lists everything that is wrong with it.

    Secrets are resolved from `environ` (the process's own by default) and from files relative to the config's folder. With `unset`, a
    variable that is not set is no mistake: its name is put there."""
    env = os.environ if environ is None else environ
    checked = Checked(path)
    folder = path.absolute().parent
    context = {"secret": resolver(folder, env, unset), "folder": folder}
    file = checked.validated(_File, checked.content, (), context)
    options = _all_options(checked, context, folder)
    _cross_check(checked)
    checked.done()
    if file is None:
        raise ConfigError("the config has no usable content", where=plain(path))
    return _config(file, options, checked, folder, env)


Options = Mapping[tuple[str, int], Mapping[str, object]]


def _config(file: _File, options: Options, checked: Checked, folder: Path, env: Mapping[str, str]) -> Config:
    runs = folder / Path(file.cockpit.runs).expanduser() if file.cockpit.runs else runs_folder(env)
    return Config(
        pairs={name: _pair(name, pair, options, folder) for name, pair in file.pairs.items()},
        runs=str(runs),
        digest=hashlib.sha256(checked.document.text.encode()).hexdigest(),
        path=str(checked.path.absolute()),
        approvals=_approvals(file.cockpit.approvals, folder),
        dbt=dbt_of(file.checks.dbt, folder),
    )


def _approvals(said: _Approvals | None, folder: Path) -> Approvals | None:
    if said is None:
        return None
    return Approvals(said.users, said.group, str(folder / Path(said.folder).expanduser()) if said.folder else None)


def _pair(name: str, pair: _Pair, options: Options, folder: Path) -> PairSpec:
    return PairSpec(
        name=name,
        blue=_side(pair.blue, folder),
        green=_side(pair.green, folder),
        apps=tuple(AppSpec(app.name, app.role, app.channel, app.application_name) for app in pair.apps),
        channels=tuple(ChannelSpec(ch.name, ch.kind, options[name, number]) for number, ch in enumerate(pair.channels)),
        exempt_roles=pair.exempt_roles,
        exclude_tables=pair.exclude_tables,
        sensitive_columns=pair.sensitive_columns,
        waivers=tuple(Waiver(w.check, w.object, w.reason) for w in pair.waivers),
        activity_feed=str(folder / Path(pair.activity_feed).expanduser()) if pair.activity_feed else None,
    )


def _side(side: _Side, folder: Path) -> SideSpec:
    peer = side.peer
    control = Endpoint(
        host=side.host,
        port=side.port,
        database=side.database,
        user=side.user,
        password=side.password,
        sslmode=side.sslmode,
        sslrootcert=str(folder / Path(side.sslrootcert).expanduser()) if side.sslrootcert else None,
    )
    return SideSpec(control, _seen_by_peer(control, peer))


def _seen_by_peer(control: Endpoint, peer: _Peer) -> Endpoint:
    """A peer's certificate path is one on the other server's disk, so it is taken as it is and never inherited.

    Neither is the password when the peer names another user: it would be the wrong one."""
    same_user = peer.user is None or peer.user == control.user
    return Endpoint(
        host=peer.host or control.host,
        port=peer.port or control.port,
        database=peer.database or control.database,
        user=peer.user or control.user,
        password=peer.password or (control.password if same_user else None),
        sslmode=peer.sslmode or control.sslmode,
        sslrootcert=peer.sslrootcert,
    )


# --- reading the raw content where it has the right shape, so that one mistake never hides another ------


def _dict(item: object, key: str) -> dict[str, object]:
    found = item.get(key) if isinstance(item, dict) else None
    return found if isinstance(found, dict) else {}


def _dicts(item: object, key: str) -> list[tuple[int, dict[str, object]]]:
    found = item.get(key) if isinstance(item, dict) else None
    return [(n, entry) for n, entry in enumerate(found) if isinstance(entry, dict)] if isinstance(found, list) else []


def _text(item: dict[str, object], key: str) -> str | None:
    found = item.get(key)
    return found if isinstance(found, str) else None


def _all_options(checked: Checked, context: Mapping[str, object], folder: Path) -> Options:
    found: dict[tuple[str, int], Mapping[str, object]] = {}
    for name, pair in _dict(checked.content, "pairs").items():
        for number, channel in _dicts(pair, "channels"):
            path = ("pairs", name, "channels", number)
            kind = _text(channel, "kind")
            if kind and (model := _options_model(checked, kind, path)):
                own = {key: value for key, value in channel.items() if key not in ("name", "kind")}
                valid = checked.validated(model, own, path, context)
                found[name, number] = _anchored(valid, folder) if valid else {}
    return found


def _anchored(options: BaseModel, folder: Path) -> dict[str, object]:
    """The options, their relative paths starting at the config's folder."""
    return {name: _anchor(value, folder) for name, value in options}


def _anchor(value: object, folder: Path) -> object:
    if isinstance(value, Path):
        return folder / value.expanduser()
    return value.model_copy(update=_anchored(value, folder)) if isinstance(value, BaseModel) else value


def _options_model(checked: Checked, kind: str, path: tuple[str | int, ...]) -> type[BaseModel] | None:
    try:
        return kinds.load(kind).options
    except ConfigError as err:
        checked.add((*path, "kind"), f"{dotted((*path, 'kind'))}: {plain(err, 300)}")
    except Exception as err:  # a kind may come from any package
        checked.add((*path, "kind"), f"{dotted((*path, 'kind'))}: the kind {plain(kind)} cannot be loaded: {plain(err, 200)}")
    return None


# --- what must agree across keys ------------------------------------------------------


def _cross_check(checked: Checked) -> None:
    dbt_lint(checked, _dict(_dict(checked.content, "checks"), "dbt"), tuple(_dict(checked.content, "pairs")))
    for name, pair in _dict(checked.content, "pairs").items():
        if isinstance(pair, dict):
            for rule in _RULES:
                rule(checked, ("pairs", name), pair)


Path2 = tuple[str, str]


def _two_servers(checked: Checked, path: Path2, pair: dict[str, object]) -> None:
    blue, green = _dict(pair, "blue"), _dict(pair, "green")
    if not blue.get("host") or not green.get("host"):
        return
    if (blue.get("host"), blue.get("port", 5432)) == (green.get("host"), green.get("port", 5432)):
        checked.add((*path, "green", "host"), f"{dotted(path)}: blue and green are the same server: they must differ in host or port")


def _certificates(checked: Checked, path: Path2, pair: dict[str, object]) -> None:
    for side in ("blue", "green"):
        here = _dict(pair, side)
        peer = _dict(here, "peer")
        if _verifies(here) and not here.get("sslrootcert"):
            checked.add(
                (*path, side, "sslmode"), f"{dotted((*path, side))}: this sslmode needs sslrootcert, the file of the authority to trust"
            )
        if _verifies(peer or here, here) and not peer.get("sslrootcert"):
            where = (*path, side, "peer", "sslmode") if "sslmode" in peer else (*path, side, "sslmode")
            checked.add(
                where, f"{dotted((*path, side, 'peer'))}: this sslmode needs peer.sslrootcert, the authority's file on the other server"
            )


def _verifies(table: dict[str, object], fallback: dict[str, object] | None = None) -> bool:
    return str(table.get("sslmode", (fallback or {}).get("sslmode", ""))).startswith("verify-")


def _unique_names(checked: Checked, path: Path2, pair: dict[str, object]) -> None:
    for group in ("apps", "channels"):
        first: dict[str, int] = {}
        for number, entry in _dicts(pair, group):
            name = _text(entry, "name")
            if name is None:
                continue
            if name in first:
                line = checked.line((*path, group, first[name], "name"))
                here = (*path, group, number, "name")
                checked.add(here, f"{dotted(here)}: {plain(name, 80)} is taken on line {line}: give each its own name")
            first.setdefault(name, number)


def _known_channels(checked: Checked, path: Path2, pair: dict[str, object]) -> None:
    names = {name: None for _, channel in _dicts(pair, "channels") if (name := _text(channel, "name"))}
    for number, app in _dicts(pair, "apps"):
        channel = _text(app, "channel")
        if channel is not None and channel not in names:
            here = (*path, "apps", number, "channel")
            known = ", ".join(plain(name, 80) for name in names) or "none yet: add a [[channels]]"
            checked.add(here, f"{dotted(here)}: no channel is named {plain(channel, 80)}; there is {known}")


def _told_apart(checked: Checked, path: Path2, pair: dict[str, object]) -> None:
    by_role: dict[str, list[tuple[int, dict[str, object]]]] = {}
    for number, app in _dicts(pair, "apps"):
        if role := _text(app, "role"):
            by_role.setdefault(role, []).append((number, app))
    for sharing in by_role.values():
        seen: set[object] = set()
        for number, app in sharing if len(sharing) > 1 else ():
            label = app.get("application_name")
            if label is None or label in seen:
                here = (*path, "apps", number)
                checked.add(here, f"{dotted(here)} shares its role: give each app of that role its own application_name")
            seen.add(label)


def _own_roles(checked: Checked, path: Path2, pair: dict[str, object]) -> None:
    """The fence takes the apps' roles: it must not take the cockpit's, and no app may be exempt from it."""
    ours = {user for side in ("blue", "green") for table in _users(pair, side) if (user := _text(table, "user"))}
    exempt = pair.get("exempt_roles")
    for number, app in _dicts(pair, "apps"):
        role, here = _text(app, "role"), (*path, "apps", number, "role")
        if role in ours:
            checked.add(
                here, f"{dotted(here)} is the role the cockpit itself uses, and would be fenced out: give the app a role of its own"
            )
        if isinstance(exempt, list) and role in exempt:
            checked.add(here, f"{dotted(here)} is also in exempt_roles, so its writes could not be fenced: take it out of there")


def _users(pair: dict[str, object], side: str) -> tuple[dict[str, object], dict[str, object]]:
    here = _dict(pair, side)
    return here, _dict(here, "peer")


_RULES: tuple[Callable[[Checked, Path2, dict[str, object]], None], ...] = (
    _two_servers,
    _certificates,
    _unique_names,
    _known_channels,
    _told_apart,
    _own_roles,
)
