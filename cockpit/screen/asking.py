"""Asking the pilot: each intent in a task of its own, its reply in the prompt row."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from cockpit.errors import CockpitError
from cockpit.model.intents import Ask, Intent
from cockpit.screen.look import Status
from cockpit.screen.prompt import Ended, Prompt, ended
from cockpit.screen.view import Link, View


class Asking:
    """What is under way between this screen and the pilot. `link` is None for one that only watches."""

    def __init__(self, link: Link | None, by: str, prompt: Prompt, view: Callable[[], View], look: Callable[[], None]) -> None:
        self.link = link
        self._by, self._prompt, self._view, self._look = by, prompt, view, look
        self.under_way: set[asyncio.Task[None]] = set()
        """What still goes on."""

    def send(self, ask: Ask, argument: str = "") -> None:
        """The pilot is asked; or it is said that this screen may not."""
        view = self._view()
        if self.link is None:
            self._prompt.say(Status.WARN, "this screen only watches", view.clock)
            return
        self.begin(self._ask(self.link, Intent(ask, self._by, view.state.seq, argument), ended(view)))

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """It goes on beside the screen."""
        task = asyncio.get_running_loop().create_task(work)
        self.under_way.add(task)
        task.add_done_callback(self.under_way.discard)

    async def _ask(self, link: Link, intent: Intent, before: Ended) -> None:
        try:
            reply = await link.ask(intent)
        except CockpitError as err:
            self._prompt.answered(False, str(err), self._view().clock)
        except Exception as err:
            # Whatever it is, the screen goes on; its message may hold what nobody may see.
            self._prompt.answered(False, f"asking failed ({type(err).__name__})", self._view().clock)
        else:
            self._prompt.answered(reply.ok, reply.reason, self._view().clock)
            if reply.ok and intent.ask in (Ask.BACK, Ask.ABORT):
                self._prompt.say_taken(f"{intent.ask.value}: taken", before, self._view().clock)
            elif reply.ok and intent.ask in (Ask.NOTE, Ask.ANNOUNCE, Ask.RECHECK, Ask.DUTY):
                self._prompt.say(Status.OK, reply.reason or f"{intent.ask.value}: taken", self._view().clock)
        self._look()
