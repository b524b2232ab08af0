"""A critical fault of a real device: out of service at once, a report a minute later, both at the receiver, and a gateway that is killed in between."""

from __future__ import annotations

import csv
import json
import sqlite3
from contextlib import closing

import pytest

from edgegw.cli.cells import cells
from edgegw.cli.rig import Rig, wait_for
from edgegw.errors import EXIT_OK, EXIT_UNKNOWN
from tests.telling_gateway import free_port, post
from tests.unit.cli_daemon import edgegw

pytestmark = pytest.mark.broker

RULE = """
[[rule]]
name = "cabinet-burning"
condition = "high"
point = "temperature"
limit = 70
devices = ["TH-02"]
level = "critical"
when = [{ device = "TH-01", point = "temperature", condition = "low", limit = 200 }]
"""
MAIL = """
[[channel]]
name = "mail"
kind = "mail"
host = "127.0.0.1"
port = {port}
security = "none"
sender = "gw@example.cn"

[[recipient]]
name = "chief"
address = {{ mail = "chief@example.cn" }}
language = "zh"

[[route]]
name = "burning"
rules = ["cabinet-burning"]
recipients = ["chief"]
"""
# The minute after the raise, and what a busy machine needs.
REPORT_S_MAX = 150


@pytest.fixture(scope="module")
def mails():
    """A mail server and what it has taken."""
    port = free_port()
    with post(port) as server:
        yield port, server.mails


@pytest.fixture(scope="module")
def rig(tmp_path_factory, mails):
    """TH-02 burns since some seconds; the gateway was killed meanwhile and runs again."""
    rig = Rig(tmp_path_factory.mktemp("report"))
    try:
        rig.make_keys()
        rig.start_station()
        rig.start_broker()
        rig.start_receiver()
        rig.write_config()
        rig.config.write_text(rig.config.read_text() + RULE + MAIL.format(port=mails[0]))
        rig.start_gateway()
        wait_for("some readings of it", lambda: readings(rig) >= 3, 60)
        rig.tell_station("set", device="TH-02", point="temperature", value=80)
        wait_for("the alarm", lambda: alarm(rig), 60)
        wait_for("it at the receiver", lambda: received(rig, "service_state"), 60)
        rig.kill("gateway")
        rig.start_gateway()
        wait_for("the alarm again", lambda: alarm(rig), 60)
        yield rig
    finally:
        rig.close()


def asked(rig, *arguments):
    """None while the gateway starts."""
    return json.loads(edgegw(*arguments, "--json", "-c", rig.config).stdout)["data"]


def alarm(rig):
    return next((found for found in (asked(rig, "alarms", "--all") or {"alarms": []})["alarms"] if found["rule"] == "cabinet-burning"), None)


def readings(rig):
    if not rig.sink.exists():
        return 0
    with closing(sqlite3.connect(f"file:{rig.sink}?mode=ro", uri=True, timeout=5)) as sink:
        return sink.execute("SELECT count(*) FROM readings WHERE device = 'TH-02' AND value IS NOT NULL").fetchone()[0]


def received(rig, kind):
    with closing(sqlite3.connect(f"file:{rig.sink}?mode=ro", uri=True, timeout=5)) as sink:
        return [json.loads(body) for (body,) in sink.execute("SELECT body FROM events WHERE kind = ? AND device = 'TH-02' ORDER BY at_ms", (kind,))]


def test_the_device_is_out_of_service_on_every_screen_and_at_the_receiver(rig):
    """
    status and alarms name it with its alarm, in both languages, and the receiver has one change.
    """
    number = alarm(rig)["number"]
    assert [("TH-02", "out_of_service", [number])] == [(one["device"], one["state"], one["alarms"]) for one in asked(rig, "status")["service_state"]]
    assert [(["out_of_service"], [alarm(rig)["alarm_id"]])] == [([body["service_state"]], body["alarms"]) for body in received(rig, "service_state")]
    for language, word in (("en", "TH-02 is out of service"), ("zh", "TH-02 因故障退出服务")):
        for command in ("status", "alarms"):
            assert word in edgegw("--lang", language, command, "-c", rig.config).stdout


def test_the_report_is_made_once_and_sent(rig):
    """
    A minute after the raise, over a SIGKILL, the receiver has one record with the readings of the device and of what the rule looks at.
    """
    wait_for("the report", lambda: received(rig, "alarm_report"), REPORT_S_MAX)
    (body,) = received(rig, "alarm_report")
    assert (alarm(rig)["alarm_id"], "cabinet-burning", 120_000) == (body["id"], body["rule"], body["to_ms"] - body["from_ms"])
    judged, *others = body["series"]
    assert ("TH-02", "temperature") == (judged["device"], judged["point"])
    before, after = ([sample[1] for sample in judged["samples"] if (sample[0] < 0) is early] for early in (True, False))
    assert max(before) < 70
    assert 80 in after
    assert ("TH-01", "temperature") == (others[0]["device"], others[0]["point"])
    assert body["bus"]["device"]["asked"] > 0
    assert ["cloud"] == [uplink["name"] for uplink in body["uplinks"]]


def test_the_report_is_shown(rig):
    """
    The screen has the point, the value, its quality, the bus and the link in 80 columns, in both languages; a number that nobody has is exit 4.
    """
    wait_for("the report", lambda: received(rig, "alarm_report"), REPORT_S_MAX)
    number = str(alarm(rig)["number"])
    for language, words in (("en", ("Readings from", "temperature", "80", "good", "no fault")), ("zh", ("读数", "temperature", "80", "正常", "无故障"))):
        done = edgegw("--lang", language, "alarms", "show", number, "--report", "-c", rig.config)
        assert (EXIT_OK, "") == (done.returncode, done.stderr)
        assert all(word in done.stdout for word in words), done.stdout
        assert max(map(cells, done.stdout.splitlines())) <= 80
    report = asked(rig, "alarms", "show", number, "--report")["report"]
    assert (True, True) == (report["recorded"], report["whole"])
    assert EXIT_UNKNOWN == edgegw("alarms", "show", "99999", "--report", "-c", rig.config).returncode


def test_the_report_comes_by_mail(rig, mails):
    """
    After the mail of the raise, once: what bus and cloud did in its text, and every reading in a table that opens as one.
    """
    wait_for("the mail of the report", lambda: [mail for _, mail in mails[1] if "报告" in mail["Subject"]], REPORT_S_MAX)
    raised, report = (mail for _, mail in mails[1])
    assert "新告警" in raised["Subject"]
    assert all(word in report.get_body().get_content() for word in ("TH-02", "附件", "询问", "平台 cloud：已连接"))
    (attached,) = report.iter_attachments()
    table = attached.get_content()
    rows = [dict(row) for row in csv.DictReader(table.removeprefix("\ufeff").splitlines())]
    assert ("text/csv", f"report-{alarm(rig)['number']}.csv") == (attached.get_content_type(), attached.get_filename())
    judged = [float(row["数值"]) for row in rows if (row["设备"], row["测点"]) == ("TH-02", "temperature") and row["数值"]]
    assert (True, 80.0) == (min(judged) < 70, max(judged))
    assert len(table.encode()) < 120_000


def test_it_comes_back_into_service_with_the_end_of_the_alarm(rig):
    """
    The sensor cools down: in_service is published once, and the past alarm still has its report.
    """
    wait_for("the report", lambda: received(rig, "alarm_report"), REPORT_S_MAX)
    number = str(alarm(rig)["number"])
    rig.tell_station("release", device="TH-02", point="temperature")
    wait_for("the end", lambda: len(received(rig, "service_state")) == 2, 60)
    assert ["out_of_service", "in_service"] == [body["service_state"] for body in received(rig, "service_state")]
    edgegw("alarms", "ack", number, "-c", rig.config)
    wait_for("closed", lambda: alarm(rig) is None)
    assert asked(rig, "alarms", "show", number, "--report")["report"]["recorded"]
    assert 1 == len(received(rig, "alarm_report"))
