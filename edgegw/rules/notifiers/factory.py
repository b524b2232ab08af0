"""A configuration to its channels."""

from __future__ import annotations

from edgegw.config.channel_model import ChannelTable
from edgegw.config.model import Config
from edgegw.rules.notifiers.model import Channel
from edgegw.rules.notifiers.parts import Parts


def make_channels(config: Config, parts: Parts) -> dict[str, Channel]:
    """Name to channel. Opens nothing and reads no file: that is done when something is to be told."""
    return {table.name: make_channel(table, parts) for table in config.channel}


def make_channel(table: ChannelTable, parts: Parts) -> Channel:
    """What a kind needs of the standard library is imported when it is there: a station without mails does without smtplib."""
    channel: Channel
    match table.kind:
        case "mail":
            from edgegw.rules.notifiers.mail import Mail  # noqa: PLC0415

            channel = Mail(table, parts)
        case "sms_modem":
            from edgegw.rules.notifiers.sms_modem import SmsModem  # noqa: PLC0415

            channel = SmsModem(table, parts)
        case "sms_http":
            from edgegw.rules.notifiers.sms_http import SmsHttp  # noqa: PLC0415

            channel = SmsHttp(table, parts)
        case "siren":
            from edgegw.rules.notifiers.siren import Siren  # noqa: PLC0415

            channel = Siren(table, parts)
        case "syslog":
            from edgegw.rules.notifiers.system import Syslog  # noqa: PLC0415

            channel = Syslog(table, parts)
    return channel
