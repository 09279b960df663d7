"""`cockpit approve`: the second person sees what waits, and approves or rejects it. It needs neither the config nor the run's folder.

Everything shown comes from the pilot, through its side door, and is data; who the pilot runs as is the kernel's word. Nothing is
decided by habit: an approval takes the pair's name and a comment, and names exactly what was shown.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cockpit.asked import typed
from cockpit.errors import Refused
from cockpit.model.approvals import Offer, Word
from cockpit.model.budgets import mm_ss
from cockpit.model.text import plain
from cockpit.timeline.peers import name_of
from cockpit.timeline.sidedoor import Request, ask, doors

REJECT = "REJECT"
"""No pair has a name in upper case."""


def approve(arguments: argparse.Namespace) -> int:
    """0 when the word was taken, or when only `--json` was asked; `Refused` says why it was not, or that none was given."""
    from cockpit.cli import put

    door = _door(arguments.run, arguments.at)
    shown = _look(door)
    if arguments.json:
        put(_json(shown))
        return 0
    put(render(shown))
    word = _spoken(arguments, shown.offer) if arguments.approve is not None or arguments.reject else _typed(shown.offer)
    answer, _ = ask(door, Request(word))
    if not answer.ok:
        raise Refused(
            plain(answer.reason), where=plain(shown.offer.run), remedy="nothing was decided; `cockpit approve` shows what waits now"
        )
    put(_taken(shown.offer, word))
    return 0


@dataclass(frozen=True, slots=True)
class Shown:
    """What the pilot offered, and whom the kernel says it runs as."""

    offer: Offer
    pilot: str


# --- finding the pilot, and looking ------------------------------------------------------------------------


def _door(name: str, at: Path | None) -> Path:
    """The one door of a run of that name, or of that end of a name; `Refused` lists those there are."""
    folders = [at] if at is not None else _usual_folders()
    every = list(doors(folders))
    found = [path for path in every if name and path.stem.endswith(name)]
    if len(found) == 1:
        return found[0]
    where = ", ".join(plain(folder) for folder in folders) or "no pilot has opened a door here"
    shut = [plain(folder) for folder in folders if not os.access(folder, os.R_OK | os.X_OK)]
    if shut:
        raise Refused("you may not look into this folder, or it is not there", where=", ".join(shut), remedy="ask the lead who may approve")
    known = (
        ", ".join(plain(path if found else path.stem) for path in found or every)
        or "none waits here: ask the lead, who may have another folder (--at DIR)"
    )
    what = f"{len(found)} runs end in {plain(name)!r}" if found else f"no run {plain(name)!r} has a second person's door"
    raise Refused(what, where=where, remedy=f"one of: {known}" if every else known)


def _usual_folders() -> list[Path]:
    from cockpit.places import door_folders

    return door_folders()


def _look(door: Path) -> Shown:
    answer, uid = ask(door, Request())
    if door.lstat().st_uid != uid:
        raise Refused("whoever listens there did not make this socket", where=plain(door), remedy="approve nothing; tell the lead")
    if answer.offer is None:
        raise Refused(plain(answer.reason), where=plain(door.stem), remedy="nothing was decided; ask the lead")
    return Shown(answer.offer, f"{name_of(uid)} (uid {uid})")


# --- the word ------------------------------------------------------------------------------------------------


def _spoken(arguments: argparse.Namespace, offer: Offer) -> Word:
    comment = (arguments.comment or "").strip()
    if not comment:
        raise Refused("an answer needs its reason", where="cockpit approve", remedy="add --comment TEXT")
    return _word(offer, arguments.approve, comment)


def _typed(offer: Offer) -> Word:
    """What was typed; `Refused` where nothing was, or something else."""
    if not sys.stdin.isatty():
        remedy = f"--approve {plain(offer.pair)} or --reject, each with --comment TEXT; --json only looks"
        raise Refused("nothing was decided: there is no terminal to ask on", where="cockpit approve", remedy=remedy)
    typed = _question(f"type {offer.pair} to approve, {REJECT} to reject: ")
    if typed not in {offer.pair, REJECT}:
        said = f"{plain(typed, 40)} is neither" if typed else "nothing was typed"
        raise Refused(f"nothing was decided: {said}", where=plain(offer.run), remedy="it waits on")
    comment = _question("and why: ")
    if not comment:
        raise Refused("nothing was decided: an answer needs its reason", where=plain(offer.run), remedy="it waits on")
    return _word(offer, typed if typed == offer.pair else None, comment)


def _question(text: str) -> str:
    sys.stderr.write(plain(text))
    sys.stderr.flush()
    try:
        return typed().strip()
    except (EOFError, UnicodeDecodeError):
        return ""


def _word(offer: Offer, typed: str | None, comment: str) -> Word:
    """The approval, by the name that was typed, or without one the rejection, of exactly what was shown."""
    return Word(typed is not None, offer.handover, offer.plan_digest, offer.seq, comment, typed or "")


def _taken(offer: Offer, word: Word) -> str:
    name = f"{offer.direction} {offer.handover} of {plain(offer.pair)}"
    if not word.approve:
        return f"rejected: {name} is disarmed"
    return f"approved: {name}; the lead has {offer.holds_s:g} s to confirm it"


# --- what is shown --------------------------------------------------------------------------------------------


def _json(shown: Shown) -> str:
    import msgspec

    return msgspec.json.format(msgspec.json.encode({"pilot": shown.pilot, "offer": shown.offer})).decode()


def render(shown: Shown) -> str:
    """All that a second person decides on, as text."""
    offer = shown.offer
    drill = ", a drill" if offer.drill else ""
    out = [
        f"{offer.direction} {offer.handover} of {offer.pair}{drill}: {offer.direction.origin} to {offer.direction.target}",
        f"  run        {offer.run} on {offer.host}, record {offer.seq}",
        f"  asked by   {offer.asked_by}; the run was opened by {offer.opened_by}, its pilot runs as {shown.pilot}",
        f"  plan       {offer.plan_digest}   as `cockpit plan` prints it",
        f"  scenario   {offer.scenario_digest}   {offer.scenario}",
        f"  config     {offer.config_digest}",
        f"  serving    {offer.serving or 'not known'}; blue {offer.versions[0]}, green {offer.versions[1]}",
        f"  time       {mm_ss(offer.left_s)} left to decide; once approved, the lead must confirm within {offer.holds_s:g} s",
        "",
        "gates",
        *(f"  {gate.light:<8} {gate.id:<18} {gate.reason}" for gate in offer.gates),
        "",
        "findings that block, warn or are waived",
        *_findings(offer),
        "",
        "reconciliation",
        *_recon(offer),
        "",
        "the way back",
        *_readiness(offer),
        "",
        "alarms",
        *([f"  {alarm}" for alarm in offer.alarms] or ["  none"]),
    ]
    return "\n".join(plain(line) for line in out)


def _findings(offer: Offer) -> Iterator[str]:
    for finding in offer.findings:
        word = "waived" if finding.waived else finding.severity.value.upper()
        yield f"  {word:<8} {finding.check} {finding.object}: {finding.seen}"
        if finding.waived:
            yield f"           waived because: {finding.waived}"
    if not offer.findings:
        yield "  none"


def _recon(offer: Offer) -> Iterator[str]:
    recon = offer.recon
    if recon is None:
        yield "  not known: nothing was compared yet"
        return
    share = recon.proven_rows / recon.all_rows if recon.all_rows else 0.0
    yield f"  {recon.tables_equal} of {recon.tables_total} tables equal, {share:.1%} of {recon.all_rows:,} rows proven, {recon.differences} differ{_age(offer.recon_age_s)}"
    cost = "not known" if recon.freeze_cost_s is None else f"{recon.freeze_cost_s:.2f} s"
    yield f"  the proof inside the window takes: {cost}"
    for proof in offer.unproven:
        yield f"  {proof.table}: {proof.state}, {proof.coverage:.1%} proven{', ' + proof.reason if proof.reason else ''}"


def _readiness(offer: Offer) -> Iterator[str]:
    ready = offer.readiness
    if ready is None:
        yield "  not known yet"
    elif ready.seconds is None or ready.blocked_by:
        yield f"  {ready.blocked_by or 'not known'}{_age(offer.readiness_age_s)}"
    else:
        shares = ", ".join(f"{share.what} {share.seconds:.1f} s" for share in ready.shares)
        yield f"  about {ready.seconds:.1f} s{f' ({shares})' if shares else ''}{_age(offer.readiness_age_s)}"
        if ready.unproven:
            yield f"  not proven by it: {ready.unproven}"


def _age(seconds: float | None) -> str:
    return "" if seconds is None else f"; {seconds:.0f} s old"
