"""One station, two clouds: a filter and receipts of its own for each, and one that is dead costs the other nothing."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest

from edgegw.cli.rig import IDENTITY, Rig, wait_for
from edgegw.sim.audit import audit
from edgegw.uplink.keys import enrol_gateway

pytestmark = pytest.mark.broker

_SECOND = """
[[uplink]]
name = "owner"
broker = "mqtts://localhost:{port}"
recipient_file = "{directory}/cloud/cloud.pub"
ca_file = "{directory}/pki/ca.crt"
cert_file = "{directory}/pki/gateway.crt"
cert_key_file = "{directory}/pki/gateway.key"
backlog_batches_per_s = 0
backlog_start_s_max = 0
receipt_timeout_s = 10
points = ["energy.*"]
"""


@pytest.fixture
def both(tmp_path):
    operator, owner = Rig(tmp_path / "operator"), Rig(tmp_path / "owner")
    for rig in (operator, owner):
        rig.directory.mkdir()
        rig.make_keys()
    (owner.directory / "cloud" / "gateways" / f"{IDENTITY.replace('/', '.')}.pub").unlink()
    enrol_gateway(operator.directory / "state" / "keys" / "gateway.pub", owner.directory / "cloud", IDENTITY)
    try:
        yield operator, owner
    finally:
        operator.close()
        owner.close()


def ask(rig: Rig, question: str) -> list[tuple]:
    with closing(sqlite3.connect(f"file:{rig.sink}?mode=ro", uri=True)) as sink:
        return sink.execute(question).fetchall()


def uplinks(rig: Rig) -> dict[str, dict]:
    return {uplink["name"]: uplink for uplink in rig.ask_gateway("status")["uplinks"]}


def asks_for_what_it_lost(rig: Rig) -> None:
    """The receiver's database is put back by half of its sequences of energy; the cloud asks for the hole, signed, and gets it."""
    wait_for("enough of it", lambda: ask(rig, "SELECT max(last) > 61 FROM settled WHERE stream = 2")[0][0], 60)
    rig.stop("receiver")
    with closing(sqlite3.connect(rig.sink)) as sink, sink:
        epoch, last = sink.execute("SELECT epoch, max(last) FROM settled WHERE stream = 2 GROUP BY epoch").fetchone()
        assert last >= 8
        first, end = last // 4, last - last // 4
        lost = (epoch, first, end)
        held = f"SELECT count(*) FROM readings WHERE epoch = '{epoch}' AND stream = 2 AND seq BETWEEN {first} AND {end}"
        before = sink.execute(held).fetchone()
        sink.execute("DELETE FROM readings WHERE epoch = ? AND stream = 2 AND seq BETWEEN ? AND ?", lost)
        sink.execute("DELETE FROM settled WHERE stream = 2")
        for settled in ((1, first - 1), (end + 1, last)):
            sink.execute("INSERT INTO settled VALUES(?, ?, 2, ?, ?)", (IDENTITY, epoch, *settled))
        assert ((0,), True) == (sink.execute(held).fetchone(), before > (0,))
    rig.start_receiver()
    pki = rig.directory / "pki"
    files = ("--ca", str(pki / "ca.crt"), "--cert", str(pki / "receiver.crt"), "--cert-key", str(pki / "receiver.key"))
    common = ("cloud", "resend", "--broker", f"mqtts://localhost:{rig.broker_port}", "--keys", str(rig.directory / "cloud"), *files)
    said = rig.command(*common, "--gateway", IDENTITY, "--sink", f"sqlite:{rig.sink}")
    assert f"{epoch}:2:{first}-{end}" == said.splitlines()[0]
    wait_for("what was lost", lambda: ask(rig, held)[0] == before, 60)
    wait_for("the record of the order", lambda: len(ask(rig, "SELECT 1 FROM events WHERE kind = 'command'")) == 2, 30)
    assert f"sqlite:{rig.sink} lacks nothing" in rig.command(*common, "--gateway", IDENTITY, "--sink", f"sqlite:{rig.sink}")


def test_a_dead_cloud_costs_the_other_nothing(both):
    """
    While the second cloud is away the first gets everything and its alarms; when the second comes it gets, from the start, the points it wants and all events;
    and what it loses it may ask for.
    """
    operator, owner = both
    operator.start_station()
    operator.start_broker()
    operator.start_receiver()
    operator.write_config()
    operator.config.write_text(operator.config.read_text() + _SECOND.format(port=owner.broker_port, directory=owner.directory))
    operator.start_gateway()
    wait_for("values at the first cloud", lambda: operator.values_received() > 500, 60)
    operator.tell_station("set", device="DI-01", point="input.1", value=1)
    wait_for("the alarm at the first cloud", lambda: ask(operator, "SELECT 1 FROM events WHERE kind = 'alarm' AND device = 'DI-01'"), 30)
    apart = uplinks(operator)
    assert (True, False) == (apart["cloud"]["connected"], apart["owner"]["connected"])
    assert ("", "E-NET-REFUSED") == tuple((apart[name]["error"] or {}).get("id", "") for name in ("cloud", "owner"))
    assert apart["cloud"]["last_receipt_age_s"] is not None

    owner.start_broker()
    owner.start_receiver()
    operator.silence_station()
    wait_for("the second cloud", lambda: uplinks(operator)["owner"]["connected"], 60)
    operator.drain()
    asks_for_what_it_lost(owner)
    wait_for("the record at the other", lambda: len(ask(operator, "SELECT 1 FROM events WHERE kind = 'command'")) == 2, 30)
    assert 0 == operator.stop("gateway")

    found = audit(operator.journal, operator.sink, IDENTITY)
    assert (0, 0, 0, 0) == (found.lost_count, found.duplicates, found.wrong, found.unexplained), found
    assert [] == ask(owner, "SELECT point FROM readings WHERE point NOT LIKE 'energy.%' LIMIT 5")
    energy = "SELECT epoch, stream, seq, device, point, value, quality FROM readings WHERE point LIKE 'energy.%' ORDER BY 1, 2, 3, 4, 5"
    assert ask(operator, energy) == ask(owner, energy)
    assert len(ask(owner, energy)) > 50
    events = "SELECT epoch, seq, kind, body FROM events ORDER BY 1, 2"
    assert ask(operator, events) == ask(owner, events)
    assert "alarm" in {kind for _, _, kind, _ in ask(owner, events)}
    settled = "SELECT epoch, stream, first, last FROM settled WHERE stream IN (1, 2, 3) ORDER BY 1, 2, 3"
    assert ask(operator, settled) == ask(owner, settled)
    assert [] == [json.loads(body) for (body,) in ask(owner, "SELECT body FROM events WHERE kind = 'loss'")]
