"""Business checks in a run: what a preflight finds of them, and what they say once a handover has landed.

After a landing they are read beside everything else: writes flow for `AFTER_S` seconds and more, the mirror has caught up, and a handover
that takes off meanwhile has the servers for itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace

from cockpit.handover.ports import World
from cockpit.handover.record import Recorder, in_words, remedy_of
from cockpit.model import events as ev
from cockpit.model.beside import in_words as sentence
from cockpit.model.beside import outcome
from cockpit.model.checks import CheckResult, CheckVerdict, Difference
from cockpit.model.parity import Parity, Weight
from cockpit.model.settings import Waiver
from cockpit.model.text import plain, statement
from cockpit.model.words import Mode, Severity

CHECK = "D16"
BOX_S = 60.0
"""Seconds that all checks have together."""
PATIENCE_S = 60.0
"""Seconds after a landing in which the mirror may catch up."""
AFTER_S = 1.0
"""Seconds after a handover has ended in which nothing is read for its checks."""
REST_S = 0.2
MOST_TOLD = 20
MOST_LISTED = 40
UNDER_WAY = frozenset({Mode.WINDOW, Mode.LANDING, Mode.ABORTING})
FINE = frozenset({CheckVerdict.EQUAL, CheckVerdict.WITHIN})

_SEVERITIES = {
    CheckVerdict.EQUAL: Severity.GOOD,
    CheckVerdict.WITHIN: Severity.GOOD,
    CheckVerdict.DIFFERS: Severity.BLOCK,
    CheckVerdict.HOT: Severity.WARN,
    CheckVerdict.FAILED: Severity.WARN,
}
_REMEDIES = {
    CheckVerdict.DIFFERS: "find the rows with `cockpit reconcile`, make them equal with `cockpit repair`, or waive it by name",
    CheckVerdict.HOT: "ask about a closed period: while rows move only their proof says that they are equal",
    CheckVerdict.FAILED: "mend what the reason names, in the scenario or between the sides; then run the preflight again (r)",
}


async def preflight(world: World) -> tuple[ev.CheckRead, ...]:
    """Every check as both sides answer it now; none where the scenario has none."""
    return tuple(told(result, 0) for result in await world.reconciler.checks(BOX_S))


def findings(reads: Iterable[ev.CheckRead], waivers: Sequence[Waiver] = ()) -> tuple[ev.FindingSeen, ...]:
    """A finding for each check. What is confirmed to differ blocks: the serving side stood still there while the other one had the time to
    apply everything. What moves, or was not read, warns: nothing is known of it."""
    return tuple(_finding(read, waivers) for read in reads)


def _finding(read: ev.CheckRead, waivers: Sequence[Waiver]) -> ev.FindingSeen:
    severity = _SEVERITIES[read.verdict]
    remedy = _REMEDIES.get(read.verdict, "")
    found = ev.FindingSeen(CHECK, plain(read.what, 200), severity, plain(outcome(read), 400), statement(read.query), remedy)
    accepted = next((w for w in waivers if w.check == CHECK and w.object in {"*", found.object}), None)
    return replace(found, waived=accepted.reason) if accepted and severity is not Severity.GOOD else found


def told(result: CheckResult, handover: int) -> ev.CheckRead:
    """The result as a fact of the timeline, its texts bounded."""
    return ev.CheckRead(
        plain(result.name, 100),
        result.kind,
        result.verdict,
        handover,
        result.groups,
        result.differing_keys,
        round(result.seconds, 3),
        result.looks,
        plain(result.title, 200),
        plain(result.reason, 300),
        tuple(Difference(plain(d.key, 200), plain(d.blue, 300), plain(d.green, 300)) for d in result.differing[:MOST_TOLD]),
        _on_one_line(result.query),
    )


def _on_one_line(sql: str) -> str:
    """`sql` fit to be run as it is printed: a comment at a line's end would take the next line with it."""
    return statement("\n".join(line if "'" in line or '"' in line else line.partition("--")[0] for line in sql.splitlines()))


def beside(parity: Parity) -> ev.ParityRead:
    """The parity as a fact of the timeline: what asks for a person first, the first of each list."""
    ranked = sorted(parity.differences, key=lambda d: d.weight is not Weight.BAD)
    bad = len(parity.bad)
    shown = tuple(replace(d, query=statement(d.query)) for d in ranked[:MOST_LISTED])
    look = len(parity.differences) - bad
    return ev.ParityRead(parity.objects, bad, look, len(parity.not_carried), shown, parity.not_carried[:MOST_LISTED])


async def read_after(world: World, recorder: Recorder) -> None:
    """The checks are read again after the landing that was last, and told; one that differs is an alarm until it is read to be equal."""
    handover = recorder.state.handover
    if handover is None or recorder.state.parted is not None:
        return
    await asyncio.sleep(AFTER_S)
    try:
        results = await world.reconciler.checks(BOX_S, PATIENCE_S)
    except Exception as err:
        alarm = ev.AlarmRaised("checks", f"business checks were not read: {in_words(err)}", remedy=remedy_of(err))
        recorder.try_record(alarm, durable=False)
        return
    while recorder.state.mode in UNDER_WAY:  # noqa: ASYNC110 (whatever is in the air has the disk for itself)
        await asyncio.sleep(REST_S)
    record(recorder, (told(result, handover.number) for result in results))


def record(recorder: Recorder, reads: Iterable[ev.CheckRead]) -> None:
    """The facts are in the timeline, and so is an alarm where a handover has landed on what differs; it is over once that is equal."""
    for read in reads:
        recorder.record(read, durable=False)
        name = f"check {read.what}"
        raised = any(alarm.id == name for alarm in recorder.state.alarms)
        if read.verdict is CheckVerdict.DIFFERS and read.handover:
            remedy = _REMEDIES[CheckVerdict.DIFFERS]
            recorder.record(ev.AlarmRaised(name, plain(sentence(read), 400), read.query, remedy), durable=False)
        elif raised and read.verdict in FINE:
            recorder.record(ev.AlarmCleared(name), durable=False)
