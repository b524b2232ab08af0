"""Profiles are strict: what is wrong is refused with file and key."""

from __future__ import annotations

import pytest
from modbus_rig import HEAD, modbus_profiles, profile_of

from edgegw.drivers.catalogue import available, load_profile, parse_profile
from edgegw.errors import EdgegwError
from edgegw.points import lookup

GROUP = "[group.g]\nperiod_s = 1\n"
STATE, TEXT = (f'[[point]]\npoint = "{name}"\ngroup = "g"\naddress = 0\n' for name in ("gun1.state", "model"))
POINT = '[[point]]\npoint = "frequency"\ngroup = "g"\naddress = 0\n'


@pytest.mark.parametrize(
    ("text", "message_id", "words"),
    [
        (HEAD + GROUP + POINT + "adress = 1\n", "E-PROFILE-KEY", "adress"),
        (HEAD + "max_gaps = 3\n" + GROUP + POINT, "E-PROFILE-KEY", "max_gaps"),
        (HEAD.replace("meter", "toaster") + GROUP + POINT, "E-PROFILE-KEY", "class"),
        (HEAD + GROUP + POINT.replace("frequency", "frequenzy"), "E-PROFILE-POINT", "frequenzy"),
        (HEAD + GROUP + POINT + POINT, "E-PROFILE-POINT", "twice"),
        (HEAD + GROUP + POINT.replace('group = "g"', 'group = "h"'), "E-PROFILE-VALUE", "h"),
        (HEAD + GROUP + POINT + 'scale = "ten"\n', "E-PROFILE-VALUE", "scale"),
        (HEAD + GROUP + POINT + "scale = 0\n", "E-PROFILE-VALUE", "scale"),
        (HEAD + GROUP + POINT + 'order = "CDAB"\n', "E-PROFILE-VALUE", "order"),
        (HEAD + GROUP + POINT + 'type = "u32"\nfunction = 2\n', "E-PROFILE-VALUE", "reads bits"),
        (HEAD + GROUP + POINT + "exponent = 200\n", "E-PROFILE-VALUE", "one request"),
        (HEAD + "forbidden = [[0, 5]]\n" + GROUP + POINT, "E-PROFILE-VALUE", "forbidden"),
        (HEAD + GROUP + POINT + 'type = "string"\n', "E-PROFILE-VALUE", "text"),
        (HEAD + GROUP + "point = []\n[x", "E-PROFILE-TOML", "test.toml"),
        (HEAD + "readable = [[9, 5]]\n" + GROUP + POINT, "E-PROFILE-VALUE", "[9, 5] ends before it begins"),
        (HEAD + "forbidden = [[9, 5]]\n" + GROUP + POINT, "E-PROFILE-VALUE", "[9, 5] ends before it begins"),
        (HEAD + GROUP + POINT + 'type = "i16"\ninvalid = [0xFFFF]\n', "E-PROFILE-VALUE", "i16 is never 65535"),
        (HEAD + GROUP + POINT + "invalid = [-1]\n", "E-PROFILE-VALUE", "u16 is never -1"),
        (HEAD + GROUP + STATE + 'type = "i16"\nmap = { 0x8000 = 1 }\n', "E-PROFILE-VALUE", "i16 is never 32768"),
        (HEAD + GROUP + STATE + 'map = { 1 = "on" }\n', "E-PROFILE-VALUE", "map gives text to a number"),
        (HEAD + GROUP + TEXT + "map = { 1 = 2 }\n", "E-PROFILE-VALUE", "map gives numbers to a text"),
        (HEAD + GROUP + TEXT + 'type = "f32"\n', "E-PROFILE-VALUE", "needs a string or a map"),
        (HEAD + GROUP + STATE + 'type = "bit"\nmap = { 1 = 0 }\n', "E-PROFILE-VALUE", "map has no meaning for bit"),
        (HEAD + GROUP + STATE + 'type = "f32"\nmap = { 1 = 0 }\n', "E-PROFILE-VALUE", "map has no meaning for f32"),
        (HEAD + GROUP + STATE + "function = 2\nmap = { 1 = 0 }\n", "E-PROFILE-VALUE", "map has no meaning for function 2"),
        (HEAD + GROUP + STATE + "map = { 1 = 0 }\nscale = 2\n", "E-PROFILE-VALUE", "scale has no meaning for a map"),
        (HEAD + GROUP + STATE + "map = { 1 = 0 }\nexponent = 1\n", "E-PROFILE-VALUE", "exponent has no meaning for a map"),
        (HEAD + GROUP + POINT + "bit = 3\n", "E-PROFILE-VALUE", "bit has no meaning for u16"),
        (HEAD + GROUP + POINT + "length = 3\n", "E-PROFILE-VALUE", "length has no meaning for u16"),
        (HEAD + GROUP + POINT + 'type = "bit"\nscale = 10\n', "E-PROFILE-VALUE", "scale has no meaning for bit"),
        (HEAD + GROUP + TEXT + 'type = "string"\norder = "BA"\n', "E-PROFILE-VALUE", "order has no meaning for string"),
        (
            HEAD + GROUP + POINT + "exponent = 100\n" + POINT.replace("frequency", "voltage").replace("0\n", "50\n") + "exponent = 150\n",
            "E-PROFILE-VALUE",
            "0 to 150",
        ),
    ],
)
def test_a_wrong_profile_is_refused(text, message_id, words):
    """The error names the file, the place and what is wrong."""
    with pytest.raises(EdgegwError, match=r"test\.toml") as told:
        parse_profile(text, "test.toml")
    assert message_id == told.value.message_id
    assert words in told.value.text


def test_a_near_name_is_suggested():
    """A mistyped point and a mistyped profile come with what they may have been meant for."""
    with pytest.raises(EdgegwError) as told:
        profile_of("frequenci, address = 0")
    assert 'did you mean "frequency"?' == told.value.next_step
    with pytest.raises(EdgegwError) as told:
        load_profile("acrel.dtsd1353")
    assert ("E-PROFILE-UNKNOWN", 'did you mean "acrel.dtsd1352"?') == (told.value.message_id, told.value.next_step)


def test_decimals_are_raised_until_no_digit_is_lost():
    """An integer register keeps its last digit, whatever the dictionary's decimals are."""
    profile = profile_of('voltage, address = 0; scale = "0.001"\nfrequency, address = 1; scale = "0.1"\ncurrent, address = 2; decimals = 1; scale = "0.01"')
    assert [3, 2, 1] == [profile.row_point(row).decimals for row in profile.point]


def test_the_station_of_the_demo_has_its_profiles():
    """The products of the simulated station are there, each in the dictionary's words."""
    assert {"acrel.dtsd1352", "acrel.djsf1352", "eastron.sdm120", "huawei.sun2000", "huawei.ups2000", "xy-md02", "waveshare.io8"} <= set(available())
    assert [] == [row.point for name in available() for row in load_profile(name).point if lookup(row.point) is None]


CLASSES = {"meter", "pile", "ups", "inverter", "battery", "wind", "transformer", "switchgear", "sensor", "input", "relay", "camera", "gateway"}


def test_every_class_has_a_template():
    """A product of any class begins with a file to copy, not with code."""
    templates = [load_profile(name).profile.device_class for name in available() if name.startswith("generic.")]
    assert set(templates) == CLASSES


@pytest.mark.parametrize("name", [name for name in modbus_profiles() if load_profile(name).profile.device_class == "pile"])
def test_a_pile_speaks_of_its_connectors_in_one_way(name):
    """States are 0, 1, 2, 3, 4 or 255, and what the pile itself said stands beside them."""
    rows = {row.point: row for row in (*load_profile(name).point, *load_profile(name).also)}
    states = {point: row for point, row in rows.items() if point.endswith(".state")}
    assert set() == {code for row in states.values() for code in row.codes.values()} - {0, 1, 2, 3, 4, 255}
    assert [] == [point for point in states if not {f"{point}_code", f"{point}_text"} & set(rows)]


@pytest.mark.parametrize("name", modbus_profiles())
def test_a_fault_word_keeps_its_raw_number(name):
    """Beside the names of the set bits stands the word itself, for the bits that nobody has named."""
    rows = [*load_profile(name).point, *load_profile(name).also]
    raw = {(row.function, row.address) for row in rows if not row.faults}
    assert [] == [row.point for row in rows if row.faults and (row.function, row.address) not in raw and row.point != "ups.status"]
    assert [] == [fault.id for row in rows for fault in row.fault_bits.values() if not (fault.en and fault.zh)]


def test_addresses_of_a_document_that_counts_from_one_are_moved():
    """With a base the file has the document's numbers and the wire has one less, ranges and identity included."""
    head = 'base = 1\nreadable = [[1, 9]]\nforbidden = [[20, 29]]\n[identity]\nmodel = { address = 31, type = "u16" }\n'
    profile = profile_of('voltage, address = 5; type = "i16"; exponent = 6', head)
    assert (4, 5) == (profile.point[0].address, profile.point[0].exponent)
    assert ([(0, 8)], [(19, 28)], 30) == (profile.profile.readable, profile.profile.forbidden, profile.identity.model.address)
    with pytest.raises(EdgegwError, match="below the base"):
        profile_of("voltage, address = 0", "base = 1")


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ('alarms.1, address = 0; faults = { 16 = { id = "a", en = "a", zh = "a" } }', "u16 has no bit 16"),
        ('alarms.1, address = 0; faults = { x = { id = "a", en = "a", zh = "a" } }', "faults has a key that is not a number"),
        ('alarm_word.1, address = 0; faults = { 1 = { id = "a", en = "a", zh = "a" } }', "fault bits need a point of kind text"),
        ('alarms.1, address = 0; scale = 2; faults = { 1 = { id = "a", en = "a", zh = "a" } }', "scale has no meaning for fault bits"),
        ('alarms.1, address = 0; type = "i16"; faults = { 1 = { id = "a", en = "a", zh = "a" } }', "faults has no meaning for i16"),
        ('voltage, address = 0; type = "datetime"', "a datetime needs a point of kind text"),
    ],
)
def test_a_wrong_fault_word_is_refused(row, words):
    """Bits that are not there, and keys that would be passed over, are told."""
    with pytest.raises(EdgegwError) as told:
        profile_of(row)
    assert words in told.value.text
