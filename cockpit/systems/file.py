"""A file that apps read when they connect: a template filled in for a side, or a JSON object of which some keys are changed.

Replaced as a whole (see `replacing`, also for symbolic links). A file system has no compare-and-set: the text is read again and
compared with the one last seen right before the rename, which leaves a few microseconds open.
"""

from __future__ import annotations

import json
import re
import string
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from cockpit.errors import ConfigError, SystemFault
from cockpit.handover.ports import Action, Probe
from cockpit.model.events import Evidence, FindingSeen
from cockpit.model.plan import Statement
from cockpit.model.secret import Secret
from cockpit.model.settings import ChannelSpec, PairSpec, Tuning
from cockpit.model.words import Severity, Side
from cockpit.systems import replacing
from cockpit.systems.desired import Desired, seen
from cockpit.systems.kinds import Kind

FIELDS = ("host", "port", "database", "user", "password")


class Values(BaseModel):
    """What is written for a side; `host`, `port` and `database` are the server's own where they are left out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str | None = None
    port: int | None = Field(default=None, ge=1, le=65535)
    database: str | None = None
    user: str | None = None
    password: Secret | None = None


class Options(BaseModel):
    """`template` is the whole file with `{host}`, `{port}`, `{database}`, `{user}`, `{password}` where they belong; for `json`, `keys`
    says where in the object each of these stands (`db.host` is `host` inside `db`), and everything else in it is kept."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: replacing.ConfigPath
    format: Literal["template", "json"] = "template"
    template: str = "host={host}\nport={port}\n"
    keys: dict[str, str] = Field(default_factory=lambda: {"host": "host", "port": "port"})
    blue: Values = Values()
    green: Values = Values()
    deadline: float = Field(default=3.0, gt=0)


class FileChannel:
    """`Channel` on one file."""

    def __init__(self, name: str, pair: PairSpec, options: Options) -> None:
        self._name = name
        self.options = options
        self._values = {side: _values(pair, options, side) for side in Side}
        self._prepared = replacing.Prepared(options.path)
        self._desk = replacing.Desk(f"file {name}", options.deadline)
        self._seen = ""
        """Digest of the content that was last looked at on purpose."""
        _check(name, options, self._values)

    @property
    def name(self) -> str:
        return self._name

    async def open(self) -> None:
        self._seen = replacing.digest(await self._desk.do(self._read))

    async def close(self) -> None:
        await self._desk.do(self._prepared.clear)

    def stage(self) -> Action:
        """Both sides' texts lie beside the file, on disk."""

        async def look() -> Probe:
            return await self._desk.do(self._staged)

        async def make() -> Evidence:
            return await self._desk.do(self._stage)

        texts = [f"write {side}'s text beside {self.options.path}:\n{self._shown(side)}" for side in Side]
        return Desired(f"stage {self.name}", tuple(Statement(self._where, text) for text in texts), look, make)

    def route(self, side: Side) -> Action:
        async def look() -> Probe:
            found = await self.intended()
            return seen(found is side, names=str(found))

        async def make() -> Evidence:
            return await self._desk.do(lambda: self._route(side))

        text = f"replace {self.options.path} where its content is the one last seen:\n{self._shown(side)}"
        return Desired(f"route {self.name} to {side}", (Statement(self._where, text),), look, make)

    async def intended(self) -> Side | None:
        return self._names(await self._desk.do(self._read))

    async def preflight(self) -> tuple[FindingSeen, ...]:
        query, path = f"read {self.options.path}", self.options.path
        try:
            side = await self.intended()
        except SystemFault as err:
            return (FindingSeen("P8", self.name, Severity.BLOCK, str(err), query, "name the file that the apps read"),)
        why = await self._desk.do(lambda: replacing.can_replace(path))
        named = FindingSeen(
            "P8", self.name, Severity.GOOD if side else Severity.BLOCK, f"names {side or 'neither blue nor green'}", query,
            "" if side else "make the file and this channel's `template` or `keys` agree",
        )  # fmt: skip
        writable = FindingSeen(
            "P8", self.name, Severity.BLOCK if why else Severity.GOOD, f"cannot be replaced: {why}" if why else "can be replaced",
            f"write beside {path}", "let the cockpit's user write in its folder and give the file its owner" if why else "",
        )  # fmt: skip
        return (named, writable)

    # --- on a thread ------------------------------------------------------------------

    def _read(self) -> bytes:
        return replacing.read(self.options.path)

    def _staged(self) -> Probe:
        now = self._read()
        known = all(self._names(now) is side or self._prepared.staged(side, self._text(side, now)) for side in Side)
        return seen(known, path=str(self.options.path))

    def _stage(self) -> Evidence:
        now = self._read()
        for side in Side:
            self._prepared.stage(side, self._text(side, now))
        self._seen = replacing.digest(now)
        return {"path": str(self.options.path), "digest": self._seen[:12]}

    def _route(self, side: Side) -> Evidence:
        now = self._read()
        if self._names(now) is not side:
            self._compare(now)
            text = self._text(side, now)
            self._prepared.put(side, text)
            replacing.sync_folder(replacing.real(self.options.path).parent)
            self._seen = replacing.digest(text)
        return {"path": str(self.options.path), "names": str(side)}

    def _compare(self, now: bytes) -> None:
        found, before = replacing.digest(now), self._seen
        self._seen = found
        if found != before:
            names = self._names(now) or "neither side"
            what = f"somebody changed it since it was staged (sha256 {before[:12] or 'never read'}, now {found[:12]}, which names {names})"
            raise SystemFault(what, where=self._where, remedy="see who did; the next try takes it as it is now", code="conflict")

    # --- text -------------------------------------------------------------------------

    @property
    def _where(self) -> str:
        return f"file {self.name}"

    def _text(self, side: Side, now: bytes) -> bytes:
        values = self._values[side]
        if self.options.format == "template":
            return self.options.template.format(**values).encode()
        content = self._json(now)
        for field, key in self.options.keys.items():
            _set(content, key.split("."), values[field])
        return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()

    def _shown(self, side: Side) -> str:
        values = self._values[side] | ({"password": "•••"} if self._values[side].get("password") else {})
        if self.options.format == "template":
            return self.options.template.format(**values)
        return json.dumps({key: values[field] for field, key in self.options.keys.items()}, ensure_ascii=False)

    def _names(self, now: bytes) -> Side | None:
        """The side whose address the content has; what a DBA rotates beside it (user, password) does not matter unless it is all there is."""
        found = self._parsed(now)
        differ = [field for field in found if self._values[Side.BLUE][field] != self._values[Side.GREEN][field]]
        telling = [field for field in differ if field in ("host", "port", "database")] or differ
        return next((side for side in Side if telling and all(found[f] == str(self._values[side][f]) for f in telling)), None)

    def _parsed(self, now: bytes) -> dict[str, str]:
        """The side-specific fields that the content has."""
        if self.options.format == "template":
            match = re.fullmatch(_pattern(self.options.template), now.decode("utf-8", "replace").rstrip("\n"))
            return match.groupdict() if match else {}
        content = self._json(now)
        found = {field: _get(content, key.split(".")) for field, key in self.options.keys.items()}
        return {field: str(value) for field, value in found.items() if value is not None}

    def _json(self, now: bytes) -> dict[str, Any]:
        try:
            content = json.loads(now)
        except ValueError:
            raise SystemFault("is no JSON", where=str(self.options.path), remedy="correct the file or this channel's `format`") from None
        if not isinstance(content, dict):
            raise SystemFault("is no JSON object", where=str(self.options.path), remedy="correct the file or this channel's `format`")
        return content


def _values(pair: PairSpec, options: Options, side: Side) -> dict[str, Any]:
    given, control = options.blue if side is Side.BLUE else options.green, pair.side(side).control
    found = {"host": given.host or control.host, "port": given.port or control.port, "database": given.database or control.database}
    return found | {"user": given.user, "password": given.password.reveal() if given.password else None}


def _used(options: Options) -> list[str]:
    if options.format == "json":
        return list(options.keys)
    try:
        return [field for _, field, _, _ in string.Formatter().parse(options.template) if field is not None]
    except ValueError as err:
        raise ConfigError(f"template: {err}", remedy="write {{ and }} for braces") from None


def _check(name: str, options: Options, values: dict[Side, dict[str, Any]]) -> None:
    """`ConfigError` where the text cannot be made, or would be the same for both sides."""
    used = _used(options)
    for field in used:
        if field not in FIELDS:
            raise ConfigError(f"channel {name}: there is no {{{field}}}", remedy=f"one of {', '.join(FIELDS)}")
        for side in Side:
            if values[side][field] is None:
                raise ConfigError(f"channel {name}: {side} gives no {field}", remedy=f"add {field} to {side} of this channel")
    if all(values[Side.BLUE][field] == values[Side.GREEN][field] for field in used):
        raise ConfigError(f"channel {name}: blue and green would be the same text", remedy="let host or port differ, and use it")


def _pattern(template: str) -> str:
    """The template as an expression that finds its fields again."""
    parts, named = [], set[str]()
    for literal, field, _, _ in string.Formatter().parse(template.rstrip("\n")):
        parts.append(re.escape(literal))
        if field is not None:
            parts.append(f"(?P={field})" if field in named else f"(?P<{field}>.+?)")
            named.add(field)
    return "(?s:" + "".join(parts) + ")"


def _get(content: Any, path: list[str]) -> Any:
    for key in path:
        content = content.get(key) if isinstance(content, dict) else None
    return content


def _set(content: dict[str, Any], path: list[str], value: Any) -> None:
    for key in path[:-1]:
        inner = content.get(key)
        content[key] = content = inner if isinstance(inner, dict) else {}
    content[path[-1]] = value


def _make(spec: ChannelSpec, pair: PairSpec, options: BaseModel, tuning: Tuning) -> FileChannel:
    assert isinstance(options, Options)
    return FileChannel(spec.name, pair, options)


KIND = Kind(options=Options, make=_make)
