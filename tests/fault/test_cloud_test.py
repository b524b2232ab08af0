"""`edgegw cloud test` against a real broker: each fault of the way has its stage and its id, and nothing behind it is tried."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from edgegw.cli.cells import WIDTH, cells
from edgegw.clock import read_clock_trust
from edgegw.cloud.pki import Authority
from edgegw.errors import EXIT_CLOUD, EXIT_OK, EXIT_UNKNOWN, EXIT_WARNINGS
from edgegw.model import ClockTrust, Identity
from edgegw.uplink.envelope import Receipt, sign_receipt
from edgegw.uplink.keys import load_cloud_keys, load_uplink_keys, new_cloud_keys, new_gateway_keys
from edgegw.uplink.receipts import TEST_EPOCH
from edgegw.uplink.staged import STAGES, TRUSTED, Stage
from edgegw.uplink.trial import Trial
from tests.broker_double import BrokerDouble, Habits
from tests.unit.cli_daemon import daemon, edgegw
from tests.uplink_rig import GATEWAY, IDENTITY, MemoryOutbox, Place, alarm, event_batch, no_thread_left, place, running, until
from tests.uplink_wrong import acl_file, other_server, password_file, secret_file, tls

pytestmark = pytest.mark.broker

# Where no receipt is expected, nobody waits for it as long as a person would.
SHORT_RECEIPT_WAIT_S = 1.0


@pytest.fixture
def here(tmp_path):
    with no_thread_left(), place(tmp_path) as made:
        yield made


def tried(
    here: Place, *, trust: ClockTrust = ClockTrust.SYNCHRONISED, up_to: int = len(STAGES), receipt_wait_s: float = SHORT_RECEIPT_WAIT_S, **changes: object
) -> list[Stage]:
    """The stages of one test of this gateway's uplink."""
    return asyncio.run(trial(here, trust, receipt_wait_s, **changes).run(up_to))


def trial(here: Place, trust: ClockTrust, receipt_wait_s: float, *, beside: bool = False, **changes: object) -> Trial:
    uplink = here.uplink(**changes)
    state_dir = str(here.directory / "state")
    return Trial(uplink, GATEWAY, lambda: load_uplink_keys(uplink, state_dir), trust, daemon_runs=beside, receipt_wait_s=receipt_wait_s)


def states(stages: list[Stage]) -> str:
    """One letter for each stage: o ok, w warn, f fail, - none."""
    return "".join("-" if stage.state == "none" else stage.state[0] for stage in stages)


# -- what is wrong, and what is then seen


@contextmanager
def full_queue() -> Iterator[int]:
    """A port whose queue of connections is full: further ones get no answer, as behind a firewall that drops them."""
    with ExitStack() as held:
        server = held.enter_context(socket.create_server(("127.0.0.1", 0), backlog=1))
        port = int(server.getsockname()[1])
        for _ in range(4):
            waiting = held.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", port))
        yield port


def broker(here: Place, settings: str = "", **exchanged: str) -> dict[str, object]:
    here.start_broker(settings, tls=tls(here, **exchanged))
    return {}


def wrong_server(kind: str) -> Callable[[Place], dict[str, object]]:
    def prepare(here: Place) -> dict[str, object]:
        here.trusted_ca = str(here.pki.ca)
        here.start_broker(tls=tls(here, **other_server(here, kind)))
        return {"ca_file": here.trusted_ca}

    return prepare


def stranger(here: Place) -> dict[str, object]:
    cert, key = Authority("another CA").issue(here.directory / "stranger", "gateway")
    return {**broker(here), "cert_file": str(cert), "cert_key_file": str(key)}


def own_expired(here: Place) -> dict[str, object]:
    """Our certificate is over; the authority that signed it lives."""
    authority = Authority(now=datetime.now(UTC) - timedelta(days=20))
    here.start_broker(tls=tls(here, cafile=str(authority.write(here.directory / "clients.crt"))))
    cert, key = authority.issue(here.directory / "late", "gateway", valid_for=timedelta(days=1))
    return {"cert_file": str(cert), "cert_key_file": str(key)}


def wrong_password(here: Place) -> dict[str, object]:
    broker(here, f"password_file {password_file(here, 'gw', 'right')}", allow_anonymous="false")
    return {"username": "gw", "password_file": secret_file(here, "wrong")}


def tls_at_most(version: str, **changes: object) -> Callable[[Place], dict[str, object]]:
    """The broker has no setting for it: its OpenSSL is told."""

    def prepare(here: Place) -> dict[str, object]:
        settings = here.directory / "openssl.cnf"
        names = "openssl_conf = a\n[a]\nssl_conf = b\n[b]\nsystem_default = c\n[c]\n"
        settings.write_text(f"{names}MaxProtocol = {version}\nCipherString = DEFAULT@SECLEVEL=0\n")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("OPENSSL_CONF", str(settings))
            return {**broker(here), **changes}

    return prepare


def stranger_in_old_tls(here: Place) -> dict[str, object]:
    cert, key = Authority("another CA").issue(here.directory / "stranger", "gateway")
    return tls_at_most("TLSv1.2", cert_file=str(cert), cert_key_file=str(key))(here)


def foreign_chain(here: Place) -> dict[str, object]:
    """The broker shows its root too: what we do not trust is then a self-signed certificate in the chain (19), not a missing issuer (20)."""
    authority = Authority("another CA")
    cert, key = authority.issue(here.directory / "chain", "server", ["localhost"])
    cert.write_bytes(cert.read_bytes() + authority.write(here.directory / "root.crt").read_bytes())
    here.start_broker(tls=tls(here, certfile=str(cert), keyfile=str(key)))
    return {}


def by_address(here: Place) -> dict[str, object]:
    """The certificate has names alone, the configuration has the address (64)."""
    authority = Authority()
    cert, key = authority.issue(here.directory / "names", "server", ["localhost"])
    here.start_broker(tls=tls(here, certfile=str(cert), keyfile=str(key)))
    return {"ca_file": str(authority.write(here.directory / "names-ca.crt")), "broker": f"mqtts://127.0.0.1:{here.port}"}


class Row(NamedTuple):
    """What is wrong, and what the test must say: the states of all stages, the id, and what tells faults of one id apart."""

    name: str
    prepare: Callable[[Place], dict[str, object]]
    expected: str
    message_id: str
    cause: str = ""
    trust: ClockTrust = ClockTrust.SYNCHRONISED


ROWS = [
    Row("no broker", lambda _: {"broker": "mqtts://localhost:1"}, "ooof-----", "E-NET-REFUSED"),
    Row("no TLS", lambda here: here.start_broker(tls="allow_anonymous true") or {}, "oooof----", "E-TLS-NOT-TLS"),
    Row("another CA", wrong_server("foreign"), "oooof----", "E-TLS-CA"),
    Row("self-signed", wrong_server("self-signed"), "oooof----", "E-TLS-SELF"),
    Row("another name", wrong_server("name"), "oooof----", "E-TLS-NAME"),
    Row("expired", wrong_server("expired"), "oooof----", "E-TLS-EXPIRED"),
    Row("expired by a clock that is not set", wrong_server("expired"), "wooof----", "E-CLOCK", trust=ClockTrust.HELD),
    Row("of the future", wrong_server("future"), "oooof----", "E-TLS-EXPIRED"),
    Row("of the future by a clock that is not set", wrong_server("future"), "wooof----", "E-CLOCK", trust=ClockTrust.HELD),
    Row("over, whatever the clock says", wrong_server("ancient"), "wooof----", "E-TLS-EXPIRED", trust=ClockTrust.UNSET),
    Row("another name by a clock never set", wrong_server("name"), "wooof----", "E-TLS-NAME", trust=ClockTrust.UNSET),
    Row("another CA, shown whole", foreign_chain, "oooof----", "E-TLS-CA"),
    Row("an address that is not in it", by_address, "oooof----", "E-TLS-NAME"),
    Row("old TLS", tls_at_most("TLSv1.1"), "oooof----", "E-TLS-VERSION"),
    Row("no client certificate in TLS 1.2", tls_at_most("TLSv1.2", cert_file="", cert_key_file=""), "ooooof---", "E-TLS-CLIENT-NONE"),
    Row("another client CA in TLS 1.2", stranger_in_old_tls, "ooooof---", "E-TLS-CLIENT-CA"),
    Row("no client certificate", lambda here: {**broker(here), "cert_file": "", "cert_key_file": ""}, "ooooof---", "E-TLS-CLIENT-NONE"),
    Row("another client CA", stranger, "ooooof---", "E-TLS-CLIENT-CA"),
    Row("client certificate over", own_expired, "ooooof---", "E-TLS-CLIENT-CA", "client.expired"),
    Row("client certificate missing", lambda here: {**broker(here), "cert_file": "/nowhere/gw.crt"}, "ooooof---", "E-TLS-FILES"),
    Row("authority missing", lambda here: {**broker(here), "ca_file": "/nowhere/ca.crt"}, "oooof----", "E-TLS-FILES"),
    Row("wrong password", wrong_password, "oooooof--", "E-MQTT-AUTH"),
    Row("may not write", lambda here: broker(here, f"acl_file {acl_file(here, 'topic read egw/#')}"), "ooooooof-", "E-MQTT-ACL"),
    Row("no receiver", broker, "oooooooof", "E-CLOUD-RECEIVER", "receiver.nobody"),
    Row("small packets", lambda here: broker(here, "max_packet_size 150"), "ooooooof-", "E-MQTT-SIZE"),
]


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_each_fault_of_the_way_has_its_stage_and_its_id(here, row):
    """
    What is wrong on the way is found at its own stage, by its own id, and the stages behind it are not tried.
    """
    stages = tried(here, trust=row.trust, **row.prepare(here))
    assert row.expected == states(stages)
    fault = next(stage for stage in stages if stage.state == "fail")
    assert fault.fault is not None
    assert (row.message_id, row.cause) == (fault.fault.message_id, fault.cause)


def test_a_name_that_does_not_resolve_is_no_fault_of_the_broker(here):
    """
    A name that no resolver knows ends the test at its third stage, also where the second saw no way out.
    """
    stages = tried(here, broker="mqtts://no-such-broker.invalid")
    assert "f------" == states(stages)[2:]
    assert stages[2].fault is not None
    assert "E-NET-DNS" == stages[2].fault.message_id
    assert stages[2].cause in ("dns.unknown", "dns.silent", "dns.route")


def test_a_port_that_swallows_packets_is_a_time_out(here):
    """
    Where neither an answer nor a refusal comes, the wait ends with the configured time.
    """
    with full_queue() as port:
        stages = tried(here, broker=f"mqtts://127.0.0.1:{port}", connect_timeout_s=0.5)
    assert "ooof-----" == states(stages)
    assert "E-NET-TIMEOUT" == stages[3].fault.message_id
    assert 500 <= stages[3].ms < 10_000


@pytest.mark.parametrize(
    ("habits", "expected", "message_id"),
    [
        (Habits(connack=None), "oooo--f--", "E-NET-TIMEOUT"),
        (Habits(connack=0x88), "oooo--f--", "E-MQTT-REFUSED"),
        (Habits(puback=None), "oooo--of-", "E-MQTT-PUBACK"),
        (Habits(puback=0x87), "oooo--of-", "E-MQTT-ACL"),
        (Habits(suback=0x87), "oooo--of-", "E-MQTT-ACL"),
        (Habits(only_311=True), "oooo--oof", "E-CLOUD-RECEIVER"),
        (Habits(), "oooo--oof", "E-CLOUD-RECEIVER"),
    ],
)
def test_a_broker_that_misbehaves_is_found_at_its_stage(here, habits, expected, message_id):
    """
    What answers wrongly, or not at all, behind TCP and TLS is told apart by its stage.
    """
    with BrokerDouble(habits) as double:
        stages = tried(here, broker=f"mqtt://127.0.0.1:{double.port}", connect_timeout_s=2.0, puback_timeout_s=1.0)
    assert expected == states(stages)
    assert message_id == next(stage.fault.message_id for stage in stages if stage.state == "fail")


def test_a_cloud_without_receipts_has_no_ninth_stage(here):
    """
    With ack = "broker" the broker's word on the event is the end, and nobody waits for a signature.
    """
    with BrokerDouble(Habits()) as double:
        stages = tried(here, broker=f"mqtt://127.0.0.1:{double.port}", ack="broker", topic_receipt="")
    assert "oooo--oo-" == states(stages)
    assert stages[8].ms is None


def test_the_whole_way_is_good_and_the_cloud_has_the_event(here):
    """
    With everything right, nine stages are good, and the event of the test lies in the cloud's table, once.
    """
    here.start_broker()
    here.start_receiver()
    stages = tried(here, receipt_wait_s=20.0)
    assert "o" * 9 == states(stages)
    assert list(STAGES) == [stage.name for stage in stages]
    assert [("cloud_test", f"{TEST_EPOCH:016x}")] == here.rows("SELECT kind, epoch FROM events")


def test_a_clock_that_is_not_set_is_a_warning_while_certificates_pass(here):
    """
    What works in spite of our clock is not called broken; the first stage says what is wrong with it.
    """
    here.start_broker()
    here.start_receiver()
    stages = tried(here, trust=ClockTrust.HELD, receipt_wait_s=20.0)
    assert "w" + "o" * 8 == states(stages)
    assert "E-CLOCK" == stages[0].fault.message_id


def test_a_clock_that_was_never_set_lets_a_pinned_authority_pass(here):
    """
    A certificate of the future is taken while our clock stands before the day of this program, and the stage says that its dates were not judged.
    """
    stages = tried(here, trust=ClockTrust.UNSET, **wrong_server("future")(here))
    assert "wooowooo" == states(stages)[:8]
    assert ["E-CLOCK", "W-TLS-CLOCK"] == [stages[0].fault.message_id, stages[4].fault.message_id]


def test_a_key_that_the_cloud_does_not_know_gets_no_receipt(here):
    """
    A gateway that is not enrolled passes the broker and ends at the receipt, with the fingerprint that the cloud must know.
    """
    here.start_broker()
    here.start_receiver()
    fingerprint = new_gateway_keys(here.directory / "new", IDENTITY)
    stages = tried(here, key_dir=str(here.directory / "new"))
    assert "oooooooof" == states(stages)
    assert ("E-CLOUD-RECEIVER", "") == (stages[8].fault.message_id, stages[8].cause)
    assert fingerprint == stages[8].found["fingerprint"]


def test_a_receipt_of_another_cloud_is_told_as_that(here):
    """
    What comes on the topic of receipts without our cloud's signature is no receipt, and is not called silence.
    """
    here.start_broker()
    new_cloud_keys(here.directory / "other")
    forged = sign_receipt(Receipt(IDENTITY, 0, [Identity(TEST_EPOCH, 1, 1, 2**53)]), load_cloud_keys(here.directory / "other").sign)
    heard = here.listen(f"egw/1/{IDENTITY}/e")

    async def go() -> list[Stage]:
        running_trial = asyncio.create_task(trial(here, ClockTrust.SYNCHRONISED, 5.0).run())
        await until(lambda: heard.topics)
        await asyncio.to_thread(here.publish, f"egw/1/{IDENTITY}/d/ack", forged)
        return await running_trial

    try:
        stages = asyncio.run(go())
    finally:
        heard.close()
    assert "oooooooof" == states(stages)
    assert "E-CLOUD-RECEIPT-FOREIGN" == stages[8].fault.message_id


def test_beside_the_service_nobody_is_thrown_out(here):
    """
    While the service is connected, a test goes the whole way under a name of its own; the service's connection lasts and delivers.
    """
    here.start_broker()
    here.start_receiver()
    outbox = MemoryOutbox()
    sender = here.sender(outbox)
    found: list[list[Stage]] = []

    async def body() -> None:
        await until(lambda: sender.status().connected)
        found.append(await trial(here, ClockTrust.SYNCHRONISED, 20.0, beside=True).run())
        outbox.add(event_batch(1, 1, [alarm(1)]))
        sender.wake()
        await until(lambda: not outbox.open)

    asyncio.run(running(sender, body))
    assert "o" * 9 == states(found[0])
    assert (1, "", 0) == (sender.status().connections, sender.status().error_id, sender.status().receipts_refused)


def test_where_the_login_is_tied_to_the_client_id_the_service_is_not_thrown_out(here):
    """
    A broker that lets in the service's name alone is asked with that name only while no service runs.
    """
    secret = secret_file(here, "right")
    here.start_broker(f"password_file {password_file(here, 'gw', 'right')}\nclientid_prefixes egw-op-st-gwX", tls=tls(here, allow_anonymous="false"))
    stages = asyncio.run(trial(here, ClockTrust.SYNCHRONISED, 1.0, beside=True, username="gw", password_file=secret).run())
    assert "oooooof--" == states(stages)
    assert ("E-MQTT-AUTH", "auth.beside") == (stages[6].fault.message_id, stages[6].cause)
    assert "egw-op-st-gw-test" == stages[6].found["client_id"]


def test_a_test_ends_where_it_is_told_to(here):
    """
    Behind the stage that was asked for nothing is tried, and nothing is published.
    """
    here.start_broker()
    stages = tried(here, up_to=5)
    assert "ooooo----" == states(stages)
    assert "CONNECT" not in (here.directory / "mosquitto.log").read_text()


# -- the command


def config_file(here: Place, **changes: object) -> Path:
    """A configuration with this uplink and nothing to poll."""
    uplink = here.uplink(**changes)
    fields = ("name", "broker", "recipient_file", "ca_file", "cert_file", "cert_key_file")
    lines = [f'{name} = "{getattr(uplink, name)}"' for name in fields if getattr(uplink, name)]
    path = here.directory / "config.toml"
    path.write_text(
        f"""
        gateway = {{ operator = "op", station = "st", gateway = "gw" }}
        paths = {{ state_dir = "{here.directory / "state"}", control_socket = "{here.directory / "socket"}" }}
        [[uplink]]
        """
        + "\n".join(lines)
    )
    return path


def command(here: Place, *arguments: object, **changes: object) -> tuple[int, str]:
    done = edgegw("cloud", "test", "-c", config_file(here, **changes), "--socket", here.directory / "socket", *arguments)
    assert "" == done.stderr
    return done.returncode, done.stdout


# What the machine that runs these tests says of its clock.
GOOD = EXIT_OK if read_clock_trust() in TRUSTED else EXIT_WARNINGS


def test_the_json_has_every_stage_in_its_documented_form(here):
    """
    One object names uplink, broker and all nine stages with state, time, findings and error.
    """
    here.start_broker()
    here.start_receiver()
    code, out = command(here, "--json")
    frame: dict[str, Any] = json.loads(out)
    assert (GOOD, "edgegw.cloud-test/1", True) == (code, frame["schema"], frame["ok"])
    (uplink,) = frame["data"]["uplinks"]
    assert ("cloud", f"mqtts://localhost:{here.port}") == (uplink["name"], uplink["broker"])
    assert list(STAGES) == [stage["name"] for stage in uplink["stages"]]
    assert all({"number", "name", "state", "ms", "found", "error"} == stage.keys() for stage in uplink["stages"])
    assert {"version", "cipher", "subject", "issuer", "names", "begins", "expires", "days_left"} == uplink["stages"][4]["found"].keys()
    assert uplink["stages"][8]["found"]["after_ms"] >= 0


def test_a_failed_stage_is_an_error_object_and_exit_8(here):
    """
    The error has its id, a cause and the next command; the stages behind it are "none".
    """
    code, out = command(here, "--json", broker="mqtts://localhost:1")
    frame: dict[str, Any] = json.loads(out)
    assert (EXIT_CLOUD, False) == (code, frame["ok"])
    failed = frame["data"]["uplinks"][0]["stages"][3]
    assert ("fail", "E-NET-REFUSED") == (failed["state"], failed["error"]["id"])
    assert failed["error"]["cause"]
    assert failed["error"]["next"]
    assert ["none"] * 5 == [stage["state"] for stage in frame["data"]["uplinks"][0]["stages"][4:]]


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("kind", ["good", "foreign", "name", "expired", "self-signed", "client", "receiver"])
def test_every_screen_keeps_to_80_columns(here, language, kind):
    """
    Good and bad alike, in both languages, each stage has its line and no line is wider than a terminal, but for a path alone, which must stay copyable.
    """
    changes: dict[str, object] = {}
    here.trusted_ca = str(here.pki.ca)
    if kind in ("good", "receiver"):
        here.start_broker()
    elif kind == "client":
        changes = stranger(here)
    else:
        changes = wrong_server(kind)(here)
    if kind == "good":
        here.start_receiver()
    code, out = command(here, "--lang", language, *(("--stage", 8) if kind == "receiver" else ()), **changes)
    lines = out.rstrip("\n").split("\n")
    assert (GOOD if kind in ("good", "receiver") else EXIT_CLOUD) == code
    assert [] == [line for line in lines if cells(line) > WIDTH and " " in line.strip()]
    assert "123456789"[: 8 if kind == "receiver" else 9] == "".join(line[0] for line in lines[1:] if line[0].isdigit())
    told = {"en": "Cause: ", "zh": "原因: "}[language]
    assert (kind not in ("good", "receiver") or GOOD != EXIT_OK) == (told in out)


def test_beside_a_service_the_command_says_so_by_not_taking_its_name(here):
    """
    With a control socket that answers, the login that fails is not tried again under the service's name.
    """
    with BrokerDouble(Habits(connack=0x87)) as double:
        address = f"mqtt://127.0.0.1:{double.port}"
        with daemon(here.directory / "socket"):
            beside = command(here, "--json", broker=address)
        assert 1 == len(double.seen.versions)
        alone = command(here, "--json", broker=address)
        assert 1 + 2 == len(double.seen.versions)
    failed = [json.loads(out)["data"]["uplinks"][0]["stages"][6] for _, out in (beside, alone)]
    assert [EXIT_CLOUD] * 2 == [code for code, _ in (beside, alone)]
    assert ["E-MQTT-AUTH"] * 2 == [stage["error"]["id"] for stage in failed]
    assert ["egw-op-st-gw-test", "egw-op-st-gw"] == [stage["found"]["client_id"] for stage in failed]


def test_an_uplink_that_is_not_there_is_named(here):
    """
    A name that stands in no table is exit 4 and one line with those that do.
    """
    done = edgegw("cloud", "test", "-c", config_file(here), "--uplink", "other")
    assert EXIT_UNKNOWN == done.returncode
    assert 'no uplink "other", only cloud' in done.stderr
