"""A real daemon with a meter that never answers, an SMS provider, relays and a mail server of the test, each on a port of its own."""

from __future__ import annotations

import email
import email.policy
import json
import os
import signal
import socket
import socketserver
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller

WAIT_S = 60.0
CONFIG = """\
[gateway]
operator = "op"
station = "st"
gateway = "gw"

[paths]
state_dir = "{directory}/state"
control_socket = "{directory}/control.sock"

[alarms]
shipped_rules = false

[[bus]]
name = "lan"
kind = "tcp"
host = "127.0.0.1"
port = {device_port}
{device}
[[channel]]
name = "sms"
kind = "sms_http"
url = "http://127.0.0.1:{server_port}/send"
body = '{{"to": "{{number}}", "text": "{{text}}", "id": "{{notice_id}}"}}'
timeout_s = 20

[[recipient]]
name = "duty"
address = {{ sms = "+8613800000000" }}

[[route]]
name = "all"
recipients = ["duty"]
"""
DEVICE = """
[[device]]
code = "M-01"
bus = "lan"
unit = 1
profile = "acrel.dtsd1352"
offline_after_s = 1
"""


class Provider:
    """Takes messages; while it holds them it answers nobody."""

    def __init__(self, port: int, *, answers: bool = True) -> None:
        self.asked: list[dict[str, str]] = []
        self.answered: list[dict[str, str]] = []
        self._gate = threading.Event()
        if answers:
            self._gate.set()
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                provider.asked.append(body)
                provider._gate.wait(WAIT_S)
                if not provider._gate.is_set() or provider._is_closed:
                    return
                self.send_response(200)
                self.end_headers()
                provider.answered.append(body)

            def log_message(self, *_: object) -> None:
                pass

        self._is_closed = False
        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._is_closed = True
        self._gate.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def wait_for(what: str, condition: Callable[[], Any]) -> Any:
    end_s = time.monotonic() + WAIT_S
    while not (found := condition()):
        assert time.monotonic() < end_s, f"no {what} within {WAIT_S:g} s"
        threading.Event().wait(0.05)
    return found


class Gateway:
    """A daemon of its own, as often as it is started."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ports = {"device_port": free_port(), "server_port": free_port()}
        self.process: subprocess.Popen[bytes] | None = None
        self.write(DEVICE)

    def write(self, device: str) -> None:
        (self.directory / "config.toml").write_text(CONFIG.format(directory=self.directory, device=device, **self.ports), encoding="utf-8")

    def start(self) -> None:
        with (self.directory / "daemon.log").open("ab") as log:
            command = (sys.executable, "-m", "edgegw", "run", "-c", str(self.directory / "config.toml"))
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(WAIT_S)
            self.process = None

    def ask(self, *words: str) -> dict[str, Any]:
        """Empty while nobody answers."""
        command = (sys.executable, "-m", "edgegw", "alarms", *words, "--json", "-c", str(self.directory / "config.toml"))
        done = subprocess.run(command, capture_output=True, timeout=WAIT_S, check=False, env={**os.environ, "LC_ALL": "C.UTF-8"})
        return json.loads(done.stdout).get("data") or {} if done.stdout else {}

    def outcomes(self) -> list[str]:
        return [one["outcome"] for one in self.ask("notifications").get("told", [])]


@contextmanager
def provider(gateway: Gateway, *, answers: bool = True) -> Iterator[Provider]:
    found = Provider(gateway.ports["server_port"], answers=answers)
    try:
        yield found
    finally:
        found.close()


class Relays(socketserver.ThreadingTCPServer):
    """Modbus TCP: coils that can be read (1) and switched (5)."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        self.coils = [0] * 16
        self.is_silent = False
        super().__init__(("127.0.0.1", 0), Asked)


class Asked(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        server = self.server
        assert isinstance(server, Relays)
        while frame := self.request.recv(260):
            head, unit, function, address, count = frame[:4], frame[6], frame[7], *struct.unpack(">HH", frame[8:12])
            if server.is_silent:
                continue
            if function == 5:
                server.coils[address] = int(count != 0)
                body = frame[6:12]
            else:
                bits = sum(bit << place for place, bit in enumerate(server.coils[address : address + count]))
                body = bytes((unit, function, (count + 7) // 8)) + bits.to_bytes((count + 7) // 8, "little")
            self.request.sendall(head + len(body).to_bytes(2, "big") + body)


@contextmanager
def relays() -> Iterator[Relays]:
    with Relays() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class Post:
    """A mail server's memory."""

    def __init__(self) -> None:
        self.mails: list[tuple[list[str], Any]] = []

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's
        self.mails.append((envelope.rcpt_tos, email.message_from_bytes(envelope.content, policy=email.policy.default)))
        return "250 2.0.0 queued as 4F1C"


@contextmanager
def post(port: int) -> Iterator[Post]:
    found = Post()
    controller = Controller(found, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield found
    finally:
        controller.stop()
