"""Facts of what was read beside the rows: the scenario's business checks, and in what else both sides differ."""

from __future__ import annotations

from dataclasses import dataclass

from cockpit.model.checks import CheckVerdict
from cockpit.model.checks import Difference as Unequal
from cockpit.model.parity import Difference, NotCarried


@dataclass(frozen=True, slots=True)
class CheckRead:
    """A metric or a spot check was read on both sides, or could not be."""

    name: str
    kind: str
    """`metric` or `spot`."""
    verdict: CheckVerdict
    handover: int
    """The number of the handover after whose landing it was read; 0: by a preflight."""
    groups: int
    """Groups (keys) that were compared."""
    differing: int
    """Of them, those that are not the same on both sides; of a check that moves, at the last look."""
    seconds: float
    looks: int = 1
    title: str = ""
    reason: str = ""
    """Why it was not compared, or moves; what it is within, or was expected."""
    differences: tuple[Unequal, ...] = ()
    """The first of the differing groups with both values."""
    query: str = ""

    @property
    def what(self) -> str:
        """`metric payments_by_month`: its name among all checks."""
        return f"{self.kind} {self.name}"

    @property
    def when(self) -> str:
        return f"after handover {self.handover}" if self.handover else "by the preflight"


@dataclass(frozen=True, slots=True)
class ParityRead:
    """What a preflight found beside the rows. Long lists are cut; the counts are of all."""

    objects: int
    """Objects that were compared."""
    bad: int
    """Differences that change how the database behaves."""
    look: int
    """Differences that may be meant."""
    left: int
    """What replication never carries."""
    differences: tuple[Difference, ...] = ()
    """Those that ask for a person first."""
    not_carried: tuple[NotCarried, ...] = ()


def in_words(read: CheckRead) -> str:
    """A sentence: what was compared, when, with what outcome, and how long it took."""
    return f"{read.what} read {read.when}: {outcome(read)}, in {read.seconds:,.2f} s"


def outcome(read: CheckRead) -> str:
    """`14 groups equal on blue and green`; of a check that differs its first groups with both values."""
    groups = f"{read.groups} group{'s' * (read.groups != 1)}"
    match read.verdict:
        case CheckVerdict.EQUAL:
            return f"{groups} equal on blue and green"
        case CheckVerdict.WITHIN:
            return f"{groups} on blue and green {read.reason}"
        case CheckVerdict.HOT:
            return f"{read.differing} of {groups} moving, the others equal: {read.reason}"
        case CheckVerdict.FAILED:
            return f"not compared: {read.reason}"
    why = f": {read.reason}" if read.reason else ""
    return f"{read.differing} of {groups} DIFFER{why}{f'; {_told(read)}' if read.differences else ''}"


def _told(read: CheckRead, most: int = 3) -> str:
    told = "; ".join(f"{d.key + ': ' if d.key else ''}blue {d.blue}, green {d.green}" for d in read.differences[:most])
    more = read.differing - min(len(read.differences), most)
    return f"{told}; and {more} more" if more > 0 else told
