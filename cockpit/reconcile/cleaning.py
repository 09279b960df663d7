"""Taking the tap away from a side, as a desired state."""

from __future__ import annotations

from cockpit.errors import LinkError, SystemFault
from cockpit.handover.ports import Probe
from cockpit.model.events import Evidence
from cockpit.model.plan import Statement
from cockpit.model.settings import Endpoint
from cockpit.model.words import Known, Side
from cockpit.reconcile.sessions import Line
from cockpit.reconcile.taps import any_run, remains, removal, remove


class Gone:
    """No slot and no publication of the pair's taps is left on the side, whichever run made them."""

    def __init__(self, side: Side, endpoint: Endpoint, tap: str) -> None:
        self._side = side
        self._endpoint = endpoint
        self._tap = tap

    @property
    def name(self) -> str:
        return f"reconciliation gone from {self._side}"

    def describe(self) -> tuple[Statement, ...]:
        return removal(self._side, self._tap)

    async def probe(self) -> Probe:
        """What is left, by name; unknown where the side cannot be read."""
        line = Line(self._side, self._endpoint)
        try:
            left = await remains(line, any_run(self._tap))
        except (LinkError, SystemFault) as err:
            return Probe(Known.UNKNOWN, {"why": str(err)})
        finally:
            await line.close()
        return Probe(Known.PENDING if left else Known.DONE, {"left": left})

    async def apply(self) -> Evidence:
        """Removed, also where only a part was left. `SystemFault` while another process reads the slot."""
        line = Line(self._side, self._endpoint, writes=True)
        try:
            await remove(line, any_run(self._tap))
            return {"left": await remains(line, any_run(self._tap))}
        finally:
            await line.close()
