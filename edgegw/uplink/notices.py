"""What of an uplink is told as an alarm of the gateway itself, before it becomes a fault: certificates that end, a quota that runs out;
and of the faults those that wait for a person. Pure.
"""

from __future__ import annotations

import re

import msgspec

from edgegw.errors import lookup
from edgegw.uplink.certificates import EXPIRED
from edgegw.uplink.expiry import Expiry
from edgegw.uplink.faults import Fault
from edgegw.uplink.traffic import MB

_WORDS = {"client": ("our certificate", "本机证书"), "authority": ("the authority", "颁发机构证书"), "broker": ("the broker's certificate", "服务器证书")}
_LEVELS = {60: "notice", 30: "minor", 7: "major", EXPIRED: "major"}
# The first leaves a week of an even month to act in.
QUOTA_PERCENT_WARN = 80
QUOTA_PERCENT_FULL = 100
QUOTA_FULL_LEVEL = "major"
# A mobile link that breaks at the beginning of the handshake looks like a port that does not speak TLS; it does not do so every time.
_LIKE_A_BROKEN_LINK = frozenset({"E-TLS-NOT-TLS"})
IN_ROW_MIN = 3


class Notice(msgspec.Struct, frozen=True):
    """An alarm that lasts as long as its reason. Each step has a rule of its own, so that the next step is a new event."""

    rule: str
    level: str
    text: str
    text_zh: str


def is_of(uplink: str, rule: str) -> bool:
    """Whether an alarm of this rule is a notice of this uplink."""
    name = re.escape(uplink)
    return re.fullmatch(rf"certificate [a-z]+ {name} \d+ d|uplink {name} [EW]-[A-Z0-9-]+|quota {name} \d+ %|too large {name}", rule) is not None


def of_expiry(uplink: str, expiry: Expiry) -> Notice | None:
    """A certificate that ends, or has ended; None while nothing is to be told."""
    if expiry.step is None:
        return None
    name, name_zh = _WORDS[expiry.which]
    if expiry.step == EXPIRED:
        text = f"E-CERT-EXPIRED: uplink {uplink}: {name} ({expiry.subject}) ended on {expiry.expires}"
        text_zh = f"E-CERT-EXPIRED：上传平台 {uplink}：{name_zh}（{expiry.subject}）已于 {expiry.expires} 到期"
    else:
        text = f"W-CERT-EXPIRY: uplink {uplink}: {name} ({expiry.subject}) ends on {expiry.expires}"
        text_zh = f"W-CERT-EXPIRY：上传平台 {uplink}：{name_zh}（{expiry.subject}）将于 {expiry.expires} 到期"
    return Notice(f"certificate {expiry.which} {uplink} {expiry.step} d", _LEVELS[expiry.step], text, text_zh)


def of_fault(uplink: str, fault: Fault | None, in_row: int) -> Notice | None:
    """A fault that only a person can end: a certificate, a login, another client of our name. Links come and go, and are told by their age (`uplink.age`).

    `in_row`: how often it came since the last connection.
    """
    if fault is None or fault.pace == "network" or (fault.message_id in _LIKE_A_BROKEN_LINK and in_row < IN_ROW_MIN):
        return None
    message = lookup(fault.message_id)
    text_zh = f"{fault.message_id}：上传平台 {uplink}：{message.zh if message else ''}（{fault.text}）"
    return Notice(f"uplink {uplink} {fault.message_id}", "major", f"{fault.message_id}: uplink {uplink}: {fault.text}", text_zh)


def of_quota(uplink: str, month_bytes: int, quota_mb: int) -> Notice | None:
    """What the month has used of what it may; None below the first step, or without a quota."""
    percent = 100 * month_bytes / (quota_mb * MB) if quota_mb else 0.0
    if percent < QUOTA_PERCENT_WARN:
        return None
    step = QUOTA_PERCENT_FULL if percent >= QUOTA_PERCENT_FULL else QUOTA_PERCENT_WARN
    text = f"W-CLOUD-QUOTA: uplink {uplink} has used {step} % of its {quota_mb} MB of this month"
    text_zh = f"W-CLOUD-QUOTA：上传平台 {uplink} 本月流量已达 {quota_mb} MB 的 {step} %"
    return Notice(f"quota {uplink} {step} %", QUOTA_FULL_LEVEL if step == QUOTA_PERCENT_FULL else "minor", text, text_zh)


def of_parked(uplink: str, records: int) -> Notice | None:
    """Single records larger than the broker's packets: they stay in the gateway until somebody raises the limit."""
    if not records:
        return None
    text = f"E-MQTT-SIZE: uplink {uplink}: {records} records are larger than the broker takes and stay here"
    text_zh = f"E-MQTT-SIZE：上传平台 {uplink}：有 {records} 条记录超过服务器允许的大小，保留在本机"
    return Notice(f"too large {uplink}", "minor", text, text_zh)
