"""Of the configuration: the channels by which alarms reach people. One table for all kinds; what a kind needs is checked by channel_check.py."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

ChannelKind = Literal["mail", "sms_modem", "sms_http", "siren", "syslog"]
# A notice is tried again by the queue; an attempt must end before the next one may begin.
ATTEMPT_S_MAX = 55


class ChannelTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One way by which alarms reach people."""

    name: Annotated[str, Meta(pattern="^[A-Za-z0-9_.-]{1,32}$", description="Name of the channel, unique; routes name it.")]
    kind: Annotated[
        ChannelKind,
        Meta(
            description="mail: SMTP; sms_modem: a modem on a serial port; sms_http: the web interface of an SMS provider; siren: a relay output of a device; "
            "syslog: the journal of this machine or a log server."
        ),
    ]
    timeout_s: Annotated[float, Meta(description="An attempt that takes longer is given up; the queue tries again.", ge=1, le=ATTEMPT_S_MAX)] = 30.0

    host: Annotated[str, Meta(description="Of mail and syslog: the server; a syslog without one is the journal of this machine.", max_length=253)] = ""
    port: Annotated[int, Meta(description="Of mail and syslog: its port; 0: the usual one (mail 465 or 587, syslog 514, with TLS 6514).", ge=0, le=65535)] = 0
    security: Annotated[
        Literal["tls", "starttls", "none"],
        Meta(description="Of mail: tls from the first byte (465) or starttls (587). Of syslog: tls or none. none: mail only to this machine itself."),
    ] = "tls"
    transport: Annotated[Literal["tcp", "udp"], Meta(description='Of syslog with security = "none": by which transport.')] = "tcp"
    ca_file: Annotated[str, Meta(description="Of mail, sms_http and syslog: certificate authority of the server; empty: the system's.")] = ""
    username: Annotated[str, Meta(description="Of mail: user name, where the server wants one.", max_length=254)] = ""
    password_file: Annotated[
        str, Meta(description="Of mail: file with the password; of sms_http: with what {secret} stands for; of sms_modem: with the PIN of the card; mode 0600.")
    ] = ""
    sender: Annotated[str, Meta(description="Of mail: address that the mails come from.", max_length=254)] = ""

    path: Annotated[str, Meta(description="Of sms_modem: serial port, best by a name that stays: /dev/serial/by-id/...")] = ""
    baudrate: Annotated[Literal[9600, 19200, 38400, 57600, 115200], Meta(description="Of sms_modem: speed of the port; USB modems take any.")] = 115200
    smsc: Annotated[str, Meta(description="Of sms_modem: number of the message centre; empty: as the card says.", pattern=r"^(\+?[0-9]{3,15})?$")] = ""
    parts_max: Annotated[
        int,
        Meta(
            description="Of sms_modem: a text is cut after so many joined messages (70 Chinese or 160 Latin characters one, 67 or 153 each of several).",
            ge=1,
            le=6,
        ),
    ] = 3

    url: Annotated[str, Meta(description="Of sms_http: https://...; {number}, {text}, {notice_id} and {secret} are filled in.", max_length=1024)] = ""
    method: Annotated[Literal["POST", "GET"], Meta(description="Of sms_http: how it is asked; GET has no body.")] = "POST"
    headers: Annotated[list[str], Meta(description='Of sms_http: more headers, as ["Authorization: Bearer {secret}"].')] = []
    body: Annotated[
        str, Meta(description='Of sms_http: what is sent, as {"phone": "{number}", "msg": "{text}"}; the same is filled in as in url.', max_length=4096)
    ] = ""
    body_format: Annotated[Literal["json", "form"], Meta(description="Of sms_http: how the body is written; what is filled in is escaped for it.")] = "json"
    expect_status: Annotated[list[int], Meta(description="Of sms_http: answers with one of these codes are good.")] = msgspec.field(
        default_factory=lambda: [200]
    )
    expect_text: Annotated[str, Meta(description='Of sms_http: text that a good answer holds, as "code":0; empty: the code is enough.', max_length=256)] = ""

    device: Annotated[str, Meta(description="Of siren: code of the device with the relay.", max_length=32)] = ""
    point: Annotated[str, Meta(description="Of siren: output that is switched, as relay.1; its profile must say that it may be written.", max_length=64)] = ""
    on_time_s_max: Annotated[float, Meta(description="Of siren: it goes silent after this time though nobody has acknowledged the alarm.", ge=1, le=86_400)] = (
        600.0
    )
