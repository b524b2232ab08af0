"""Every channel at once, each with a real other side: a mail server, a modem on a pty, a relay module and a log server, and one real daemon."""

from __future__ import annotations

import socket
from contextlib import closing

import pytest

from tests.modem_double import Modem
from tests.telling_gateway import DEVICE, Gateway, free_port, post, relays, wait_for
from tests.unit.cli_daemon import edgegw
from tests.unit.test_channel_pdu import read

NUMBER = "+8613800000000"
CHANNELS = """
[[bus]]
name = "relays"
kind = "tcp"
host = "127.0.0.1"
port = {relay_port}

[[device]]
code = "RELAY-01"
bus = "relays"
unit = 1
profile = "relay.board8"

[[channel]]
name = "mail"
kind = "mail"
host = "127.0.0.1"
port = {mail_port}
security = "none"
sender = "gw@example.cn"
timeout_s = 5

[[channel]]
name = "modem"
kind = "sms_modem"
path = "{modem}"

[[channel]]
name = "siren"
kind = "siren"
device = "RELAY-01"
point = "relay.2"

[[channel]]
name = "log"
kind = "syslog"
host = "127.0.0.1"
port = {log_port}
security = "none"
transport = "udp"

[[recipient]]
name = "chief"
address = {{ mail = "chief@example.cn", modem = "{number}" }}
language = "zh"

[[route]]
name = "everything"
recipients = ["chief"]
channels = ["mail", "modem", "siren", "log"]
"""


@pytest.fixture
def gateway(tmp_path):
    """Its meter never answers: an alarm comes by itself."""
    found = Gateway(tmp_path)
    try:
        yield found
    finally:
        found.kill()


def test_with_the_network_down_modem_siren_and_log_work_and_the_mail_comes_later(gateway):
    """
    The SMS goes out in Chinese, the siren sounds until somebody acknowledges, the log has a line; the mail waits for its server and says the same.
    """
    mail_port = free_port()
    with Modem() as modem, relays() as board, closing(socket.socket(type=socket.SOCK_DGRAM)) as log:
        log.bind(("127.0.0.1", 0))
        log.settimeout(60)
        ports = {"relay_port": board.server_address[1], "mail_port": mail_port, "log_port": log.getsockname()[1]}
        gateway.write(DEVICE + CHANNELS.format(modem=modem.path, number=NUMBER, **ports))
        gateway.start()
        line = log.recv(4096).decode()
        wait_for("message", lambda: modem.sent)
        wait_for("siren", lambda: board.coils[1])
        sent = [read(pdu) for pdu in modem.sent]
        assert NUMBER == sent[0].number
        assert "秒无应答" in "".join(part.text for part in sent)
        assert all(word in line for word in ("M-01", "major"))
        number = gateway.ask()["alarms"][0]["number"]
        edgegw("alarms", "ack", str(number), "-m", "on my way", "-c", gateway.directory / "config.toml")
        wait_for("silence", lambda: not board.coils[1])
        with post(mail_port) as server:
            recipients, mail = wait_for("mail", lambda: server.mails)[0]
        (result,) = wait_for("result", lambda: [one for one in gateway.ask("notifications").get("told", []) if one["channel"] == "mail"])
        assert ["chief@example.cn"] == recipients
        assert all(word in mail.get_content() for word in ("M-01", "首要措施", "秒无应答", "确认: 20"))
        assert result["attempts"] > 1
        assert result["notice_id"] in mail["Message-ID"]
