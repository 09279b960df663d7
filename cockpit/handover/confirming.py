"""The words an armed handover waits for: a second person's, where one must agree, then the lead's. Nothing is touched meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cockpit.errors import StepError
from cockpit.handover.gates import turned
from cockpit.handover.record import Recorder
from cockpit.model import events as ev
from cockpit.model.approvals import approval_missing, approval_void
from cockpit.model.settings import Confirmation
from cockpit.model.state import ApprovalView
from cockpit.model.telemetry import GateReading
from cockpit.model.words import Consent

LOOK_AGAIN_S = 0.02


@dataclass(frozen=True, slots=True)
class Asked:
    """Who armed a handover, and what a second person types to approve it."""

    by: str
    uid: int
    command: str = ""


class Words:
    """What people say to one handover. `given` is the body of its `confirm` step."""

    def __init__(self, recorder: Recorder, readings: Callable[[], Sequence[GateReading]] | None, confirmation: Confirmation) -> None:
        """`readings`: the gates, any of which disarms it when it turns; None where none is asked."""
        self._recorder = recorder
        self._readings = readings
        self._confirmation = confirmation
        self._go = asyncio.Event()
        self._number = 0
        self._asked = Asked("", -1)

    def ask_of(self, number: int, asked: Asked) -> None:
        """Handover `number` was armed by `asked`."""
        self._number, self._asked = number, asked

    def go(self) -> None:
        """The lead confirmed; without effect while a second person's approval is missing."""
        if not self._missing():
            self._go.set()

    async def given(self) -> ev.Evidence:
        """A second person approved it, where one must, and the lead said go after that; a gate that turns, a stop or an expiry ends it."""
        approved: dict[str, object] = {}
        if self._confirmation.second:
            approved = await self._approved()
        await self._while_armed(self._go.is_set, self._confirmation.expires, "not confirmed")
        why = self._missing()
        if why:
            raise StepError(f"disarmed: {why}", where="confirm")
        return {"confirmed": True, **approved}

    def lapse(self, why: str) -> None:
        """What a second person was asked, or gave, stands for nothing any more."""
        handover = self._recorder.state.handover
        if handover is not None and handover.approval is not None and handover.approval.consent in {Consent.ASKED, Consent.GIVEN}:
            self._recorder.try_record(ev.ApprovalExpired(self._number, why))

    def _missing(self) -> str:
        return approval_missing(self._recorder.state) if self._confirmation.second else ""

    async def _approved(self) -> dict[str, object]:
        """A second person was asked and said yes; `StepError` with their words where they said no."""
        limit, asked = self._confirmation.approval_expires, self._asked
        handover = self._recorder.state.handover
        digest = handover.plan_digest if handover else ""
        self._recorder.record(ev.ApprovalAsked(self._number, digest, asked.by, asked.uid, limit, asked.command))
        await self._while_armed(lambda: self._approval.consent is not Consent.ASKED, limit, "no second person approved it")
        said = self._approval
        if said.consent is not Consent.GIVEN:
            raise StepError(f"rejected by {said.by}: {said.comment}", where="confirm")
        return {"approved_by": said.by, "comment": said.comment}

    @property
    def _approval(self) -> ApprovalView:
        handover = self._recorder.state.handover
        assert handover is not None
        assert handover.approval is not None
        return handover.approval

    async def _while_armed(self, said: Callable[[], bool], limit: float, what: str) -> None:
        """It was said while every gate passed and the approval, where there is one, stood."""
        loop = asyncio.get_running_loop()
        until = loop.time() + limit
        while not said():
            fallen = turned(self._readings()) if self._readings is not None else None
            if fallen is not None:
                raise StepError(f"disarmed: gate {fallen.id} turned: {fallen.reason}", where="confirm")
            void = approval_void(self._recorder.state)
            if void:
                raise StepError(f"disarmed: {void}", where="confirm")
            if loop.time() > until:
                raise StepError(f"disarmed: {what} within {limit:g} s", where="confirm")
            await asyncio.sleep(LOOK_AGAIN_S)
