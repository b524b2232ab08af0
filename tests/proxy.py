"""A bad link between two ports of this machine: it cuts, stalls, delays and is slow, on demand. One direction is one thread."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from types import TracebackType
from typing import Self

_CHUNK_BYTES = 2048
_LOOK_S = 0.02
# A slow link catches up so much after this process had to wait for a core: on the mean it carries what it should.
_BURST_S = 0.5


def wait_until(monotonic_s: float) -> None:
    """A link's delay is a matter of time alone."""
    while (left_s := monotonic_s - time.monotonic()) > 0:
        time.sleep(left_s)


class Proxy:
    """Listens on `port` and passes on to `target_port`. All of its habits can be changed while it runs."""

    def __init__(self, target_port: int, *, delay_s: float = 0.0, bytes_per_s: float = 0.0) -> None:
        self.delay_s = delay_s
        """Added to every byte, each way: half of what the round trip grows by."""
        self.bytes_per_s = bytes_per_s
        """Upward, towards the target; 0: as fast as it goes."""
        self.stalled = threading.Event()
        """While set, connections stand and nothing passes."""
        self.refuses = threading.Event()
        """While set, new connections are closed at once."""
        self.connections = 0
        self._target_port = target_port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._start(self._serve)

    def cut(self) -> None:
        """Every connection ends with a reset, as if the link's router had restarted."""
        with self._lock:
            for one in self._open:
                with contextlib.suppress(OSError):
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                    one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self.stalled.clear()
        self.cut()
        for thread in self._threads:
            thread.join(10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _start(self, work: object, *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, name="proxy", daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _serve(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            try:
                if self.refuses.is_set():
                    raise ConnectionRefusedError
                far = socket.create_connection(("127.0.0.1", self._target_port), 5)
            except OSError:
                near.close()
                continue
            self.connections += 1
            for one in (near, far):
                one.settimeout(None)
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open |= {near, far}
            self._start(self._pass, near, far, True)
            self._start(self._pass, far, near, False)

    def _pass(self, source: socket.socket, sink: socket.socket, is_up: bool) -> None:  # noqa: FBT001
        """Reads on one thread, writes on another: what is delayed does not slow what follows."""
        waiting: list[tuple[float, bytes]] = []
        news = threading.Condition()
        self._start(self._write, sink, waiting, news, is_up)
        with contextlib.suppress(OSError):
            while data := source.recv(_CHUNK_BYTES):
                self._wait_while_stalled()
                with news:
                    # A slow link takes what it has room for, so that TCP's window closes behind it.
                    news.wait_for(lambda: len(waiting) < 8 or not self.bytes_per_s or not is_up, 60)
                    waiting.append((time.monotonic() + self.delay_s, data))
                    news.notify_all()
        with news:
            waiting.append((0.0, b""))
            news.notify_all()

    def _wait_while_stalled(self) -> None:
        while self.stalled.is_set():
            time.sleep(_LOOK_S)

    def _write(self, sink: socket.socket, waiting: list[tuple[float, bytes]], news: threading.Condition, is_up: bool) -> None:  # noqa: FBT001
        free_at_s = 0.0
        while True:
            with news:
                news.wait_for(lambda: waiting)
                due_s, data = waiting[0]
            wait_until(max(due_s, free_at_s))
            with news:
                waiting.pop(0)
                news.notify_all()
            if not data:
                break
            with contextlib.suppress(OSError):
                sink.sendall(data)
            if is_up and self.bytes_per_s:
                free_at_s = max(free_at_s, time.monotonic() - _BURST_S) + len(data) / self.bytes_per_s
        with self._lock:
            self._open.discard(sink)
        with contextlib.suppress(OSError):
            sink.close()
