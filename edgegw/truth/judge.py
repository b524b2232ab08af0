"""Every reading on its way from the bus to the rules: is it true? Does no I/O and knows no clock of its own.

What there is to judge in a source is found out once, at the start: a source without anything costs one look into a dictionary.

    wrong device? ─► inputs ─► registers ─► powers ─► connectors ─► sleep ─► computed points, balances, yields

A value is never changed and never left out: what is in doubt is marked `suspect`. The one exception is an input that is declared as normally closed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from edgegw.config.model import Config, Device
from edgegw.model import Quality, Reading, Source
from edgegw.truth.contacts import Connectors, Inputs
from edgegw.truth.devices import Faces, SaysItself, Sleeper
from edgegw.truth.dips import Dips, MeterDips
from edgegw.truth.meters import Powers, Registers, Widths, compile_flows
from edgegw.truth.scales import compile_scales
from edgegw.truth.standing import LOW_YIELD, Standing
from edgegw.truth.still import METERING_CLASS, Still
from edgegw.truth.sums import Balancer, Computer, Places, places_of
from edgegw.truth.work import KEY_PREFIX, Moment, Report, Step, Verdict, Work, suspect_all
from edgegw.truth.yields import Yields, sun_of

__all__ = ["KEY_PREFIX", "NOTHING", "Judge", "Moment", "Report", "Verdict"]

NOTHING = Verdict()
# Device class whose silence at night is sleep.
SLEEPING_CLASS = "inverter"


class Judge:
    """All that is judged before the rules. `restored` holds the states as they were stored; foreign keys in it do not matter."""

    def __init__(self, config: Config, sources: Sequence[Source], computers: Sequence[Computer], widths: Widths, restored: Mapping[str, bytes]) -> None:
        self.concerned: dict[int, tuple[Step, ...]] = {}
        """Source id to what judges it; a source that is not there has nothing to judge."""
        self._inputs: list[Inputs] = []
        self._sleepers: dict[str, Sleeper] = {}
        self._registers: dict[str, list[Registers]] = {}
        self._source_ids: dict[str, list[int]] = {}
        self._faces: dict[str, Faces] = {}
        self._standings = {device.code: Standing(device.code, restored) for device in config.device}
        by_device: dict[str, list[Source]] = {}
        for source in sources:
            by_device.setdefault(source.device, []).append(source)
        place = (config.gateway.latitude, config.gateway.longitude)
        for device in config.device:
            self._add_device(device, by_device.get(device.code, []), place, widths, restored)
        for computer in computers:
            self._add_each({source_id for source_id, _ in computer.watched}, computer)
        places = places_of(sources)
        for settings in config.balance:
            balancer = Balancer(settings, places, widths, self._standings)
            self._add_each(balancer.source_ids, balancer)
        self._yields = self._add_yields(config, places, widths, restored)
        known = self._keys()
        self._stale = {key for key in restored if key.startswith(KEY_PREFIX) and key not in known}

    # -- at the start

    def _add_device(self, device: Device, sources: Sequence[Source], place: tuple[float, float], widths: Widths, restored: Mapping[str, bytes]) -> None:
        self._source_ids[device.code] = [source.source_id for source in sources]
        self._registers[device.code] = []
        faces = Faces(device, restored, self._forget, self._mark)
        self._faces[device.code] = faces
        for source in sources:
            for step in self._source_steps(device, source, faces, widths, restored):
                self._add(source.source_id, step)
        for source_id, flow in compile_flows(sources, device.rated_kw, widths, self._standings[device.code]):
            self._add(source_id, flow)
        still = Still([source for source in sources if source.device_class == METERING_CLASS], self._standings[device.code])
        self._add_each(still.source_ids, still)
        dips = MeterDips(sources)
        self._add_each(dips.source_ids, dips)
        for scales in compile_scales(sources):
            self._add_each(scales.source_ids, scales)
        for source in sources:
            connectors = Connectors(source, restored)
            if connectors.guns:
                self._add(source.source_id, connectors)
        if any(source.device_class == SLEEPING_CLASS for source in sources):
            sleeper = self._sleepers[device.code] = Sleeper(device, sources, place, restored)
            self._add_each(self._source_ids[device.code], sleeper)

    def _source_steps(self, device: Device, source: Source, faces: Faces, widths: Widths, restored: Mapping[str, bytes]) -> list[Step]:
        steps: list[Step] = []
        itself = SaysItself(faces, source)
        if itself.positions:
            steps.append(itself)
        inputs = Inputs(source, device.input, restored)
        if inputs.inputs:
            self._inputs.append(inputs)
            steps.append(inputs)
        registers = Registers(source, device.rated_kw, widths, self._standings[device.code], restored)
        if registers.positions:
            self._registers[device.code].append(registers)
            steps.append(registers)
        dips = Dips(source)
        if dips.positions:
            steps.append(dips)
        powers = Powers(source)
        if powers.checks:
            steps.append(powers)
        return steps

    def _add_yields(self, config: Config, places: Places, widths: Widths, restored: Mapping[str, bytes]) -> Yields | None:
        sun = sun_of(config.device, places)
        yields = None if sun is None else Yields(sun, config.device, places, widths, self._standings, restored)
        judged = yields.devices if yields is not None else frozenset[str]()
        others = [standing for code, standing in self._standings.items() if code not in judged]
        self._dropped = {standing.key: standing.state for standing in others if standing.drop(LOW_YIELD)}
        if yields is None or not judged:
            return None
        self._add_each(yields.source_ids, yields)
        return yields

    def _add(self, source_id: int, step: Step) -> None:
        self.concerned[source_id] = (*self.concerned.get(source_id, ()), step)

    def _add_each(self, source_ids: Sequence[int] | set[int], step: Step) -> None:
        for source_id in source_ids:
            self._add(source_id, step)

    def _keys(self) -> set[str]:
        steps = [step for steps in self.concerned.values() for step in steps]
        of_steps = {step.key for step in steps if isinstance(step, Registers | Connectors | Inputs | Sleeper | Yields)}
        return of_steps | {faces.key for faces in self._faces.values()} | {standing.key for standing in self._standings.values()}

    def open_alarms(self) -> Verdict:
        """What was wrong at the last start, to be taken up before the first reading; and what of it belongs to nothing any more."""
        strangers = tuple(faces.report(raised=True) for faces in self._faces.values() if faces.face.stranger)
        reports = (*strangers, *(report for standing in self._standings.values() for report in standing.open_alarms()))
        excused = {code: True for code, sleeper in self._sleepers.items() if sleeper.excused}
        return Verdict(states={**dict.fromkeys(self._stale), **self._dropped}, reports=reports, excused=excused)

    # -- while it runs

    def judge(self, reading: Reading) -> Verdict:
        """One poll of a source that is `concerned`."""
        work = Work(Moment(reading.mono_ms, reading.read_at_ms, reading.clock), reading)
        for step in self.concerned.get(reading.source.source_id, ()):
            step(work)
        return work.verdict()

    def introduced(self, device: str, identity: Mapping[str, str], now: Moment) -> Verdict:
        """What a device said of itself when its line was opened or when it came back."""
        work = Work(now)
        if device in self._faces:
            self._faces[device].meet(identity, work)
        return work.verdict()

    def tick(self, now: Moment) -> Verdict | None:
        """What time alone brings: inputs that stay silent, nights that end. None: nothing."""
        if not any(sleeper.excused for sleeper in self._sleepers.values()) and all(now.mono_ms < due for due in self._dues()):
            return None
        work = Work(now)
        for inputs in self._inputs:
            inputs.tick(work)
        for sleeper in self._sleepers.values():
            sleeper.tick(work)
        return work.verdict()

    def note(self, device: str) -> dict[str, str]:
        """What a screen says of a device beside its values: who it is, and whether it is the wrong one or asleep."""
        faces, sleeper = self._faces.get(device), self._sleepers.get(device)
        if faces is None:
            return {}
        face = faces.face
        state = "wrong" if face.stranger else "asleep" if sleeper is not None and sleeper.asleep else ""
        found = {"serial_number": face.serial_number, "model": face.model, "firmware": face.firmware, "stranger": face.stranger, "state": state}
        return {key: text for key, text in found.items() if text}

    def _dues(self) -> list[int]:
        return [inputs.due_ms for inputs in self._inputs if inputs.due_ms is not None]

    def _forget(self, device: str) -> None:
        """Another device has taken the place."""
        for registers in self._registers[device]:
            registers.forget()
        if self._yields is not None:
            self._yields.forget(device)

    def _mark(self, device: str, wrong: bool) -> None:  # noqa: FBT001 - the one thing it says
        """While the wrong device answers its sources have one more step, before all others."""
        for source_id in self._source_ids[device]:
            steps = tuple(step for step in self.concerned.get(source_id, ()) if step is not suspect_all)
            if wrong:
                steps = (suspect_all, *steps)
            if steps:
                self.concerned[source_id] = steps
            else:
                self.concerned.pop(source_id, None)


def doubted(reading: Reading) -> Reading:
    """A reading that could not be judged, by a mistake of ours: nothing of it is sure."""
    valued = {position: Quality.SUSPECT for position in range(len(reading.values)) if reading.quality_of(position).has_value}
    return msgspec.structs.replace(reading, quality={**reading.quality, **valued})
