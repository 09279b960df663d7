"""One fact of every kind, any text of which may be made hostile."""

from __future__ import annotations

from cockpit.model import events as ev
from cockpit.model.bill import Bill
from cockpit.model.checks import CheckVerdict
from cockpit.model.checks import Difference as Unequal
from cockpit.model.parity import Difference, NotCarried, Weight
from cockpit.model.plan import Statement
from cockpit.model.words import Direction, Known, Light, Mode, Outcome, Severity, Side

LINES = (ev.PlannedLine("pause", "pause every pooler", 0.02, True), ev.PlannedLine("prove", "every app seen", 1.0, False))


def facts(word: str) -> list[ev.Fact]:
    """One of every kind, each text holding `word`."""
    return [
        ev.RunOpened("r1", "arp", "arp", "s" * 64, "c" * 64, "p" * 64, f"ana {word}", "bastion", "0.1.0", True, 300, 300, LINES, LINES),
        ev.PilotSeated("pilot", 42, "token", "boot"),
        ev.RunTakenUp(f"ben {word}", f"bastion {word}", f"torn {word}", "config"),
        ev.StepFound("pause", Known.DONE, {"probe": f"seen {word}"}),
        ev.SidesSeen(Side.BLUE, "16.9", "18.1", {"blue": word}),
        ev.ModeChanged(Mode.READY, word),
        ev.PreflightStarted(),
        ev.FindingSeen("D2", f"audit.{word}", Severity.WARN, "no key", "SELECT 1", f"add a key {word}", ""),
        ev.FindingSeen("D4", "public.u", Severity.BLOCK, "unlogged", "SELECT 2", "waive", f"scratch {word}"),
        ev.PreflightDone(0, 1, 3, 1),
        ev.GateTurned("lag_bytes", Light.PASS, f"0 B {word}", "SELECT 3"),
        ev.IntentTaken("arm", "ana", 8),
        ev.HandoverOpened(1, Direction.CUTOVER, "p" * 64, 'type "arp"', 20),
        ev.IntentRefused("go", f"bob {word}", 9, "type arp to confirm"),
        ev.IntentTaken("go", "ana", 9, "arp"),
        ev.StepStarted("pause"),
        ev.ActionIntended(f"pause {word}", (Statement("pgbouncer p1", f"PAUSE {word}"),)),
        ev.DowntimeStarted(),
        ev.ActionFailed("pause p1", 2, word, unknown=True),
        ev.ActionProbed("pause p1", ev.Known.DONE),
        ev.ActionDone("pause p1", 3.5, {"waiting": 4, "of": [word]}),
        ev.FenceSet(Side.BLUE, "0/5000"),
        ev.StepFinished("pause", 12.5, {"poolers": word}),
        ev.Certified(
            Side.BLUE,
            Side.GREEN,
            "0/5000",
            None,
            52,
            51,
            1,
            1_071_203,
            53,
            32.0,
            0.0213,
            (word,),
            (f"public.u: unlogged {word}",),
            False,
            2,
            1,
            (f"metric seen {word}: public.seen not proven row by row",),
        ),
        ev.ReturnPassed(Side.GREEN),
        ev.DowntimeEnded(0.068),
        ev.StepStarted("prove"),
        ev.StepFailed("prove", 9.0, f"one app is late {word}", "look"),
        ev.HandoverClosed(1, Outcome.DONE, 1.2, Side.GREEN, word, 0.068),
        ev.BillDrawn(1, Bill(Side.GREEN, Side.BLUE, {word: 3}, "0/10", "0/20", 1.5, 0.0, exact=True)),
        ev.RepairBegun(word, Side.GREEN, {word: 3}, word, "e" * 64),
        ev.RepairDone(word, Side.GREEN, 2, 1, word),
        ev.BillExported(word, 3, 1, "0/10", "0/20", word, "e" * 64),
        ev.ShutOut(Side.GREEN),
        ev.CheckRead(f"totals {word}", "metric", CheckVerdict.EQUAL, 0, 5, 0, 0.12, title=f"Totals {word}", query="SELECT 5"),
        ev.CheckRead(
            f"totals {word}", "metric", CheckVerdict.DIFFERS, 1, 5, 1, 0.3, 2, "", word, (Unequal(f"month={word}", f"n=1 {word}", "n=2"),)
        ),
        ev.ParityRead(
            60,
            1,
            1,
            1,
            (Difference("index", f"public.i {word}", f"btree {word}", "", Weight.BAD, f"CREATE INDEX {word}", "SELECT 6", Side.GREEN),),
            (NotCarried("unlogged table", f"public.u {word}", (Side.BLUE, Side.GREEN), f"fill it {word}"),),
        ),
        ev.AlarmRaised("mirror", f"late {word}", "SELECT 4", "wait"),
        ev.AlarmCleared("other"),
        ev.NoteTaken("ana", f"all calm {word}"),
        ev.StartAnnounced(f"ana {word}", "2026-11-23T02:00:00+01:00"),
        ev.ApprovalAsked(1, "p" * 64, f"ana {word}", 1000, 900.0, "cockpit approve r1"),
        ev.ApprovalRefused(f"mallory {word}", 1003, 9, f"not among them {word}"),
        ev.ApprovalRejected(1, "p" * 64, "eve", 1002, 9, f"not yet {word}"),
        ev.ApprovalExpired(1, f"too late {word}"),
        ev.ApprovalGiven(1, "p" * 64, f"bob {word}", 1001, 9, f"go on {word}"),
        ev.SeatTaken("seat", 1_700_000_000_000),
        ev.RunClosed("done", 0, Side.GREEN, (f"slot {word} stays",)),
    ]
