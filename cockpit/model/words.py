"""The closed vocabularies: sides, directions, lights, verdicts, outcomes."""

from __future__ import annotations

from enum import StrEnum


class Side(StrEnum):
    """One of a pair's two servers: `blue` is the legacy one, `green` the new one."""

    BLUE = "blue"
    GREEN = "green"

    @property
    def other(self) -> Side:
        return Side.GREEN if self is Side.BLUE else Side.BLUE

    @property
    def letter(self) -> str:
        return self.value[0].upper()


class Direction(StrEnum):
    """A cutover hands the service from blue to green, a rollback from green to blue. The procedure is the same."""

    CUTOVER = "cutover"
    ROLLBACK = "rollback"

    @property
    def origin(self) -> Side:
        """The side that serves before the handover (`from` in the procedure)."""
        return Side.BLUE if self is Direction.CUTOVER else Side.GREEN

    @property
    def target(self) -> Side:
        """The side that serves after the handover (`to` in the procedure)."""
        return self.origin.other

    @staticmethod
    def away_from(serving: Side) -> Direction:
        return Direction.CUTOVER if serving is Side.BLUE else Direction.ROLLBACK


class Light(StrEnum):
    """A gate's reading. Missing or stale data is `unknown`, and `unknown` holds."""

    PASS = "pass"
    FAIL = "fail"
    UNKNOWN = "unknown"


class Known(StrEnum):
    """What a probe found of a desired state: the world is so, is not so, or cannot be seen."""

    DONE = "done"
    PENDING = "pending"
    UNKNOWN = "unknown"


class StepState(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class Consent(StrEnum):
    """How far the second person's agreement to a handover is."""

    ASKED = "asked"
    """Waited for: nothing flies."""
    GIVEN = "given"
    """It stands until it is used, expires, or what it rests on changes."""
    REJECTED = "rejected"
    EXPIRED = "expired"
    """Not given in time, not used in time, or void."""


class Outcome(StrEnum):
    """How a handover ended. `aborted`: the side it started from serves. `stuck`: past the point of no return, a person decides."""

    DONE = "done"
    ABORTED = "aborted"
    STUCK = "stuck"


class Mode(StrEnum):
    """What the pilot is doing: it decides which intents fit."""

    OPENING = "opening"
    """Connecting, probing, setting up replication."""
    READY = "ready"
    """Panes live, nothing armed; the serving side serves."""
    ARMING = "arming"
    """The arm step runs: reverse path tested, gates held."""
    ARMED = "armed"
    """Every gate held; waits for the typed name, for a bounded time."""
    WINDOW = "window"
    """The handover runs and the point of no return is not passed."""
    LANDING = "landing"
    """Past the point of no return, the tail of the handover runs."""
    ABORTING = "aborting"
    """Converging to "the side it started from serves"."""
    STUCK = "stuck"
    """A handover could not finish by itself; a person decides."""
    CLOSED = "closed"
    """The run has ended; its folder is complete."""


class Verdict(StrEnum):
    """Where an app's sessions really are, against where its channel says it goes."""

    ROUTED = "routed"
    STRAGGLER = "straggler"
    """Sessions only on the side it should have left."""
    DUAL = "dual"
    """Sessions on both sides."""
    DARK = "dark"
    """No session on either side."""
    STRANGER = "stranger"
    """Sessions that no configured app explains."""
    UNKNOWN = "unknown"
    """The sessions of one side could not be read, or the reading is old."""


class Severity(StrEnum):
    """A preflight finding blocks, warns, or is good."""

    BLOCK = "block"
    WARN = "warn"
    GOOD = "good"


class ProofState(StrEnum):
    """A table's standing in reconciliation. `unverifiable` always comes with its reason."""

    PENDING = "pending"
    SCANNING = "scanning"
    EQUAL = "equal"
    DIRTY = "dirty"
    """Was equal; rows changed since and are not yet proven again."""
    HOT = "hot"
    """Changes faster than it can be read; proven inside the window."""
    DIFFERS = "differs"
    UNVERIFIABLE = "unverifiable"


class Exactness(StrEnum):
    EXACT = "exact"
    COUNT = "count"
    NONE = "none"
