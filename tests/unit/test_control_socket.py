"""Control socket: a real server and real clients on a real socket."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from edgegw.control import server as server_module
from edgegw.control.client import Connection, ask
from edgegw.control.protocol import REQUEST_BYTES_MAX, SCHEMA
from edgegw.control.server import CLIENTS_MAX, ControlServer
from edgegw.errors import EdgegwError

WAIT_S = 5.0


async def _echo(args: dict[str, Any]) -> object:
    return args


async def _fail(args: dict[str, Any]) -> object:
    raise EdgegwError("E-DEVICE", f"no device {args['device']}", "edgegw status", 4)


async def _break(args: dict[str, Any]) -> object:
    return args["not there"]


async def _hang(args: dict[str, Any]) -> object:
    try:
        await asyncio.Event().wait()
    finally:
        _ENDED.set()


async def _large(args: dict[str, Any]) -> object:
    return "x" * args["bytes"]


_ENDED = threading.Event()
HANDLERS = {"echo": _echo, "fail": _fail, "break": _break, "hang": _hang, "large": _large}


@contextmanager
def running(path: Path) -> Iterator[None]:
    """A daemon's loop in a thread of its own, with the server on it."""
    with closing(asyncio.new_event_loop()) as loop:
        server = ControlServer(path, HANDLERS, gateway="OP/ST/GW", language="zh")
        loop.run_until_complete(server.start())
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        try:
            yield
        finally:
            asyncio.run_coroutine_threadsafe(server.close(), loop).result(WAIT_S)
            loop.call_soon_threadsafe(loop.stop)
            thread.join(WAIT_S)


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    with running(tmp_path / "control.sock"):
        yield tmp_path / "control.sock"


def _raw(path: Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(WAIT_S)
    client.connect(str(path))
    return client


def _read_lines(client: socket.socket) -> list[dict[str, Any]]:
    with client.makefile("rb") as file:
        try:
            return [json.loads(line) for line in file]
        except ConnectionResetError:
            return []


def test_a_question_is_answered(path):
    """
    What a handler returns comes back as the data of the answer.
    """
    assert {"device": "电表"} == ask(path, "echo", {"device": "电表"}, WAIT_S)


def test_the_greeting_tells_version_gateway_and_language(path):
    """
    The first line names the protocol's version before anything is asked.
    """
    with _raw(path) as client, client.makefile("rb") as file:
        greeting = json.loads(file.readline())
    assert (SCHEMA, "OP/ST/GW", "zh") == (greeting["schema"], greeting["gateway"], greeting["language"])


def test_questions_of_one_connection_are_answered_in_their_order(path):
    """
    Several questions, even sent at once, are answered one after the other.
    """
    with Connection(path, WAIT_S) as connection:
        assert [1, 2, 3] == [connection.ask("echo", {"n": n}, WAIT_S)["n"] for n in (1, 2, 3)]
    with _raw(path) as client, client.makefile("rb") as file:
        client.sendall(b"".join(json.dumps({"command": "echo", "args": {"n": n}, "deadline_ms": 1000}).encode() + b"\n" for n in (1, 2)))
        assert [SCHEMA, 1, 2] == [line.get("schema") or line["data"]["n"] for line in (json.loads(file.readline()) for _ in range(3))]


@pytest.mark.parametrize(
    ("command", "message_id", "exit_code"),
    [("fail", "E-DEVICE", 4), ("break", "E-BUG", 1), ("nothing", "E-CTL-COMMAND", 2)],
)
def test_an_error_arrives_as_it_was_raised(path, caplog, command, message_id, exit_code):
    """
    An error keeps id, text, next step and exit code; a bug of a handler is told as one and logged, and the server lives on.
    """
    with pytest.raises(EdgegwError) as raised:
        ask(path, command, {"device": "X"}, WAIT_S)
    assert (message_id, exit_code) == (raised.value.message_id, raised.value.exit_code)
    assert raised.value.next_step
    assert {} == ask(path, "echo", {}, WAIT_S)


def test_a_handler_has_the_asker_s_time_and_no_more(path):
    """
    When the deadline is over the asker is told, and the handler is ended.
    """
    _ENDED.clear()
    with pytest.raises(EdgegwError) as raised:
        ask(path, "hang", {}, 0.05)
    assert "E-CTL-DEADLINE" == raised.value.message_id
    assert _ENDED.wait(WAIT_S)


@pytest.mark.parametrize(
    "line",
    [b"not json\n", b"[]\n", b"{}\n", b'{"command":"echo"}\n', b'{"command":"echo","deadline_ms":0}\n', b'{"command":"echo","deadline_ms":9999999}\n', b"\xff\n", b'{"command":"echo","args":[],"deadline_ms":9}\n', b'{"command":"echo","args":' + b"[" * 9000 + b"\n"],
)  # fmt: skip
def test_what_is_no_request_is_refused_and_harms_nobody(path, line):
    """
    Anything that is no request is answered with an error on the same connection.
    """
    with _raw(path) as client, client.makefile("rb") as file:
        file.readline()
        client.sendall(line)
        assert "E-CTL-REQUEST" == json.loads(file.readline())["error"]["id"]
        client.sendall(b'{"command":"echo","deadline_ms":1000}\n')
        assert {"ok": True, "data": {}} == json.loads(file.readline())


def test_a_request_beyond_64_kib_ends_its_connection(path):
    """
    Nobody makes the daemon keep more than the limit.
    """
    with pytest.raises(EdgegwError) as raised:
        ask(path, "echo", {"text": "x" * (REQUEST_BYTES_MAX * 4)}, WAIT_S)
    assert raised.value.message_id in ("E-CTL-REQUEST", "E-DAEMON-CLOSED")
    assert {} == ask(path, "echo", {}, WAIT_S)


def test_half_a_request_is_no_request(path):
    """
    A client that hangs up in the middle of a line is forgotten.
    """
    with _raw(path) as client:
        client.sendall(b'{"command":"echo"')
        client.shutdown(socket.SHUT_WR)
        assert 1 == len(_read_lines(client))


def test_one_client_too_many_is_told(path):
    """
    Beyond 16 clients the next one gets a sentence instead of a place, and a place that gets free is given again.
    """
    others = [Connection(path, WAIT_S) for _ in range(CLIENTS_MAX)]
    try:
        with pytest.raises(EdgegwError) as raised:
            ask(path, "echo", {}, WAIT_S)
        assert "E-CTL-BUSY" == raised.value.message_id
        others.pop().__exit__(None, None, None)
        assert {} == _ask_until_free(path)
    finally:
        for other in others:
            other.__exit__(None, None, None)


def _ask_until_free(path: Path) -> Any:
    """The server hears of a closed client a moment later."""
    for _ in range(500):
        try:
            return ask(path, "echo", {}, WAIT_S)
        except EdgegwError as fault:
            if fault.message_id != "E-CTL-BUSY":
                raise
    return None


def test_a_client_that_takes_no_answer_holds_up_nobody(path, monkeypatch):
    """
    While one client leaves a large answer lying, others are answered, and its own connection is ended.
    """
    monkeypatch.setattr(server_module, "ANSWER_TAKEN_S_MAX", 0.2)
    with _raw(path) as slow:
        slow.sendall(b'{"command":"large","args":{"bytes":8000000},"deadline_ms":5000}\n')
        assert {} == ask(path, "echo", {}, WAIT_S)
        deadline = threading.Event()
        while not _is_ended(slow):
            assert not deadline.wait(0.02)
        assert {} == ask(path, "echo", {}, WAIT_S)


def _is_ended(client: socket.socket) -> bool:
    """Whether the other end has closed, without taking what it sent."""
    try:
        return client.send(b"\n") == 0
    except (BrokenPipeError, ConnectionResetError):
        return True


def test_a_large_answer_arrives_whole(path):
    """
    An answer of many chunks is one line.
    """
    assert 3_000_000 == len(ask(path, "large", {"bytes": 3_000_000}, WAIT_S))


def test_the_socket_is_for_owner_and_group(path):
    """
    The file has mode 0660 from its first moment.
    """
    assert 0o660 == stat.S_IMODE(path.stat().st_mode)


def test_the_socket_goes_with_the_daemon(tmp_path):
    """
    After the end there is no file, and who asks hears that the service is not running.
    """
    path = tmp_path / "control.sock"
    with running(path):
        assert path.exists()
    assert not path.exists()
    with pytest.raises(EdgegwError) as raised:
        ask(path, "echo", {}, WAIT_S)
    assert ("E-DAEMON-ABSENT", 3) == (raised.value.message_id, raised.value.exit_code)


def test_a_dead_daemon_s_file_is_replaced(tmp_path):
    """
    A socket file on which nobody answers does not keep the service from starting.
    """
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with pytest.raises(EdgegwError) as raised:
        ask(path, "echo", {}, WAIT_S)
    assert "E-DAEMON-ABSENT" == raised.value.message_id
    with running(path):
        assert {} == ask(path, "echo", {}, WAIT_S)


def test_a_living_daemon_s_file_is_left_alone(path):
    """
    A second daemon does not take the socket of the first.
    """
    with pytest.raises(EdgegwError) as raised, running(path):
        pass
    assert ("E-CTL-HELD", 7) == (raised.value.message_id, raised.value.exit_code)
    assert {} == ask(path, "echo", {}, WAIT_S)


@pytest.mark.parametrize("name", ["file", "no/directory.sock", "x" * 200])
def test_a_place_that_cannot_be_had_is_said(tmp_path, name):
    """
    A file that is no socket, a directory that is not there and a path too long each end in one line.
    """
    (tmp_path / "file").write_text("mine")
    with pytest.raises(EdgegwError) as raised, running(tmp_path / name):
        pass
    assert "E-CTL-PATH" == raised.value.message_id
    assert "mine" == (tmp_path / "file").read_text()


def test_who_asks_is_known_by_the_kernel(path):
    """
    The peer's process and user come from the kernel, not from what it says.
    """
    with _raw(path) as client:
        raw = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    assert os.getpid() == server_module.Peer(*server_module.struct.unpack("3i", raw)).pid


@pytest.mark.parametrize(
    ("sent", "message_id"),
    [(b'{"schema":"other/1"}\n', "E-CTL-VERSION"), (b"220 mail ESMTP\n", "E-CTL-VERSION"), (b"", "E-DAEMON-CLOSED"), (b"[]\n", "E-CTL-VERSION")],
)
def test_what_is_no_edgegw_is_said(tmp_path, sent, message_id):
    """
    Another program on the socket, or another version, is named instead of guessed at.
    """
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "other.sock"))
        listener.listen(1)

        def answer() -> None:
            client, _ = listener.accept()
            with client:
                client.sendall(sent)

        other = threading.Thread(target=answer)
        other.start()
        with pytest.raises(EdgegwError) as raised:
            ask(tmp_path / "other.sock", "echo", {}, WAIT_S)
        other.join(WAIT_S)
    assert message_id == raised.value.message_id


def test_a_silent_service_is_not_waited_for_for_ever(tmp_path):
    """
    A daemon that accepts but says nothing ends the wait with its own message.
    """
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "silent.sock"))
        listener.listen(1)
        with pytest.raises(EdgegwError) as raised:
            ask(tmp_path / "silent.sock", "echo", {}, 0.1)
    assert ("E-DAEMON-SLOW", 5) == (raised.value.message_id, raised.value.exit_code)
