"""Certificates that end are told in time: read from files, judged by days, raised and withdrawn as alarms."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from edgegw.alarming import Alarming, make_engine
from edgegw.buffer.store import Buffer
from edgegw.cloud.pki import Authority
from edgegw.config.model import Config, Uplink
from edgegw.model import ClockTrust
from edgegw.own_uplinks import OwnUplinks
from edgegw.rules.engine import Engine
from edgegw.uplink.certificates import EXPIRED, Certificate, authority_of, of_file
from edgegw.uplink.expiry import CertificateWatch
from edgegw.uplink.login import make_login, tls_context
from edgegw.uplink.notices import of_expiry
from edgegw.uplink.sender import Sender
from tests.unit.rules_rig import EPOCH
from tests.uplink_rig import GATEWAY, MemoryOutbox, Place

DAY_S = 86_400
NOW_S = 1_800_000_000.0
ROOT = Path(__file__).parents[2]


def certificate(life_days: float, left_days: float) -> Certificate:
    ends_s = NOW_S + left_days * DAY_S
    return Certificate("CN=gw", "CN=ca", (), ends_s - life_days * DAY_S, ends_s)


def issued(directory: Path, left_days: float, life_days: float = 365, name: str = "gateway") -> tuple[Path, Path]:
    """Files of a client certificate that has so many days to live."""
    begins = datetime.now(UTC) + timedelta(days=left_days - life_days)
    return Authority(now=begins).issue(directory / name, name, valid_for=timedelta(days=life_days))


@pytest.mark.parametrize(
    ("step", "life_days", "left_days"),
    [
        (None, 365, 60.1),
        (60, 365, 60),
        (60, 365, 30.1),
        (30, 365, 30),
        (30, 365, 7.1),
        (7, 365, 7),
        (7, 365, 0.1),
        (EXPIRED, 365, 0),
        (EXPIRED, 365, -100),
        # A short life is not told of before its last quarter.
        (None, 90, 29),
        (7, 90, 6),
        (None, 20, 4),
        (EXPIRED, 20, -1),
    ],
)
def test_the_steps_are_60_30_and_7_days(step, life_days, left_days):
    """
    The last step that has come is told, and of a certificate with a short life only what lies in its last quarter.
    """
    assert step == certificate(life_days, left_days).step(NOW_S)


def test_the_watch_reads_all_three_and_again_when_a_file_changes(tmp_path):
    """
    Ours, the authority's and the broker's are known with their days; a renewed file counts at the next look, one that is gone is left out.
    """
    authority = Authority(now=datetime.now(UTC) - timedelta(days=25))
    cert, key = issued(tmp_path, 25)
    server, _ = authority.issue(tmp_path / "server", "server", ["mq.example"], timedelta(days=26))
    ca = authority.write(tmp_path / "ca.crt")
    uplink = Uplink(name="a", broker="mqtts://mq.example", recipient_file="x", ca_file=str(ca), cert_file=str(cert), cert_key_file=str(key))
    watch = CertificateWatch(uplink)
    now_s = datetime.now(UTC).timestamp()
    shown = ssl.PEM_cert_to_DER_cert(server.read_text())
    first = watch.look(now_s, shown)
    assert [("client", 24, 30), ("authority", 4, 7), ("broker", 0, None)] == [(found.which, found.days_left, found.step) for found in first]
    assert "CN=edgegw demo CA" == first[2].issuer
    renewed, _ = issued(tmp_path, 300, name="renewed")
    renewed.replace(cert)
    ca.unlink()
    assert [("client", 299), ("broker", 0)] == [(found.which, found.days_left) for found in watch.look(now_s, None)]


def test_a_file_that_is_no_certificate_ends_nothing(tmp_path):
    """
    What cannot be read is left to the connection, which names it; the watch goes on.
    """
    (tmp_path / "own.crt").write_text("no PEM")
    uplink = Uplink(name="a", broker="mqtts://mq.example", recipient_file="x", cert_file=str(tmp_path / "own.crt"), cert_key_file="y")
    assert [] == CertificateWatch(uplink).look(NOW_S, b"no DER")


def test_of_many_authorities_the_issuer_counts(tmp_path):
    """
    Of a bundle only the one that signed the broker's certificate is watched; without a broker's, only a file with a single one.
    """
    ours, other = Authority("ours"), Authority("other")
    bundle = tmp_path / "bundle.crt"
    bundle.write_bytes(other.write(tmp_path / "a.crt").read_bytes() + ours.write(tmp_path / "b.crt").read_bytes())
    (server,) = of_file(ours.issue(tmp_path / "server", "server", ["mq.example"])[0])
    known = of_file(bundle)
    found = authority_of(server, known)
    assert found is not None
    assert "CN=ours" == found.subject
    assert authority_of(None, known) is None
    assert known[0] == authority_of(None, known[:1])


@pytest.mark.parametrize(("level", "left_days"), [("notice", 59), ("minor", 29), ("major", 6), ("major", -1)])
def test_a_notice_grows_with_its_step(tmp_path, level, left_days):
    """
    The nearer the end, the higher the level; text and rule name uplink, certificate and day in both languages.
    """
    cert, key = issued(tmp_path, left_days + 0.5)
    uplink = Uplink(name="main", broker="mqtts://mq.example", recipient_file="x", cert_file=str(cert), cert_key_file=str(key))
    (expiry,) = CertificateWatch(uplink).look(datetime.now(UTC).timestamp(), None)
    notice = of_expiry("main", expiry)
    assert notice is not None
    assert level == notice.level
    expected = "E-CERT-EXPIRED" if left_days < 0 else "W-CERT-EXPIRY"
    for text in (notice.text, notice.text_zh):
        assert text.startswith(expected)
        assert expiry.expires in text
    assert expiry.step == (EXPIRED if left_days < 0 else next(days for days in (7, 30, 60) if left_days <= days))


def test_the_days_of_a_certificate_are_alarms_that_follow_each_other(tmp_path):
    """
    60, 30 and 7 days and the end are raised one after the other, each ends the one before it, and a renewed file ends the last.
    """
    here = Place(tmp_path)
    own = tmp_path / "own.crt"
    sender = here.sender(MemoryOutbox(), cert_file=str(own))
    engine = Engine([], [], [], EPOCH, {})
    watch = OwnUplinks(here.clock)
    edges = []
    for left_days in (200, 59, 58, 29, 6, -1, 300):
        cert, _ = issued(tmp_path, left_days + 0.5, name=f"own-{left_days}")
        cert.replace(own)
        for changes in watch.look(engine, [sender]):
            edges += [(event.body["edge"], event.body["rule"].removeprefix("certificate client cloud ")) for event in changes.events if event.kind == "alarm"]
    assert [
        ("raised", "60 d"),
        ("cleared", "60 d"),
        ("raised", "30 d"),
        ("cleared", "30 d"),
        ("raised", "7 d"),
        ("cleared", "7 d"),
        ("raised", "0 d"),
        ("cleared", "0 d"),
    ] == edges
    assert [] == [alarm.rule for alarm in engine.open_alarms() if "client" in alarm.rule]


def test_without_a_trusted_clock_nothing_is_told(tmp_path):
    """
    A clock that is not synchronised says nothing of certificates, neither that they end nor that they no longer do.
    """
    here = Place(tmp_path)
    own, _ = issued(tmp_path, 5)
    sender = here.sender(MemoryOutbox(), cert_file=str(own), trust=ClockTrust.HELD)
    engine = Engine([], [], [], EPOCH, {})
    watch = OwnUplinks(here.clock)
    assert [] == list(watch.look(engine, [sender]))
    here.clock.trust = ClockTrust.SYNCHRONISED
    assert [changes for changes in watch.look(engine, [sender]) if changes.events]
    before = engine.open_alarms()
    here.clock.trust = ClockTrust.HELD
    own.unlink()
    assert [] == list(watch.look(engine, [sender]))
    assert before == engine.open_alarms()


def test_a_start_ends_no_alarm_of_an_uplink_before_it_knows_better(tmp_path, monkeypatch):
    """
    Without a clock to trust it knows nothing of the certificate: the alarm goes on as the same one, and ends when the time for finding out is over.
    """
    here = Place(tmp_path)
    own, _ = issued(tmp_path, 5)
    config = Config(gateway=GATEWAY)

    def start(trust: ClockTrust) -> tuple[Buffer, Engine, OwnUplinks, Sender]:
        """The parts of a start, with what they write down in a real store; the first tick and the first look are over."""
        sender = here.sender(MemoryOutbox(), cert_file=str(own), trust=trust)
        buffer = Buffer.open(tmp_path / "state", here.clock, config.store, [], [], lambda _streams: None)
        engine = make_engine(config, [], buffer)
        Alarming(config, engine, here.clock, buffer, lambda changes: buffer.accept((), changes.events, changes.states)).begin([sender])
        watch = OwnUplinks(here.clock)
        for changes in (engine.tick(here.clock.mono_ms(), here.clock.wall_ms(), trust), *watch.look(engine, [sender])):
            buffer.accept((), changes.events, changes.states)
        return buffer, engine, watch, sender

    buffer, engine, *_ = start(ClockTrust.SYNCHRONISED)
    numbers = [alarm.number for alarm in engine.open_alarms()]
    assert 1 == len(numbers)
    buffer.close()
    buffer, engine, watch, sender = start(ClockTrust.UNSET)
    assert numbers == [alarm.number for alarm in engine.open_alarms()]
    monkeypatch.setattr("edgegw.own_uplinks.SURE_AFTER_MS", 0)
    (over,) = watch.look(engine, [sender])
    assert ["cleared"] == [event.body["edge"] for event in over.events if event.kind == "alarm"]
    buffer.close()


# -- what can never be switched off


@pytest.mark.parametrize("clock_unset", [False, True])
@pytest.mark.parametrize("pinned", [False, True])
@pytest.mark.parametrize("broker", ["mqtts://mq.example", "mqtts://10.0.0.7", "mqtts://localhost"])
def test_authority_and_name_are_always_verified(tmp_path, broker, pinned, clock_unset):
    """
    No configuration and no clock gives a connection without verification; dates are left out only for a pinned authority and a clock never set.
    """
    here = Place(tmp_path)
    uplink = here.uplink(broker=broker, ca_file=str(here.pki.ca) if pinned else "")
    login = msgspec.structs.replace(make_login(uplink, GATEWAY, None, mqtt5=True), clock_unset=clock_unset)
    context = tls_context(login)
    assert (ssl.CERT_REQUIRED, True) == (context.verify_mode, context.check_hostname)
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    no_dates = bool(context.verify_flags & 0x200000)
    assert (pinned and clock_unset) == no_dates


def test_only_the_screen_of_a_test_looks_at_what_it_does_not_trust():
    """
    One place of the package opens TLS without verification: to show a person the certificate that was refused.
    """
    words = ("CERT_NONE", "check_hostname = False", "tls_insecure_set", "_create_unverified_context")
    found = {path.name for path in (ROOT / "edgegw").rglob("*.py") if any(word in path.read_text(encoding="utf-8") for word in words)}
    assert {"staged.py"} == found
