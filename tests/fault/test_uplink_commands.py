"""Clouds of other kinds: the broker's word as delivery, topics that the cloud prescribes, and what a cloud orders, over a real mosquitto."""

from __future__ import annotations

import asyncio
import logging
import time

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edgegw.buffer.store import Buffer
from edgegw.clock import Clock
from edgegw.cloud.asking import holes, resend
from edgegw.cloud.receiver import Receiver, ReceiverOptions
from edgegw.config.model import Store
from edgegw.model import ClockTrust, Identity
from edgegw.own_uplinks import OwnUplinks
from edgegw.uplink.commands import KEY_PREFIX, Commands
from edgegw.uplink.envelope import Command, EnvelopeError, grouped, sign_command
from edgegw.uplink.keys import load_cloud_keys, load_uplink_keys
from edgegw.uplink.sender import Sender
from edgegw.uplink.trial import Trial
from tests.unit.buffer_rig import SOURCES
from tests.unit.cli_daemon import edgegw
from tests.uplink_rig import EPOCH, GATEWAY, IDENTITY, MemoryOutbox, Place, alarm, block, event_batch, log_of, no_thread_left, place, running, until, wait_for

COMMAND_TOPIC = f"egw/1/{IDENTITY}/d/cmd"


@pytest.fixture
def here(tmp_path):
    with no_thread_left(), place(tmp_path) as made:
        yield made


def backlog(count: int) -> MemoryOutbox:
    outbox = MemoryOutbox()
    outbox.add(*[block(number, 1 + (number - 1) * 10, 10) for number in range(1, count + 1)])
    return outbox


def options(here: Place, **more) -> ReceiverOptions:
    pki = here.pki
    return ReceiverOptions(
        broker=f"mqtts://localhost:{here.port}",
        keys_dir=str(here.directory / "cloud"),
        sink=f"sqlite:{here.sink}",
        ca=str(pki.ca),
        cert=str(pki.receiver_cert),
        cert_key=str(pki.receiver_key),
        **more,
    )


def journalled(here: Place, outbox: MemoryOutbox, **changes) -> tuple[Sender, list]:
    uplink = here.uplink(**changes)
    clock = Clock()
    clock.trust = ClockTrust.SYNCHRONISED
    written: list = []
    keys = load_uplink_keys(uplink, str(here.directory / "state"))
    return Sender(uplink, GATEWAY, keys, outbox, clock, journal=lambda event, states: written.append((dict(event.body), dict(states)))), written


# -- the broker's word


@pytest.mark.broker
@pytest.mark.parametrize("heard", [True, False])
def test_the_brokers_word_can_count_as_delivery(here, heard):
    """
    With ack = "broker" a PUBACK empties the store without any receiver; where the broker says that nobody listens, that is told and nothing stops.
    """
    outbox = backlog(20)
    outbox.add(event_batch(100, 1, [alarm(1)]))
    here.start_broker()
    seen = here.listen("egw/#") if heard else None
    sender = here.sender(outbox, ack="broker")

    async def body() -> None:
        await until(lambda: not outbox.open)
        await until(lambda: sender.status().error_id == ("" if heard else "W-CLOUD-UNHEARD"))
        assert sender.status().last_receipt_s is not None

    asyncio.run(running(sender, body))
    own = OwnUplinks(here.clock)
    assert 0 <= (own.receipt_age_s([sender]) or 0) < 60
    store = Buffer.open(here.directory / "kept", Clock(), Store(), SOURCES, ["cloud"], lambda _streams: None, {})
    own.keep(store, [sender])
    store.close()
    kept = Buffer.open(here.directory / "kept", Clock(), Store(), SOURCES, ["cloud"], lambda _streams: None, {})
    assert here.clock.wall_ms() - int(kept.states("receipt/")["receipt/cloud"]) < 60_000
    kept.close()
    if seen is not None:
        seen.close()
        assert {"e", "m", "h", "s"} == {topic.rsplit("/", 1)[1] for topic in seen.topics}


@pytest.mark.broker
def test_the_last_word_before_the_end_counts(here):
    """
    What the broker acknowledged while the gateway was ending is not sent again by the next start.
    """
    outbox = MemoryOutbox()
    outbox.add(*[event_batch(number, number, [alarm(number)]) for number in range(1, 9)])
    here.start_broker()
    sender = here.sender(outbox, ack="broker")

    async def body() -> None:
        await until(lambda: sender.status().connected)

    asyncio.run(running(sender, body))
    assert ([], 8) == (outbox.open, sender.status().batches_sent)


@pytest.mark.broker
def test_a_receipt_is_needed_where_it_is_asked_for(here):
    """
    Without ack = "broker" the same broker's PUBACKs empty nothing.
    """
    outbox = backlog(5)
    here.start_broker()
    sender = here.sender(outbox, receipt_timeout_s=60.0)

    async def body() -> None:
        await until(lambda: sender.status().batches_sent)
        await until(lambda: sender.status().error_id == "E-CLOUD-RECEIVER")
        assert 5 == len(outbox.open)

    asyncio.run(running(sender, body))


# -- topics of the cloud's own


@pytest.mark.broker
def test_a_cloud_prescribes_its_topics(here):
    """
    Everything goes to the one topic of a cloud's layout, receipts come on its own, nothing is retained or willed, and the receiver knows all by the signed header.
    """
    outbox = backlog(5)
    outbox.add(event_batch(100, 1, [alarm(1)]), block(101, 1, 5, stream=2))
    here.start_broker()
    receiver = Receiver(options(here, receipt_interval_s=0.2, topic="devices/+/messages/events", receipt_topic="devices/{gateway}/down"))
    thread = here.run_receiver(receiver)
    seen = here.listen("#")
    mine = {"topic": "devices/{gateway}/messages/events", "topic_status": "", "topic_receipt": "devices/{gateway}/down", "topic_command": ""}
    sender = here.sender(outbox, **mine)

    async def body() -> None:
        await until(lambda: not outbox.open)
        assert "" == sender.status().error_id

    asyncio.run(running(sender, body))
    seen.close()
    assert thread.is_alive()
    assert {"devices/gw/messages/events", "devices/gw/down"} == set(seen.topics)
    assert [("n", 1), ("t", 1), ("e", 1)] == sorted({(kind, 1) for (kind,) in here.rows("SELECT topic_kind FROM batches")}, key=lambda one: "nte".index(one[0]))


# -- what a cloud orders


@pytest.mark.broker
def test_a_cloud_gets_back_what_it_lost(here):
    """
    A receiver whose database was put back to an older state asks for the holes; what is stored comes again, what is not is declared lost, and the order is written down.
    """
    outbox = backlog(10)
    here.start_broker()
    here.start_receiver()
    sender, written = journalled(here, outbox)

    async def body() -> None:
        await until(lambda: not outbox.open)
        here.stop_receiver()
        here.change(
            "DELETE FROM readings WHERE seq BETWEEN 11 AND 40", "DELETE FROM settled", "INSERT INTO settled VALUES('op/st/gw', '0123456789abcdef', 3, 1, 10)"
        )
        here.change("INSERT INTO settled VALUES('op/st/gw', '0123456789abcdef', 3, 41, 100)")
        outbox.batches = [batch for batch in outbox.batches if batch.block_id != 2]
        here.start_receiver()
        assert [Identity(EPOCH, 3, 11, 40)] == holes(f"sqlite:{here.sink}", IDENTITY)
        asked = options(here)
        code = await asyncio.to_thread(resend, broker=asked.broker, keys_dir=asked.keys_dir, gateway=IDENTITY, files=asked, sink=f"sqlite:{here.sink}")
        assert 0 == code
        await until(lambda: here.rows("SELECT count(*) FROM readings") == [(90 * 3,)])
        await until(lambda: len(written) == 2)

    asyncio.run(running(sender, body))
    assert [(Identity(EPOCH, 3, seq, seq), "no longer stored") for seq in range(11, 21)] == outbox.lost
    assert ["accepted", "1 ranges go again, 10 sequences are no longer stored"] == [event["result"] for event, _ in written]
    assert [KEY_PREFIX + "cloud"] == list(written[0][1])


def commands(here: Place, trust: ClockTrust = ClockTrust.SYNCHRONISED) -> tuple[Commands, list, list]:
    keys = load_uplink_keys(here.uplink(), str(here.directory / "state"))
    clock = Clock()
    clock.trust = trust
    written: list = []
    done: list = []
    made = Commands("cloud", IDENTITY, keys.cloud, clock, lambda event, states: written.append((event.body["result"], dict(states))))

    async def do(command: Command) -> str:
        done.append((command.counter, list(command.arguments)))
        return "done"

    made.handlers["acknowledge"] = do
    made.handlers["resend"] = do
    return made, written, done


def order(
    here: Place, counter: int, name: str = "acknowledge", *, life_ms: int = 60_000, gateway: str = IDENTITY, signer=None, arguments=("alarm-1",)
) -> bytes:
    now_ms = time.time_ns() // 1_000_000
    return sign_command(Command(gateway, counter, now_ms, now_ms + life_ms, name, arguments), signer or load_cloud_keys(here.directory / "cloud").sign)


def test_an_order_is_done_once_in_order_and_in_time(here, caplog):
    """
    A command is done once and written down with its counter before; repeated, older, expired, foreign, altered and unsigned ones are refused with their reason.
    """
    made, written, done = commands(here)
    good = order(here, 10)
    altered = bytearray(order(here, 11))
    altered[len(altered) // 2] ^= 1
    stranger = Ed25519PrivateKey.generate()
    refused = [
        good,
        order(here, 9),
        order(here, 12, life_ms=-1),
        order(here, 13, gateway="op/st/other"),
        order(here, 14, signer=stranger),
        b"\x80",
        b"x" * 20_000,
    ]
    with caplog.at_level(logging.WARNING, "edgegw.uplink"):
        for message in (good, *refused, bytes(altered), order(here, 15, "reboot"), order(here, 16)):
            made.arrive(message)
            asyncio.run(made.take())
    assert [(10, ["alarm-1"]), (16, ["alarm-1"])] == done
    assert 8 == made.refused
    assert [("accepted", "10"), ("done", None), ("unknown", "15"), ("accepted", "16"), ("done", None)] == [
        (result, states.get(KEY_PREFIX + "cloud", b"").decode() or None) for result, states in written
    ]
    reasons = {line.split("refused (")[1].split(":")[0] for line in log_of(caplog, "E-CLOUD-COMMAND")}
    assert {"repeated", "expired", "gateway", "signer", "form", "size"} <= reasons | {"signature"}


def test_the_counter_outlives_a_restart_and_a_clock_that_is_unknown(here):
    """
    A command of an earlier start is not done again; without a known time only what may be late is done.
    """
    made, _, done = commands(here, ClockTrust.UNSET)
    made.restore({KEY_PREFIX + "cloud": b"20", KEY_PREFIX + "other": b"99", "traffic/cloud/x": b"1"})
    for message in (order(here, 20, "resend"), order(here, 21, "acknowledge"), order(here, 22, "resend")):
        made.arrive(message)
    asyncio.run(made.take())
    assert [22] == [counter for counter, _ in done]
    assert 2 == made.refused


@pytest.mark.parametrize(("trust", "life_ms", "taken"), [("SYNCHRONISED", 60_000, 1), ("SYNCHRONISED", -1, 0), ("UNSET", 60_000, 1), ("UNSET", -1, 1)])
def test_an_acknowledgement_needs_no_clock_but_heeds_one(here, trust, life_ms, taken):
    """
    A cloud's `ack` expires by a clock that is known, and is done where the gateway does not know the time.
    """
    made, _, done = commands(here, ClockTrust[trust])
    made.handlers["ack"] = made.handlers["acknowledge"]
    made.arrive(order(here, 5, "ack", life_ms=life_ms))
    asyncio.run(made.take())
    assert (taken, 1 - taken) == (len(done), made.refused)


def test_a_resend_of_no_ranges_changes_nothing(here):
    """
    A signed command whose arguments are none is refused by name and written down.
    """
    outbox = backlog(1)
    sender, written = journalled(here, outbox)
    sender.commands.arrive(order(here, 5, "resend", arguments=("everything",)))
    asyncio.run(sender.commands.take())
    assert ["accepted", "refused: form: a stream of the receipt is not [epoch, stream, ranges]"] == [event["result"] for event, _ in written]
    with pytest.raises(EnvelopeError, match="size"):
        order(here, 6, "resend", arguments=grouped(Identity(EPOCH, 3, 2**40 + 2 * n, 2**40 + 2 * n) for n in range(2000)))


@pytest.mark.broker
def test_a_trial_of_a_cloud_without_receipts_ends_before_them(here):
    """
    `edgegw cloud test` uses the topics of the configuration, and does not wait for a receipt where none is asked for.
    """
    here.start_broker()
    seen = here.listen("devices/#")
    uplink = here.uplink(ack="broker", topic="devices/{gateway}/up", topic_status="")
    trial = Trial(uplink, GATEWAY, lambda: load_uplink_keys(uplink, str(here.directory / "state")), ClockTrust.SYNCHRONISED)
    stages = asyncio.run(trial.run())
    wait_for(lambda: seen.topics)
    seen.close()
    assert ["devices/gw/up"] == seen.topics
    assert [("topic", "ok"), ("receipt", "none")] == [(stage.name, stage.state) for stage in stages[-2:]]


@pytest.mark.broker
def test_padding_is_nothing_to_the_receiver(here):
    """
    Batches padded to a multiple of 256 bytes arrive as others do, all of one size but for the numbers in their headers.
    """
    outbox = backlog(8)
    here.start_broker()
    here.start_receiver()
    seen = here.listen(f"egw/1/{IDENTITY}/h")
    sender = here.sender(outbox, pad_to_bytes=256)

    async def body() -> None:
        await until(lambda: not outbox.open)

    asyncio.run(running(sender, body))
    seen.close()
    assert [(80 * 3,)] == here.rows("SELECT count(*) FROM readings")
    sizes = [len(payload) for payload in seen.payloads]
    assert max(sizes) - min(sizes) <= 4  # the numbers in the header


@pytest.mark.parametrize(
    ("expected", "arguments"),
    [
        (2, ("--gateway", IDENTITY, "01:3:1-2")),
        (2, ("--gateway", IDENTITY, "0123456789abcdef:3:9-2")),
        (4, ("--gateway", "op/st/none", "0123456789abcdef:3:1-2")),
        (8, ("--gateway", IDENTITY, "0123456789abcdef:3:1-2")),
        (0, ("--gateway", IDENTITY)),
    ],
)
def test_what_is_asked_for_wrongly_is_told(here, expected, arguments):
    """
    A range that is none, a gateway that is not enrolled, a broker that is not there and a question for nothing have their exit codes.
    """
    common = ("cloud", "resend", "--broker", f"mqtt://127.0.0.1:{here.port}", "--keys", str(here.directory / "cloud"))
    done = edgegw(*common, *arguments)
    assert expected == done.returncode, done.stderr
