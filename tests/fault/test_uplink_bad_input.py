"""What people and other machines get wrong at an uplink: each has its own id, is refused and counted, loses nothing and holds up nobody."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import NamedTuple

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edgegw.errors import EXIT_USAGE, EdgegwError, lookup
from edgegw.model import Identity
from edgegw.uplink.envelope import Receipt, sign_receipt
from edgegw.uplink.keys import load_cloud_keys
from tests.uplink_rig import EPOCH, IDENTITY, MemoryOutbox, Place, block, log_of, no_thread_left, place, running, until
from tests.uplink_wrong import acl_file, other_server, password_file, secret_file, tls

pytestmark = pytest.mark.broker

# What stands for polling ticks this often on the same loop; this machine's other work may cost it some ticks.
TICK_S = 0.02
TICK_S_MAX = 3.0


@pytest.fixture
def here(tmp_path):
    with no_thread_left(), place(tmp_path) as made:
        yield made


class Poller:
    """Stands for the buses: reads and stores without a pause, and notices when it is held up."""

    def __init__(self, outbox: MemoryOutbox) -> None:
        self._outbox = outbox
        self.blocks = 0
        self.longest_s = 0.0
        self._task = asyncio.create_task(self._poll())

    async def _poll(self) -> None:
        while True:
            self.blocks += 1
            self._outbox.add(block(self.blocks, self.blocks * 20, 20))
            began_s = time.monotonic()
            await asyncio.sleep(TICK_S)
            self.longest_s = max(self.longest_s, time.monotonic() - began_s)

    async def end(self) -> None:
        self._task.cancel()
        await asyncio.wait((self._task,))


class Wrong(NamedTuple):
    """What is wrong, its id, and how the broker and the uplink's configuration come to be so."""

    what: str
    message_id: str
    prepare: Callable[[Place], dict[str, object]]


def no_tls(here: Place) -> dict[str, object]:
    here.start_broker(tls="allow_anonymous true")
    return {}


def foreign_ca(here: Place) -> dict[str, object]:
    here.start_broker(tls=tls(here, **other_server(here, "foreign")))
    return {}


def refused_login(here: Place) -> dict[str, object]:
    here.start_broker(f"password_file {password_file(here, 'gw', 'right')}", tls=tls(here, allow_anonymous="false"))
    return {"username": "gw", "password_file": secret_file(here, "wrong")}


def denied_topic(here: Place) -> dict[str, object]:
    here.start_broker(f"acl_file {acl_file(here, 'topic read egw/#')}")
    return {}


TABLE = [
    Wrong("a broker name that does not resolve", "E-NET-DNS", lambda _: {"broker": "mqtts://no-such-broker.invalid"}),
    Wrong("a port that is no TLS", "E-TLS-NOT-TLS", no_tls),
    Wrong("a foreign CA", "E-TLS-CA", foreign_ca),
    Wrong("a refused login", "E-MQTT-AUTH", refused_login),
    Wrong("a denied topic", "E-MQTT-ACL", denied_topic),
]
RECEIPTS = {
    "an altered receipt": "E-CLOUD-RECEIPT",
    "a foreign receipt": "E-CLOUD-RECEIPT-FOREIGN",
    "a receipt for what was never sent": "E-CLOUD-RECEIPT-UNSENT",
}
KEY_FILE = {"a key file readable by others": "E-KEY-MODE"}


def test_each_has_its_own_message_and_id():
    """
    No two of the nine share an id, and each id is explained with a next step in both languages.
    """
    ids = [*(row.message_id for row in TABLE), *RECEIPTS.values(), *KEY_FILE.values()]
    assert 9 == len(set(ids))
    for message_id in ids:
        message = lookup(message_id)
        assert message is not None
        assert all((message.en, message.zh, message.next_en, message.next_zh)), message_id


@pytest.mark.parametrize("row", TABLE, ids=[row.what for row in TABLE])
def test_a_broker_that_is_wrong_gets_nothing_and_costs_nothing(here, caplog, row):
    """
    The fault is told once by its id, polling goes on beside it, and when it is put right every row arrives once.
    """
    outbox = MemoryOutbox()
    wrong = here.sender(outbox, **row.prepare(here))
    seen: dict[str, float] = {}

    async def body() -> None:
        poller = Poller(outbox)
        await until(lambda: wrong.status().error_id == row.message_id)
        blocks = poller.blocks
        await until(lambda: poller.blocks > blocks + 20)
        await poller.end()
        seen.update(blocks=poller.blocks, longest_s=poller.longest_s)

    asyncio.run(running(wrong, body))
    assert wrong.status().error.strip()
    assert wrong.status().next_step.strip()
    assert 1 == len(log_of(caplog, row.message_id))
    assert TICK_S_MAX > seen["longest_s"]
    assert seen["blocks"] == len(outbox.open), "nothing is receipted, nothing is lost"

    here.stop_broker()
    here.start_broker()
    here.start_receiver()
    right = here.sender(outbox)

    async def after() -> None:
        await until(lambda: not outbox.open, 60)

    asyncio.run(running(right, after))
    assert [(seen["blocks"] * 20, seen["blocks"] * 20)] == here.rows("SELECT count(DISTINCT seq), count(*) / 3 FROM readings")


def bad_receipt(here: Place, what: str) -> bytes:
    cloud = load_cloud_keys(here.directory / "cloud").sign
    sent = (Identity(EPOCH, 3, 20, 39),)
    if what == "a foreign receipt":
        return sign_receipt(Receipt(IDENTITY, 1, sent), Ed25519PrivateKey.generate())
    if what == "a receipt for what was never sent":
        return sign_receipt(Receipt(IDENTITY, 1, (Identity(EPOCH + 1, 3, 1, 9),)), cloud)
    good = sign_receipt(Receipt(IDENTITY, 1, sent), cloud)
    return good[:-1] + bytes([good[-1] ^ 1])


@pytest.mark.parametrize(("what", "message_id"), RECEIPTS.items())
def test_a_receipt_that_is_wrong_is_refused_and_counted(here, caplog, what, message_id):
    """
    Ten of a kind are told once by their id, counted ten times and confirm nothing; delivery and polling go on.
    """
    here.start_broker()
    outbox = MemoryOutbox()
    sender = here.sender(outbox, receipt_timeout_s=1.0)
    message = bad_receipt(here, what)

    async def body() -> None:
        poller = Poller(outbox)
        seen = await asyncio.to_thread(here.listen, "egw/#")
        await until(lambda: sender.status().batches_sent)
        for number in range(1, 11):
            await asyncio.to_thread(here.publish, f"egw/1/{IDENTITY}/d/ack", message)
            await until(lambda number=number: sender.status().receipts_refused == number)
        await poller.end()
        await asyncio.to_thread(seen.close)
        assert poller.blocks == len(outbox.open)
        assert TICK_S_MAX > poller.longest_s
        await asyncio.to_thread(here.start_receiver)
        sender.wake()
        await until(lambda: not outbox.open, 60)

    asyncio.run(running(sender, body))
    assert (10, 1) == (sender.status().receipts_refused, len(log_of(caplog, f" {message_id}: ")))
    assert sender.status().receipts


@pytest.mark.parametrize("which", ["state/keys/gateway-sign.pem", "pki/gateway.key", "password"])
def test_a_key_file_that_others_can_read_is_refused(here, which):
    """
    Before anything is sent the file is named with the command that mends it.
    """
    secret_file(here, "right")
    (here.directory / which).chmod(0o644)
    with pytest.raises(EdgegwError, match="chmod 600") as refused:
        here.sender(MemoryOutbox(), username="gw", password_file=str(here.directory / "password"))
    assert ("E-KEY-MODE", EXIT_USAGE) == (refused.value.message_id, refused.value.exit_code)
    assert str(here.directory / which) in str(refused.value)
