"""Of the configuration: who is told of an alarm, by which channel, when, how much at once, and who is next when nobody acknowledges it."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

# Kinds of channel that reach whoever is near, or a log.
WITHOUT_RECIPIENT: Final = frozenset({"siren", "syslog"})
_NAME = "^[A-Za-z0-9_.-]{1,32}$"
HOURS = "^(([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9])?$"


class Recipient(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One person or duty phone that is told of alarms."""

    name: Annotated[str, Meta(pattern=_NAME, description="Name of the recipient, unique; routes name it.")]
    address: Annotated[
        dict[str, Annotated[str, Meta(max_length=254)]],
        Meta(description='Where each channel reaches it, by the name of the channel: { mail = "duty@example.cn", sms = "+8613800000000" }.'),
    ] = {}
    language: Annotated[Literal["", "en", "zh"], Meta(description="Language of its messages; empty: that of the gateway.")] = ""


class Route(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which alarms are told to whom; every route that fits is followed, and nobody hears one thing twice by one channel."""

    name: Annotated[str, Meta(pattern=_NAME, description="Name of the route, unique.")]
    levels: Annotated[list[str], Meta(description="Alarms of these levels; empty: all.")] = []
    device_class: Annotated[str, Meta(description="Only of devices of this class (meter, ups, inverter, sensor, ...); empty: any.", max_length=32)] = ""
    devices: Annotated[list[str], Meta(description="Only of these devices or buses; * stands for any letters. Empty: any.")] = []
    rules: Annotated[list[str], Meta(description="Only of these rules; * stands for any letters. Empty: any.")] = []
    hours: Annotated[
        str,
        Meta(
            pattern=HOURS,
            description="Only at this time of day, local time, as 08:00-20:00 or 20:00-08:00; empty: always. What comes when no route to people "
            "is open waits for the first that opens.",
        ),
    ] = ""
    weekdays: Annotated[
        list[Annotated[int, Meta(ge=1, le=7)]],
        Meta(description="Only on these days, 1 is Monday and 7 is Sunday; hours over midnight belong to the day on which they begin. Empty: every day."),
    ] = []
    recipients: Annotated[list[str], Meta(description="Names of the recipients.")] = []
    channels: Annotated[
        list[str], Meta(description="By these channels; empty: by all that a recipient has an address for. A siren and the journal need no recipient.")
    ] = []
    escalate_after_min: Annotated[
        int, Meta(description="Minutes without an acknowledgement after which the next of escalate_to is told; 0: nobody is.", ge=0, le=1440)
    ] = 0
    escalate_to: Annotated[list[str], Meta(description="Who is told then, one after the other, each after that many minutes more.")] = []
    tell_cleared: Annotated[bool, Meta(description="Who was told of an alarm is told of its end too.")] = True


class TellingTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How much is told at once, and how often it is tried; docs/alarms.md says why it is so by default."""

    settle_s: Annotated[
        float, Meta(description="What another alarm may explain waits so long for it: polls go round, and children are found before their root.", ge=0, le=60)
    ] = 3.0
    chatter_span_s: Annotated[
        float, Meta(description="The third raise of one alarm within this time is told once and kept active (ISA-18.2: a minute); 0: never.", ge=0, le=3600)
    ] = 60.0
    chatter_release_s: Annotated[float, Meta(description="Until it was quiet for this long.", ge=10, le=86_400)] = 300.0
    flood_notices: Annotated[
        int, Meta(description="More things to tell than these within flood_span_s are a flood (ISA-18.2: 10); half of them end it.", ge=2, le=1000)
    ] = 10
    flood_span_s: Annotated[float, Meta(description="Its span, and the time from one summary of a flood to the next.", ge=60, le=86_400)] = 600.0
    storm_notices: Annotated[
        int, Meta(description="One person is sent so many notices by a channel within storm_span_s, then one summary of the rest.", ge=1, le=1000)
    ] = 10
    storm_notices_severe: Annotated[
        int, Meta(description="The same for the second highest level, which waits for no lesser one. The most severe and safety have no limit.", ge=1, le=1000)
    ] = 30
    storm_span_s: Annotated[float, Meta(description="The span of both.", ge=60, le=86_400)] = 600.0
    retry_first_s: Annotated[float, Meta(description="A failed attempt is made again after this time, then after twice as long each time.", ge=1, le=3600)] = (
        5.0
    )
    retry_max_s: Annotated[float, Meta(description="The longest of these pauses; something new is tried within 10 s all the same.", ge=1, le=86_400)] = 300.0
    give_up_h: Annotated[
        float,
        Meta(description="A notice that nobody could be told for so long is given up, with an event: by then somebody has seen it on site.", ge=1, le=168),
    ] = 24.0
