"""What asks for a person, in one list: alarms, gates that do not pass, preflight findings; then the gates that do."""

from __future__ import annotations

from cockpit.model.words import Severity
from cockpit.screen.cells import crop, fit
from cockpit.screen.content import Content, Row
from cockpit.screen.look import Status
from cockpit.screen.story import tell
from cockpit.screen.view import View


def content(view: View, width: int, height: int) -> Content:
    """The list for an inner size of `width` x `height` cells; row keys are `alarm:`, `second:`, `gate:` or `finding:` and a name."""
    ranked = sorted(_things(view), key=lambda thing: thing[0].rank)
    rows = tuple(
        Row(key, crop(((f"{s.symbol} {fit(kind, 8)} ", s.value), (text, "text" if s is Status.OK else s.value)), width))
        for s, kind, key, text in ranked
    )
    waiting = sum(s.rank < Status.RUN.rank for s, *_ in ranked)
    head = () if rows else ((("✓ nothing asks for you", "ok"),),)
    return Content(title=(("ATTENTION ", "title"), (f"{waiting} of {len(rows)}", "text")), head=head, rows=rows)


def _things(view: View) -> list[tuple[Status, str, str, str]]:
    things = [(Status.BAD, "alarm", f"alarm:{a.id}", a.what) for a in view.state.alarms]
    if view.awaits_second and view.approval is not None:
        things.append((Status.WARN, "approval", "second:", f"a second person is waited for: {view.approval.command}"))
    things += [(view.gate_status(g), "gate", f"gate:{g.id}", f"{g.title}: {g.reason}" if g.reason else g.title) for g in view.gates]
    for finding in view.state.findings:
        if finding.severity is not Severity.GOOD:
            status, text = tell(finding)
            things.append((status, "finding", f"finding:{finding.check} {finding.object}", text))
    things += [(Status.WARN, "open end", f"end:{i}", text) for i, text in enumerate(view.state.open_ends)]
    return things
