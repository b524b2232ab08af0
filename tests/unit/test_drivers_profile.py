"""Profiles are strict: what is wrong is refused with file and key."""

from __future__ import annotations

import pytest
from modbus_rig import HEAD, profile_of

from edgegw.drivers.profile import available, load_profile, parse_profile
from edgegw.errors import EdgegwError
from edgegw.points import lookup

GROUP = "[group.g]\nperiod_s = 1\n"
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
