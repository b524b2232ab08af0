"""Profiles are strict: what is wrong is refused with file and key."""

from __future__ import annotations

import pytest
from modbus_rig import HEAD, profile_of

from edgegw.drivers.profile import available, load_profile, parse_profile
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
