"""The daemon's end of the control socket (`protocol.py`): nobody on it can hold up the daemon.

Limits: 16 clients, 64 KiB a request, a deadline in every request, 10 s for a client to take its answer, 60 s without a question. A client that
breaks one loses its own connection and nothing else happens. Who may connect is decided by the file: mode 0660, owner and group of the service.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import stat
import struct
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, Self

import msgspec

from edgegw import __version__
from edgegw.control.protocol import DEADLINE_MS_MAX, REQUEST_BYTES_MAX, SCHEMA, SIGNED_COMMANDS
from edgegw.errors import EXIT_CHECK_FAILED, EXIT_HELD, EXIT_NO_ANSWER, EXIT_USAGE, EdgegwError

# Technicians, the local page and scripts of one station; each more would cost a descriptor and a task.
CLIENTS_MAX = 16
# An answer not taken in this time belongs to a client that hangs.
ANSWER_TAKEN_S_MAX = 10.0
# The page asks every few seconds; a forgotten connection must not keep its place.
IDLE_S_MAX = 60.0
# Out of descriptors: others end meanwhile.
ACCEPT_AGAIN_S = 1.0
# What a handler gets to clean up when its deadline is over.
CANCEL_S_MAX = 1.0
# sun_path of Linux holds 108 bytes with its zero.
PATH_BYTES_MAX = 107

_log = logging.getLogger("edgegw.control")

Handler = Callable[[dict[str, Any]], Awaitable[object]]


class Peer(NamedTuple):
    """Who is at the other end, as the kernel says. Roles will be decided by it; so far the file's mode decides."""

    pid: int
    uid: int
    gid: int


class _Request(msgspec.Struct, frozen=True):
    command: str
    deadline_ms: int
    args: dict[str, Any] = {}


class ControlServer:
    """`async with` it, or `start()` and `close()`."""

    def __init__(self, path: Path, handlers: Mapping[str, Handler], *, gateway: str = "", language: str = "en") -> None:
        self._path = path
        self._handlers = handlers
        self._greeting = {"schema": SCHEMA, "version": __version__, "gateway": gateway, "language": language}
        self._listener: socket.socket | None = None
        self._clients: set[asyncio.Task[None]] = set()
        self._inode = 0

    async def start(self) -> None:
        """Raises EdgegwError when the place is taken by a living daemon or cannot be had."""
        self._listener = open_listener(self._path)
        self._inode = self._path.stat().st_ino
        self._watch()

    async def close(self) -> None:
        """Ends every connection and removes the socket file, if it is still ours."""
        if self._listener is None:
            return
        asyncio.get_running_loop().remove_reader(self._listener)
        self._listener.close()
        self._listener = None
        for task in self._clients:
            task.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)
        with suppress(FileNotFoundError):
            if self._path.stat().st_ino == self._inode:
                self._path.unlink()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _watch(self) -> None:
        """Own accepting instead of asyncio's server: that one can be closed while it holds connections which it has told nobody of yet."""
        if self._listener is not None:
            asyncio.get_running_loop().add_reader(self._listener, self._accept, self._listener)

    def _accept(self, listener: socket.socket) -> None:
        try:
            client, _ = listener.accept()
        except (BlockingIOError, ConnectionError):
            return  # gone again
        except OSError as fault:
            _log.warning("control socket: cannot take a client: %s", fault)
            loop = asyncio.get_running_loop()
            loop.remove_reader(listener)
            loop.call_later(ACCEPT_AGAIN_S, self._watch)
            return
        client.setblocking(False)
        task = asyncio.create_task(self._connected(client))
        self._clients.add(task)
        task.add_done_callback(self._clients.discard)
        task.add_done_callback(lambda _: client.close())

    async def _connected(self, client: socket.socket) -> None:
        # Its own fault, or its end in the middle of something, is no news.
        with suppress(ConnectionError, TimeoutError):
            reader, writer = await asyncio.open_unix_connection(sock=client, limit=REQUEST_BYTES_MAX)
            try:
                await self._serve(reader, writer)
            finally:
                writer.transport.abort()
                with suppress(ConnectionError):
                    await writer.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _say(writer, self._greeting)
        if len(self._clients) > CLIENTS_MAX:
            await _say(writer, _refusal("E-CTL-BUSY", f"{CLIENTS_MAX} others are connected to the service", "end one of them, or try again"))
            return
        peer = _peer(writer)
        while True:
            try:
                async with asyncio.timeout(IDLE_S_MAX):
                    line = await reader.readline()
            except ValueError:  # what StreamReader makes of a line beyond its limit
                await _say(writer, _refusal("E-CTL-REQUEST", f"the request is longer than {REQUEST_BYTES_MAX // 1024} KiB", "", EXIT_USAGE))
                return
            if not line.endswith(b"\n"):
                return
            await _say(writer, await self._answer(line, peer))

    async def _answer(self, line: bytes, peer: Peer) -> dict[str, Any]:
        try:
            request = msgspec.json.decode(line, type=_Request)
        except (msgspec.DecodeError, RecursionError) as fault:
            return _refusal("E-CTL-REQUEST", f"not a request: {fault}", "use an edgegw of the daemon's version", EXIT_USAGE)
        handler = self._handlers.get(request.command)
        if handler is None:
            text = f'the service does not know the command "{request.command[:32]}"'
            return _refusal("E-CTL-COMMAND", text, "restart the service after an upgrade: systemctl restart edgegw", EXIT_USAGE)
        if not 1 <= request.deadline_ms <= DEADLINE_MS_MAX:
            return _refusal("E-CTL-REQUEST", f"deadline_ms must be from 1 to {DEADLINE_MS_MAX}", "", EXIT_USAGE)
        _log.debug("%s asked by pid %d uid %d", request.command, peer.pid, peer.uid)
        if request.command in SIGNED_COMMANDS:
            # Who asks is the kernel's word, whatever the request says.
            request.args["peer_uid"] = peer.uid
        return await _run(handler, request)


async def _run(handler: Handler, request: _Request) -> dict[str, Any]:
    """One handler within its deadline. What it raises is looked at, never caught unseen."""
    task = asyncio.ensure_future(handler(request.args))
    try:
        await asyncio.wait({task}, timeout=request.deadline_ms / 1000)
        if not task.done():
            return _refusal("E-CTL-DEADLINE", f"{request.command} was not done within {request.deadline_ms} ms", "give it longer: --timeout 60", EXIT_NO_ANSWER)
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=CANCEL_S_MAX)
    fault = task.exception()
    if fault is None:
        return {"ok": True, "data": task.result()}
    if isinstance(fault, EdgegwError):
        return _refusal(fault.message_id, fault.text, fault.next_step, fault.exit_code)
    _log.error("command %s failed", request.command, exc_info=fault)
    return _refusal("E-BUG", f"the service made a mistake in {request.command}: {type(fault).__name__}", "journalctl -u edgegw, and report it")


def _refusal(message_id: str, text: str, next_step: str, exit_code: int = EXIT_CHECK_FAILED) -> dict[str, Any]:
    return {"ok": False, "error": {"id": message_id, "text": text, "next": next_step, "exit_code": exit_code}}


async def _say(writer: asyncio.StreamWriter, message: dict[str, Any]) -> None:
    writer.write(msgspec.json.encode(message) + b"\n")
    async with asyncio.timeout(ANSWER_TAKEN_S_MAX):
        await writer.drain()


def _peer(writer: asyncio.StreamWriter) -> Peer:
    raw = writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return Peer(*struct.unpack("3i", raw))


def open_listener(path: Path) -> socket.socket:
    """A listening socket of mode 0660 at `path`; a file left by a killed daemon is replaced, a living daemon's is not."""
    if len(os.fsencode(path)) > PATH_BYTES_MAX:
        raise EdgegwError("E-CTL-PATH", f"{path}: the path of a socket has at most {PATH_BYTES_MAX} bytes", "shorten paths.control_socket", EXIT_USAGE)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # The mask holds from before the file exists, so that nobody slips in between bind and chmod.
    mask = os.umask(0o117)
    try:
        _make_room(path)
        listener.bind(os.fspath(path))
        listener.listen(CLIENTS_MAX)
        listener.setblocking(False)
    except OSError as fault:
        listener.close()
        raise EdgegwError("E-CTL-PATH", f"{path}: {fault.strerror}", "check paths.control_socket and the owner of its directory") from fault
    except EdgegwError:
        listener.close()
        raise
    finally:
        os.umask(mask)
    return listener


def _make_room(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise EdgegwError("E-CTL-PATH", f"{path} is a file and no socket", "move it away, or name another paths.control_socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as trial:
        trial.setblocking(False)
        answer = trial.connect_ex(os.fspath(path))
    # EAGAIN: somebody listens but his queue is full.
    if answer in (0, errno.EAGAIN, errno.EINPROGRESS):
        raise EdgegwError("E-CTL-HELD", f"another edgegw answers on {path}", "edgegw status; systemctl stop edgegw", EXIT_HELD)
    path.unlink()
