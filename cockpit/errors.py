"""Every error Cockpit can end with. Each says what happened, where, and what to do next, on one line.

CockpitError                    what, where, next; carries its exit code
+-- ConfigError                 a mistake in a config or scenario, before anything ran; exit 2
+-- Refused                     not allowed now; the reason is shown, nothing was done; exit 2
|   +-- Unheard                 this process stood still, and no server says whose the pair is now
|   +-- Flown                   somebody else flies the pair; carries who
|       +-- Superseded          somebody else took the pair up since, and may have left again
+-- NoGo                        preflight or a gate says no; exit 3
+-- LinkError                   a system cannot be reached; carries which one
|   +-- OutcomeUnknown          a request was sent and its answer never came: probe before doing anything else
|   +-- HalfHeard               one side says that the pair is ours, the other says nothing
+-- SystemFault                 a system answered with an error; carries its own code (SQLSTATE, AWS error code)
+-- StepError                   a step of the handover failed; carries the step
|   +-- StepTimeout             its deadline passed
|   +-- VerifyFailed            the two sides are not proven equal
+-- JournalError                the timeline cannot be written or trusted: no further effect may start
    +-- JournalDamaged          a record was changed; named by its number
"""

from __future__ import annotations


class CockpitError(Exception):
    """What happened (`what`), where (`where`) and what to do next (`remedy`), in one line each; never a secret."""

    exit_code = 1

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.remedy = remedy

    @property
    def brief(self) -> str:
        """Where and what, without the remedy."""
        return f"{self.where}: {self.what}" if self.where else self.what

    def __str__(self) -> str:
        return f"{self.brief}; {self.remedy}" if self.remedy else self.brief


class ConfigError(CockpitError):
    exit_code = 2


class Refused(CockpitError):
    exit_code = 2


class Flown(Refused):
    """Somebody else holds the pair's lock. `owner` is how that process named itself; empty where it has just left."""

    def __init__(self, what: str, *, owner: str, where: str = "", remedy: str = "") -> None:
        super().__init__(what, where=where, remedy=remedy)
        self.owner = owner


class Unheard(Refused):
    """No server says whose the pair is, and this process stood still: somebody else may have taken it up meanwhile."""


class Superseded(Flown):
    """Somebody else sat down on the pair after this process did: whatever it left, it is not this process's any more, also when the lock is free."""


class NoGo(CockpitError):
    exit_code = 3


class LinkError(CockpitError):
    """A system could not be reached, or the connection to it broke before anything was sent."""


class OutcomeUnknown(LinkError):
    """Sent, but the answer never came: it may or may not have taken effect. Probe, never repeat blindly."""


class HalfHeard(LinkError):
    """One side says that the pair is this process's; the other cannot be asked, for the reason told, or is `silent` so far."""

    def __init__(self, what: str, *, where: str = "", remedy: str = "", silent: bool) -> None:
        super().__init__(what, where=where, remedy=remedy)
        self.silent = silent


class SystemFault(CockpitError):
    """A system answered with an error. `code` is its own: a SQLSTATE, an AWS error code."""

    def __init__(self, what: str, *, where: str = "", remedy: str = "", code: str = "") -> None:
        super().__init__(what, where=where, remedy=remedy)
        self.code = code


class StepError(CockpitError):
    """A step of the handover failed; `where` is the step's id. `pids` are the sessions that stood in its way, where it knows them."""

    def __init__(self, what: str, *, where: str = "", remedy: str = "", pids: tuple[int, ...] = ()) -> None:
        super().__init__(what, where=where, remedy=remedy)
        self.pids = pids


class StepTimeout(StepError):
    """A step's deadline passed before what it waits for was so."""


class VerifyFailed(StepError):
    """The two sides were not proven equal inside the window."""


class JournalError(CockpitError):
    """The timeline cannot be written: no effect may start whose intent is not on disk."""


class JournalDamaged(JournalError):
    """A record of the timeline is not what was written; `record` is its line number, from 1."""

    def __init__(self, what: str, *, record: int, where: str = "", remedy: str = "") -> None:
        super().__init__(what, where=where, remedy=remedy)
        self.record = record
