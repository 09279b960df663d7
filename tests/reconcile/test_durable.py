"""The file of the proof: what was written is what is read, and whatever else lies there is never believed and never in the way."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cockpit.model.words import Side
from cockpit.reconcile.durable import Change, Kept, Member, Position, Proof, Store, Unusable, forget
from cockpit.reconcile.tap import Batch

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=12) | st.sampled_from(
    ["", "'", '"', "\\", "'; DROP TABLE proof; --", "\n", "ä\u202e\U0001f680", "null", "[]"]
)
NAMES = st.tuples(TEXT, TEXT)
KEYS = st.lists(TEXT, min_size=1, max_size=3).map(tuple)
COUNTS = st.integers(0, 2**62)
XIDS = st.integers(0, 2**32 - 1)
BATCHES = st.builds(
    Batch,
    keys=st.dictionaries(NAMES, st.dictionaries(KEYS, st.none(), max_size=3), max_size=3),
    whole=st.sets(NAMES, max_size=3),
    unkeyed=st.dictionaries(NAMES, st.dictionaries(XIDS, st.none() | COUNTS, max_size=3), max_size=3),
    xids=st.sets(XIDS, max_size=3),
    reshaped=st.sets(NAMES, max_size=3),
)
MEMBERS = st.builds(Member, oid=XIDS, mark=TEXT, node=XIDS, inserts=st.booleans(), columns=st.none() | KEYS)
POSITIONS = st.builds(
    Position, TEXT, TEXT, TEXT, TEXT, st.lists(BATCHES, max_size=2).map(tuple), st.dictionaries(NAMES, MEMBERS, max_size=3)
)
PROOFS = st.builds(
    Proof,
    TEXT,
    proven=st.booleans(),
    proven_at=st.none() | st.floats(0, 1e12),
    rows=st.none() | st.tuples(COUNTS, COUNTS),
    low=st.none() | KEYS,
    read=st.tuples(COUNTS, COUNTS),
    more=st.booleans(),
    differs=TEXT,
)
CHANGES = st.builds(
    Change,
    st.none() | PROOFS,
    st.booleans(),
    st.dictionaries(KEYS, st.booleans(), max_size=5),
    st.none() | st.dictionaries(KEYS, TEXT, max_size=3),
)
POSITION = Position("cockpit_arp_tap_0123abcd", "1/1/5", "mark", "0/16B3748")
EACH = dict.fromkeys(Side, POSITION)


def expected(writes: list[dict[tuple[str, str], Change]]) -> tuple[dict, dict, dict]:
    """The proofs, dirty and differing keys that stand after these writes, by the plainest rule."""
    proofs: dict = {}
    dirty: dict = {}
    differing: dict = {}
    for changes in writes:
        for name, change in changes.items():
            if change.proof is None:
                for held in (proofs, dirty, differing):
                    held.pop(name, None)
                continue
            proofs[name] = change.proof
            keys = set() if change.wiped else dirty.get(name, set())
            dirty[name] = (keys | {k for k, d in change.dirty.items() if d}) - {k for k, d in change.dirty.items() if not d}
            if change.differing is not None:
                differing[name] = dict(change.differing)
    return proofs, {n: k for n, k in dirty.items() if k}, {n: d for n, d in differing.items() if d}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.dictionaries(NAMES, CHANGES, max_size=4), min_size=1, max_size=4), POSITIONS, POSITIONS)
def test_what_was_written_is_what_is_read(writes: list[dict[tuple[str, str], Change]], blue: Position, green: Position) -> None:
    positions = {Side.BLUE: blue, Side.GREEN: green}

    async def there_and_back() -> Kept | None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "proof.db"
            store = Store(path)
            assert await store.open() is None
            for number, changes in enumerate(writes):
                await store.write(positions, changes, anew=number == 0)
            await store.close()
            again = Store(path)
            kept = await again.open()
            await again.close()
            return kept

    kept = asyncio.run(there_and_back())
    assert kept is not None
    assert kept.positions == positions
    proofs, dirty, differing = expected(writes)
    assert kept.proofs == proofs
    assert {name: set(keys) for name, keys in kept.dirty.items()} == dirty
    assert kept.differing == differing


async def test_writing_anew_leaves_nothing_of_before(tmp_path: Path) -> None:
    store = Store(tmp_path / "proof.db")
    await store.open()
    old, new = ("public", "old"), ("public", "new")
    await store.write(EACH, {old: Change(Proof("a"), True, {("1",): True}, {("2",): "differs"})})
    await store.write(EACH, {new: Change(Proof("b", proven=True), True, {("3",): True})}, anew=True)
    await store.close()
    kept = await (again := Store(tmp_path / "proof.db")).open()
    await again.close()
    assert kept is not None
    assert (dict(kept.proofs), dict(kept.dirty), dict(kept.differing)) == ({new: Proof("b", proven=True)}, {new: (("3",),)}, {})


async def test_the_file_is_its_owners_alone_and_gone_after_an_end_in_order(tmp_path: Path) -> None:
    path = tmp_path / "proof.db"
    before = os.umask(0)
    try:
        store = Store(path)
        await store.open()
        await store.write(EACH, {("public", "a"): Change(Proof("a"))})
    finally:
        os.umask(before)
    assert modes(tmp_path) == dict.fromkeys(("proof.db", "proof.db-wal", "proof.db-shm", "proof.db.lock"), 0o600)
    await store.close(remove=True)
    assert list(modes(tmp_path)) == ["proof.db.lock"]


def modes(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


async def test_what_nobody_keeps_any_more_is_forgotten_and_nothing_else(tmp_path: Path) -> None:
    forget(tmp_path / "proof.db")
    assert modes(tmp_path) == {}
    store = Store(tmp_path / "proof.db")
    await store.open()
    await store.write(EACH, {})
    forget(tmp_path / "proof.db")
    assert "proof.db" in modes(tmp_path)
    await store.close()
    forget(tmp_path / "proof.db")
    assert list(modes(tmp_path)) == ["proof.db.lock"]


async def test_a_second_owner_is_refused_and_takes_nothing_away(tmp_path: Path) -> None:
    first, second = Store(tmp_path / "proof.db"), Store(tmp_path / "proof.db")
    await first.open()
    await first.write(EACH, {})
    with pytest.raises(Unusable, match="another process"):
        await second.open()
    await second.close(remove=True)
    await first.write(EACH, {("public", "a"): Change(Proof("a"))})
    await first.close()
    kept = await (third := Store(tmp_path / "proof.db")).open()
    await third.close()
    assert kept is not None
    assert list(kept.proofs) == [("public", "a")]


def _foreign(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE tap (side)")
    db.close()


def _older(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()


def _statement(sql: str):
    def damage(path: Path) -> None:
        with sqlite3.connect(path) as db:
            db.execute(sql)
        db.close()

    return damage


def _scribbled(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)
    path.write_bytes(content)


DAMAGES = {
    "not a database": lambda path: path.write_bytes(b"nothing of the kind" * 1000),
    "foreign": lambda path: (path.unlink(), _foreign(path)),
    "another format": _older,
    "pages of noise": _scribbled,
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:6000]),
    "a table is missing": _statement("DROP TABLE dirty"),
    "a key is none": _statement("UPDATE dirty SET key = '{}'"),
    "a key of no table": _statement("UPDATE dirty SET id = 77"),
    "a number is none": _statement("UPDATE proof SET blue = 'many', green = 'few'"),
    "a side is none": _statement("UPDATE tap SET side = 'red' WHERE side = 'blue'"),
    "a batch is none": _statement("UPDATE tap SET unseen = '[{}]'"),
}


@pytest.mark.parametrize("damage", DAMAGES)
async def test_what_cannot_be_trusted_is_set_aside(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "proof.db"
    store = Store(path)
    await store.open()
    await store.write(EACH, {("public", "a"): Change(Proof("a", rows=(1, 1)), dirty={("1",): True})})
    await store.close()
    DAMAGES[damage](path)
    again = Store(path)
    with pytest.raises(Unusable, match=r"set aside as proof.db.aside"):
        await again.open()
    assert (tmp_path / "proof.db.aside").exists()
    await again.write(EACH, {("public", "b"): Change(Proof("b"))}, anew=True)
    await again.close()
    kept = await (third := Store(path)).open()
    await third.close()
    assert kept is not None
    assert list(kept.proofs) == [("public", "b")]


async def test_where_nothing_can_be_written_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("a file")
    with pytest.raises(Unusable, match="Not a directory"):
        await Store(tmp_path / "folder" / "proof.db").open()


async def test_a_full_disk_leaves_what_was_written_before(tmp_path: Path) -> None:
    store = Store(tmp_path / "proof.db")
    await store.open()
    await store.write(EACH, {("public", "a"): Change(Proof("a"))})
    await store._do(lambda: store._connection.execute("PRAGMA max_page_count = 12").fetchone())
    keys = {(f"{number:0100}",): True for number in range(5000)}
    with pytest.raises(Unusable, match="full"):
        await store.write(EACH, {("public", "a"): Change(Proof("b"), dirty=keys)})
    await store.close()
    kept = await (again := Store(tmp_path / "proof.db")).open()
    await again.close()
    assert kept is not None
    assert (kept.proofs, kept.dirty) == ({("public", "a"): Proof("a")}, {})


WRITER = """
import asyncio, sys
from pathlib import Path
from cockpit.model.words import Side
from cockpit.reconcile.durable import Change, Position, Proof, Store

async def main():
    store = Store(Path(sys.argv[1]))
    await store.open()
    for number in range(1_000_000):
        at = Position("tap", "db", "mark", str(number))
        keys = {(str(number), str(k)): True for k in range(200)}
        await store.write({side: at for side in Side}, {("public", "a"): Change(Proof(str(number)), True, keys)})
        print(number, flush=True)

asyncio.run(main())
"""


def test_a_writer_killed_at_any_moment_leaves_one_write_whole(tmp_path: Path) -> None:
    for number in range(3):
        path = tmp_path / f"{number}.db"
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        told = [int(writer.stdout.readline()) for _ in range(20 + 7 * number)]
        writer.send_signal(signal.SIGKILL)
        told += [int(line) for line in writer.stdout.read().split()]
        writer.wait()
        writer.stdout.close()
        kept = asyncio.run(_read(path))
        written = int(kept.positions[Side.BLUE].at)
        assert written >= told[-1]
        assert kept.proofs["public", "a"].fingerprint == str(written)
        assert {key[0] for key in kept.dirty["public", "a"]} == {str(written)}
        assert len(kept.dirty["public", "a"]) == 200


async def _read(path: Path) -> Kept:
    store = Store(path)
    kept = await store.open()
    await store.close()
    assert kept is not None
    return kept
