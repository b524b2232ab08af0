"""The daemon: brings the parts together, starts them in the order of docs/architecture.md and ends them within ten seconds.

    line ─► bus task ─► driver ─► Reading ─┬─► rules ─► events ─┐
                                           └────────────────────┴─► one accept() ─► writer ─► sender ─► broker

The parts never import each other; here they are given each other's functions.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import uvloop

from edgegw import __version__, log
from edgegw.alarming import Alarming, make_engine
from edgegw.buffer.store import Buffer
from edgegw.bus.holes import KEY_PREFIX
from edgegw.bus.schedule import grid_shifts
from edgegw.bus.task import BusTask, Extras
from edgegw.channel_parts import writable_of
from edgegw.charging import Charging
from edgegw.clock import Clock, read_clock_trust
from edgegw.config.check import read
from edgegw.config.model import Config
from edgegw.control.server import ControlServer
from edgegw.deadband import Deadbands
from edgegw.drivers.base import DevicePlan, Introduction
from edgegw.drivers.catalogue import load_profile
from edgegw.drivers.plan import line_facts
from edgegw.drivers.planning import plan_device
from edgegw.errors import EXIT_OK, EXIT_USAGE
from edgegw.live import Live
from edgegw.memory import hold_little
from edgegw.model import ClockTrust, Event, Reading
from edgegw.own_watch import OwnWatch
from edgegw.rules.engine import Changes
from edgegw.supervise import Notifier, Supervisor
from edgegw.telling import make_telling
from edgegw.uplink.keys import UplinkKeys, load_uplink_keys
from edgegw.uplink.sender import Sender
from edgegw.views import Parts, Views
from edgegw.views_buffer import BufferViews
from edgegw.views_bus import BusViews
from edgegw.views_cloud import CloudViews
from edgegw.views_telling import TellingViews
from edgegw.window import Window
from edgegw.wiring import TRUTH_PREFIX, Judging, Taken, computers_of, make_judge

_log = logging.getLogger("edgegw.app")

# docs/architecture.md: the sender gets this long for alarms when the daemon ends; the whole stop stays below 10 s.
SENDER_GRACE_S = 5.0
# The wall clock is compared with the monotonic one this often: a step is an event within a second.
CLOCK_LOOK_MS = 1000
# Rules are looked at this often even when no delay runs, so that a new due time is never far away.
RULES_TICK_MS_MAX = 500
# A bus whose loop has not turned for this long, or for what its configured waits take if that is longer, hangs in a call that never returns.
BUS_CHECKPOINT_MS = 30_000
# The alarm while the disk takes nothing.
STORE_FAILING = "store failing"
# Without its writer the store takes nothing more: the service is started anew.
STORE_CHECKPOINT_MS = 5_000


def run(config_path: Path, json_log: bool = False, verbose: int = 0, clock: Clock | None = None) -> int:  # noqa: FBT001, FBT002 - the command line's words
    """The daemon until a signal; `clock` only in simulated time. Returns the exit code; what a person must mend is one line each on the log."""
    hold_little()
    loaded = read(config_path, running=True)
    for finding in loaded.findings:
        sys.stderr.write(f"{finding}\n")
    if loaded.config is None or loaded.errors:
        return EXIT_USAGE
    config = loaded.config
    del loaded
    log.configure("debug" if verbose else config.log.level, json_lines=json_log)
    keys = {uplink.name: load_uplink_keys(uplink, config.paths.state_dir) for uplink in config.uplink}
    daemon = Daemon(config, keys, clock)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(daemon.live())
    finally:
        # The end has come so far that nothing is left to hurry: a second signal must not kill what the loop no longer hears.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        daemon.buffer.close()
        log.write_summaries()
    return EXIT_OK


def plan_buses(config: Config) -> dict[str, list[DevicePlan]]:
    """Bus name to the plans of its devices; source ids count through the file, so that equal files give equal schema documents."""
    lines = {bus.name: line_facts(bus) for bus in config.bus}
    plans: dict[str, list[DevicePlan]] = {bus.name: [] for bus in config.bus}
    next_id = 1
    for device in config.device:
        plan = plan_device(device, load_profile(device.profile), lines[device.bus], next_id)
        plans[device.bus].append(plan)
        next_id += len(plan.sources)
    return plans


class Daemon:
    """All parts of one gateway. Opening the store may refuse (EdgegwError); after that no fault of the world ends `live`."""

    def __init__(self, config: Config, keys: Mapping[str, UplinkKeys], clock: Clock | None = None) -> None:
        self._config = config
        self.clock = clock or Clock()
        self.clock.trust = read_clock_trust()
        plans = plan_buses(config)
        polled = [planned.source for bus in plans.values() for plan in bus for planned in plan.sources]
        computers = computers_of(config, polled)
        sources = [*polled, *(computer.source for computer in computers)]
        self._loop: asyncio.AbstractEventLoop | None = None
        state_dir = Path(config.paths.state_dir)
        self._own = OwnWatch(config, self.clock, state_dir)
        filters = {uplink.name: uplink.points for uplink in config.uplink}
        self.buffer = Buffer.open(state_dir, self.clock, config.store, [*sources, *self._own.sources], list(filters), self._synced, filters, may_wait=True)
        self._own.begin(self.buffer)
        self.engine = make_engine(config, [*sources, *self._own.sources], self.buffer)
        self._judging = Judging(make_judge(config, polled, computers, self.buffer.states(TRUTH_PREFIX)), self.engine)
        self.latest = Live([*sources, self._own.points.gateway])
        self._plans = plans
        self._keys = keys
        self._sources = sources
        self._charging = Charging(sources)
        self._deadbands = Deadbands(config.deadband, sources)
        self._window = Window(config.store, self.clock, self.buffer.set_window_ms, self._is_busy)
        self._clock_was_known = False

    async def live(self) -> None:
        """Starts everything, waits for the signal, ends everything."""
        self._loop = asyncio.get_running_loop()
        self._supervisor = Supervisor(self.clock, Notifier.from_environment())
        self._supervisor.handle_signals()
        self._buses = self._bus_tasks()
        self._telling = make_telling(self._config, [*self._sources, *self._own.sources], self.clock, self.buffer, self.engine, self._buses, self._supervisor)
        self._take(self._judging.begin(self._buses, self._plans, self._supervisor.guard, self.clock))
        self._senders = [
            Sender(uplink, self._config.gateway, self._keys[uplink.name], self.buffer, self.clock, self.buffer.seal_soon, self._journal)
            for uplink in self._config.uplink
        ]
        for sender in self._senders:
            sender.commands.handlers["live"] = self._window.ordered
        unproven = frozenset(plan.device for plans in self._plans.values() for plan in plans if plan.unproven)
        views = Views(Parts(self._config, self.clock, self.buffer, self.engine, self.latest, self._buses, self._senders, self._judging.judge.note, unproven))
        handlers = {**views.handlers(), **BusViews(self._config, self.clock, self._buses, self._plans).begin().handlers()}
        handlers |= {**BufferViews(self._config, self.clock, self.buffer).handlers(), **self._window.handlers()}
        alarming = Alarming(self._config, self.engine, self.clock, self.buffer, self._accept)
        handlers |= {**alarming.handlers(handlers), **CloudViews(self._senders).handlers(), **TellingViews(self._config, self.clock, self._telling).handlers()}
        server = ControlServer(Path(self._config.paths.control_socket), handlers, gateway=self._config.gateway.identity, language=self._config.gateway.language)
        self._tell_start()
        alarming.begin(self._senders)
        await server.start()
        try:
            self._start_parts()
            self._supervisor.start("alarm reports", alarming.reports.run)
            self._supervisor.notifier.ready(f"polling {len(self._config.device)} devices on {len(self._buses)} buses")
            _log.info("edgegw %s polls %d devices on %d buses", __version__, len(self._config.device), len(self._buses))
            await self._supervisor.stop_requested.wait()
            await self._end_parts()
        finally:
            await self._supervisor.end_all()
            await server.close()
        _log.info("ended")

    def _bus_tasks(self) -> list[BusTask]:
        remembered = self.buffer.states(KEY_PREFIX)
        shifts = grid_shifts([(bus.kind == "serial", _shortest_period_ms(self._plans[bus.name])) for bus in self._config.bus])
        writable = writable_of(self._config)
        return [
            BusTask(bus, self._plans[bus.name], self.clock, self._read, Extras(shift_ms, remembered, self._remember, self._introduced, writable[bus.name]))
            for bus, shift_ms in zip(self._config.bus, shifts, strict=True)
        ]

    def _journal(self, event: Event, states: Mapping[str, bytes]) -> None:
        """What a cloud ordered, and how far its orders have come."""
        self.buffer.accept((), (event,), states)

    def _remember(self, key: str, state: bytes | None) -> None:
        """What a bus has learnt, for the next start."""
        self.buffer.accept((), (), {key: state})

    # -- start and stop

    def _tell_start(self) -> None:
        """The event `started` (docs/architecture.md, identity rule 10), and the alarm of a store that had to be set aside."""
        previous = self.buffer.previous
        last = {str(stream): seq for stream, seq in previous.last.items()} if previous else {}
        body: dict[str, object] = {
            "version": __version__,
            "epoch": f"{self.buffer.epoch:016x}",
            "previous_epoch": f"{previous.epoch:016x}" if previous else None,
            "previous_last": last,
            "boot_id": Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip(),
        }
        self.buffer.accept((), [self._event("started", body)])
        self._note_known_clock()
        if self.buffer.set_aside:
            place = self.buffer.set_aside.name
            _log.error("E-STORE-DAMAGED: the database was damaged; it lies unchanged as %s, a new one was begun. Next: edgegw buffer recover", place)
            now = self.clock.mono_ms()
            changes = self.engine.report(
                "store damaged",
                "major",
                f"database was damaged; set aside as {place}: edgegw buffer recover",
                f"数据库损坏，已另存为 {place}：edgegw buffer recover",
                now,
                self.clock.wall_ms(now),
                self.clock.trust,
            )
            self._accept(changes)

    def _start_parts(self) -> None:
        supervisor = self._supervisor
        for bus in self._buses:
            supervisor.start(f"bus {bus.bus.name}", bus.run)
            supervisor.watch(f"bus {bus.bus.name}", lambda bus=bus: bus.checkpoint_ms, max(BUS_CHECKPOINT_MS, bus.turn_ms_max))  # type: ignore[misc]
        supervisor.watch("store", lambda: self.buffer.checkpoint_ms, STORE_CHECKPOINT_MS)
        supervisor.start("clock", self._look_at_clock)
        supervisor.start("rules", self._tick_rules)
        supervisor.start("own points", partial(self._own.run, self.buffer, self.engine, self._buses, self._senders, self._keep, self._accept))
        supervisor.start("watchdog", supervisor.beat)
        self._telling.start()
        for sender in self._senders:
            supervisor.start(f"uplink {sender.status().name}", partial(self._send, sender))
        self._window.look()
        self.buffer.seal_soon()

    async def _end_parts(self) -> None:
        """Buses finish the question under way, alarms get their time, then everything else ends."""
        used_s = await self._telling.end(hurry=self._supervisor.hurry.is_set())
        await self._supervisor.end(*(f"bus {bus.bus.name}" for bus in self._buses))
        grace_s = 0.0 if self._supervisor.hurry.is_set() else max(0.0, SENDER_GRACE_S - used_s)
        self.buffer.seal_soon(0)
        stopping = asyncio.ensure_future(self._stop_senders(grace_s))
        hurry = asyncio.ensure_future(self._supervisor.hurry.wait())
        await asyncio.wait((stopping, hurry), timeout=grace_s + 1, return_when=asyncio.FIRST_COMPLETED)
        for task in (stopping, hurry):
            task.cancel()

    async def _send(self, sender: Sender) -> None:
        """The sender ends by itself only when it was stopped; then it waits here to be ended, and is not started again."""
        await sender.run()
        if self._supervisor.stop_requested.is_set():
            await asyncio.get_running_loop().create_future()

    async def _stop_senders(self, grace_s: float) -> None:
        await asyncio.gather(*(sender.stop(grace_s) for sender in self._senders))

    # -- the way of the data

    def _read(self, reading: Reading) -> None:
        """Called by a bus for every reading, on the loop: judged, stored with what changed by it, shown."""
        self._take(self._judging.take(reading))

    def _introduced(self, device: str, introduction: Introduction) -> None:
        """A bus has asked a device who it is."""
        self._take(self._judging.introduced(device, introduction, self.clock))

    def _take(self, taken: Taken) -> None:
        if taken.readings or taken.events or taken.states:
            self.buffer.accept(self._deadbands.keep(taken.readings, taken.events), *self._telling.note(taken))
        for reading in taken.readings:
            self.latest.put(reading)
            if self._charging.note(reading):
                self._window.look()
        if taken.events:
            self._window.look()

    def _keep(self, reading: Reading) -> None:
        """What the gateway says of itself: judged, stored and shown."""
        changes = self.engine.evaluate(reading)
        self.buffer.accept((reading,), *self._telling.note(changes))
        self.latest.put(reading)

    def _accept(self, changes: Changes) -> None:
        if changes:
            self.buffer.accept((), *self._telling.note(changes))
            self._window.look()

    def _synced(self, streams: frozenset[int]) -> None:
        """Called on the writer's thread: there is something new to send."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake_senders, streams)

    def _wake_senders(self, streams: frozenset[int]) -> None:
        for sender in self._senders:
            sender.wake(streams)

    def _is_busy(self) -> bool:
        """What the gateway says of its own certificates and quota asks nobody to look at readings."""
        return bool(self._charging) or any(alarm.rule not in self._own.told for alarm in self.engine.open_alarms())

    # -- what time brings

    async def _tick_rules(self) -> None:
        while True:
            now_ms = self.clock.mono_ms()
            self._take(self._judging.tick(self.clock))
            due_ms = self.engine.next_due_ms()
            next_ms = now_ms + RULES_TICK_MS_MAX
            await self.clock.sleep_until(next_ms if due_ms is None else max(now_ms + 1, min(due_ms, next_ms)))

    async def _look_at_clock(self) -> None:
        while True:
            step_ms = self.clock.look()
            trust = read_clock_trust()
            if step_ms or trust is not self.clock.trust:
                self._tell_clock(step_ms, trust)
            self._look_at_store()
            self._window.economy = self._own.economy
            self._window.look()
            log.write_summaries()
            await self.clock.sleep(CLOCK_LOOK_MS)

    def _look_at_store(self) -> None:
        """The alarm of a disk that takes nothing lasts as long as that does."""
        trouble, now_ms = self.buffer.trouble, self.clock.mono_ms()
        at = (now_ms, self.clock.wall_ms(now_ms), self.clock.trust)
        if trouble:
            self._accept(self.engine.report(STORE_FAILING, "major", f"the disk takes nothing: {trouble}", f"磁盘无法写入：{trouble}", *at))
        else:
            self._accept(self.engine.withdraw(STORE_FAILING, None, *at))

    def _tell_clock(self, step_ms: int, trust: ClockTrust) -> None:
        before, self.clock.trust = self.clock.trust, trust
        _log.info("the wall clock: %s, was %s, stepped by %d ms", trust.word, before.word, step_ms)
        self.buffer.accept((), [self._event("clock_step", {"step_ms": step_ms, "trust": trust.word, "before": before.word})])
        self._note_known_clock()

    def _note_known_clock(self) -> None:
        """The first synchronisation, of this start or before it: what this boot has read under an unset clock gets its time."""
        if self.clock.trust is ClockTrust.SYNCHRONISED and not self._clock_was_known:
            self._clock_was_known = True
            self.buffer.correct_clock()

    def _event(self, kind: str, body: Mapping[str, object]) -> Event:
        now_ms = self.clock.mono_ms()
        return Event(kind, self.clock.wall_ms(now_ms), now_ms, self.clock.trust, None, body)


def _shortest_period_ms(plans: Sequence[DevicePlan]) -> int:
    return min((planned.source.period_ms for plan in plans for planned in plan.sources), default=1)
