"""Days of sun and what the inverters made of them: when the yield is low, and when nobody can say."""

from __future__ import annotations

import math

import msgspec
import pytest
from modbus_rig import answer_frame, plan_of
from truth_rig import WALL_MS, device, keep

from edgegw.config.check import read
from edgegw.config.model import Bus, Config, Gateway
from edgegw.config.supply_check import _SUN_POINT, _SUN_ROLE
from edgegw.drivers.catalogue import load_profile
from edgegw.model import ClockTrust, Point, Quality, Reading, Source
from edgegw.rules.engine import Engine
from edgegw.truth.judge import Judge
from edgegw.truth.pv_yield import Day, Edge, Harvest, Judged, Light, Stand
from edgegw.truth.yields import SUN_POINT, SUN_ROLE
from edgegw.wiring import Judging

STEP_S, DAY_S = 300, 86_400
SUN = Source(1, "sun-01", "sun", 300_000, (Point("irradiance", 0, "W/m2", "measure"),), "sensor")
YIELD = Point("energy.yield", 2, "kWh", "counter")
INVERTERS = tuple(Source(2 + n, f"pv-0{1 + n}", "energy", 300_000, (YIELD,), "inverter") for n in range(2))
# Of a half sine from six to six.
HOURS_OF_PEAK = 24 / math.pi
FINE_W_M2, DULL_W_M2 = 800, 100
FINE_KWH_M2 = FINE_W_M2 * HOURS_OF_PEAK / 1000


class Plant:
    """Inverters of 50 kW under one sun. A register follows the sun; at night its inverter is silent."""

    def __init__(self, rated_kw: float = 50.0, inverters: int = 1, sensors: tuple[Source, ...] = (SUN,), roles: str = "") -> None:
        codes = {source.device: {"rated_kw": rated_kw} for source in INVERTERS[:inverters]}
        lamps = {source.device: {"roles": {"irradiance": "array"} if source.device in roles.split() else {}} for source in sensors}
        self.config = Config(
            gateway=Gateway(operator="o", station="s", gateway="g"), device=[device(code, **facts) for code, facts in {**lamps, **codes}.items()]
        )
        self.sources = (*sensors, *INVERTERS[:inverters])
        self.sensors = sensors
        self.second = 0
        self.started_s = 0
        self.wall_ms = WALL_MS
        self.store: dict[str, bytes] = {}
        self.kwh = {source.device: 10_000.0 for source in INVERTERS[:inverters]}
        self.events: list[object] = []
        self.judge = Judge(self.config, self.sources, [], {}, {})

    def restart(self, down_s: int = 0) -> list[str]:
        self.second += down_s
        self.started_s = self.second
        self.judge = Judge(self.config, self.sources, [], {}, self.store)
        opened = self.judge.open_alarms()
        keep(self.store, opened)
        return [f"+ {report.rule} {report.device}" for report in opened.reports]

    def read(self, source: Source, value: int | Quality, clock: ClockTrust = ClockTrust.SYNCHRONISED, of_quality: Quality = Quality.GOOD) -> list[str]:
        values, quality = ((None,), {0: value}) if isinstance(value, Quality) else ((value,), {0: of_quality} if of_quality else {})
        mono_ms = 1000 * (self.second - self.started_s)
        verdict = self.judge.judge(Reading(source, self.wall_ms + 1000 * self.second, mono_ms, clock, values, quality))
        keep(self.store, verdict)
        self.events += [event for event in verdict.events if event.kind == "yield"]
        return [f"{'+' if report.raised else '-'} {report.rule} {report.device}" for report in verdict.reports]

    def shine(self, hours: float, peak_w_m2: float, ratio: float | dict[str, float] = 0.85, *, blind: bool = False, mute: bool = False) -> list[str]:
        """Some hours of a day of such a peak; `ratio` of it is fed in. `blind`: nobody reads the sensor; `mute`: nor the inverters."""
        found = []
        for _ in range(round(hours * 3600 / STEP_S)):
            hour = self.second % DAY_S / 3600
            w_m2 = max(0.0, peak_w_m2 * math.sin(math.pi * (hour - 6) / 12))
            if not blind:
                for sensor in self.sensors:
                    found += self.read(sensor, round(w_m2))
            for source in INVERTERS[: len(self.kwh)]:
                share = ratio[source.device] if isinstance(ratio, dict) else ratio
                self.kwh[source.device] += 50 * share * w_m2 / 1000 * STEP_S / 3600
                if not mute and w_m2 > 20:
                    found += self.read(source, round(100 * self.kwh[source.device]))
            self.second += STEP_S
        return found

    def days(self, *days: tuple[float, float]) -> list[str]:
        """Whole days of (peak, ratio) from midnight to midnight: each with what was reported in it, empty where nothing was."""
        return [" ".join(self.shine(24, peak, ratio)) for peak, ratio in days]

    def verdicts(self) -> list[str]:
        return [str(event.body["verdict"]) for event in self.events]


FINE, DULL, DIRTY, HALF = (FINE_W_M2, 0.85), (DULL_W_M2, 0.85), (FINE_W_M2, 0.6), (FINE_W_M2, 0.85 * 0.55)


@pytest.mark.parametrize(
    ("expected", "days"),
    [
        (["", "", "", ""], [FINE, FINE, (400, 0.8), (250, 0.75)]),
        (["", "+ low yield pv-01", "", "- low yield pv-01"], [FINE, DIRTY, DIRTY, FINE]),
        (["", "+ low yield pv-01", "", "- low yield pv-01"], [FINE, DIRTY, DULL, FINE]),
        (["", "", ""], [FINE, (DULL_W_M2, 0.1), FINE]),
        (["+ low yield pv-01"], [(FINE_W_M2, 0.0)]),
    ],
    ids=["fine and clouded", "dirty modules", "a dull day ends nothing", "a dull day begins nothing", "nothing at all"],
)
def test_a_table_of_days(expected, days):
    """
    Below 0.7 of what the sun gives is low, from the end of that day to the end of the first one that is not; below 1 kWh/m2 nothing is judged.
    """
    assert expected == Plant().days(*days)


def test_half_of_the_strings_without_a_rating():
    """
    With 55 % of the median of earlier days it is low from the day on which there are three to compare with, and until it is mended: low days are not the new usual.
    """
    plant = Plant(rated_kw=0.0)
    assert ["", "", "", "+ low yield pv-01", *[""] * 8, "- low yield pv-01"] == plant.days(*[FINE] * 3, *[HALF] * 9, FINE)
    assert ["not judged"] * 3 == plant.verdicts()[:3]


def test_half_of_the_strings_beside_a_rating():
    """
    A plant that is good enough by its rating is low by its own past.
    """
    assert ["", "", "", "+ low yield pv-01"] == Plant(rated_kw=30.0).days(*[(FINE_W_M2, 0.85)] * 3, (FINE_W_M2, 0.47))


def test_a_cloudy_week_is_compared_with_its_like_alone():
    """
    After fine days a dull one with a quarter of their energy is usual, and so are all others like it.
    """
    plant = Plant(rated_kw=0.0)
    assert [""] * 12 == plant.days(*[FINE] * 4, *[(220, 0.75)] * 7, FINE)
    assert ["not judged", "normal"] == [plant.verdicts()[4], plant.verdicts()[7]]


def test_what_has_been_low_for_a_month_is_usual():
    """
    Modules that were taken away for good: after 30 low days and four like them the alarm ends.
    """
    plant = Plant(rated_kw=0.0)
    found = plant.days(*[FINE] * 7, *[HALF] * 40)
    assert ["+ low yield pv-01", "- low yield pv-01"] == [line for line in found if line]
    assert 34 == found.index("- low yield pv-01") - found.index("+ low yield pv-01")


def test_the_event_of_a_day_has_its_figures():
    """
    Energy, irradiation, ratio and median, in numbers that a technician can work out again.
    """
    plant = Plant()
    plant.days(*[FINE] * 3, DIRTY)
    body = plant.events[-1].body
    assert ("low", "energy.yield", "kWh") == (body["verdict"], body["point"], body["unit"])
    assert (FINE_KWH_M2 * 1000, 0.6 * 50 * FINE_KWH_M2, 0.6, 0.85 * 50 * FINE_KWH_M2) == pytest.approx(
        (body["irradiation_wh_m2"], body["value"], body["performance_ratio"], body["median"]), rel=0.01
    )


def test_two_inverters_are_judged_each_by_its_own_register():
    """
    One with dirty modules beside one without: one alarm, of the right device.
    """
    plant = Plant(inverters=2)
    assert ["+ low yield pv-02"] == plant.shine(24, FINE_W_M2, {"pv-01": 0.85, "pv-02": 0.6})
    assert ["normal", "low"] == plant.verdicts()


@pytest.mark.parametrize("hour", [3, 5.5, 9, 12, 17.9, 18.5, 21])
@pytest.mark.parametrize(("ratio", "expected"), [(0.85, []), (0.6, ["+ low yield pv-01"])])
def test_a_restart_changes_nothing(hour, ratio, expected):
    """
    Ten minutes without the gateway at any hour: the day is judged as if nothing had been.
    """
    plant = Plant()
    found = plant.shine(hour, FINE_W_M2, ratio)
    plant.shine(1 / 6, FINE_W_M2, ratio, blind=True, mute=True)
    found += plant.restart()
    found += plant.shine(24 - hour - 1 / 6, FINE_W_M2, ratio)
    assert expected == list(dict.fromkeys(found))
    assert ["low" if expected else "normal"] == plant.verdicts()


def test_an_alarm_outlives_a_restart_and_ends_with_the_first_good_day():
    """
    It is taken up before the first reading.
    """
    plant = Plant()
    plant.days(DIRTY)
    assert ["+ low yield pv-01"] == plant.restart()
    assert ["- low yield pv-01"] == plant.days(FINE)
    assert [] == plant.restart()


def test_an_alarm_that_nothing_judges_any_more_is_over():
    """
    Without the sensor the next start does not report it, nor does the one after it, with the sensor again.
    """
    plant = Plant()
    plant.days(DIRTY)
    plant.sources = INVERTERS[:1]
    assert [] == plant.restart()
    plant.sources = (SUN, *INVERTERS[:1])
    assert [] == plant.restart()


@pytest.mark.parametrize(("hours", "expected"), [(0.9, "normal"), (1.5, "not judged")], ids=["an hour without the sensor", "more than that"])
def test_a_gap_of_the_sensor(hours, expected):
    """
    A straight line in place of an hour is good enough, in place of more nobody judges; the next day is judged again.
    """
    plant = Plant()
    plant.shine(10, FINE_W_M2)
    plant.shine(hours, FINE_W_M2, blind=True)
    plant.shine(14 - hours, FINE_W_M2)
    plant.days(FINE)
    assert [expected, "normal"] == plant.verdicts()


def test_a_register_that_was_silent_in_the_afternoon_is_not_judged():
    """
    What it fed in behind its last answer nobody knows; the day after is counted from where it stands then.
    """
    plant = Plant()
    plant.shine(12, FINE_W_M2)
    plant.shine(12, FINE_W_M2, mute=True)
    assert ["not judged"] == plant.verdicts()
    plant.days(FINE, FINE)
    assert "normal" == plant.verdicts()[-1]


def test_a_register_that_was_silent_in_the_morning_goes_on_from_the_evening_before():
    """
    What it fed in meanwhile stands in it.
    """
    plant = Plant()
    plant.days(FINE)
    plant.shine(12, FINE_W_M2, mute=True)
    plant.shine(12, FINE_W_M2)
    assert ["normal", "normal"] == plant.verdicts()
    assert plant.events[1].body["value"] == pytest.approx(0.85 * 50 * FINE_KWH_M2, rel=0.02)


def test_a_gateway_that_was_off_for_days_judges_none_of_them():
    """
    Three days in one are not one good day: the register counts from the first light that is seen again.
    """
    plant = Plant()
    plant.days(FINE)
    for _ in range(3):
        plant.shine(24, FINE_W_M2, 0.6, blind=True, mute=True)
    assert [] == plant.restart()
    assert ["+ low yield pv-01", "- low yield pv-01", "+ low yield pv-01"] == plant.days(DIRTY, FINE, DIRTY)
    assert ["normal", "low", "normal", "low"] == plant.verdicts()


@pytest.mark.parametrize("step_h", [-24, -2, 2, 24, 24 * 365])
@pytest.mark.parametrize("restart", [False, True])
def test_a_clock_that_is_set_makes_no_alarm(step_h, restart):
    """
    At noon it jumps: while the gateway runs the day is judged as ever; over a restart nobody knows how long it was off, and the day is not judged.
    """
    plant = Plant()
    plant.shine(12, FINE_W_M2)
    plant.wall_ms += round(step_h * 3_600_000)
    opened = plant.restart() if restart else []
    assert [] == [*opened, *plant.shine(12, FINE_W_M2)]
    assert ["not judged" if restart else "normal"] == plant.verdicts()
    assert [""] == plant.days(FINE)
    assert "normal" == plant.verdicts()[-1]


def test_a_clock_that_nobody_set_counts_no_time_over_a_restart():
    """
    The day goes on, and is not judged.
    """
    plant = Plant()
    plant.shine(12, FINE_W_M2)
    plant.restart()
    plant.read(SUN, FINE_W_M2, ClockTrust.UNSET)
    plant.shine(12, FINE_W_M2)
    assert ["not judged"] == plant.verdicts()


@pytest.mark.parametrize(("value", "expected"), [(Quality.OFFLINE, "not judged"), (FINE_W_M2 // 2, "not judged")], ids=["silent", "always the same"])
def test_a_sensor_that_fails_at_noon(value, expected):
    """
    Silent, or stuck at what it said: nothing is judged, and nothing is low.
    """
    plant = Plant()
    found = plant.shine(12, FINE_W_M2)
    for _ in range(4 * 12):
        found += plant.read(SUN, value)
        found += plant.shine(1 / 12, FINE_W_M2, blind=True)
    found += plant.shine(8, FINE_W_M2)
    assert ([], [expected]) == (found, plant.verdicts())


def test_lamps_at_night_are_no_day():
    """
    A few W/m2 of the station's own light, and a torch: no irradiation, and the morning begins as ever.
    """
    light = Light(w_m2=0.0, is_night=True)
    assert None is light.see(12.0, 10_000, 60_000)
    assert Edge.BEGUN is light.see(300.0, 10_000, 60_000)
    edges = [light.see(12.0, 10_000, 60_000) for _ in range(721)]
    assert (Edge.OVER, 720, "too little sun") == (edges[-1], edges.count(None), light.doubt)
    assert light.wh_m2 < 1


def test_of_two_sensors_the_one_that_lies_as_the_modules_do():
    """
    Two sensors judge nothing until one of them, and one alone, has the role.
    """
    level = msgspec.structs.replace(SUN, source_id=9, device="sun-02")
    plants = [Plant(sensors=(SUN, level), roles=codes) for codes in ("", "sun-01 sun-02", "sun-01")]
    assert [[""], [""], ["+ low yield pv-01"]] == [plant.days(DIRTY) for plant in plants]


def test_the_light_of_a_day_step_by_step():
    """
    Half of both ends for each step; darkness counts from its last begin; what shines for 21 hours is a sensor that hangs.
    """
    light = Light(w_m2=0.0, is_night=True)
    hour_ms = 3_600_000
    edges = [light.see(w_m2, hour_ms // 2, hour_ms) for w_m2 in (100, 400, 10, 10, 10, 10, 300, 10, 10, 10, 10)]
    assert [Edge.BEGUN, *[None] * 10] == edges
    assert 25 + 125 + 102.5 + 77.5 + 77.5 == light.wh_m2
    assert Edge.OVER is light.see(10, hour_ms // 2, hour_ms)
    found = []
    for hours in (16, 21):
        light = Light(w_m2=0.0, is_night=True)
        for hour in range(hours + 3):
            light.see(300 + hour % 2 if hour < hours else 0, hour_ms, hour_ms)
        found.append(light.doubt)
    assert ["", "the irradiance was not measured throughout the day"] == found


def test_only_values_beyond_doubt_count():
    """
    Neither a suspect sun at noon nor a suspect last value of the register is in the day.
    """
    plant = Plant()
    plant.shine(12, FINE_W_M2)
    plant.read(SUN, 2000, of_quality=Quality.SUSPECT)
    plant.shine(7, FINE_W_M2)
    plant.read(INVERTERS[0], 90_000_000, of_quality=Quality.SUSPECT)
    plant.shine(5, FINE_W_M2)
    assert ["normal"] == plant.verdicts()
    assert plant.events[0].body["irradiation_wh_m2"] == pytest.approx(1000 * FINE_KWH_M2, rel=0.002)


def test_what_is_no_inverter_is_not_judged():
    """
    A meter that counts a yield has no sun of its own.
    """
    meter = msgspec.structs.replace(INVERTERS[0], device_class="meter")
    plant = Plant()
    assert plant.judge._yields.devices == {"pv-01"}
    assert Judge(plant.config, (SUN, meter), [], {}, {})._yields is None


def test_without_a_sensor_nothing_is_judged():
    """
    A station without irradiance has not one step more.
    """
    plant = Plant(sensors=())
    assert not plant.judge._yields
    assert [] == plant.shine(24, FINE_W_M2, 0.1)


def test_the_sensor_as_it_answers_on_its_line():
    """
    What the profile reads out of the bytes of a day is the sun that is judged: 0 to 800 W/m2, at the profile's own period.
    """
    profile = load_profile("renke.rs-ra-n01")
    (planned,) = plan_of(profile, Bus(name="b", kind="serial", path="/dev/null"), code="sun-01").sources
    assert (("irradiance", "W/m2", 10_000),) == tuple((point.name, point.unit, planned.source.period_ms) for point in planned.source.points)
    plant = Plant(sensors=(planned.source,))
    found = []
    for second in range(0, DAY_S, 30):
        plant.second = second
        w_m2 = max(0.0, FINE_W_M2 * math.sin(math.pi * (second / 3600 - 6) / 12))
        plant.kwh["pv-01"] += 50 * 0.6 * w_m2 / 1000 * 30 / 3600
        answer = planned.questions[0].parse(answer_frame(1, 3, round(w_m2).to_bytes(2, "big")))
        (value,), _ = planned.decode([answer])
        found += plant.read(planned.source, value) + plant.read(INVERTERS[0], round(100 * plant.kwh["pv-01"]))
    assert ["+ low yield pv-01"] == found


def test_a_register_that_begins_anew_is_not_judged():
    """
    Neither an exchange of the inverter makes a day of it, nor a value that fell or that no sun explains.
    """
    light = Light(is_whole=True, wh_m2=6_000.0, day_ms=DAY_S * 500)
    harvest = Harvest()
    harvest.turn(Edge.BEGUN)
    for kwh, wh_m2 in ((10_000.0, 0.0), (12.0, 6_000.0)):
        harvest.see(kwh, msgspec.structs.replace(light, wh_m2=wh_m2))
    assert "the register did not go on from its last value" == harvest.judge(light, 50.0)
    more = Harvest(begin=Stand(0.0, 0.0), last=Stand(50 * 6 * 2.6, 6_000.0))
    assert "the register did not go on from its last value" == more.judge(light, 50.0)
    plant = Plant()
    plant.days(FINE)
    plant.judge._forget("pv-01")
    assert [Harvest()] == list(plant.judge._yields._harvests.values())


def test_a_register_of_whole_kwh_may_owe_one():
    """
    2 kWh of 3 kW in 1.1 kWh/m2 may have been 3: that is no low day, with a register of hundredths it is.
    """
    light = Light(is_whole=True, wh_m2=1_100.0)
    verdicts = [Harvest(begin=Stand(100.0, 0.0), last=Stand(102.0, 1_100.0)).judge(light, 3.0, step_kwh).low for step_kwh in (1.0, 0.01)]
    assert [False, True] == verdicts


def test_the_rules_engine_tells_it_as_a_notice():
    """
    Through the same way as every alarm of truth, with words in both languages, until the first good day.
    """
    plant = Plant()
    engine = Engine([], plant.config.device, plant.sources, 1, {})
    judging = Judging(plant.judge, engine)
    plant.read = lambda source, value: [
        event.body["edge"]
        for event in judging.take(Reading(source, WALL_MS + 1000 * plant.second, 1000 * plant.second, ClockTrust.SYNCHRONISED, (value,))).events
        if event.kind == "alarm"
    ]
    assert ["raised"] == plant.shine(24, FINE_W_M2, 0.6)
    (alarm,) = engine.open_alarms()
    assert ("low yield", "notice", "pv-01") == (alarm.rule, alarm.level, alarm.device)
    assert ["cleared"] == plant.shine(24, FINE_W_M2)


def test_what_is_kept_stays_small():
    """
    A year of days leaves seven, and a state of some hundred bytes.
    """
    harvest = Harvest()
    light = Light(is_whole=True, wh_m2=6_000.0)
    for day in range(365):
        harvest.begin = harvest.last = None
        for wh_m2 in (0.0, 6_000.0):
            harvest.see(250.0 * day + wh_m2 / 25, msgspec.structs.replace(light, wh_m2=wh_m2))
        assert isinstance(harvest.judge(light, 50.0), Judged)
    assert [Day(240.0, 6_000.0)] * 7 == harvest.days
    assert len(msgspec.json.encode(harvest)) < 300


STATION = """[gateway]
operator = "o"
station = "s"
gateway = "g"
[[bus]]
name = "b"
kind = "tcp"
host = "127.0.0.1"
[[device]]
code = "SUN-01"
bus = "b"
unit = 1
profile = "renke.rs-ra-n01"
"""
SECOND = '[[device]]\ncode = "SUN-02"\nbus = "b"\nunit = 2\nprofile = "renke.rs-ra-n01"\n'
ROLE = 'roles = { "irradiance" = "array" }\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [("", False), (SECOND, True), (SECOND + ROLE, False), (ROLE + SECOND + ROLE, True)],
    ids=["one", "two", "two and a role", "two roles"],
)
def test_two_sensors_are_told_before_the_start(tmp_path, text, told):
    """
    What would never be judged is said where it is written, with the word that is missing.
    """
    path = tmp_path / "config.toml"
    path.write_text(STATION + text, encoding="utf-8")
    findings = [finding for finding in read(path).findings if finding.id == "W-CFG-SUN"]
    assert told == bool(findings)
    assert all('SUN-01, SUN-02 all measure the irradiance: one of them needs roles = { "irradiance" = "array" }' in finding.text for finding in findings)
    assert (_SUN_POINT, _SUN_ROLE) == (SUN_POINT, SUN_ROLE)
