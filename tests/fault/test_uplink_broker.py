"""Sender and receiver over a real mosquitto with mutual TLS: everything once, whatever goes away in between."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edgegw.block import encode_block
from edgegw.model import Batch, ClockTrust, Event, Identity, Reading
from edgegw.uplink.envelope import Command, Receipt, sign_command, sign_receipt
from edgegw.uplink.keys import load_cloud_keys
from tests.uplink_rig import (
    EPOCH,
    IDENTITY,
    SCHEMA,
    MemoryOutbox,
    Place,
    alarm,
    block,
    event_batch,
    log_of,
    no_thread_left,
    place,
    readings,
    running,
    until,
    wait_for,
)

pytestmark = pytest.mark.broker


@pytest.fixture
def here(tmp_path):
    with no_thread_left(), place(tmp_path) as made:
        yield made


def backlog(count: int, rows: int = 20) -> MemoryOutbox:
    outbox = MemoryOutbox()
    outbox.add(*[block(number, 1 + (number - 1) * rows, rows) for number in range(1, count + 1)])
    return outbox


def stored(here: Place) -> tuple[int, int]:
    """(rows, wrong rows) in the receiver's database."""
    wrong = "point = 'phase_voltage.a' AND abs(value - (2200 + seq) / 10.0) > 1e-9"
    ((rows, bad),) = here.rows(f"SELECT count(*), coalesce(sum({wrong}), 0) FROM readings")
    return rows, bad


def test_everything_arrives_once_and_events_first(here):
    """
    A backlog, an alarm of the outage and energy arrive once each, the alarm first, energy before telemetry, with a schema document before all blocks.
    """
    outbox = backlog(30)
    outbox.add(block(31, 1, 20, stream=2), event_batch(1, 1, [alarm(1), alarm(2)]))
    here.start_broker()
    here.start_receiver()
    sender = here.sender(outbox)

    async def body() -> None:
        await until(lambda: not outbox.open)
        outbox.add(block(40, 601, 20))
        sender.wake()
        await until(lambda: not outbox.open)

    asyncio.run(running(sender, body))
    assert (620 * 3 + 20 * 3, 0) == stored(here)
    assert ["e", "n", *["h"] * 30, "t"] == [kind for (kind,) in here.rows("SELECT topic_kind FROM batches ORDER BY arrival")]
    assert [("0123456789abcdef", 1, 1), ("0123456789abcdef", 1, 2)] == here.rows("SELECT epoch, stream, seq FROM events ORDER BY seq")
    assert [] == here.rows("SELECT reason FROM refused")
    assert ("stopped", "", 0, 0) == (sender.status().state, sender.status().error_id, sender.status().in_flight, sender.status().unreceipted)


def test_a_broker_that_goes_and_comes_back_loses_nothing(here, caplog):
    """
    The broker is stopped in the middle of a backlog and started again: everything arrives once, with one log line for each change.
    """
    caplog.set_level(logging.INFO, "edgegw.uplink")
    outbox = backlog(60)
    here.start_broker()
    here.start_receiver()
    sender = here.sender(outbox, backlog_batches_per_s=40.0)
    back: list[float] = []

    async def body() -> None:
        await until(lambda: 5 < sum((batch not in outbox.open) for batch in outbox.batches))
        here.stop_broker()
        await until(lambda: sender.status().error_id == "E-NET-REFUSED")
        outbox.add(event_batch(1, 1, [alarm(1)]))
        sender.wake()
        await asyncio.to_thread(here.start_broker)
        started = time.monotonic()
        await until(lambda: sender.status().connected)
        back.append(time.monotonic() - started)
        await until(lambda: not outbox.open)

    asyncio.run(running(sender, body))
    assert back[0] < 7.0
    assert (1200 * 3, 0) == stored(here)
    after = [kind for (kind,) in here.rows("SELECT topic_kind FROM batches WHERE arrival >= (SELECT arrival FROM batches WHERE topic_kind = 'e')")]
    assert ["e", "h", "h"] == after[:3]
    assert 1 == len(log_of(caplog, "uplink cloud: E-NET-REFUSED"))
    assert 2 == len(log_of(caplog, "connected to"))


def test_a_receiver_that_dies_loses_nothing(here):
    """
    The receiver is killed in the middle of a backlog and started again: every reading is stored once.
    """
    outbox = backlog(60)
    here.start_broker()
    here.start_receiver_process()
    sender = here.sender(outbox, backlog_batches_per_s=100.0, receipt_timeout_s=1.0)

    async def body() -> None:
        await until(lambda: 3 < sum((batch not in outbox.open) for batch in outbox.batches))
        here.kill_receiver_process()
        await asyncio.to_thread(here.start_receiver_process)
        await until(lambda: not outbox.open)

    asyncio.run(running(sender, body))
    here.kill_receiver_process()
    assert (1200 * 3, 0) == stored(here)
    assert [(3, 1, 1200)] == here.rows("SELECT stream, first, last FROM settled")


def test_without_a_receiver_batches_wait_and_are_sent_again(here, caplog):
    """
    While the broker takes batches and no receipt comes, the state says so; when a receiver comes, everything is delivered.
    """
    caplog.set_level(logging.INFO, "edgegw.uplink")
    outbox = backlog(5)
    here.start_broker()
    sender = here.sender(outbox, receipt_timeout_s=0.5)

    async def body() -> None:
        await until(lambda: sender.status().error_id == "E-CLOUD-RECEIVER")
        assert sender.status().connected
        assert 5 == len(outbox.open)
        await asyncio.to_thread(here.start_receiver)
        await until(lambda: not outbox.open)
        await until(lambda: sender.status().error_id == "")

    asyncio.run(running(sender, body))
    assert (100 * 3, 0) == stored(here)
    assert ["uplink cloud: E-CLOUD-RECEIVER is over"] == log_of(caplog, "E-CLOUD-RECEIVER")[1:]


def test_repeats_are_ignored_by_the_receiver(here):
    """
    When the store forgets its receipts, everything is sent again, stored once, and receipted again.
    """
    outbox = backlog(10)
    here.start_broker()
    here.start_receiver()
    sender = here.sender(outbox)

    async def body() -> None:
        await until(lambda: not outbox.open)

    asyncio.run(running(sender, body))
    outbox.receipted.clear()
    sender = here.sender(outbox)
    asyncio.run(running(sender, body))
    assert (200 * 3, 0) == stored(here)
    assert [(10, 200), (10, 0)] == here.rows("SELECT count(*), sum(new) FROM batches GROUP BY new = 0 ORDER BY 2 DESC")


def test_forged_receipts_change_nothing(here, caplog):
    """
    Receipts that are forged, altered, for another gateway or of what was never sent are refused and counted, and told once for each kind.
    """
    outbox = backlog(3)
    cloud = load_cloud_keys(here.directory / "cloud").sign
    everything = (Identity(EPOCH, 3, 1, 60),)
    good = sign_receipt(Receipt(IDENTITY, 1, everything), cloud)
    forged = [
        sign_receipt(Receipt(IDENTITY, 1, everything), Ed25519PrivateKey.generate()),
        good[:-1] + bytes([good[-1] ^ 1]),
        sign_receipt(Receipt("op/st/other", 1, everything), cloud),
        sign_receipt(Receipt(IDENTITY, 1, (Identity(EPOCH, 3, 1, 61),)), cloud),
        sign_receipt(Receipt(IDENTITY, 1, (Identity(77, 3, 1, 1),)), cloud),
        b"",
    ]
    here.start_broker()
    seen = here.listen("egw/#")
    sender = here.sender(outbox)

    async def body() -> None:
        await until(lambda: sender.status().batches_sent == 3)
        for number, message in enumerate([*forged, *forged], 1):
            await asyncio.to_thread(here.publish, f"egw/1/{IDENTITY}/d/ack", message)
            await until(lambda number=number: sender.status().receipts_refused == number)
        assert 3 == len(outbox.open)
        await asyncio.to_thread(here.publish, f"egw/1/{IDENTITY}/d/ack", good)
        await until(lambda: not outbox.open)

    asyncio.run(running(sender, body))
    seen.close()
    assert (12, 1) == (sender.status().receipts_refused, sender.status().receipts)
    assert ["form", "gateway", "never sent", "signature", "signer"] == sorted(
        {reason for reason in ("form", "gateway", "signature", "signer") if any(f"({reason}:" in text for text in log_of(caplog, "E-CLOUD-RECEIPT"))}
        | {"never sent"}
    )
    assert 5 == len(log_of(caplog, "E-CLOUD-RECEIPT"))


def test_one_range_of_an_unknown_epoch_spoils_no_receipt(here, caplog):
    """
    A receipt that names, beside good ranges, one of an epoch that the store does not know counts for the good ones; the other is refused.
    """
    outbox = backlog(3)
    here.start_broker()
    sender = here.sender(outbox, receipt_timeout_s=60.0)
    signer = load_cloud_keys(here.directory / "cloud").sign
    ranges = (Identity(77, 3, 1, 5), Identity(EPOCH, 3, 1, 60))

    async def body() -> None:
        await until(lambda: sender.status().connected)
        await asyncio.to_thread(here.publish, f"egw/1/{IDENTITY}/d/ack", sign_receipt(Receipt(IDENTITY, 1, ranges), signer))
        await until(lambda: not outbox.open)

    asyncio.run(running(sender, body))
    assert (1, 1) == (sender.status().receipts, sender.status().receipts_refused)
    assert 1 == len(log_of(caplog, "E-CLOUD-RECEIPT"))


def test_receipts_that_may_not_be_read_are_told(here):
    """
    A broker that keeps the receipts from us without a word shows as a receiver that does not answer.
    """
    acl = here.directory / "acl"
    acl.write_text(f"topic write egw/1/{IDENTITY}/#\ntopic read egw/1/{IDENTITY}/h\n")
    acl.chmod(0o600)
    here.start_broker(f"acl_file {acl}")
    seen = here.listen(f"egw/1/{IDENTITY}/h")
    sender = here.sender(backlog(1), receipt_timeout_s=0.3)

    async def body() -> None:
        await until(lambda: sender.status().error_id == "E-CLOUD-RECEIVER")

    asyncio.run(running(sender, body))
    seen.close()
    assert (0, 1) == (sender.status().receipts, sender.status().connections)


def test_the_rights_that_are_documented_are_enough(here):
    """
    With a broker that allows what docs/uplink.md names and nothing else, batches, schema documents, status, receipts and a command of the cloud all pass.
    """
    documented = (Path(__file__).parent.parent.parent / "docs" / "uplink.md").read_text(encoding="utf-8")
    rights = next(block for block in documented.split("```\n") if block.startswith("user receiver\n"))
    acl = here.directory / "acl"
    acl.write_text(rights.replace("OPERATOR/STATION/GATEWAY", IDENTITY))
    acl.chmod(0o600)
    pki = here.pki
    files = f"cafile {pki.ca}\ncertfile {pki.server_cert}\nkeyfile {pki.server_key}\nrequire_certificate true"
    here.start_broker(f"acl_file {acl}", tls=f"{files}\nuse_identity_as_username true\nallow_anonymous false")
    here.start_receiver()
    outbox = backlog(2)
    outbox.add(event_batch(1000, 1, [alarm(1)]))
    sender = here.sender(outbox)

    async def body() -> None:
        await until(lambda: not outbox.open)
        order = Command(IDENTITY, 1, 1, 2**60, "resend", [])
        await asyncio.to_thread(here.publish, f"egw/1/{IDENTITY}/d/cmd", sign_command(order, load_cloud_keys(here.directory / "cloud").sign))
        await until(lambda: sender.commands.taken == 1)
        assert ("", 1) == (sender.status().error_id, sender.status().connections)

    asyncio.run(running(sender, body))
    assert [] == here.rows("SELECT reason FROM refused")


def test_a_broker_that_denies_and_hangs_up_is_not_hurried(here):
    """
    A broker that denies our messages and hangs up is a refusal, not a lost link: the next attempt takes its time and nothing is lost.
    """
    acl = here.directory / "acl"
    acl.write_text(f"topic read egw/1/{IDENTITY}/d/ack\n")
    acl.chmod(0o600)
    here.start_broker(f"acl_file {acl}")
    outbox = backlog(1)
    sender = here.sender(outbox)

    async def body() -> None:
        await until(lambda: sender.status().state == "waiting")
        assert "login" == sender._condition.fault.pace

    asyncio.run(running(sender, body))
    assert 1 == len(outbox.open)


def test_the_status_says_only_the_state(here):
    """
    The retained status holds state, session and time and nothing else; it is online while connected, offline after a stop, and offline by the
    will after a death, with the session of the connection that died.
    """
    here.start_broker()
    sender = here.sender(MemoryOutbox())
    seen = here.listen(f"egw/1/{IDENTITY}/s")

    async def body() -> None:
        await until(lambda: seen.texts)
        await until(lambda: sender.status().connected)

    asyncio.run(running(sender, body))
    wait_for(lambda: len(seen.texts) == 2)
    sender = here.sender(MemoryOutbox())

    async def die() -> None:
        task = asyncio.create_task(sender.run())
        await until(lambda: len(seen.texts) == 3)
        sender._link._socket.close()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(die())
    wait_for(lambda: len(seen.texts) == 4)
    seen.close()
    said = [json.loads(text) for text in seen.texts]
    assert ["online", "offline", "online", "offline"] == [message["state"] for message in said]
    assert {("sid", "state", "ts")} == {tuple(sorted(message)) for message in said}
    assert (said[0]["sid"], said[2]["sid"]) == (said[1]["sid"], said[3]["sid"])
    assert said[0]["sid"] != said[2]["sid"]


def test_an_outsider_sees_no_name_and_no_value(here):
    """
    No payload at the broker holds a device, a point or a text of the station.
    """
    outbox = backlog(3)
    outbox.add(event_batch(1, 1, [alarm(1)]))
    here.start_broker()
    here.start_receiver()
    seen = here.listen("egw/#")
    sender = here.sender(outbox)

    async def body() -> None:
        await until(lambda: not outbox.open)

    asyncio.run(running(sender, body))
    wait_for(lambda: len(seen.payloads) >= 8)
    seen.close()
    everything = b"".join(seen.payloads)
    assert [] == [word for word in (b"meter-07", b"phase_voltage", b"active_power", b"pile-03", b"over-temperature", b"electrical") if word in everything]
    assert {"e", "m", "h", "s", "ack"} == {topic.rsplit("/", 1)[1] for topic in seen.topics}


def noise(number: int, size: int) -> Event:
    """An event that does not compress."""
    return Event("noise", 1, number, ClockTrust.HELD, None, {"raw": random.Random(number).randbytes(size)})


def noisy(block_id: int, first: int, count: int, stream: int = 3) -> Batch:
    """A block of about three bytes a row."""
    chance = random.Random(first)
    rows = [Reading(one.source, one.read_at_ms, one.mono_ms, one.clock, (one.values[0], chance.randrange(1 << 20), 0), {}) for one in readings(count, first)]
    return Batch(block_id, Identity(EPOCH, stream, first, first + count - 1), SCHEMA, encode_block(SCHEMA, rows), count * 3)


def test_a_record_that_can_never_go_is_parked_and_told(here, caplog):
    """
    A single event larger than the broker's packets stays in the store, is told once and as an alarm; its neighbours of the same batch and all else go on.
    """
    outbox = MemoryOutbox()
    outbox.add(event_batch(1, 1, [alarm(1), noise(2, 2000), alarm(3)]), event_batch(2, 4, [alarm(4)]), block(3, 1, 2))
    here.start_broker("max_packet_size 700")
    here.start_receiver()
    sender = here.sender(outbox)

    async def body() -> None:
        await until(lambda: {seq for _, stream, seq in outbox.receipted if stream == 1} == {1, 3, 4} and len(outbox.open) == 1)
        assert "" == sender.status().error_id
        assert 1 == sender.status().connections
        assert ["too large cloud"] == [notice.rule for notice in sender.notices()]

    asyncio.run(running(sender, body))
    assert [1, 3, 4] == [seq for (seq,) in here.rows("SELECT seq FROM events ORDER BY seq")]
    assert 1 == len(log_of(caplog, "E-MQTT-SIZE"))


@pytest.mark.parametrize(("limit", "packets"), [(900, 12), (2048, 6)])
def test_what_is_too_large_is_cut_to_fit(here, limit, packets):
    """
    Blocks and events larger than the broker's packets go in parts and arrive once each, with nothing parked.
    """
    outbox = MemoryOutbox()
    outbox.add(event_batch(1, 1, [noise(number, 300) for number in range(8)]), noisy(2, 1, 3000), noisy(3, 1, 1500, stream=2))
    here.start_broker(f"max_packet_size {limit}")
    here.start_receiver()
    seen = here.listen("egw/#")
    sender = here.sender(outbox)

    async def body() -> None:
        await until(lambda: not outbox.open)
        assert ("", 1) == (sender.status().error_id, sender.status().connections)
        assert [] == sender.notices()

    asyncio.run(running(sender, body))
    seen.close()
    assert (4500 * 3, 0) == stored(here)
    assert 8 == len(here.rows("SELECT seq FROM events"))
    sizes = [len(payload) for topic, payload in zip(seen.topics, seen.payloads, strict=True) if topic.rsplit("/", 1)[1] in "enh"]
    assert max(sizes) <= limit
    assert len(sizes) >= packets


def test_a_broker_that_hangs_up_on_large_messages_gets_smaller_ones(here):
    """
    A broker that names no limit and hangs up without a word twice on the same batch gets it in parts, each row once.
    """
    outbox = MemoryOutbox()
    outbox.add(event_batch(1, 1, [noise(number, 600) for number in range(8)]))
    here.start_broker("message_size_limit 3000")
    here.start_receiver()
    sender = here.sender(outbox)

    async def body() -> None:
        await until(lambda: not outbox.open, 60)
        assert 3 == sender.status().connections

    asyncio.run(running(sender, body))
    assert list(range(1, 9)) == [seq for (seq,) in here.rows("SELECT seq FROM events ORDER BY seq")]


def test_a_record_on_which_the_broker_hangs_up_is_left_behind(here):
    """
    A single record on which a broker without a limit of its own hangs up twice is parked and told as an alarm; what waits behind it goes.
    """
    outbox = MemoryOutbox()
    outbox.add(event_batch(1, 1, [noise(1, 2000)]), event_batch(2, 2, [alarm(2)]))
    here.start_broker("message_size_limit 900")
    here.start_receiver()
    sender = here.sender(outbox)

    async def body() -> None:
        await until(lambda: len(outbox.open) == 1, 60)
        await until(sender.notices)
        assert (["too large cloud"], 3) == ([notice.rule for notice in sender.notices()], sender.status().connections)

    asyncio.run(running(sender, body))
    assert [2] == [seq for (seq,) in here.rows("SELECT seq FROM events")]


def test_parts_that_lost_their_receipt_come_again(here):
    """
    A receiver that dies after some parts of a block were sent gets what it lacks, cut again, and keeps every row once.
    """
    outbox = MemoryOutbox()
    outbox.add(noisy(1, 1, 3000))
    here.start_broker("max_packet_size 900")
    receiver = here.start_receiver(receipt_interval_s=30.0)
    sender = here.sender(outbox, receipt_timeout_s=2.0)

    async def body() -> None:
        await until(lambda: receiver.intake.received >= 3)
        here.stop_receiver()
        here.start_receiver()
        await until(lambda: not outbox.open)

    asyncio.run(running(sender, body))
    assert (3000 * 3, 0) == stored(here)
