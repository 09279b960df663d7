"""AWS Secrets Manager: a secret with one version for each side, and the label AWSCURRENT that says which one apps get.

Both versions are made before the window and carry labels of their own (COCKPIT_BLUE, COCKPIT_GREEN), because a version without a
label may be deleted by AWS. A route moves AWSCURRENT by version ids, which AWS refuses when the label is not where it is said to
be: a compare-and-set. Probes read labels only, never the secret ("UpdateSecretVersionStage", "DescribeSecret", API reference).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from cockpit.errors import CockpitError, SystemFault
from cockpit.handover.ports import Action, Probe
from cockpit.model.events import Evidence, FindingSeen
from cockpit.model.plan import Statement
from cockpit.model.secret import Secret
from cockpit.model.settings import ChannelSpec, PairSpec, Tuning
from cockpit.model.text import plain
from cockpit.model.words import Severity, Side
from cockpit.systems.aws.client import AwsClient
from cockpit.systems.desired import Desired, seen
from cockpit.systems.kinds import Kind

CURRENT = "AWSCURRENT"
LABELS = {Side.BLUE: "COCKPIT_BLUE", Side.GREEN: "COCKPIT_GREEN"}
MOST_VERSIONS = 90
"""AWS keeps about 100 versions and does not remove those younger than a day."""


class Values(BaseModel):
    """What differs for a side; what is left out stays as it is in the secret, `host` and `port` are the server's own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str | None = None
    port: int | None = Field(default=None, ge=1, le=65535)
    username: str | None = None
    password: Secret | None = None
    dbname: str | None = None


class Options(BaseModel):
    """Without keys the default chain of AWS gives the credentials. `deadline` and `attempt` are seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    secret_id: str
    region: str | None = None
    endpoint_url: str | None = None
    access_key_id: Secret | None = None
    secret_access_key: Secret | None = None
    session_token: Secret | None = None
    blue: Values = Values()
    green: Values = Values()
    deadline: float = Field(default=8.0, gt=0)
    attempt: float = Field(default=2.0, gt=0)
    attempts: int = Field(default=4, ge=1, le=10)


@dataclass(frozen=True, slots=True)
class Labels:
    """Where the labels are: version ids."""

    current: str | None
    sides: dict[Side, str]
    versions: int

    @classmethod
    def of(cls, described: dict[str, Any]) -> Labels:
        at = {label: version for version, labels in described.get("VersionIdsToStages", {}).items() for label in labels}
        sides = {side: at[label] for side, label in LABELS.items() if label in at}
        return cls(at.get(CURRENT), sides, len(described.get("VersionIdsToStages", {})))

    @property
    def side(self) -> Side | None:
        """The side that AWSCURRENT is on."""
        return next((side for side, version in self.sides.items() if version == self.current), None)

    @property
    def evidence(self) -> Evidence:
        return {CURRENT: self.current, **{LABELS[side]: version for side, version in self.sides.items()}}


class SecretChannel:
    """`Channel` on one secret."""

    def __init__(self, name: str, pair: PairSpec, options: Options, aws: AwsClient | None = None) -> None:
        self._name = name
        self.options = options
        self._fields = {side: _fields(pair, options, side) for side in Side}
        self._known: Labels | None = None
        """As they were when this process last staged, saw it staged or routed: what a route compares with. None after any error."""
        self._aws = aws or AwsClient(
            "secretsmanager", f"secret {name}", region=options.region, endpoint_url=options.endpoint_url,
            access_key_id=options.access_key_id, secret_access_key=options.secret_access_key, session_token=options.session_token,
            deadline_s=options.deadline, try_s=options.attempt, tries=options.attempts,
        )  # fmt: skip

    @property
    def name(self) -> str:
        return self._name

    async def open(self) -> None:
        """The client is made and its connection warm."""
        await self._aws.open()
        await self._labels()

    async def close(self) -> None:
        await self._aws.close()

    # --- stage --------------------------------------------------------------------

    def stage(self) -> Action:
        """Both versions exist, each with the fields of its side and its label; AWSCURRENT is where it was."""

        async def look() -> Probe:
            labels = await self._labels()
            both = len(labels.sides) == 2 and labels.side is not None
            self._known = labels if both else None
            return seen(both, **labels.evidence)

        texts = [
            f"PutSecretValue {self.options.secret_id} VersionStages=[{LABELS[side]}] (where no version has it) {self._shown(side)}"
            for side in Side
        ]
        return self._desired(f"stage {self.name}", look, self._stage, *texts)

    async def _stage(self) -> Evidence:
        labels = await self._labels()
        if labels.current is None:
            raise SystemFault(f"no version is {CURRENT}", where=self._where, remedy="look at the secret's versions", code="conflict")
        now = await self._value(labels.current)
        for side in Side:
            await self._stage_side(side, labels, now)
        self._known = labels = await self._labels()
        return labels.evidence

    async def _stage_side(self, side: Side, labels: Labels, now: dict[str, Any]) -> None:
        """The version that apps have now serves as this side's where it says the same; else a new one is put."""
        had, current = labels.sides.get(side), labels.current or ""
        before = None if had is None else now if had == current else await self._value(had)
        wanted = self._wanted(side, now, before)
        if before == wanted:
            return
        if now == wanted:
            move = {"RemoveFromVersionId": had} if had else {}
            await self._call("update_secret_version_stage", effect=True, VersionStage=LABELS[side], MoveToVersionId=current, **move)
            return
        await self._put(side, current, wanted)

    def _wanted(self, side: Side, now: dict[str, Any], before: dict[str, Any] | None) -> dict[str, Any]:
        """What apps have now, with this side's fields. A field that only the other side gives is this side's own of `before`."""
        own = self._fields[side]
        source = now if before is None and self._named(now) is side else before
        wanted = dict(now)
        for key in self._fields[side.other].keys() - own.keys():
            if source is None:
                raise SystemFault(f"nothing says {side}'s {key}", where=self._where, remedy=f"give {key} for {side} in this channel")
            wanted.pop(key, None)
            wanted |= {key: source[key]} if key in source else {}
        return _with(wanted, own)

    def _named(self, value: dict[str, Any]) -> Side | None:
        """The side whose address a value has."""
        told = (side for side in Side if all(str(value.get(key)) == str(self._fields[side][key]) for key in ("host", "port")))
        return next(told, None)

    async def _put(self, side: Side, base: str, wanted: dict[str, Any]) -> None:
        """A version made once: its id is told from what is public in it, so that a repeated request makes no second one."""
        text = json.dumps(wanted)
        for turn in range(5):
            token = self._token(side, base, turn)
            try:
                await self._call("put_secret_value", effect=True, ClientRequestToken=token, SecretString=text, VersionStages=[LABELS[side]])
            except SystemFault as err:
                if err.code != "ResourceExistsException":
                    raise
                continue  # the same public part with another password
            return
        raise SystemFault(f"no free version id for {LABELS[side]}", where=self._where, remedy="remove the label from old versions")

    def _token(self, side: Side, base: str, turn: int) -> str:
        public = {key: value for key, value in self._fields[side].items() if key != "password"}
        text = json.dumps(["cockpit", self.options.secret_id, side, base, public, turn], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    # --- route --------------------------------------------------------------------

    def route(self, side: Side) -> Action:
        async def look() -> Probe:
            labels = await self._labels()
            return seen(labels.side is side, **labels.evidence)

        async def make() -> Evidence:
            return await self._route(side)

        to, origin = (self._version(s) for s in (side, side.other))
        text = f"UpdateSecretVersionStage {self.options.secret_id} {CURRENT} MoveToVersionId={to} RemoveFromVersionId={origin}"
        return self._desired(f"route {self.name} to {side}", look, make, text)

    async def _route(self, side: Side) -> Evidence:
        """One request where nobody interfered: the ids are those that were staged, and AWS compares."""
        known, self._known = self._known or await self._labels(), None
        if len(known.sides) < 2:
            raise SystemFault("its versions are not staged", where=self._where, remedy="stage first", code="not-staged")
        to, origin = known.sides[side], known.sides[side.other]
        refused = None if to == origin else await self._move(to, origin)
        seen = await self._labels()
        if seen.current != to:
            raise self._interfered(refused, known, seen)
        self._known = seen
        return seen.evidence

    async def _move(self, to: str, origin: str) -> SystemFault | None:
        """The label was moved, or what AWS had against it."""
        move = {"VersionStage": CURRENT, "MoveToVersionId": to, "RemoveFromVersionId": origin}
        try:
            await self._call("update_secret_version_stage", effect=True, **move)
        except SystemFault as err:
            return err
        return None

    def _interfered(self, err: SystemFault | None, before: Labels, seen: Labels) -> SystemFault:
        """What AWS refused; where the labels are not what they were, who to look for."""
        moved = (seen.sides, seen.current) != (before.sides, before.current)
        if not moved and seen.side is not None and err is not None:
            return err
        what = f"somebody moved its labels: {_show(before)} when staged, now {_show(seen)}"
        return SystemFault(what, where=self._where, remedy="find out who (rotation, a deployment), then stage again", code="conflict")

    async def intended(self) -> Side | None:
        """By the labels; where nothing is staged yet, by the address in the version that apps have."""
        labels = await self._labels()
        if len(labels.sides) == 2 or labels.current is None:
            return labels.side
        return self._named(await self._value(labels.current))

    # --- preflight ----------------------------------------------------------------

    async def preflight(self) -> tuple[FindingSeen, ...]:
        query = f"DescribeSecret {self.options.secret_id}"
        try:
            described = await self._call("describe_secret")
            side = await self.intended()
        except CockpitError as err:
            return (
                FindingSeen(
                    "P8", self.name, Severity.BLOCK, str(err), query, "check the secret's name, region and the credentials' rights"
                ),
            )
        found = [(check, severity, what, remedy) for check, severity, what, remedy in _findings(described, Labels.of(described), side)]
        return tuple(FindingSeen(check, self.name, severity, what, query, remedy) for check, severity, what, remedy in found)

    # --- asking -------------------------------------------------------------------

    @property
    def _where(self) -> str:
        return f"secret {self.name}"

    async def _labels(self) -> Labels:
        return Labels.of(await self._call("describe_secret"))

    async def _value(self, version: str) -> dict[str, Any]:
        answer = await self._call("get_secret_value", VersionId=version)
        try:
            value = json.loads(answer.get("SecretString") or "")
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise SystemFault("its value is no JSON object", where=self._where, remedy="only secrets in the database form can be routed")
        return value

    async def _call(self, operation: str, *, effect: bool = False, **request: Any) -> dict[str, Any]:
        return await self._aws.call(operation, effect=effect, SecretId=self.options.secret_id, **request)

    def _version(self, side: Side) -> str:
        known = self._known.sides.get(side) if self._known else None
        return known or f"<{LABELS[side]}>"

    def _shown(self, side: Side) -> str:
        return json.dumps({key: "•••" if key == "password" else value for key, value in self._fields[side].items()}, ensure_ascii=False)

    def _desired(self, name: str, look: Callable[[], Awaitable[Probe]], make: Callable[[], Awaitable[Evidence]], *texts: str) -> Desired:
        return Desired(name, tuple(Statement("aws", text) for text in texts), look, make)


def _with(now: dict[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
    """`now` with the side's fields; a port that is text stays text, because apps parse what they are used to."""
    return now | {key: str(value) if isinstance(now.get(key), str) else value for key, value in fields.items()}


def _show(labels: Labels) -> str:
    return ", ".join(f"{label} on {version or 'nothing'}" for label, version in labels.evidence.items())


def _findings(described: dict[str, Any], labels: Labels, side: Side | None) -> list[tuple[str, Severity, str, str]]:
    """Check, severity, what was seen, remedy."""
    found = [
        ("P8", Severity.GOOD, f"{CURRENT} names {side}", "")
        if side
        else ("P8", Severity.BLOCK, f"{CURRENT} names neither blue nor green: {_show(labels)}", "find out who moved it, then stage again")
    ]
    if not labels.sides:
        found.append(("P8", Severity.GOOD, "its versions are not staged yet: arming stages them", ""))
    elif len(labels.sides) < 2:
        found.append(("P8", Severity.WARN, "only one of its two versions is staged: somebody moved a label", "arming stages both"))
    if described.get("RotationEnabled"):
        when = described.get("NextRotationDate")
        soon = not isinstance(when, datetime) or when < datetime.now(UTC) + timedelta(days=1)
        found.append(
            (
                "P8",
                Severity.BLOCK if soon else Severity.WARN,
                f"rotation is on, next {when or 'unknown'}",
                "switch rotation off for the move",
            )
        )
    if owner := described.get("OwningService"):
        found.append(
            ("P10", Severity.BLOCK, f"managed by {plain(owner, 80)}", "AWS refuses changes to it: give the app a secret of its own")
        )
    if described.get("DeletedDate"):
        found.append(("P8", Severity.BLOCK, "it is scheduled for deletion", "restore it"))
    if labels.versions >= MOST_VERSIONS:
        found.append(("P8", Severity.WARN, f"{labels.versions} versions", "AWS refuses new ones at about 100"))
    lagging = [plain(r.get("Region", "?"), 40) for r in described.get("ReplicationStatus", []) if r.get("Status") != "InSync"]
    if lagging:
        found.append(("P8", Severity.WARN, f"replicas not in sync: {', '.join(lagging)}", "wait, or look at the replication's error"))
    return found


def _fields(pair: PairSpec, options: Options, side: Side) -> dict[str, Any]:
    given, control = options.blue if side is Side.BLUE else options.green, pair.side(side).control
    password = given.password.reveal() if given.password else None
    found = {"host": given.host or control.host, "port": given.port or control.port}
    more = {"username": given.username, "password": password, "dbname": given.dbname}
    return found | {key: value for key, value in more.items() if value is not None}


def _make(spec: ChannelSpec, pair: PairSpec, options: BaseModel, tuning: Tuning) -> SecretChannel:
    assert isinstance(options, Options)
    return SecretChannel(spec.name, pair, options)


KIND = Kind(options=Options, make=_make)
