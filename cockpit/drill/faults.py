"""The faults a drill can be flown under, by name: what happens, when, for how long, and what the cockpit must show of it.

`cockpit drill --fault NAME` strikes once; `NAME@STEP` strikes at another step. Those `at` `ready` are done by others while nothing is in
the air: a gate of the next handover must close within two seconds and name the cause, or an alarm must.
"""

from __future__ import annotations

import signal
from collections.abc import Iterable
from dataclasses import dataclass, replace

from cockpit.drill import harm
from cockpit.drill.fleet import Path
from cockpit.drill.harm import Harm
from cockpit.drill.proxy import Kind
from cockpit.errors import Refused
from cockpit.handover.procedure import IDS
from cockpit.model.words import Side

READY = "ready"
AT = (READY, *IDS)
FAR_S = 0.008
"""One way: as far as the cockpit sits from its systems in a flight that a fault is to strike in mid-window."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong."""

    name: str
    what: str
    at: str
    harm: Harm
    lasts_s: float | None = None
    """Undone after so many seconds; None: when the flight has ended."""
    seen_by: tuple[str, ...] = ()
    """For `ready`: the gates or alarms of which one has to name it."""
    spoils: bool = False
    """Nothing can be undone: the rig is of no further use."""
    proxied: bool = False


def _processes() -> Iterable[Fault]:
    kill, stop, hang, term = signal.SIGKILL, signal.SIGSTOP, signal.SIGHUP, signal.SIGTERM
    yield Fault("pilot-killed", "the pilot's process is killed (SIGKILL)", "drain", harm.signalled(kill))
    yield Fault("pilot-frozen", "the pilot's process stands still and stays so (SIGSTOP)", "quiesce", harm.signalled(stop))
    yield Fault("pilot-dozes", "the pilot's process stands still for a second (SIGSTOP, SIGCONT)", "drain", harm.frozen("pilot"), 1.0)
    yield Fault("pilot-told-to-end", "the pilot is told to end (SIGTERM)", "drain", harm.signalled(term))
    yield Fault("guardian-killed", "the guardian's process is killed (SIGKILL)", "fence", harm.signalled(kill, pilot=False, guardian=True))
    yield Fault("terminal-killed", "the terminal is gone (SIGHUP to pilot and guardian)", "drain", harm.signalled(hang, guardian=True))
    yield Fault("disk-full", "the disk takes no further record, for five seconds", "drain", harm.full_disk, 5.0)
    yield Fault("blue-crashes", "blue crashes and is back after three seconds", "drain", harm.crashed(Side.BLUE), 3.0)
    yield Fault("green-crashes", "green crashes and is back after three seconds", "drain", harm.crashed(Side.GREEN), 3.0)
    yield Fault("sender-ended", "every WAL sender ends", "drain", harm.backend_ended("^walsender$"))
    yield Fault("worker-ended", "every apply worker ends", "drain", harm.backend_ended("^logical replication"))
    yield Fault("pooler-killed", "PgBouncer is killed while it is paused and started again: it is not paused", "fence", harm.pooler_killed)
    yield Fault("pooler-frozen", "PgBouncer stands still for four seconds", "route", harm.frozen("pooler"), 4.0)
    yield Fault("cloud-frozen", "the cloud answers nothing for four seconds", "arm", harm.frozen("cloud"), 4.0)


def _others() -> Iterable[Fault]:
    yield Fault("pooler-resumed", "somebody resumes PgBouncer by hand in the window", "fence", harm.console('RESUME "arp"'))
    yield Fault("idle-in-transaction", "an app behind the pooler has written and goes idle", "pause", harm.open_transaction(Path.POOL))
    yield Fault("long-transaction", "an app past the pooler has written and does not commit", "pause", harm.open_transaction(Path.FILE))
    yield Fault(
        "prepared-transaction",
        "a transaction is prepared right before the fence and forgotten",
        "pause",
        harm.open_transaction(Path.FILE, forgotten=True),
    )
    made = ('CREATE TABLE public."made in the freeze" (id int PRIMARY KEY)',)
    gone = ('DROP TABLE IF EXISTS public."made in the freeze"',)
    yield Fault(
        "ddl-in-freeze", "a table is made on the serving side inside the window", "fence", harm.statements(None, *made, relief=gone)
    )


def _network() -> Iterable[Fault]:
    steps = {"pooler": "pause", "cloud": "arm"}
    ways = {
        "blue": "cockpit and blue",
        "green": "cockpit and green",
        "pooler": "cockpit and PgBouncer",
        "cloud": "cockpit and the cloud",
        "to-blue": "blue and green's subscription",
        "to-green": "green and blue's subscription",
    }
    kinds = {
        Kind.REFUSED: "connections are refused and reset",
        Kind.RESET: "questions arrive, instead of the answer comes a reset",
        Kind.BLACKHOLE: "nothing arrives, nobody is told, it arrives late",
        Kind.HALF_OPEN: "the server sees the end, the client hears nothing",
        Kind.DELAYED: "everything takes 300 ms each way",
        Kind.SLOW: "64 kbit/s",
    }
    for way, between in ways.items():
        for kind, how in kinds.items():
            lasts = None if kind in {Kind.DELAYED, Kind.SLOW} else 4.0
            step = steps.get(way, "drain")
            yield Fault(f"{way}-{kind}", f"between {between}: {how}", step, harm.cut(way, kind), lasts, proxied=True)


def _seen() -> Iterable[Fault]:
    def by(name: str, what: str, done: Harm, *seen_by: str, spoils: bool = False) -> Fault:
        return Fault(name, what, READY, done, seen_by=seen_by, spoils=spoils)

    made, gone = "CREATE TABLE public.fresh (id int PRIMARY KEY)", "DROP TABLE IF EXISTS public.fresh"
    wide, narrow = "ALTER TABLE core.country ADD COLUMN note text", "ALTER TABLE core.country DROP COLUMN IF EXISTS note"
    step, back = "ALTER SEQUENCE billing.voucher_no INCREMENT 2", "ALTER SEQUENCE billing.voucher_no INCREMENT 1"
    ddl = ("schema", "tables_ready", "lag_bytes")
    yield by("slot-dropped", "the mirror's slot is dropped", harm.slot_dropped, "slot", "lag_bytes", spoils=True)
    yield by("subscription-disabled", "the mirror's subscription is disabled", harm.subscription(False), "slot", "lag_bytes")
    yield by("pooler-paused", "somebody pauses PgBouncer", harm.console('PAUSE "arp"'), "poolers")
    yield by("fence-removed", "somebody opens the side that does not serve", harm.fence_removed, "target_fenced")
    for side in Side:
        yield by(f"column-on-{side}", f"a column is added on {side}", harm.statements(side, wide, relief=(narrow,)), *ddl)
        yield by(f"table-on-{side}", f"a table is made on {side}", harm.statements(side, made, relief=(gone,)), *ddl)
        yield by(f"sequence-on-{side}", f"a sequence is altered on {side}", harm.statements(side, step, relief=(back,)), *ddl)
    yield by("sequence-set-back", "a sequence of the serving side is set back", harm.sequence_set_back, "schema", "sequences")
    yield by("prepared-and-left", "a transaction is prepared and forgotten", harm.open_transaction(Path.FILE, forgotten=True), "prepared")


CALM = Fault("none", "nothing goes wrong", "drain", harm.calm)
FAULTS: dict[str, Fault] = {fault.name: fault for fault in (CALM, *_processes(), *_others(), *_network(), *_seen())}


def fault(asked: str) -> Fault:
    """The fault called `NAME` or `NAME@STEP`; `Refused` says what there is."""
    name, _, step = asked.partition("@")
    if name not in FAULTS:
        raise Refused(f"no fault {name!r}", remedy="`cockpit drill --fault list` prints them")
    found = FAULTS[name]
    if not step:
        return found
    if step not in AT or (step == READY) != (found.at == READY):
        raise Refused(
            f"{name} cannot strike at {step!r}", remedy=f"one of: {', '.join(IDS)}" if found.at != READY else "leave the step out"
        )
    return replace(found, at=step)


def listed() -> str:
    """Every fault, a line each: name, where it strikes, what it does."""
    width = max(map(len, FAULTS))
    return "\n".join(f"{each.name:<{width}}  {each.at:<8}  {each.what}" for each in FAULTS.values())
