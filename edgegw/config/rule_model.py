"""`[[rule]]`: one condition on a point of every device that it names, and the conditions that must hold beside it."""

from __future__ import annotations

from math import nan
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Name = Annotated[str, Meta(pattern="^[A-Za-z0-9_.-]{1,32}$")]
Seconds = Annotated[float, Meta(le=31_536_000)]


class Term(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A condition that must hold too."""

    point: Annotated[str, Meta(description="Point that is looked at; with * it is enough that one of the points holds.")]
    condition: Annotated[
        Literal["high", "low", "equals", "word"],
        Meta(description="high: value above limit; low: below; equals: value is limit; word: word stands in the text."),
    ] = "equals"
    limit: Annotated[float, Meta(description="Limit in the point's unit.")] = 1.0
    word: Annotated[str, Meta(description='Of word: OB in "OB DISCHRG".', max_length=32)] = ""
    device: Annotated[str, Meta(description="Device of the point; empty: the one that is judged.")] = ""
    device_class: Annotated[str, Meta(description="Or: devices of this class; it is enough that one of them holds (ups: any UPS of the station).")] = ""
    last: Annotated[bool, Meta(description="Looks at the last good value, also after the point was lost.")] = False


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One condition on a point of every device that it names."""

    name: Annotated[Name, Meta(description="Name of the rule, unique.")]
    condition: Annotated[
        Literal["high", "low", "equals", "not_equals", "bit", "rise", "fall", "deviation", "frozen", "missing", "word", "below_others", "above_others"],
        Meta(
            description="high: value above limit; low: below; equals, not_equals: value is limit or not (digital inputs, states); bit: that bit is set; "
            "rise, fall: by more than limit within window_s; deviation: from reference by more than limit; frozen, missing: for limit seconds; "
            "word: word, or one of words, stands in the text; below_others: below limit percent of the median of all points of the device that fit `point`; "
            "above_others: above the lowest of them by more than limit."
        ),
    ]
    point: Annotated[str, Meta(description="Point that is judged, as in the dictionary; * stands for any letters.")]
    limit: Annotated[float, Meta(description="Limit in the point's unit; for bit the number of the bit, for frozen and missing seconds; word has none.")] = nan
    word: Annotated[str, Meta(description='Of word: OB in "OB DISCHRG".', max_length=32)] = ""
    words: Annotated[list[Annotated[str, Meta(max_length=32)]], Meta(description="Of word: several of which one is enough.")] = []
    role: Annotated[
        str, Meta(description="Judge points of this role alone (input and roles of the device); empty: whatever the point says.", max_length=32)
    ] = ""
    device_class: Annotated[str, Meta(description="Judge every device of this class (meter, ups, inverter, sensor, input, ...); empty: any.")] = ""
    devices: Annotated[list[str], Meta(description="Judge only these devices; * stands for any letters.")] = []
    deadband: Annotated[float, Meta(description="The value must come back by this much before the alarm clears, in the point's unit.", ge=0)] = 0.0
    on_delay_s: Annotated[Seconds, Meta(description="The condition must hold this long before the alarm is raised.", ge=0)] = 0.0
    off_delay_s: Annotated[Seconds, Meta(description="The condition must be gone this long before the alarm clears.", ge=0)] = 0.0
    min_duration_s: Annotated[Seconds, Meta(description="Once raised the alarm lasts at least this long, so that it is seen.", ge=0)] = 0.0
    window_s: Annotated[Seconds, Meta(description="Of rise and fall: within this time.", ge=0)] = 600.0
    average_s: Annotated[Seconds, Meta(description="Of high and low: the mean of this time is judged, not the value; 0: the value.", ge=0)] = 0.0
    reference: Annotated[
        str,
        Meta(
            description="Of deviation: the point compared with, of the same device, as CODE.point, or @ambient: the station's only point of that role. "
            "Of rise and fall: its own movement is taken off, where there is such a point."
        ),
    ] = ""
    least: Annotated[
        float, Meta(description="Of below_others: judged only while their median is above this; a point counts once it was above it itself.", ge=0)
    ] = 0.0
    group_size: Annotated[
        int, Meta(description="Of below_others and above_others: so many neighbours by their number are compared (strings of one MPPT); 0: all.", ge=0, le=99)
    ] = 0
    when: Annotated[list[Term], Meta(description="Conditions that must all hold too: [{ point = ..., limit = 1 }].")] = []
    hold: Annotated[
        Literal["all", "any"], Meta(description="The alarm stays while the condition and those of when: all hold; any: at least one of them does.")
    ] = "all"
    episode: Annotated[
        str, Meta(description="Rules of one name here share one alarm of a device: the most severe that holds gives its level and text.", max_length=32)
    ] = ""
    per_device: Annotated[
        bool, Meta(description="Of a rule with episode and * in point: one alarm for all the points of a device instead of one for each.")
    ] = False
    level: Annotated[Name, Meta(description="Level of the alarm: critical, major, minor, notice, or those of your [[level]].")] = "minor"
    latched: Annotated[bool, Meta(description="The alarm stays until it is reset, also when its condition has ended.")] = False
    explains: Annotated[
        list[str], Meta(description='Alarms that this one explains, as "class: rule": they are written down, but nobody is called for them ("pile: *").')
    ] = []
    alone: Annotated[bool, Meta(description="Told also when another alarm explains it.")] = False
    safety: Annotated[bool, Meta(description="Fire, smoke, water, intrusion: never hidden below another alarm, shelved for an hour at most.")] = False
    device_fault: Annotated[
        bool,
        Meta(
            description="Of a level with out_of_service: it is a fault of the device itself, which is out of service until the alarm is over. "
            "false: it tells of something else (a hot joint, the mains)."
        ),
    ] = True
    instead_of: Annotated[
        str,
        Meta(
            description="Takes the place of this rule for the devices and points that it judges; the others keep that one. With enabled = false it is taken away there.",
            max_length=32,
        ),
    ] = ""
    enabled: Annotated[bool, Meta(description="false switches a shipped rule of this name off.")] = True
    text: Annotated[str, Meta(description="What the alarm says to people.", max_length=128)] = ""
    text_zh: Annotated[str, Meta(description="The same in Chinese.", max_length=128)] = ""
    cause: Annotated[str, Meta(description="Likely cause, in a notice; of a shipped rule its own stands there.", max_length=128)] = ""
    cause_zh: Annotated[str, Meta(description="The same in Chinese.", max_length=128)] = ""
    step: Annotated[str, Meta(description="What to do first, in a notice; short, for an SMS.", max_length=60)] = ""
    step_zh: Annotated[str, Meta(description="The same in Chinese.", max_length=60)] = ""
