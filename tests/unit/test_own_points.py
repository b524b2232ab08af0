"""The gateway as a device, and the links of the others."""

from __future__ import annotations

from edgegw.clock import Clock
from edgegw.config.model import Bus, Device
from edgegw.drivers.catalogue import load_profile
from edgegw.drivers.plan import line_facts
from edgegw.drivers.planning import plan_device
from edgegw.model import Quality, Stream
from edgegw.own_points import GATEWAY_POINTS, Facts, LinkCounts, OwnPoints

TCP = Bus(name="eth", kind="tcp", host="127.0.0.1")
FACTS = Facts(12, 3.5, 2 * 1024 * 1024, 8 * 1024 * 1024, 0, connected=True, receipt_age_s=4.0, sent_bytes=3 * 1024 * 1024, online=5, offline=1, alarms=2)


def said(reading):
    return {point.name: value for point, value in zip(reading.source.points, reading.values, strict=True)}


def test_the_gateway_tells_its_points_as_a_record(tmp_path):
    """A look at the parts becomes one reading of the gateway's own source, in the dictionary's units."""
    own = OwnPoints("GW-1", {}, tmp_path, Clock())
    reading = own.gateway_reading(FACTS)
    assert len(GATEWAY_POINTS) == len(reading.values)
    assert ("GW-1", "gateway", Stream.RECORD) == (reading.source.device, reading.source.device_class, reading.source.stream)
    values = said(reading)
    assert (12, 4, 20, 250, 1, 3000, 5, 1, 2) == tuple(
        values[name]
        for name in (
            "buffer.waiting",
            "buffer.oldest_age",
            "buffer.size",
            "buffer.used",
            "uplink.connected",
            "uplink.sent",
            "devices.online",
            "devices.offline",
            "alarms.open",
        )
    )
    assert values["process.rss"] > 0
    assert 0 < values["memory.used"] < 1000


def test_what_a_gateway_has_not_is_not_fitted(tmp_path):
    """Without an uplink its points have no value, which is said and is no fault."""
    own = OwnPoints("GW-1", {}, tmp_path, Clock())
    reading = own.gateway_reading(FACTS._replace(connected=None, receipt_age_s=None, sent_bytes=None))
    places = [GATEWAY_POINTS.index(name) for name in ("uplink.connected", "uplink.age", "uplink.sent")]
    assert [(None, Quality.NOT_FITTED)] * 3 == [(reading.values[place], reading.quality[place]) for place in places]


def test_a_link_tells_the_share_of_questions_that_went_wrong_since_the_last_time(tmp_path):
    """10 of 100, then 5 of 10: 10 % and 50 %; nothing asked has no share."""
    own = OwnPoints("GW-1", {"M-1": ()}, tmp_path, Clock())
    shares = []
    for counts in (LinkCounts(True, 100, 10), LinkCounts(True, 110, 15), LinkCounts(False, 110, 15)):
        (reading,) = own.link_readings(lambda _code, counts=counts: counts)
        shares.append((said(reading)["link.state"], said(reading)["link.error_rate"]))
    assert [(1, 100), (1, 500), (0, None)] == shares


def test_a_silent_device_says_nothing_of_its_line(tmp_path):
    """Neither while it is silent nor in the minute in which it comes back: the errors of that minute are those of its silence."""
    own = OwnPoints("GW-1", {"M-1": ()}, tmp_path, Clock())
    shares = []
    for counts in (LinkCounts(True, 100, 0), LinkCounts(False, 110, 10), LinkCounts(True, 130, 15), LinkCounts(True, 150, 16)):
        (reading,) = own.link_readings(lambda _code, counts=counts: counts)
        shares.append((said(reading)["link.error_rate"], reading.quality.get(1)))
    assert [(0, None), (None, Quality.OFFLINE), (None, Quality.NOT_FITTED), (50, None)] == shares


def test_a_choice_of_points_is_also_one_of_link_points(tmp_path):
    """Who wants three points of a device by name gets these and no others."""
    own = OwnPoints("GW-1", {"TH-1": ("temperature", "link.state"), "TH-2": ("temperature",), "TH-3": ()}, tmp_path, Clock())
    assert {"TH-1": ["link.state"], "TH-3": ["link.state", "link.error_rate"]} == {code: [p.name for p in s.points] for code, s in own.links.items()}


def test_a_device_is_asked_only_for_the_points_that_are_wanted():
    """The plan of a device with a choice of points has these, in fewer questions."""
    device = Device(code="M-1", bus=TCP.name, unit=1, profile="eastron.sdm120")
    chosen = Device(code="M-1", bus=TCP.name, unit=1, profile="eastron.sdm120", points=["phase_voltage.*", "energy.import"])
    profile, line = load_profile("eastron.sdm120"), line_facts(TCP)
    whole, part = (plan_device(one, profile, line, 1) for one in (device, chosen))
    assert {"phase_voltage.a", "energy.import"} == {point.name for planned in part.sources for point in planned.source.points}
    assert len(part.sources) < len(whole.sources)
