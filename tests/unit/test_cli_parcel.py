"""The backlog by hand: sealed to a file, taken in at the cloud, its receipts taken in at the gateway; beside the service and without it."""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
import threading
from contextlib import closing, contextmanager

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edgegw.clock import Clock
from edgegw.cloud.by_hand import receive_file
from edgegw.config.load import load
from edgegw.control.server import ControlServer
from edgegw.errors import EdgegwError
from edgegw.model import Identity, Stream
from edgegw.uplink.envelope import NO_IDENTITY, Receipt, sign_receipt, take_apart
from edgegw.uplink.keys import enrol_gateway, load_uplink_keys, new_cloud_keys, new_gateway_keys
from edgegw.uplink.parcel import ANSWER, PARCEL, Frames, read_frames
from edgegw.uplink.sender import Sender
from edgegw.views_cloud import CloudViews
from tests.unit.buffer_rig import ENERGY, METER, UPLINK, event, reading, running
from tests.unit.cli_daemon import WAIT_S, edgegw

READINGS = 120


@pytest.fixture
def config(tmp_path):
    new_cloud_keys(tmp_path / "cloud")
    new_gateway_keys(tmp_path / "keys", "OP/ST/GW")
    enrol_gateway(tmp_path / "keys" / "gateway.pub", tmp_path / "cloud", "OP/ST/GW")
    path = tmp_path / "config.toml"
    path.write_text(f"""
        gateway = {{ operator = "OP", station = "ST", gateway = "GW" }}
        paths = {{ state_dir = "{tmp_path}", control_socket = "{tmp_path}/control.sock" }}
        bus = [{{ name = "lan", kind = "tcp", host = "127.0.0.1", port = 1 }}]
        uplink = [{{ name = "{UPLINK}", broker = "mqtt://localhost", recipient_file = "{tmp_path}/cloud/cloud.pub" }}]
    """)
    return path


def fill(rig):
    for start in range(0, 60_000, 10_000):
        rig.buffer.accept(
            [reading(of, start + second * 1000, (2305 + second, 0, start, 1)) for second in range(10) for of in (METER, ENERGY)], [event(n=start)]
        )
        rig.settle()


@contextmanager
def service(rig, config):
    """The daemon's handler on a real socket, over a real store."""
    loaded = load(config).config
    uplink = loaded.uplink[0]
    loop = asyncio.new_event_loop()

    async def begin() -> ControlServer:
        sender = Sender(uplink, loaded.gateway, load_uplink_keys(uplink, loaded.paths.state_dir), rig.buffer, Clock())
        server = ControlServer(rig.path.parent / "control.sock", CloudViews([sender]).handlers(), gateway="OP/ST/GW", language="en")
        await server.start()
        return server

    server = loop.run_until_complete(begin())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield
    finally:
        asyncio.run_coroutine_threadsafe(server.close(), loop).result(WAIT_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(WAIT_S)
        loop.close()


def cloud(tmp_path, parcel, **more) -> int:
    return receive_file(file=str(parcel), keys_dir=str(tmp_path / "cloud"), sink=f"sqlite:{tmp_path}/cloud.db", **more)


def rows(tmp_path, question: str) -> list:
    with closing(sqlite3.connect(tmp_path / "cloud.db")) as sink:
        return sink.execute(question).fetchall()


@pytest.mark.parametrize("beside_service", [True, False])
def test_a_backlog_goes_by_hand_and_its_receipts_come_back(tmp_path, config, capsys, beside_service):
    """
    What the cloud lacks goes sealed into a file, all of it lands in the sink once, and the receipts that come back end the waiting; a second export is empty.
    """
    parcel = tmp_path / "stick.parcel"
    with running(tmp_path) as rig:
        fill(rig)
        done = edgegw("buffer", "export", "--sealed", str(parcel), "--json", "--config", str(config))
        assert 0 == done.returncode, done.stderr
        told = json.loads(done.stdout)["data"]
        assert (READINGS * 4, 6, parcel.stat().st_size) == (told["values"], told["events"], told["bytes"])
        if beside_service:
            with service(rig, config):
                back = round_trip(tmp_path, config, parcel)
    if not beside_service:
        back = round_trip(tmp_path, config, parcel)
    assert {"receipts": 1, "confirmed": READINGS + 6, "refused": []} == {name: back[name] for name in ("receipts", "confirmed", "refused")}
    assert [(READINGS * 4,)] == rows(tmp_path, "SELECT count(*) FROM readings")
    assert [(6,)] == rows(tmp_path, "SELECT count(*) FROM events WHERE kind = 'alarm'")
    assert b"M-1" not in parcel.read_bytes()
    with running(tmp_path) as rig:
        assert [] == rig.batches(streams=[Stream.TELEMETRY, Stream.ENERGY, Stream.EVENT])
    empty = edgegw("buffer", "export", "--sealed", f"{parcel}2", "--config", str(config))
    assert 4 == empty.returncode


def round_trip(tmp_path, config, parcel) -> dict:
    assert 0 == cloud(tmp_path, parcel)
    assert 0 == cloud(tmp_path, parcel, receipt_file=f"{parcel}.again")
    done = edgegw("buffer", "import-receipt", f"{parcel}.receipt", "--json", "--config", str(config))
    assert 0 == done.returncode, done.stderr
    data: dict = json.loads(done.stdout)["data"]
    return data


def test_a_large_station_goes_by_hand_too(tmp_path, config):
    """
    A schema document that no message holds goes into the parcel in parts, and the readings that name it are in the sink.
    """
    chance = random.Random(7)
    many = [msgspec.structs.replace(METER, source_id=number, device=chance.randbytes(16).hex()) for number in range(100, 900)]
    parcel = tmp_path / "stick.parcel"
    with running(tmp_path, [METER, ENERGY, *many]) as rig:
        fill(rig)
        done = edgegw("buffer", "export", "--sealed", str(parcel), "--json", "--config", str(config))
        assert (0, "") == (done.returncode, done.stderr)
    assert 0 == cloud(tmp_path, parcel)
    assert [(READINGS * 4, 1)] == rows(tmp_path, "SELECT count(*), (SELECT count(*) FROM schemas) FROM readings")
    with parcel.open("rb") as source:
        assert sum(take_apart(message).identity == NO_IDENTITY for message in read_frames(source, PARCEL, "parcel")) > 1


def test_a_parcel_cut_short_is_taken_as_far_as_it_is_good(tmp_path, config, capsys):
    """
    A stick pulled too early costs the last message: what came before is stored and receipted, the rest is told and comes with the next parcel.
    """
    parcel = tmp_path / "stick.parcel"
    with running(tmp_path) as rig:
        fill(rig)
        assert 0 == edgegw("buffer", "export", "--sealed", str(parcel), "--config", str(config)).returncode
    parcel.write_bytes(parcel.read_bytes()[:-200])
    assert 1 == cloud(tmp_path, parcel)
    assert "E-PARCEL-CUT" in capsys.readouterr().err
    (stored,) = rows(tmp_path, "SELECT count(*) FROM readings")[0]
    assert 0 < stored < READINGS * 4
    done = edgegw("buffer", "import-receipt", f"{parcel}.receipt", "--config", str(config))
    assert 0 == done.returncode, done.stderr
    second = edgegw("buffer", "export", "--sealed", f"{parcel}2", "--json", "--config", str(config))
    assert READINGS * 4 - stored == json.loads(second.stdout)["data"]["values"]


def test_files_that_are_none_and_receipts_of_strangers_are_refused(tmp_path, config):
    """
    A file of another kind, a missing one, and a receipt that another key signed or that is of what was never sent change nothing and are told by id.
    """
    answer = tmp_path / "answer"

    def write(*messages: bytes, kind: bytes = ANSWER) -> None:
        with answer.open("wb") as out:
            frames = Frames(out, kind)
            for message in messages:
                frames.add(message)
            frames.end()

    def taken() -> tuple[int, str]:
        done = edgegw("buffer", "import-receipt", str(answer), "--config", str(config))
        return done.returncode, done.stdout + done.stderr

    from edgegw.uplink.keys import load_cloud_keys

    signer = load_cloud_keys(tmp_path / "cloud").sign
    forged = sign_receipt(Receipt("OP/ST/GW", 1, (Identity(5, 3, 1, 2),)), Ed25519PrivateKey.generate())
    never = sign_receipt(Receipt("OP/ST/GW", 1, (Identity(5, 3, 1, 2),)), signer)
    with running(tmp_path) as rig, service(rig, config):
        assert 2 == taken()[0]
        write(kind=PARCEL)
        assert "E-PARCEL-KIND" in taken()[1]
        write(forged, never)
        code, said = taken()
        assert (10, 2) == (code, said.count("E-CLOUD-RECEIPT"))
    with pytest.raises(EdgegwError, match="E-PARCEL-KIND"):
        cloud(tmp_path, answer)
    with pytest.raises(EdgegwError, match="E-PARCEL-FILE"):
        cloud(tmp_path, tmp_path / "nowhere")
    assert 2 == edgegw("buffer", "export", "--sealed", str(answer), "--device", "M-1", "--config", str(config)).returncode


@pytest.mark.parametrize("cut", [0, 1, 5])
def test_frames_end_where_they_say(tmp_path, cut):
    """
    Every message comes out as it went in; a file without its end, or with a length that is none, is told behind the last good message.
    """
    path = tmp_path / "frames"
    with path.open("wb") as out:
        frames = Frames(out, PARCEL)
        for message in (b"one", b"two" * 1000):
            frames.add(message)
        frames.end()
    assert path.stat().st_size == frames.written_bytes
    path.write_bytes(path.read_bytes()[: len(path.read_bytes()) - cut])
    found = []
    with path.open("rb") as source:
        if cut:
            with pytest.raises(EdgegwError, match="E-PARCEL-CUT"):
                found.extend(read_frames(source, PARCEL, "frames"))
        else:
            found.extend(read_frames(source, PARCEL, "frames"))
    assert [b"one", b"two" * 1000][: 2 if cut < 5 else 1] == found
