"""The tables in the order of a list, kept sorted between two paints: of ten thousand, only those that changed are moved."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import takewhile

from cockpit.model.telemetry import TableProof
from cockpit.model.words import ProofState
from cockpit.screen.look import Status

STATES = {
    ProofState.PENDING: (Status.WAIT, "wait"),
    ProofState.SCANNING: (Status.RUN, "scan"),
    ProofState.EQUAL: (Status.OK, "equal"),
    ProofState.DIRTY: (Status.RUN, "dirty"),
    ProofState.HOT: (Status.RUN, "hot"),
    ProofState.DIFFERS: (Status.BAD, "DIFF"),
    ProofState.UNVERIFIABLE: (Status.WARN, "UNSURE"),
}
MANY = 1000
"""So many changes at once are sorted anew."""

_Place = tuple[float, float, str]


class Ranking:
    """`names` in order, and how many tables are in each state, as of the last `see`."""

    def __init__(self) -> None:
        self.counts: Counter[ProofState] = Counter()
        self._order = ""
        self._tables: Mapping[str, TableProof] = {}
        self._names: list[str] = []
        """All, in the order of the last `see`."""
        self._places: list[_Place] = []
        """Of each name, what it is in order by: a change is found in them without asking a table again."""
        self._was: dict[str, list[str]] = {}
        """All in each order that was looked at, as it was then: nearly what it will be, which sorts fast."""
        self._known: dict[str, TableProof] = {}
        self._folded: dict[str, str] = {}

    def see(self, tables: dict[str, TableProof], order: str) -> None:
        """What `tables` are now, in that order: `worst` first, by `name`, or by `age` (never proven first).

        Whoever changes `tables` puts what is new last (`follow.Latest`): it is looked at from there to the first that is known."""
        known = self._known
        if tables is not self._tables:
            self._begin(tables, order)
            return
        changed = list(takewhile(lambda proof: known.get(proof.table) is not proof, reversed(tables.values())))
        if len(changed) > MANY:
            self._begin(tables, order)
        elif order != self._order:
            for proof in changed:
                self._learn(proof)
            self._sort(order)
        else:
            for proof in changed:
                self._move(proof)

    def names(self, needle: str = "") -> Sequence[str]:
        """The tables in order, as it is until the next `see`; with a needle those that have it in their name or in the word of their state."""
        wanted = needle.casefold()
        if not wanted:
            return self._names
        states = {state for state in ProofState if wanted in state.value.casefold()}
        folded, known = self._folded, self._known
        return [name for name in self._names if wanted in folded[name] or known[name].state in states]

    def _begin(self, tables: dict[str, TableProof], order: str) -> None:
        self._tables, self._was = tables, {}
        self._known = dict(tables)
        self._folded = {name: name.casefold() for name in tables}
        self.counts = Counter(proof.state for proof in tables.values())
        self._sort(order)

    def _sort(self, order: str) -> None:
        names = self._was.get(order, [])
        if len(names) != len(self._known):  # a table that was seen stays
            names = list(self._known)
        self._order, self._names, self._was[order] = order, names, names
        self._places = sorted(self._place(self._known[name]) for name in names)
        names[:] = [name for _, _, name in self._places]

    def _move(self, proof: TableProof) -> None:
        before, place = self._known.get(proof.table), self._place(proof)
        self._learn(proof)
        if before is not None:
            if self._place(before) == place:
                return
            at = bisect_left(self._places, self._place(before))
            del self._places[at], self._names[at]
        at = bisect_left(self._places, place)
        self._places.insert(at, place)
        self._names.insert(at, proof.table)

    def _learn(self, proof: TableProof) -> None:
        before = self._known.get(proof.table)
        if before is not None:
            self.counts[before.state] -= 1
        self.counts[proof.state] += 1
        self._known[proof.table] = proof
        self._folded.setdefault(proof.table, proof.table.casefold())

    def _place(self, proof: TableProof) -> _Place:
        if self._order == "name":
            return (0.0, 0.0, proof.table)
        if self._order == "age":
            return (float(proof.mono is not None), proof.mono or 0.0, proof.table)
        return (float(STATES[proof.state][0].rank), 0.0, proof.table)
