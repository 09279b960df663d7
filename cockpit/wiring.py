"""Where everything is tied together: a config becomes a world, a run folder becomes a guardian and a pilot.

Only the front door and the drill import this. A run's processes are started by what its folder's `launch.json` says, so that the
same command takes it up again later: nothing but paths and names is in it, never a secret.
"""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import os
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import msgspec

from cockpit import __version__
from cockpit._mistakes import Mistakes
from cockpit._secrets import stand_in
from cockpit.config import load_config
from cockpit.errors import CockpitError, ConfigError, JournalError, Refused
from cockpit.handover.approvals import SecondDoor
from cockpit.handover.findings import Rehearsed, look_alone
from cockpit.handover.guardian import Guardian
from cockpit.handover.leaving import close
from cockpit.handover.orders import Orders
from cockpit.handover.pilot import Pilot
from cockpit.handover.plan import lines, make_plan
from cockpit.handover.ports import Action, Channel, Feed, Pooler, World
from cockpit.handover.record import Recorder
from cockpit.handover.watch import Watch
from cockpit.model import events as ev
from cockpit.model.approvals import Approvers, Asker
from cockpit.model.plan import Plan
from cockpit.model.settings import Config, PairSpec, Scenario
from cockpit.model.state import RunState, replay
from cockpit.model.text import plain
from cockpit.model.words import Direction, Mode, Side
from cockpit.places import approvals_folder, became, runtime_folder, seat, take_seat
from cockpit.scenario import find as find_scenario
from cockpit.scenario import load_scenario
from cockpit.timeline.folder import RunFolder, create, private
from cockpit.timeline.journal import Journal, is_closed, is_flown, read
from cockpit.timeline.peers import gid_of, myself, need_credentials, uid_of
from cockpit.timeline.rehearsals import rehearsed
from cockpit.timeline.samples import Samples
from cockpit.timeline.sidedoor import Place

PROGRAM = "cockpit"
OWNER_CELLS = 55
"""A server keeps 63 bytes of an application's name, and `cockpit ` goes before."""
ROOM_BYTES = 16 << 20
"""Bytes that must be free where a run is kept before it starts: more than an evening's flight writes."""


@dataclass(frozen=True, slots=True)
class Launch:
    """What starts a run's processes."""

    config: str
    scenario: str
    pair: str
    user: str
    host: str
    drill: bool = False
    behind: str = ""
    """The user who became `user` by sudo; empty where nobody did."""


@dataclass(frozen=True, slots=True)
class Order:
    """A config and a scenario, read, and the pair they are for."""

    config: Config
    scenario: Scenario
    spec: PairSpec

    def world(self, proof: Path | None = None) -> World:
        """The pair's systems; nothing is connected yet. `proof`: where what is proven outlives the process, for the one that flies."""
        return build_world(self.spec, self.scenario, proof)

    def rehearsed(self, runs: Path) -> Rehearsed:
        return partial(rehearsed, runs, self.scenario, self.spec.waivers)

    def plan(self, direction: Direction, *, ungraceful: bool = False) -> Plan:
        return make_plan(self.world(), self.spec, self.scenario, self.config.digest, direction, ungraceful=ungraceful)


def read_order(config: Path, scenario: str, pair: str | None, unset: set[str] | None = None) -> Order:
    """Config, scenario and pair; `ConfigError` lists every mistake of both files. `unset`: as for `load_config`."""
    try:
        loaded = load_config(config, unset=unset)
    except Mistakes as err:
        raise Mistakes((*err.mistakes, *_mistakes_of(scenario))) from None
    names = ", ".join(sorted(loaded.pairs))
    if pair is None and len(loaded.pairs) > 1:
        raise ConfigError("the config has several pairs", where=str(config), remedy=f"choose one with --pair: {names}")
    name = pair if pair is not None else next(iter(loaded.pairs))
    if name not in loaded.pairs:
        raise ConfigError(f"there is no pair {name!r}", where=str(config), remedy=f"one of: {names}")
    flown = load_scenario(scenario)
    if flown.cutover_confirmation.second and loaded.approvals is None:
        raise ConfigError(
            f"the scenario {flown.name} asks for a second person, and this config names nobody",
            where=str(config),
            remedy="add [cockpit.approvals] with users = [...], or fly a scenario that asks for none",
        )
    return Order(loaded, flown, loaded.pairs[name])


def _mistakes_of(scenario: str) -> tuple[str, ...]:
    try:
        load_scenario(scenario)
    except ConfigError as err:
        return err.mistakes if isinstance(err, Mistakes) else (str(err),)
    return ()


def need_control(order: Order, unset: Collection[str]) -> None:
    """The cockpit's own passwords of both servers are there, whatever else of the config is `unset`; `ConfigError` names those that are not."""
    words = {password.reveal() for side in Side if (password := order.spec.side(side).control.password) is not None}
    lacking = [name for name in sorted(unset) if stand_in(name) in words]
    if lacking:
        raise ConfigError(f"not set: {', '.join(lacking)}", where=order.config.path, remedy="export it before starting the cockpit")


def build_world(spec: PairSpec, scenario: Scenario, proof: Path | None = None) -> World:
    """The real systems of a pair."""
    from cockpit.reconcile import PostgresReconciler
    from cockpit.systems.kinds import load
    from cockpit.systems.postgres import PostgresPair

    poolers: list[Pooler] = []
    channels: list[Channel] = []
    for channel in spec.channels:
        kind = load(channel.kind)
        options = channel.options if isinstance(channel.options, kind.options) else kind.options.model_validate(channel.options)
        made = kind.make(channel, spec, options, scenario.tuning)
        (poolers if kind.pooler else channels).append(made)  # type: ignore[arg-type]
    return World(
        servers=PostgresPair(spec, scenario.tuning),
        poolers=tuple(poolers),
        channels=tuple(channels),
        reconciler=PostgresReconciler(spec, scenario.tuning, proof, scenario.checks),
        feed=_feed(spec),
    )


def _feed(spec: PairSpec) -> Feed:
    from cockpit.systems.feed import FileFeed, NoFeed

    return FileFeed(Path(spec.activity_feed)) if spec.activity_feed else NoFeed()


# --- opening a run -------------------------------------------------------------------------------


async def check_reachable(order: Order) -> None:
    """Both servers answer, nobody else flies the pair, and a second person can come in where one must; the first thing that is not so is
    raised. Leaves nothing behind."""
    door = second_door(order, f"{'0' * 16}{order.spec.name}-0000")
    if door is not None:
        door.place.make()
    world = order.world()
    try:
        await world.servers.open()
        await world.servers.lock(owner())
    finally:
        await close(world)


def second_door(order: Order, run: str, names: frozenset[str] = frozenset()) -> SecondDoor | None:
    """Where a second person comes in, who may and who may not; None where the scenario asks for none. `names`: those the lead goes by.

    `ConfigError` for a user or group that this machine does not know, `Refused` for a folder that is not safe."""
    said = order.config.approvals
    if said is None or not order.scenario.cutover_confirmation.second:
        return None
    need_credentials()
    users = [user for user in said.users if user != "*"]
    approvers = Approvers(frozenset(map(uid_of, users)), gid_of(said.group) if said.group else None, "*" in said.users)
    # The file system can keep out all but one group; a list of users it cannot: there who comes is looked at.
    gid = approvers.gid if not said.users else None
    place = Place(Path(said.folder) if said.folder else approvals_folder(), gid, ours=said.folder is None)
    place.check()
    place.socket(run)
    me = myself()
    asker = Asker(frozenset({me.uid}), frozenset({me.name, *names}) - {""}, me.login)
    at = f" --at {shlex.quote(said.folder)}" if said.folder else ""
    return SecondDoor(place, approvers, asker, f"cockpit approve {run[-(len(order.spec.name) + 5) :]}{at}")


def open_run(runs: Path, config: Path, scenario: str, spec: PairSpec, *, drill: bool) -> RunFolder:
    """A new run folder that knows how its processes are started."""
    folder = create(runs, spec.name)
    write_launch(folder, config, scenario, spec.name, drill=drill)
    return folder


def write_launch(folder: RunFolder, config: Path, scenario: str, pair: str, *, drill: bool) -> None:
    """The run folder knows how its processes are started."""
    launch = Launch(str(config.resolve()), _lasting(scenario), pair, getpass.getuser(), socket.gethostname(), drill, became())
    try:
        with folder.launch.open("wb") as file:
            # A flight's timeline and samples must fit where the run is kept: found out now, not inside the window.
            os.posix_fallocate(file.fileno(), 0, ROOM_BYTES)
            file.truncate()
            file.write(msgspec.json.encode(launch))
    except OSError as err:
        shutil.rmtree(folder.root, ignore_errors=True)
        why = f"cannot write to the run folder: {err.strerror}"
        raise JournalError(why, where=str(folder.root.parent), remedy="choose another folder with --runs or free it") from None


def _lasting(scenario: str) -> str:
    """A scenario given by a path is named by its whole path: the run's processes have another working folder."""
    return str(find_scenario(scenario).resolve())


def closed_state(folder: RunFolder) -> RunState | None:
    """The state of a run that has ended; None while it is flown or was never opened. One whose closing record is there has ended although
    its processes are still on their way out."""
    if not folder.timeline.exists() or (is_flown(folder.timeline) and not is_closed(folder.timeline)):
        return None
    return replay(read(folder.timeline).events)


def guard_command(folder: RunFolder, program: Sequence[str] = (PROGRAM,)) -> list[str]:
    """What starts a run's guardian, by the module `program[0]` with the words behind it."""
    return [sys.executable, "-m", *program, "_guard", str(folder.root)]


def _program() -> str:
    """The module that this process was started by: a guardian starts its pilot by the same."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return spec.name.removesuffix(".__main__") if spec is not None else PROGRAM


def start(folder: RunFolder) -> subprocess.Popen[bytes]:
    """The guardian runs, in a session of its own, and starts the pilot; both outlive the caller."""
    with folder.log.open("ab") as log:
        return subprocess.Popen(  # noqa: S603
            guard_command(folder),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def owner(pid: int | None = None) -> str:
    """How a process of ours names itself to the lock on the servers: also two of one number, in two containers of one name, differ."""
    number = f" pid {pid or os.getpid()} {seat()[:8]}"
    return plain(f"{getpass.getuser()}@{socket.gethostname()}", OWNER_CELLS - len(number)) + number


def order_of(folder: RunFolder) -> tuple[Launch, Order]:
    """How the run's processes are started, and what they fly."""
    launch = msgspec.json.decode(folder.launch.read_bytes(), type=Launch)
    return launch, read_order(Path(launch.config), launch.scenario, launch.pair)


# --- the guardian's process ---------------------------------------------------------------------------


async def guard(folder: RunFolder) -> int:
    """The exit code of the run, once its pilot has left or has been taken over from."""
    from cockpit.reconcile.durable import forget

    _, order = order_of(folder)
    take_seat()
    guardian = Guardian(order.world(), folder.timeline, order.scenario.budgets.downtime, owner, seat())
    code = await guardian.watch(lambda end: _spawn_pilot(folder, end, guardian))
    shut_side_door(order, folder.name)
    await clear_taps(order)
    forget(folder.proof)
    return code


def shut_side_door(order: Order, run: str) -> None:
    """A pilot that was killed left its second person's door, at which nobody listens: it is gone."""
    with contextlib.suppress(CockpitError, OSError):
        door = second_door(order, run)
        if door is not None:
            door.place.socket(run).unlink(missing_ok=True)


async def clear_taps(order: Order) -> None:
    """A pilot that was killed left its taps, which nobody reads and which hold back the servers' log: they are gone, unless somebody
    flies the pair again already. Where a server cannot be reached they are left to `cleanup`."""
    world = order.world()
    gone = [world.reconciler.gone(side) for side in Side]
    try:
        if all(probe.done for probe in await asyncio.gather(*(action.probe() for action in gone))):
            return
        await world.servers.open()
        await world.servers.lock(owner())
        for action in gone:
            await _remove(action)
    except CockpitError:
        pass
    finally:
        await close(world)


async def _spawn_pilot(folder: RunFolder, end: socket.socket, guardian: Guardian) -> asyncio.subprocess.Process:
    words = ("-m", _program(), "_fly", str(folder.root), str(end.fileno()))
    pilot = await asyncio.create_subprocess_exec(sys.executable, *words, stdin=asyncio.subprocess.DEVNULL, pass_fds=(end.fileno(),))
    _on_signals(lambda: _tell_to_end(pilot, guardian))
    return pilot


def _tell_to_end(pilot: asyncio.subprocess.Process, guardian: Guardian) -> None:
    """A pilot that has ended is not told; what is in the air after it is the guardian's to bring down, and takes its time."""
    guardian.end()
    with contextlib.suppress(ProcessLookupError):
        pilot.send_signal(signal.SIGTERM)


def _on_signals(stop: Callable[[], None]) -> None:
    """A lost terminal changes nothing; SIGTERM ends in order."""
    loop = asyncio.get_running_loop()
    for ignored in (signal.SIGHUP, signal.SIGINT):
        signal.signal(ignored, signal.SIG_IGN)
    loop.add_signal_handler(signal.SIGTERM, stop)


# --- the pilot's process -----------------------------------------------------------------------------


async def fly(folder: RunFolder, descriptor: int) -> int:
    """The run's exit code, once it is closed. A run that is there already and not closed is taken up again."""
    launch, order = order_of(folder)
    watch = Watch(socket.socket(fileno=descriptor))
    thread = asyncio.create_task(watch.run())
    plans = {direction: order.plan(direction) for direction in Direction}
    recorder, journal = _taken_up(folder, order) if folder.timeline.exists() else _begun(folder, launch, order, plans)
    samples = Samples(folder.samples)
    try:
        sit_down(recorder)
        return await _fly(folder, launch, order, plans, recorder, samples, watch)
    finally:
        thread.cancel()
        await asyncio.gather(thread, return_exceptions=True)
        samples.close()
        journal.close()


def _begun(folder: RunFolder, launch: Launch, order: Order, plans: dict[Direction, Plan]) -> tuple[Recorder, Journal]:
    journal = Journal.create(folder.timeline, "pilot")
    recorder = Recorder(journal)
    recorder.record(_opened(folder, launch, order, plans))
    folder.plan.write_bytes(msgspec.json.format(msgspec.json.encode(plans)))
    return recorder, journal


def _taken_up(folder: RunFolder, order: Order) -> tuple[Recorder, Journal]:
    """The run's own timeline, ready for more. `JournalDamaged` where it cannot be trusted, `Refused` where the run is over."""
    journal, reading = Journal.take_up(folder.timeline, "pilot")
    state = replay(reading.events)
    if state.mode is Mode.CLOSED and state.half_way is None:
        journal.close()
        raise Refused(f"the run is closed: {state.outcome}", where=folder.name, remedy="`cockpit run` opens a new one")
    recorder = Recorder(journal, state)
    recorder.record(ev.RunTakenUp(getpass.getuser(), socket.gethostname(), reading.torn, _changed(reading.events, order)))
    return recorder, journal


def _changed(events: Sequence[ev.Event], order: Order) -> str:
    """What of scenario and config is no longer what the run was opened with."""
    opened = next((event.fact for event in events if isinstance(event.fact, ev.RunOpened)), None)
    if opened is None:
        return ""
    digests = {"scenario": (opened.scenario_digest, order.scenario.digest), "config": (opened.config_digest, order.config.digest)}
    return " and ".join(name for name, (then, now) in digests.items() if then != now)


def sit_down(recorder: Recorder) -> None:
    """This process owns the run from here on. What was told before, on another boot, is in the time of this one."""
    recorder.record(ev.PilotSeated("pilot", os.getpid(), secrets.token_hex(8), boot()))


def boot() -> str:
    """What tells this boot of this machine from every other; empty where the system does not say (random(4), "boot_id")."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


async def _fly(
    folder: RunFolder, launch: Launch, order: Order, plans: dict[Direction, Plan], recorder: Recorder, samples: Samples, watch: Watch
) -> int:
    second = second_door(order, folder.name, frozenset({launch.user, launch.behind, getpass.getuser()}))
    force = order.plan(Direction.ROLLBACK, ungraceful=True)
    orders = Orders(order.spec, order.scenario, plans, force, folder.place_socket(private(runtime_folder())), owner(), second, seat=seat())
    if not launch.drill:
        orders = replace(orders, rehearsed=order.rehearsed(folder.root.parent))
    world = build_world(order.spec, order.scenario.on_rig() if launch.drill else order.scenario, folder.proof)
    pilot = Pilot(world, orders, recorder, samples, watch=watch)
    _on_signals(lambda: pilot.close("told to stop"))
    return await pilot.fly()


def _opened(folder: RunFolder, launch: Launch, order: Order, plans: dict[Direction, Plan]) -> ev.RunOpened:
    return ev.RunOpened(
        run=folder.name,
        pair=order.spec.name,
        scenario=order.scenario.name,
        scenario_digest=order.scenario.digest,
        config_digest=order.config.digest,
        plan_digest=plans[Direction.CUTOVER].digest,
        user=launch.user,
        host=launch.host,
        version=__version__,
        drill=launch.drill,
        downtime_budget_s=order.scenario.budgets.downtime,
        rollback_budget_s=order.scenario.budgets.rollback,
        steps=lines(plans[Direction.CUTOVER]),
        rollback_steps=lines(plans[Direction.ROLLBACK]),
    )


# --- commands that need the systems but no run ------------------------------------------------------------


async def preflight(order: Order) -> tuple[ev.FindingSeen, ...]:
    """Every finding, of a pair on which nothing is changed."""
    world = order.world()
    try:
        return await look_alone(world, order.spec, order.scenario, order.rehearsed(Path(order.config.runs)))
    finally:
        await close(world)


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What a clean-up could not remove, and what it left standing on purpose, in words."""

    failed: tuple[str, ...]
    stays: tuple[str, ...]


async def cleanup(order: Order, *, without_bill: bool = False) -> Cleaned:
    """No object of ours is left on either side but what is told. Refuses while somebody flies the pair, and, unless `without_bill`, where a
    side was parted from a slot that still keeps what it has not: the run that says so may be another machine's."""
    world = order.world()
    try:
        await world.servers.open()
        await world.servers.lock(owner())
        if not without_bill:
            await _refuse_kept(world)
        # Read before anything is removed: the record of a fence goes with our schema, whatever happens on the way.
        stays = [line for side in Side for line in await _fence_of(world, side)]
        gone = [action for side in Side for action in (world.reconciler.gone(side), world.servers.gone(side))]
        failed = [why for action in gone if (why := await _remove(action))]
        return Cleaned(tuple(failed), tuple(stays))
    finally:
        await close(world)


async def _refuse_kept(world: World) -> None:
    for side in Side:
        if (await world.servers.gone(side).probe()).evidence.get("parted"):
            raise Refused(
                f"{side.other} keeps what an ungraceful rollback left behind, and no run here says that it was read",
                where=str(side.other),
                remedy="`cockpit bill` where that run was flown reads it; --without-bill gives it up",
            )


async def _fence_of(world: World, side: Side) -> list[str]:
    """A fence that stands on the side, and the statements that lift it."""
    seen = (await world.servers.gone(side).probe()).evidence
    lifts = seen.get("fence_stays")
    if not isinstance(lifts, list):
        return []
    return [f"{side} {seen['fence']}", *(f"  {statement};" for statement in lifts)]


async def _remove(action: Action) -> str:
    try:
        await asyncio.wait_for(action.apply(), 60)
    except (CockpitError, TimeoutError) as err:
        return f"{action.name}: {err or 'no answer within 60 s'}"
    return ""
