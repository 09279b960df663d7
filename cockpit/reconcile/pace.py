"""What the next work inside the window will take, from what the same work took: of the taps, and of rows by their key.

A drain takes a little, and so much for each change: what it will take is told from how many changes have come since the last one, not from
how long a burst took that is drained already. Rows are proven faster in the window, where nothing else is read, than beside the
background: a faster reading counts for more than a slower one, and the window's own for most.
"""

from __future__ import annotations

WEIGHT = 0.3
"""Of the newest of measurements that are alike."""
BULK = 2_000
"""Changes from which a drain tells what one of them costs, and below which it tells what a drain costs that has little to do."""
FASTER, SLOWER, WINDOW = 0.5, 0.1, 0.7


class DrainPace:
    """Of one tap. Seconds, and changes a second."""

    def __init__(self) -> None:
        self._least_s = 0.01
        self._change_s = 10e-6
        self._come_s = 0.0
        self._drained: float | None = None

    def took(self, changes: int, seconds: float, now: float) -> None:
        """A drain that ended `now` saw so many changes."""
        if changes < BULK:
            self._least_s += WEIGHT * (seconds - self._least_s)
        else:
            self._change_s += FASTER * (max(seconds - self._least_s, 0.0) / changes - self._change_s)
        if self._drained is not None and now > self._drained:
            self._come_s += WEIGHT * (changes / (now - self._drained) - self._come_s)
        self._drained = now

    def next_s(self, now: float) -> float:
        """Seconds that a drain would take that begins `now`."""
        since = now - self._drained if self._drained is not None else 0.0
        return self._least_s + self._change_s * self._come_s * since


class KeyPace:
    """`keys_s`: rows proven a second, by their keys."""

    def __init__(self, keys_s: float) -> None:
        self.keys_s = keys_s

    def took(self, keys: int, seconds: float, *, window: bool = False) -> None:
        if keys and seconds > 0:
            seen = keys / seconds
            weight = WINDOW if window else FASTER if seen > self.keys_s else SLOWER
            self.keys_s += weight * (seen - self.keys_s)
