"""The whole way of the data on one machine: simulated station, broker, receiver and gateway, each its own process on real ports.

`edgegw demo` shows it to people, the end-to-end tests break it in the middle. Everything lies in one directory and ends with `close`.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from edgegw.errors import EXIT_CHECK_FAILED, EdgegwError

OPERATOR, STATION, GATEWAY = "demo", "spine", "gw1"
IDENTITY = f"{OPERATOR}/{STATION}/{GATEWAY}"
# A process that has not said it is ready by then has a fault worth reading.
READY_S_MAX = 20.0
# docs/architecture.md: a stop takes at most 10 s; then the process is killed and the fault told.
STOP_S_MAX = 12.0
# A backlog of a minute drains in seconds; a busy machine gets room.
DRAIN_S_MAX = 60.0

# Without --keep the logs go with the directory.
_KEEP = "edgegw demo --keep DIR, then read the *.log files in DIR"

_MOSQUITTO_PLACES = ("/usr/sbin", "/usr/local/sbin", "/usr/local/bin", "/opt/homebrew/sbin")
_BROKER = """\
listener {port} 127.0.0.1
cafile {pki}/ca.crt
certfile {pki}/server.crt
keyfile {pki}/server.key
require_certificate true
use_identity_as_username true
allow_anonymous false
persistence false
max_queued_messages 0
max_inflight_messages 0
set_tcp_nodelay true
user {user}
"""
_CONFIG = """\
[gateway]
operator = "{operator}"
station = "{station}"
gateway = "{gateway}"
name = "Simulated station"

[paths]
state_dir = "{directory}/state"
control_socket = "{directory}/control.sock"

[store]
window_active_s = {window_s}
window_idle_s = {window_s}

[[uplink]]
name = "cloud"
broker = "mqtts://localhost:{port}"
recipient_file = "{directory}/cloud/cloud.pub"
ca_file = "{directory}/pki/ca.crt"
cert_file = "{directory}/pki/gateway.crt"
cert_key_file = "{directory}/pki/gateway.key"
backlog_batches_per_s = 0
backlog_start_s_max = 0

{tables}
"""


def find_mosquitto() -> str | None:
    """The broker's program; it lies in sbin, which a person's PATH often lacks."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path=os.pathsep.join(_MOSQUITTO_PLACES))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(what: str, condition: Callable[[], Any], timeout_s: float = READY_S_MAX) -> Any:
    """Returns what `condition` gives as soon as it is true. Raises EdgegwError when it does not come true in time."""
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise EdgegwError("E-DEMO-WAIT", f"{what} did not come within {timeout_s:g} s", _KEEP, EXIT_CHECK_FAILED)
        time.sleep(0.02)
    return found


class Rig:
    """Starts and stops the parts in any order; `directory` holds keys, certificates, configuration, databases, journal and logs."""

    def __init__(self, directory: Path, *, period_s: float | None = 1.0, window_s: float = 1.0) -> None:
        self.directory = directory
        self.period_s = period_s
        self.window_s = window_s
        self.broker_port = free_port()
        self.config = directory / "config.toml"
        self.journal = directory / "journal.jsonl"
        self.sink = directory / "cloud.db"
        self.station: dict[str, Any] = {}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._logs: dict[str, Path] = {}

    # -- the parts

    def make_keys(self) -> None:
        """Keys of both sides by the command that people use, and certificates of a small authority for the broker."""
        from edgegw.cloud.pki import make_demo_pki

        make_demo_pki(self.directory / "pki", ["localhost", "127.0.0.1"])
        self.command("keys", "new", "gateway", "--dir", f"{self.directory}/state/keys")
        self.command("keys", "new", "cloud", "--dir", f"{self.directory}/cloud")
        shutil.copy(self.directory / "state" / "keys" / "gateway.pub", self.directory / "cloud" / "gateways" / f"{OPERATOR}.{STATION}.{GATEWAY}.pub")

    def start_station(self, *options: str) -> None:
        arguments = ("simulate", "--journal", str(self.journal), "--control", str(self.directory / "station.sock"), *options)
        log = self._start("station", (sys.executable, "-m", "edgegw", *arguments))
        self.station = json.loads(self._wait_for_part("station", "the simulated station's ports", lambda: _first_line(log)))

    def start_broker(self) -> None:
        """Mosquitto, with mutual TLS; where there is none, the one in pure Python (MQTT 3.1.1) that `./dev demo` then installs."""
        pki = self.directory / "pki"
        program = find_mosquitto()
        if program:
            settings = self.directory / "mosquitto.conf"
            user = "root" if os.geteuid() == 0 else "nobody"
            settings.write_text(_BROKER.format(port=self.broker_port, pki=pki, user=user))
            self._start("broker", (program, "-c", str(settings)))
        elif find_spec("amqtt"):
            files = (str(pki / name) for name in ("ca.crt", "server.crt", "server.key"))
            self._start("broker", (sys.executable, "-m", "edgegw.sim.pure_broker", str(self.broker_port), *files))
        else:
            raise EdgegwError("E-DEMO-BROKER", "no broker on this machine: neither mosquitto nor amqtt", "apt-get install mosquitto", EXIT_CHECK_FAILED)
        self._wait_for_part("broker", "the broker", lambda: _answers(self.broker_port))

    def start_receiver(self) -> None:
        pki = self.directory / "pki"
        arguments = (
            *("cloud", "receive", "--json", "--broker", f"mqtts://localhost:{self.broker_port}", "--keys", str(self.directory / "cloud")),
            *("--sink", f"sqlite:{self.sink}", "--ca", str(pki / "ca.crt"), "--cert", str(pki / "receiver.crt")),
            *("--cert-key", str(pki / "receiver.key"), "--receipt-interval", "1"),
        )
        log = self._start("receiver", (sys.executable, "-m", "edgegw", *arguments))
        self._wait_for_part("receiver", "the receiver", lambda: "ready" in log.read_text())

    def write_config(self, tables: str | None = None) -> None:
        """The gateway's configuration: of the simulated station, or with other tables of buses, devices and rules."""
        if tables is None:
            from edgegw.sim.gateway_config import bus_and_device_tables
            from edgegw.sim.station import load_station

            tables = bus_and_device_tables(load_station(None), self.station, self.period_s)
        places = {"directory": self.directory, "port": self.broker_port, "window_s": self.window_s, "tables": tables}
        self.config.write_text(_CONFIG.format(operator=OPERATOR, station=STATION, gateway=GATEWAY, **places))

    def start_gateway(self, *options: str) -> None:
        self._start("gateway", (sys.executable, "-m", "edgegw", "run", "--config", str(self.config), "--json", *options))

    # -- what happens to them

    def stop(self, part: str) -> int:
        """Asks the part to end and waits; returns its exit code. One that does not end in time is killed and reported as -9."""
        process = self._processes.pop(part)
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def kill(self, part: str) -> None:
        process = self._processes.pop(part)
        process.kill()
        process.wait()

    def running(self, part: str) -> bool:
        return part in self._processes and self._processes[part].poll() is None

    def must_run(self) -> None:
        """Raises EdgegwError with the last words of a part that ended although nobody asked it to."""
        for part, process in self._processes.items():
            if process.poll() is not None:
                lines = self._logs[part].read_text(errors="replace").strip().splitlines()
                said = f", its last line: {lines[-1]}" if lines else ""
                raise EdgegwError("E-DEMO-ENDED", f"the {part} ended by itself with exit code {process.returncode}{said}", _KEEP, EXIT_CHECK_FAILED)

    def pid_of(self, part: str) -> int:
        return self._processes[part].pid

    def values_received(self) -> int:
        """Values in the receiver's database."""
        from edgegw.sim.audit import count_values

        return count_values(self.sink) if self.sink.exists() else 0

    def log_of(self, part: str) -> Path:
        return self._logs[part]

    def close(self) -> None:
        """Ends what still runs, in the order in which nothing waits for another."""
        for part in ("gateway", "receiver", "station", "broker"):
            if part in self._processes:
                self.stop(part)

    # -- questions

    def tell_station(self, command: str, **arguments: object) -> dict[str, Any]:
        """One fault command to the simulated station; returns its reply."""
        try:
            with socket.socket(socket.AF_UNIX) as line:
                line.settimeout(5)
                line.connect(self.station["control"])
                line.sendall(json.dumps({"command": command, **arguments}).encode() + b"\n")
                reply = line.makefile("rb").readline()
        except OSError as fault:
            self.must_run()
            raise EdgegwError("E-DEMO-WAIT", f"the simulated station does not answer ({fault})", _KEEP, EXIT_CHECK_FAILED) from fault
        answer: dict[str, Any] = json.loads(reply)
        return answer

    def silence_station(self) -> None:
        """No device answers any more: what is to be delivered is complete."""
        for device in self.station["devices"]:
            self.tell_station("silence", device=device["code"])

    def drain(self, timeout_s: float = DRAIN_S_MAX) -> None:
        """Silences the station and waits until the cloud has confirmed everything from before. Raises EdgegwError when that takes too long."""
        self.silence_station()
        silenced = time.monotonic()
        # What is under way is answered, committed and sealed within two windows; what comes after it is only that nobody answers.
        time.sleep(2 * self.window_s + 1)
        wait_for("the receipt of everything", lambda: self.ask_gateway("status")["buffer"]["oldest_age_s"] < time.monotonic() - silenced, timeout_s)

    def ask_gateway(self, command: str, arguments: dict[str, object] | None = None) -> dict[str, Any]:
        from edgegw.control.client import ask

        answer: dict[str, Any] = ask(self.directory / "control.sock", command, arguments or {}, 5.0)
        return answer

    def command(self, *arguments: str) -> str:
        """Runs one `edgegw` command to its end; returns its standard output. Raises EdgegwError when it fails."""
        done = subprocess.run(  # noqa: S603 - our own command
            (sys.executable, "-m", "edgegw", *arguments), capture_output=True, text=True, timeout=60, check=False
        )
        if done.returncode != 0:
            raise EdgegwError("E-DEMO-COMMAND", f"edgegw {' '.join(arguments)}: {done.stderr.strip()}", "", done.returncode)
        return done.stdout

    def _wait_for_part(self, part: str, what: str, condition: Callable[[], Any]) -> Any:
        """Like `wait_for`, but a part that ended will never get ready."""

        def ready() -> Any:
            found = condition()
            if not found and not self.running(part):
                self.must_run()
            return found

        return wait_for(what, ready)

    def _start(self, part: str, arguments: Sequence[str]) -> Path:
        log = self.directory / f"{part}.{len(list(self.directory.glob(f'{part}.*.log')))}.log"
        with log.open("wb") as sink, _signals_held():
            # A session of its own: Ctrl-C on the terminal is for the rig, which ends the parts in their order.
            self._processes[part] = subprocess.Popen(  # noqa: S603 - parts of the rig
                arguments, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT, start_new_session=True
            )
        self._logs[part] = log
        return log


@contextmanager
def _signals_held() -> Iterator[None]:
    """A signal between a process's start and its entry in the list would leave it behind: it is raised when the entry stands."""
    noted: list[int] = []
    before = {number: signal.signal(number, lambda got, _frame: noted.append(got)) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    for noticed in noted:
        signal.raise_signal(noticed)


def _first_line(log: Path) -> str:
    line, newline, _ = log.read_text().partition("\n")
    return line if newline and line.startswith("{") else ""


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
