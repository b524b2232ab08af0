"""The receiver takes each reading once, refuses what is not proven, and parks what it cannot read yet."""

from __future__ import annotations

import logging
import random
import shutil
import sqlite3
from contextlib import closing

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edgegw.block import encode_block, encode_events, encode_schema, pack, schema_hash
from edgegw.cloud.intake import Intake
from edgegw.cloud.opening import Keyring
from edgegw.cloud.sink import Arrival, open_sink
from edgegw.cloud.sink_sqlite import PARKED_GATEWAY_MAX, PARKED_MAX, SCHEMAS_IN_PARTS_MAX, STEPS, SqliteSink
from edgegw.errors import EdgegwError
from edgegw.model import ClockTrust, Event, Identity, Point, Quality, Reading, Source
from edgegw.uplink.envelope import BATCH, NO_IDENTITY, SCHEMA, Sealer
from edgegw.uplink.keys import enrol_gateway, load_cloud_keys, load_cloud_public, load_gateway_keys, new_cloud_keys, new_gateway_keys
from edgegw.uplink.schema_parts import PARTS_MAX, messages_of
from tests.uplink_rig import DOCUMENT, EPOCH, IDENTITY, alarm, block, readings
from tests.uplink_rig import SCHEMA as SCHEMA_HASH

NOW_MS = 1_800_000_000_000
EPOCH_HEX = f"{EPOCH:016x}"


class Cloud:
    """A receiver without its broker."""

    def __init__(self, directory) -> None:
        new_cloud_keys(directory / "cloud")
        new_gateway_keys(directory / "gw", IDENTITY)
        enrol_gateway(directory / "gw/gateway.pub", directory / "cloud", IDENTITY)
        self.directory = directory
        self.public = load_cloud_public(directory / "cloud/cloud.pub")
        self.sealer = Sealer(IDENTITY, self.public.seal, load_gateway_keys(directory / "gw").sign)
        self.start()

    def start(self) -> None:
        self.sink = SqliteSink(self.directory / "cloud.db")
        self.intake = Intake(Keyring(load_cloud_keys(self.directory / "cloud"), self.directory / "cloud"), self.sink)

    def restart(self) -> None:
        self.sink.close()
        self.start()

    def take(self, kind: str, message: bytes, topic: str = f"egw/1/{IDENTITY}/") -> list[Identity]:
        """The ranges that a receipt is due for."""
        self.sink.begin()
        taken = self.intake.take(topic + kind, message, NOW_MS)
        self.sink.commit()
        return [item.identity for item in taken]

    def schema(self, document: bytes = DOCUMENT) -> list[Identity]:
        return self.take("m", self.sealer.seal(SCHEMA, NO_IDENTITY, pack(document)))

    def batch(self, first: int, count: int, kind: str = "t", stream: int = 3, value: int | None = None) -> list[Identity]:
        identity = Identity(EPOCH, stream, first, first + count - 1)
        body = encode_block(SCHEMA_HASH, readings(count, first if value is None else value))
        return self.take(kind, self.sealer.seal(BATCH, identity, body))

    def events(self, first: int, *events: Event) -> list[Identity]:
        identity = Identity(EPOCH, 1, first, first + len(events) - 1)
        return self.take("e", self.sealer.seal(BATCH, identity, encode_events(events)))

    def ask(self, question: str) -> list:
        return self.sink._connection.execute(question).fetchall()

    def refused(self) -> list[str]:
        return [reason for (reason,) in self.ask("SELECT reason FROM refused ORDER BY refused_id")]

    def settled(self) -> list:
        return self.ask("SELECT stream, first, last FROM settled ORDER BY stream, first")


@pytest.fixture
def cloud(tmp_path):
    made = Cloud(tmp_path)
    yield made
    made.sink.close()


def test_readings_arrive_in_their_units(cloud):
    """
    A reading becomes one row a value, a number in the point's unit, with time, quality and clock in words.
    """
    cloud.schema()
    assert [Identity(EPOCH, 3, 1, 2)] == cloud.batch(1, 2)
    first = cloud.ask("SELECT * FROM readings WHERE seq = 1 ORDER BY point")
    head, at = (IDENTITY, EPOCH_HEX, 3, 1, "meter-07"), 1_800_000_001_000
    assert [
        (*head, "active_power", at, -1.501, "good", "synchronised"),
        (*head, "phase_voltage.a", at, 220.1, "good", "synchronised"),
        (*head, "state", at, 1, "good", "synchronised"),
    ] == first


def test_what_has_no_value_is_null_with_its_quality(cloud):
    """
    A failed poll is stored as rows without a value, texts and numbers keep their kind.
    """
    points = (Point("state", 0, "1", "state"), Point("label", 0, "1", "text"), Point("energy.import", -2, "kWh", "counter"))
    source = Source(1, "d", "g", 1000, points)
    document = encode_schema([source])
    rows = [
        Reading(source, NOW_MS, 0, ClockTrust.HELD, (True, "正常", 5)),
        Reading(source, NOW_MS + 1, 1, ClockTrust.HELD, (None, None, None), dict.fromkeys(range(3), Quality.NOT_FITTED)),
    ]
    cloud.schema(document)
    cloud.take("t", cloud.sealer.seal(BATCH, Identity(EPOCH, 3, 1, 2), encode_block(schema_hash(document), rows)))
    found = cloud.ask("SELECT seq, point, value, quality, clock FROM readings ORDER BY seq, point")
    assert [(1, "energy.import", 500, "good", "held"), (1, "label", "正常", "good", "held"), (1, "state", 1, "good", "held")] == found[:3]
    assert {(None, "not fitted")} == {row[2:4] for row in found[3:]}


def test_repeats_change_nothing_and_are_receipted_again(cloud):
    """
    A repeated batch, whole or cut differently, stores nothing twice, and is receipted each time since the first receipt may be lost.
    """
    cloud.schema()
    cloud.batch(1, 10)
    assert [Identity(EPOCH, 3, 1, 10)] == cloud.batch(1, 10)
    assert [Identity(EPOCH, 3, 6, 15)] == cloud.batch(6, 10)
    assert [(15 * 3,)] == cloud.ask("SELECT count(*) FROM readings")
    assert [(3, 1, 15)] == cloud.settled()
    assert [10, 0, 5] == [new for (new,) in cloud.ask("SELECT new FROM batches ORDER BY arrival")]


def test_any_order_and_any_cut_end_in_the_same_rows(cloud):
    """
    Batches in random order with random overlaps, and a restart in between, leave every sequence once.
    """
    chance = random.Random(645)
    cloud.schema()
    cuts = [(first, chance.randint(1, 30)) for first in (chance.randint(1, 170) for _ in range(60))]
    for number, (first, count) in enumerate([*cuts, (1, 200)]):
        if number == 30:
            cloud.restart()
        assert [Identity(EPOCH, 3, first, first + count - 1)] == cloud.batch(first, count)
    assert [(3, 1, 200)] == cloud.settled()
    assert [(200 * 3, 200)] == cloud.ask("SELECT count(*), count(DISTINCT seq) FROM readings")
    wrong = cloud.ask("SELECT count(*) FROM readings WHERE point = 'phase_voltage.a' AND abs(value - (2200 + seq) / 10.0) > 1e-9")
    assert [(0,)] == wrong
    assert [] == cloud.refused()


def test_one_identity_with_two_contents_is_refused(cloud):
    """
    A batch whose sequences are stored with other values is refused whole and recorded, and what is stored stays.
    """
    cloud.schema()
    cloud.batch(1, 10)
    assert [] == cloud.batch(8, 10, value=500)
    assert ["conflict"] == cloud.refused()
    assert [(30,)] == cloud.ask("SELECT count(*) FROM readings")
    assert [(3, 1, 10)] == cloud.settled()


def test_other_times_of_the_same_values_are_no_conflict(cloud):
    """
    A block whose clock was corrected before it was sent again is a repeat.
    """
    cloud.schema()
    cloud.batch(1, 2)
    moved = [Reading(r.source, r.read_at_ms + 3_600_000, r.mono_ms, ClockTrust.CORRECTED, r.values) for r in readings(2, 1)]
    assert [Identity(EPOCH, 3, 1, 2)] == cloud.take("t", cloud.sealer.seal(BATCH, Identity(EPOCH, 3, 1, 2), encode_block(SCHEMA_HASH, moved)))
    assert [] == cloud.refused()


def test_a_batch_of_an_unknown_schema_is_parked(cloud):
    """
    A batch that comes before its schema document is kept, not receipted, also over a restart, and stored when the document comes.
    """
    assert [] == cloud.batch(1, 10)
    cloud.restart()
    assert [Identity(EPOCH, 3, 1, 10)] == cloud.schema()
    assert [(30,)] == cloud.ask("SELECT count(*) FROM readings")
    assert [(0,)] == cloud.ask("SELECT count(*) FROM parked")


def test_parking_is_bounded(cloud):
    """
    When there is no room to park, a batch is left to its gateway, which sends it again.
    """
    cloud.sink.begin()
    of_many = [f"x/y/z{number // PARKED_GATEWAY_MAX}" for number in range(PARKED_MAX)]
    assert {True} == {cloud.sink.park(gateway, b"12345678", "t", b"p", NOW_MS) for gateway in of_many}
    cloud.sink.commit()
    assert [] == cloud.batch(1, 10)
    assert [(PARKED_MAX,)] == cloud.ask("SELECT count(*) FROM parked")


def test_one_gateway_takes_no_room_of_the_others(cloud):
    """
    A gateway that never sends its schema document parks its own share and no more; others still park.
    """
    cloud.sink.begin()
    parked = [cloud.sink.park("x/y/z", b"12345678", "t", b"p", NOW_MS) for _ in range(PARKED_GATEWAY_MAX + 2)]
    cloud.sink.commit()
    assert (PARKED_GATEWAY_MAX, [False, False]) == (parked.count(True), parked[-2:])
    assert [] == cloud.batch(1, 10)
    assert [(PARKED_GATEWAY_MAX + 1,)] == cloud.ask("SELECT count(*) FROM parked")


def test_events_are_json_and_losses_settle(cloud):
    """
    Events become rows with JSON, and a loss event settles the range that it declares lost.
    """
    cloud.schema()
    loss = Event("loss", NOW_MS, 1, ClockTrust.HELD, None, {"epoch": EPOCH, "stream": 3, "first": 5, "last": 9, "reason": "retention", "raw": b"\x01"})
    assert [Identity(EPOCH, 1, 1, 2)] == cloud.events(1, alarm(1), loss)
    assert [(1, 1, 2), (3, 5, 9)] == cloud.settled()
    assert [("alarm", "pile-03", '{"number":1,"text":"over-temperature"}')] == cloud.ask("SELECT kind, device, body FROM events WHERE seq = 1")
    cloud.batch(1, 20)
    assert [(15,)] == cloud.ask("SELECT count(DISTINCT seq) FROM readings")
    assert [(3, 1, 20)] == [row for row in cloud.settled() if row[0] == 3]


@pytest.mark.parametrize(
    ("expected", "kind", "topic"),
    [
        ("topic", "e", None),
        ("topic", "n", None),
        ("gateway", "t", "egw/1/op/st/other/"),
        ("topic", "x", None),
        ("topic", "t", "egw/2/op/st/gw/"),
        ("signature", "m", None),
    ],
)
def test_a_message_on_a_wrong_topic_is_refused(cloud, expected, kind, topic):
    """
    Telemetry on the topic of another gateway or class, or as a schema document, is refused.
    """
    message = cloud.sealer.seal(BATCH, Identity(EPOCH, 3, 1, 10), encode_block(SCHEMA_HASH, readings(10, 1)))
    assert [] == cloud.take(kind, message, topic or f"egw/1/{IDENTITY}/")
    assert [expected] == cloud.refused()


def test_a_stranger_and_a_neighbour_are_refused(cloud):
    """
    An unknown key, and the key of another enrolled gateway, cannot speak for this gateway.
    """
    identity, body = Identity(EPOCH, 3, 1, 10), encode_block(SCHEMA_HASH, readings(10, 1))
    cloud.take("t", Sealer(IDENTITY, cloud.public.seal, Ed25519PrivateKey.generate()).seal(BATCH, identity, body))
    new_gateway_keys(cloud.directory / "other", "op/st/other")
    enrol_gateway(cloud.directory / "other/gateway.pub", cloud.directory / "cloud", "op/st/other")
    cloud.restart()
    cloud.take("t", Sealer(IDENTITY, cloud.public.seal, load_gateway_keys(cloud.directory / "other").sign).seal(BATCH, identity, body))
    assert ["signer", "gateway"] == cloud.refused()


def test_a_new_gateway_is_known_without_a_restart(cloud):
    """
    A gateway whose public key is put into the directory is accepted soon after.
    """
    new_gateway_keys(cloud.directory / "other")
    sealer = Sealer("op/st/other", cloud.public.seal, load_gateway_keys(cloud.directory / "other").sign)
    enrol_gateway(cloud.directory / "other/gateway.pub", cloud.directory / "cloud", "op/st/other")
    cloud.intake._keyring._loaded_at_s -= 60
    assert [] == cloud.take("m", sealer.seal(SCHEMA, NO_IDENTITY, pack(DOCUMENT)), "egw/1/op/st/other/")
    assert [("op/st/other",)] == cloud.ask("SELECT gateway FROM schemas")


@pytest.mark.parametrize(
    "body",
    [
        pack(b""),
        b"\x02raw",
        b"",
        encode_events([alarm(1)]),
        encode_block(SCHEMA_HASH, readings(9, 1)),
        pack(bytes(5_000_000)),
        encode_block(b"x" * 8, readings(10, 1))[:-3],
    ],
)
def test_content_that_is_none_is_refused(cloud, body):
    """
    A signed batch with damaged, wrong, too few or too large content is refused for its content, and the receiver goes on.
    """
    cloud.schema()
    assert [] == cloud.take("t", cloud.sealer.seal(BATCH, Identity(EPOCH, 3, 1, 10), body))
    assert ["content"] == cloud.refused()
    assert [Identity(EPOCH, 3, 1, 10)] == cloud.batch(1, 10)


def test_a_block_that_does_not_fit_its_schema_is_refused(cloud):
    """
    Values without a point, and a schema that names a point twice, are refused.
    """
    twice = Source(7, "meter-07", "g", 1000, (Point("state", 0, "1", "state"),) * 3)
    cloud.schema(encode_schema([twice]))
    narrow = encode_schema([Source(7, "meter-07", "g", 1000, (Point("state", 0, "1", "state"),))])
    cloud.schema(narrow)
    cloud.take("t", cloud.sealer.seal(BATCH, Identity(EPOCH, 3, 1, 2), encode_block(schema_hash(narrow), readings(2, 1))))
    assert ["content", "content"] == cloud.refused()


def test_nothing_is_kept_of_a_failed_transaction(cloud):
    """
    What was taken before a failing commit is not settled in memory either: it comes again and is stored.
    """
    cloud.schema()
    cloud.sink.begin()
    cloud.intake.take(f"egw/1/{IDENTITY}/t", cloud.sealer.seal(BATCH, Identity(EPOCH, 3, 1, 10), block(1, 1, 10).body), NOW_MS)
    cloud.sink.rollback()
    cloud.batch(1, 10)
    assert [(30,)] == cloud.ask("SELECT count(*) FROM readings")


@pytest.mark.parametrize("url", ["postgresql://host/db", "mysql:x", "sqlite:", "readings.db"])
def test_unknown_sinks_are_named(url):
    """
    A sink of a kind that is not built in is refused in one line.
    """
    with pytest.raises(EdgegwError) as fault:
        open_sink(url)
    assert ("E-SINK-UNKNOWN", 2) == (fault.value.message_id, fault.value.exit_code)


def test_a_damaged_sink_is_refused(tmp_path):
    """
    A file that is no database is left as it is, and told.
    """
    (tmp_path / "cloud.db").write_bytes(b"no database" * 1000)
    copy = shutil.copy(tmp_path / "cloud.db", tmp_path / "copy")
    with pytest.raises(EdgegwError) as fault:
        open_sink(f"sqlite:{tmp_path / 'cloud.db'}")
    assert "E-SINK" == fault.value.message_id
    assert copy.read_bytes() == (tmp_path / "cloud.db").read_bytes()


@pytest.mark.parametrize("kind", ["e", "t"])
def test_what_is_sent_from_memory_keeps_its_mark(cloud, caplog, kind):
    """
    A volatile batch is stored like any other, marked in the list of batches, and its beginning and end are told once each; from the disk it comes as a repeat.
    """
    caplog.set_level(logging.INFO)
    cloud.schema()
    stream = 1 if kind == "e" else 3
    bodies = {
        stored: encode_events([alarm(1)], stored=stored) if kind == "e" else encode_block(SCHEMA_HASH, readings(1), stored=stored) for stored in (False, True)
    }
    for stored in (False, False, True):
        assert [Identity(EPOCH, stream, 1, 1)] == cloud.take(kind, cloud.sealer.seal(BATCH, Identity(EPOCH, stream, 1, 1), bodies[stored]))
    assert [(1, 1), (1, 0), (0, 0)] == cloud.ask("SELECT volatile, new FROM batches ORDER BY arrival")
    told = [record.getMessage() for record in caplog.records if IDENTITY in record.getMessage()]
    assert [f"{IDENTITY} sends from memory: its disk takes nothing", f"{IDENTITY} sends from its disk again"] == told


def test_a_sink_of_an_older_receiver_is_brought_up_to_date(tmp_path):
    """
    A database from before steps were counted gets what is new and keeps its rows; one of a newer receiver is refused and left alone.
    """
    path = tmp_path / "old.db"
    with closing(sqlite3.connect(path)) as old, old:
        for statement in STEPS[0]:
            old.execute(statement)
        old.execute("INSERT INTO batches VALUES(1, 't', 'op/st/gw', '0123456789abcdef', 3, 1, 10, 5, 600, 10)")
    sink = SqliteSink(path)
    sink.record_batch(Arrival("t", IDENTITY, EPOCH_HEX, 3, 11, 12, NOW_MS, 300, 2, volatile=True))
    assert [(0,), (1,)] == sink._connection.execute("SELECT volatile FROM batches ORDER BY arrival").fetchall()
    sink.close()
    with closing(sqlite3.connect(path)) as newer, newer:
        assert (len(STEPS),) == newer.execute("PRAGMA user_version").fetchone()
        newer.execute(f"PRAGMA user_version={len(STEPS) + 1}")
    with pytest.raises(EdgegwError, match="newer edgegw") as fault:
        SqliteSink(path)
    assert "E-SINK" == fault.value.message_id


# -- schema documents in parts


def wide(seed: int) -> bytes:
    """A schema document that takes about 20 KiB, also packed."""
    chance = random.Random(seed)
    return encode_schema([Source(number, chance.randbytes(16).hex(), "g", 1000, (Point("p", 0, "1", "measure"),), "meter") for number in range(500)])


def parts_of(cloud, document: bytes, packed_bytes_max: int) -> list[bytes]:
    def sealed(packed: bytes) -> bytes | None:
        return cloud.sealer.seal(SCHEMA, NO_IDENTITY, packed) if len(packed) <= packed_bytes_max else None

    messages = messages_of(schema_hash(document), document, sealed)
    assert messages is not None
    assert len(messages) > 1
    return messages


def parked_block(cloud, document: bytes, first: int) -> list[Identity]:
    schema = schema_hash(document)
    source = Source(1, "", "g", 1000, (Point("p", 0, "1", "measure"),), "meter")
    body = encode_block(schema, [Reading(source, NOW_MS, 1000, ClockTrust.SYNCHRONISED, (7,))])
    return cloud.take("t", cloud.sealer.seal(BATCH, Identity(EPOCH, 3, first, first), body))


def test_a_schema_document_in_parts_is_put_together_in_any_order(cloud):
    """
    Parts in any order, repeated, over a restart and cut differently the second time make the document, and what was parked for it is stored.
    """
    document = wide(1)
    coarse, fine = parts_of(cloud, document, 6000), parts_of(cloud, document, 1000)
    assert [] == parked_block(cloud, document, 1)
    random.Random(2).shuffle(fine)
    assert [] == [identity for message in fine[: len(fine) // 2] for identity in cloud.take("m", message)]
    cloud.restart()
    taken = [identity for message in [coarse[-1], coarse[-1], *coarse[:-1]] for identity in cloud.take("m", message)]
    assert [Identity(EPOCH, 3, 1, 1)] == taken
    assert [(document,)] == cloud.ask("SELECT document FROM schemas")
    assert [] == [identity for message in fine for identity in cloud.take("m", message)]
    assert ([(0,)], []) == (cloud.ask("SELECT count(*) FROM schema_part"), cloud.refused())


def test_parts_are_bounded(cloud):
    """
    Of documents whose other parts never come only the last few are kept; of one document no more parts than a gateway sends.
    """
    for seed in range(SCHEMAS_IN_PARTS_MAX + 3):
        cloud.take("m", parts_of(cloud, wide(seed), 1000)[0])
    assert [(SCHEMAS_IN_PARTS_MAX,)] == cloud.ask("SELECT count(DISTINCT schema) FROM schema_part")
    cloud.sink.begin()
    for offset in range(PARTS_MAX):
        cloud.sink.write_schema_part("x/y/z", b"12345678", offset, b"1", NOW_MS)
    assert PARTS_MAX == len(cloud.sink.schema_parts("x/y/z", b"12345678"))
    assert 1 == cloud.sink.write_schema_part("x/y/z", b"12345678", PARTS_MAX, b"1", NOW_MS)
    cloud.sink.commit()


@pytest.mark.parametrize(
    "part",
    [
        [3, b"12345678", 10, 5, b"123456"],
        [3, b"1234567", 10, 0, b"1"],
        [3, b"12345678", 2**23, 0, b"1"],
        [3, b"12345678", 10, 0, b""],
        [3, b"12345678", 10, 0, "1"],
        [3, b"12345678", 4, 0, b"1234"],
    ],
)
def test_a_part_that_is_none_is_refused(cloud, part):
    """
    A part that lies outside its document, has another form, or makes a document of another name is refused and leaves nothing behind.
    """
    assert [] == cloud.take("m", cloud.sealer.seal(SCHEMA, NO_IDENTITY, pack(cbor2.dumps(part))))
    assert (["content"], [(0,)]) == (cloud.refused(), cloud.ask("SELECT (SELECT count(*) FROM schema_part) + (SELECT count(*) FROM schemas)"))
