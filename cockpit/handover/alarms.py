"""When an alarm is over: the state it asks for is seen. Nothing here changes the world; an alarm whose end cannot be seen stays.

Alarms and what ends them: `open: ACTION` and `late POOLER` a probe of the desired state; `resume` every pooler seen flowing; `mirror` a
heartbeat written after the alarm that has arrived on the other side; `prove` every configured app seen where it should be; `verify`
every table proven equal.
"""

from __future__ import annotations

from collections.abc import Callable

from cockpit.handover.actions import Together
from cockpit.handover.ports import Action, World
from cockpit.handover.record import Recorder
from cockpit.model import events as ev
from cockpit.model.state import AlarmView
from cockpit.model.words import Side, Verdict
from cockpit.timeline.follow import Latest


class Alarms:
    """Looks at what is raised; `clear_seen` is one look."""

    def __init__(self, world: World, recorder: Recorder, latest: Latest) -> None:
        self._world = world
        self._recorder = recorder
        self._latest = latest
        self._over: dict[str, Callable[[AlarmView], bool]] = {"mirror": self._mirrored, "prove": self._routed, "verify": self._proven}

    async def clear_seen(self) -> None:
        """Every alarm whose cause is seen to be gone is cleared."""
        for alarm in self._recorder.state.alarms:
            if await self._is_over(alarm):
                self._recorder.record(ev.AlarmCleared(alarm.id), durable=False)

    async def _is_over(self, alarm: AlarmView) -> bool:
        if alarm.id in self._over:
            return self._over[alarm.id](alarm)
        action = self._wanted(alarm.id)
        return action is not None and (await action.probe()).done

    def _wanted(self, alarm: str) -> Action | None:
        """The desired state that the alarm asks for."""
        world = self._world
        if alarm == "resume":
            return Together(alarm, tuple(pooler.resume() for pooler in world.poolers)) if world.poolers else None
        if alarm.startswith("late "):
            return next((p.resume() for p in world.poolers if p.name == alarm.removeprefix("late ")), None)
        if not alarm.startswith("open: "):
            return None
        return next((action for action in _reachable(world) if action.name == alarm.removeprefix("open: ")), None)

    def _mirrored(self, alarm: AlarmView) -> bool:
        lag, serving = self._latest.lag, self._recorder.state.serving
        if lag is None or lag.error or lag.origin is not serving or lag.lag_s is None:
            return False
        return lag.worker == "running" and lag.mono - lag.lag_s > alarm.mono

    def _routed(self, alarm: AlarmView) -> bool:
        routing = self._latest.routing
        if routing is None or routing.mono <= alarm.mono:
            return False
        return all(app.verdict is Verdict.ROUTED for app in routing.apps if app.verdict is not Verdict.STRANGER)

    def _proven(self, alarm: AlarmView) -> bool:
        recon = self._latest.recon
        return recon is not None and recon.mono > alarm.mono and not recon.differences and recon.tables_equal == recon.tables_total > 0


def _reachable(world: World) -> list[Action]:
    """Every desired state that a way out may have left open."""
    actions: list[Action] = []
    for side in Side:
        channels = tuple(channel.route(side) for channel in world.channels)
        actions += [world.servers.fence(side, on=True), world.servers.fence(side, on=False)]
        actions += [Together(f"route every channel to {side}", channels)] if channels else []
        actions += [pooler.route(side) for pooler in world.poolers]
    return actions + [pooler.resume() for pooler in world.poolers]
