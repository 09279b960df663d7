"""The pilot's side of the second person: what is shown to them, and what their word does.

Who somebody is comes with the connection, from the operating system. A word that counts is in the timeline before it is answered;
the flight that waits for it reads it there. Nothing here can do anything else to a run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

from cockpit.handover.record import Recorder
from cockpit.model import events as ev
from cockpit.model.approvals import COMMENT_LIMIT, Approvers, Asker, Offer, Person, Word, nothing_asked, who_may_not, word_refused
from cockpit.model.state import RunState
from cockpit.model.telemetry import GateReading, TableProof
from cockpit.model.text import plain
from cockpit.model.words import Mode, ProofState, Severity
from cockpit.timeline.follow import Latest
from cockpit.timeline.sidedoor import Answer, Place, Request

REFUSALS = 20
"""Refused words of a handover that are kept in the timeline: who knocks for ever does not fill the disk."""
TABLES = 20
"""Unproven tables that are shown."""
IN_THE_AIR = {Mode.WINDOW, Mode.LANDING, Mode.ABORTING}


@dataclass(frozen=True, slots=True)
class SecondDoor:
    """Where a second person comes in, who may, and who flies and may not."""

    place: Place
    approvers: Approvers
    asker: Asker
    command: str
    """What the second person types."""


class SecondPerson:
    """Shows what waits and takes words, for one run."""

    def __init__(self, recorder: Recorder, latest: Latest, readings: Callable[[], tuple[GateReading, ...]], door: SecondDoor) -> None:
        self._recorder = recorder
        self._latest = latest
        self._readings = readings
        self._door = door
        self._refused: dict[int, int] = {}

    @property
    def _state(self) -> RunState:
        return self._recorder.state

    def closed(self) -> bool:
        """Nobody is let in while a handover is in the air: it would cost it time."""
        return self._state.mode in IN_THE_AIR

    def answer(self, person: Person, request: Request) -> Answer:
        """The answer; where it says that a word was taken, the timeline holds it."""
        why = who_may_not(person, self._asker(), self._door.approvers)
        if request.word is not None:
            return self._say(person, request.word, why)
        why = why or nothing_asked(self._state)
        return Answer(False, self._state.seq, why) if why else Answer(True, self._state.seq, "", self._offer())

    def _asker(self) -> Asker:
        """Who flies, and who armed what waits."""
        asker, handover = self._door.asker, self._state.handover
        if handover is None or handover.approval is None:
            return asker
        armed = handover.approval
        return Asker(asker.uids | {armed.asked_uid}, asker.names | {armed.asked_by.partition("@")[0]}, asker.login)

    def _say(self, person: Person, word: Word, why: str) -> Answer:
        why = why or word_refused(self._state, word, asyncio.get_running_loop().time())
        if why:
            return self._refuse(person, word, why)
        said = (word.handover, word.plan_digest, plain(person.name, 80), person.uid, word.saw, plain(word.comment.strip(), COMMENT_LIMIT))
        self._recorder.record(ev.ApprovalGiven(*said) if word.approve else ev.ApprovalRejected(*said))
        return Answer(True, self._state.seq)

    def _refuse(self, person: Person, word: Word, why: str) -> Answer:
        number = self._state.handover.number if self._state.handover else 0
        self._refused[number] = self._refused.get(number, 0) + 1
        if self._refused[number] <= REFUSALS and self._state.mode is not Mode.CLOSED:
            self._recorder.record(ev.ApprovalRefused(plain(person.name, 80), person.uid, word.saw, plain(why, 300)))
        return Answer(False, self._state.seq, why)

    # --- what is shown -----------------------------------------------------------------------------

    def _offer(self) -> Offer:
        state, latest, now = self._state, self._latest, asyncio.get_running_loop().time()
        handover = state.handover
        assert handover is not None
        assert handover.approval is not None
        approval = handover.approval
        recon, ready = latest.recon, latest.readiness
        return Offer(
            run=state.run,
            pair=state.pair,
            drill=state.drill,
            direction=handover.direction,
            handover=handover.number,
            seq=state.seq,
            plan_digest=handover.plan_digest,
            scenario=state.scenario,
            scenario_digest=state.scenario_digest,
            config_digest=state.config_digest,
            asked_by=f"{approval.asked_by}, uid {approval.asked_uid}",
            opened_by=state.user,
            host=state.host,
            left_s=max(approval.asked_mono + approval.expires_s - now, 0.0),
            holds_s=handover.expires_s,
            serving=state.serving,
            versions=state.versions,
            gates=self._readings(),
            findings=tuple(f for f in state.findings if f.severity is not Severity.GOOD or f.waived),
            recon=replace(recon, tables=()) if recon else None,
            recon_age_s=now - recon.mono if recon else None,
            unproven=_unproven(latest),
            readiness=ready,
            readiness_age_s=now - ready.mono if ready else None,
            alarms=tuple(alarm.what for alarm in state.alarms),
        )


def _unproven(latest: Latest) -> tuple[TableProof, ...]:
    owing = [proof for proof in latest.tables.values() if proof.owed and proof.state is not ProofState.EQUAL]
    return tuple(sorted(owing, key=lambda proof: (proof.state is not ProofState.DIFFERS, proof.coverage, proof.table))[:TABLES])
