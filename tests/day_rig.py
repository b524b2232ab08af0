"""The reference station's day without waiting: simulated devices asked with real questions at virtual times, their answers through truth and rules.

    world ─► device ─► frame ─► decoder ─► Reading ─► truth ─► rules ─► alarm events, and what is told

Real are the bus's schedule (grid, silence, probes, quarter hours), plans and decoders, `Judging` and `Engine`. Not there are lines, loop and store: a
question takes the time that it takes on such a line, an answer that does not come its time-out.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import msgspec

from edgegw.alarming import make_engine
from edgegw.app import plan_buses
from edgegw.buffer.store import Buffer
from edgegw.bus.readings import failed_reading, fault_quality, good_reading, is_alive
from edgegw.bus.schedule import ENERGY_LATE_MS, ENERGY_RETRY_MS, Link, Schedule, Slot
from edgegw.clock import Clock
from edgegw.config.model import Bus, Config
from edgegw.drivers.base import DevicePlan, Introduction
from edgegw.drivers.catalogue import load_profile
from edgegw.model import Answer, ClockTrust, Event, Fault, Quality, Question, Reading
from edgegw.own_points import LinkCounts, OwnPoints
from edgegw.rules.told import Told, Why
from edgegw.sim import frames
from edgegw.sim.bodies import build_body
from edgegw.sim.device import Device
from edgegw.sim.gateway_config import bus_and_device_tables, fixed_ports
from edgegw.sim.scenario import Scenario
from edgegw.sim.station import SimDevice, Station, load_station
from edgegw.sim.world import World
from edgegw.wiring import Judging, computers_of, make_judge

STATION = Path(__file__).parents[1] / "examples" / "r10-station.toml"
# What a day needs of each kind of device, so that it can run fast: contacts each second, all else as seldom as the rules allow.
PERIODS_S: Mapping[str, Mapping[str, float]] = {
    "waveshare.io8": {"inputs": 1},
    "waveshare.relay8": {"relays": 2},
    "generic.meter-3p": {"electrical": 10},
    "eastron.sdm120": {"electrical": 10},
    "generic.meter-dc": {"electrical": 10},
    "dlt645.2007-1p": {"electrical": 60},
    "generic.pile-dc": {"state": 10, "electrical": 15},
    "generic.pile-ac": {"state": 10, "electrical": 15},
    "huawei.sun2000": {"electrical": 10, "status": 10},
}
# What is read at quarter hours stays there.
ALIGNED_S_MIN = 300
_HEAD = """[gateway]
operator = "demo"
station = "R10"
gateway = "gw1"
"""
# Local midnight of the simulated day: a summer day in Shanghai.
MIDNIGHT_MS = 1_782_000_000_000 // 86_400_000 * 86_400_000 - 8 * 3_600_000
# What one question takes, in ms: a short frame at 9600 baud with its answer; a server on the station's own network.
QUESTION_MS = {"serial": 60, "tcp": 5}
# The world moves at most so often; what lasts for less is seen by who keeps it.
WORLD_STEP_MS = 2000
TICK_MS = 500
OWN_PERIOD_MS = 60_000
# Without a cut a batch is confirmed within seconds.
RECEIPT_AGE_S = 4.0


def day_station(start_hour: float, seed: int, slow: float = 1.0) -> Station:
    """The reference station at this hour, with the periods of the day; `slow` makes all but quarter hours so many times longer."""
    station = load_station(STATION)
    devices = [msgspec.structs.replace(device, period_s=_periods_s(device, slow)) for device in station.device]
    return msgspec.structs.replace(station, start_hour=start_hour, seed=seed, device=devices)


def _periods_s(device: SimDevice, slow: float) -> dict[str, float]:
    groups = {name: group.period_s for name, group in load_profile(device.profile).group.items()}
    chosen = {**groups, **device.period_s, **PERIODS_S.get(device.profile, {})}
    return {name: period_s if groups[name] >= ALIGNED_S_MIN else period_s * slow for name, period_s in chosen.items()}


def day_config(station: Station) -> Config:
    """What the gateway of this station is configured with."""
    return msgspec.convert(tomllib.loads(_HEAD + bus_and_device_tables(station, fixed_ports(station), None)), Config)


class DayClock(Clock):
    """Stands where the harness puts it."""

    def __init__(self, hour: float) -> None:
        super().__init__()
        self.now_ms = 0
        self.offset_ms = MIDNIGHT_MS + round(hour * 3_600_000)
        self.trust = ClockTrust.SYNCHRONISED

    def mono_ms(self, at_ns: int | None = None) -> int:
        return self.now_ms if at_ns is None else at_ns // 1_000_000

    @property
    def of_day(self) -> str:
        """`15:20:02`"""
        seconds = (self.now_ms + self.offset_ms - MIDNIGHT_MS) // 1000
        return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


class VirtualBus:
    """One bus: the real schedule, and simulated devices instead of a line. For `Judging` it looks like a bus task."""

    def __init__(self, bus: Bus, plans: Sequence[DevicePlan], devices: Mapping[int, Device], clock: DayClock, take: Callable[[Reading], None]) -> None:
        self.bus = bus
        self._clock = clock
        self._schedule = Schedule(plans, clock.now_ms, clock.now_ms, clock.offset_ms)
        self._devices = devices
        self._take = take
        self.introduced: Callable[[str, Introduction], None] = lambda _device, _introduction: None
        self._free_ms = clock.now_ms
        self.counts = {plan.device: LinkCounts(answers=True, asked=0, wrong=0) for plan in plans}
        self.due_ms: float = clock.now_ms
        """When it has its next turn."""

    def ask_again_soon(self, source_id: int) -> bool:
        soon = self._schedule.ask_again(source_id, self._clock.now_ms)
        self._find_due()
        return soon

    def _find_due(self) -> None:
        self.due_ms = max(self._free_ms, self._schedule.next_ms())

    def turn(self) -> None:
        """What is due now: one probe, one introduction or one slot."""
        now_ms = self._clock.now_ms
        if link := self._schedule.take_probe(now_ms):
            link.probes += 1
            self._judge(link, self._ask(link, link.probe))
        elif link := self._schedule.take_introduction(now_ms):
            self._introduce(link)
        elif slot := self._schedule.take_slot(now_ms):
            self._poll(slot, now_ms)
        self._free_ms, self._clock.now_ms = self._clock.now_ms, now_ms
        self._find_due()

    def _introduce(self, link: Link) -> None:
        """All its questions at once: nobody waits meanwhile."""
        assert link.plan.introduce is not None
        run = link.plan.introduce()
        try:
            question = next(run)
            while True:
                result = self._ask(link, question)
                if isinstance(result, Fault) and not is_alive(result):
                    link.introduce_ms = self._clock.now_ms
                    self._judge(link, result)
                    return
                question = run.send(result)
        except StopIteration as end:
            found: Introduction = end.value
        link.waits, link.introduce_ms = False, float("inf")
        if found.sources is not None:
            link.resolve(found.sources)
        self.introduced(link.plan.device, found)

    def _poll(self, slot: Slot, now_ms: int) -> None:
        answers: list[Answer] = []
        fault: Fault | None = None
        left = list(slot.planned.questions[::-1])
        while left and fault is None:
            question = left.pop()
            result = self._ask(slot.link, question)
            if isinstance(result, Fault):
                fault = result
                break
            answers.append(result)
            if question.follow is not None and (more := question.follow(result)) is not None:
                left.append(more)
        clock = self._clock
        if fault is None:
            slot.offline = False
            reading = good_reading(slot.planned, answers, clock)
        else:
            quality = fault_quality(fault)
            slot.offline = quality is Quality.OFFLINE
            reading = failed_reading(slot.planned, quality, clock)
        skew_ms = slot.skew_ms(clock.now_ms) if slot.aligned and slot.offline else None
        if skew_ms is not None and skew_ms + ENERGY_RETRY_MS < ENERGY_LATE_MS:
            slot.hold(clock.now_ms + ENERGY_RETRY_MS)
        else:
            slot.advance(max(now_ms, clock.now_ms))
        self._take(reading)
        self._judge(slot.link, fault)

    def _judge(self, link: Link, result: Answer | Fault | None) -> None:
        """Whether the device lives; as `bus/outcome.py` has it."""
        now_ms = self._clock.now_ms
        if not isinstance(result, Fault) or is_alive(result):
            if link.answered(now_ms) and link.plan.introduce is not None:
                link.waits, link.introduce_ms = True, now_ms
        elif link.failed(now_ms):
            link.probe_cost_ms = self.bus.answer_timeout_ms
            for slot in link.slots:
                if not slot.offline:
                    slot.offline = True
                    self._take(failed_reading(slot.planned, Quality.OFFLINE, self._clock))

    def _ask(self, link: Link, question: Question) -> Answer | Fault:
        reply = self._say(link, question.payload)
        count = self.counts[link.plan.device]
        self.counts[link.plan.device] = LinkCounts(reply is not None or not link.silent, count.asked + 1, count.wrong + (reply is None))
        if reply is None:
            self._clock.now_ms += self.bus.answer_timeout_ms
            return Fault("timeout", "no answer")
        self._clock.now_ms += QUESTION_MS[self.bus.kind]
        parsed = question.parse(reply)
        assert parsed is not None, (link.plan.device, question.payload, reply)
        if parsed.data is None:
            return Fault("exception", "refused", parsed.exception_code or 0)
        return Answer(parsed.data, self._clock.now_ms * 1_000_000)

    def _say(self, link: Link, payload: bytes) -> bytes | None:
        device = self._devices[link.plan.unit]
        tongue = device.image.tongue
        is_tcp = self.bus.kind == "tcp"
        request = frames.parse_tcp(b"\0\0" + payload)[0] if is_tcp else tongue.parse(payload)
        assert request is not None, (link.plan.device, payload)
        reply = device.answer(request)
        if reply is None:
            return None
        return frames.tcp_frame(0, request.unit, reply.payload)[2:] if is_tcp else tongue.frame(request, reply.payload)


def _due_ms(bus: VirtualBus) -> float:
    return bus.due_ms


class _EmptyStore:
    """As a store is at the first start."""

    epoch = 1

    def states(self, prefix: str) -> dict[str, bytes]:
        return {}


class Called(NamedTuple):
    """One thing for which people were called."""

    what: str
    level: str
    subject: str


def called(rule: str, level: str, subject: str) -> Called:
    """In the words of the day."""
    return Called(_WHAT.get(rule, rule), level, subject)


def below(rule: str, alarms: Sequence[tuple[Mapping[str, object], str | None]]) -> set[tuple[str, str]]:
    """(rule, subject) of all that was written down below an alarm of this rule, or below what is. `alarms`: body and device of the events."""
    bodies = [(body, str(device or body.get("bus"))) for body, device in alarms]
    ids = {str(body["id"]) for body, _ in bodies if body["rule"] == rule}
    before = -1
    while before < len(ids):
        before = len(ids)
        ids |= {child for body, _ in bodies if body["id"] in ids for child in cast("list[str]", body.get("children", ()))}
        ids |= {str(body["id"]) for body, _ in bodies if body.get("suppressed_by") in ids}
    return {(str(body["rule"]), who) for body, who in bodies if body["id"] in ids and body["rule"] != rule}


class Expected(NamedTuple):
    """What the day shall tell, from when to when at the latest (hours)."""

    begin: float
    told_by: float
    call: Called


# In this order, and nothing else. Energy is read at quarter hours: a register that stands still from 17:00 on is known at 17:15, or at 17:30 when the first
# look came right before it.
EXPECTED = (
    Expected(15.33, 15.4, Called("mains lost", "critical", "DI-01")),
    Expected(15.33, 15.45, Called("low battery", "critical", "UPS-01")),
    Expected(16.0, 16.35, Called("string fault", "minor", "PV-01")),
    Expected(17.0, 17.6, Called("meter frozen", "major", "M-AC3")),
    Expected(18.5, 18.6, Called("busbar high", "major", "PT-01")),
    Expected(20.0, 20.4, Called("uplink lost", "major", "gw1")),
    Expected(22.0, 22.1, Called("bus offline", "critical", "com4")),
)


# Behind the UPS, or with a supply of their own.
_FED_BY_UPS = {"ups", "cabinet", "outdoor", "inputs", "joints"}
MAINS_FED = frozenset(device.code for device in load_station(STATION).device if device.role not in _FED_BY_UPS)
COM4 = frozenset(device.code for device in load_station(STATION).device if device.bus == "com4")
# Of the buses with two devices and more: on the others the device's own alarm says it.
MAINS_FED_BUSES = frozenset({"com1", "com2", "com3", "piles"})
# (rule, subject) that must be written down below the mains failure, and below the dead line.
BELOW_MAINS = frozenset(
    {
        ("ups-on-battery", "UPS-01"),
        ("grid-trip", "PV-01"),
        *(("device offline", code) for code in MAINS_FED),
        *(("bus offline", bus) for bus in MAINS_FED_BUSES),
    }
)
BELOW_COM4 = frozenset({*(("device offline", code) for code in COM4), ("input lost", "DI-01")})


def expected(from_hour: float, to_hour: float) -> list[Called]:
    """Of a part of the day."""
    return [one.call for one in EXPECTED if from_hour < one.begin and one.told_by <= to_hour]


# Several rules share an episode, and which of them speaks first is a matter of polls.
_WHAT = {
    "mains-lost": "mains lost",
    "ups-low-battery": "low battery",
    "ups-charge-low": "low battery",
    "ups-runtime-low": "low battery",
    "string-fault": "string fault",
    "joint-hot": "busbar high",
    "joint-rise": "busbar high",
    "busbar-sister": "busbar high",
    "uplink-silent": "uplink lost",
}


class Day:
    """One run: `run_until` the hour, then look at `told`, `events`, `engine`."""

    def __init__(self, station: Station, scenario: Scenario) -> None:
        self.config = config = day_config(station)
        self.clock = clock = DayClock(station.start_hour)
        self.world = World(station, scenario)
        self.told: list[tuple[str, Told]] = []
        self.events: list[tuple[str, Event]] = []
        self.polls = 0
        self._uplink_lost_ms: int | None = None
        plans = plan_buses(config)
        polled = [planned.source for bus in plans.values() for plan in bus for planned in plan.sources]
        computers = computers_of(config, polled)
        self._own = OwnPoints(config.gateway.gateway, {device.code: device.points for device in config.device}, Path("/"), clock)
        sources = [*polled, *(computer.source for computer in computers), *self._own.sources]
        self.engine = make_engine(config, sources, cast("Buffer", _EmptyStore()))
        self._judging = Judging(make_judge(config, polled, computers, {}), self.engine)
        made = {device.code: self._device(device, index) for index, device in enumerate(station.device)}
        self.buses: list[VirtualBus] = [
            VirtualBus(bus, plans[bus.name], {device.unit: device for device in made.values() if device.bus == bus.name}, clock, self._read)
            for bus in config.bus
        ]
        for bus in self.buses:
            bus.introduced = self._introduced
        self._note(self._judging.begin(cast("Any", self.buses), plans, lambda _name, step: step(), clock))

    def _device(self, device: SimDevice, index: int) -> Device:
        return Device(device, build_body(device.profile, device.image), lambda: self.world.values[device.code], index, lambda: device.code in self.world.silent)

    # -- what came of it

    @property
    def called(self) -> list[Called]:
        """What people were called for; ends and repetitions are no calls."""
        calls = [told.episode.facts for _, told in self.told if told.why is not Why.CLEARED]
        return [called(facts.rule, facts.level, facts.subject) for facts in calls]

    def below(self, rule: str) -> set[tuple[str, str]]:
        """(rule, subject) of all that was written down below an alarm of this rule, or below what is."""
        return below(rule, [(event.body, event.device) for _, event in self.events if event.kind == "alarm"])

    # -- time

    def run_until(self, hour: float) -> Day:
        """`hour` counts from the first midnight: 25 is an hour after the second."""
        clock = self.clock
        end_ms = round(hour * 3_600_000) - (clock.offset_ms - MIDNIGHT_MS)
        tick_ms, own_ms, world_ms = clock.now_ms, clock.now_ms + OWN_PERIOD_MS // 6, clock.now_ms
        while True:
            bus = min(self.buses, key=_due_ms)
            now_ms = round(min(bus.due_ms, tick_ms, own_ms))
            if now_ms >= end_ms:
                return self
            clock.now_ms = max(clock.now_ms, now_ms)
            if clock.now_ms - world_ms >= WORLD_STEP_MS:
                self.world.advance((clock.now_ms - world_ms) / 1000)
                world_ms = clock.now_ms
            if tick_ms <= now_ms:
                self._note(self._judging.tick(clock))
                tick_ms = clock.now_ms + TICK_MS
            elif own_ms <= now_ms:
                self._look_at_itself()
                own_ms += OWN_PERIOD_MS
            else:
                bus.turn()

    # -- the way of the data, as app.py has it

    def _read(self, reading: Reading) -> None:
        self.polls += 1
        self._note(self._judging.take(reading))

    def _introduced(self, device: str, introduction: Introduction) -> None:
        self._note(self._judging.introduced(device, introduction, self.clock))

    def _look_at_itself(self) -> None:
        """The gateway's own points: all is well but for the link to the cloud."""
        if not self.world.conditions.uplink_away:
            self._uplink_lost_ms = None
        elif self._uplink_lost_ms is None:
            self._uplink_lost_ms = self.clock.now_ms
        age_s = RECEIPT_AGE_S + (0.0 if self._uplink_lost_ms is None else (self.clock.now_ms - self._uplink_lost_ms) / 1000)
        numbers = {"uplink.age": age_s, "uplink.connected": float(self._uplink_lost_ms is None), "disk.free": 20_000.0, "clock.state": 2.0}
        now_ms = self.clock.now_ms
        values = tuple(round(numbers.get(point.name, 1.0) * 10**point.decimals) for point in self._own.gateway.points)
        self._note(self.engine.evaluate(Reading(self._own.gateway, self.clock.wall_ms(now_ms), now_ms, self.clock.trust, values, {})))
        counts = {code: found for bus in self.buses for code, found in bus.counts.items()}
        for reading in self._own.link_readings(counts.__getitem__):
            self._note(self.engine.evaluate(reading))

    def _note(self, taken: Any) -> None:
        if taken.events:
            self.events += [(self.clock.of_day, event) for event in taken.events]
        if taken.told:
            self.told += [(self.clock.of_day, told) for told in taken.told]
