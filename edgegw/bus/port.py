"""Serial ports, opened and closed in threads of their own: USB adapters block in both."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
import termios
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from edgegw.config.model import Bus
from edgegw.errors import EXIT_HELD, EdgegwError

if TYPE_CHECKING:
    import serial

# Decision D13: major numbers of ptys. They have no parity, and setting one raises EINVAL.
_PTY_MAJORS = range(136, 144)


class LineError(EdgegwError):
    """The line cannot be opened or is broken; says which, where and what helps."""


def open_in_thread(bus: Bus, loop: asyncio.AbstractEventLoop, opened: asyncio.Future[serial.Serial]) -> None:
    """Opens the port and hands it to the loop; closes it again when nobody waits for it any more."""
    try:
        port = _open_port(bus)
    except LineError as fault:
        _tell(loop, _fail, opened, fault)
        return
    if not _tell(loop, _hand_over, opened, port):
        port.close()


def close_in_thread(port: serial.Serial, loop: asyncio.AbstractEventLoop, closed: asyncio.Future[None]) -> None:
    """Closes the port and tells the loop."""
    port.close()
    _tell(loop, _finish, closed)


def _tell(loop: asyncio.AbstractEventLoop, what: Callable[..., None], *args: object) -> bool:
    """Calls in the loop; False when the loop is no more."""
    try:
        loop.call_soon_threadsafe(what, *args)
    except RuntimeError:
        return False
    return True


def _hand_over(opened: asyncio.Future[serial.Serial], port: serial.Serial) -> None:
    if opened.done():
        port.close()  # Its owner stopped waiting.
    else:
        opened.set_result(port)


def _fail(opened: asyncio.Future[serial.Serial], fault: LineError) -> None:
    if not opened.done():
        opened.set_exception(fault)


def _finish(closed: asyncio.Future[None]) -> None:
    if not closed.done():
        closed.set_result(None)


def _open_port(bus: Bus) -> serial.Serial:
    """Blocks. Raises LineError with what a technician can do."""
    import serial  # noqa: PLC0415 - a station without a serial port does without

    where = f'bus "{bus.name}": {bus.path}'
    try:
        parity = "N" if _is_pty(bus.path) else bus.parity
        port = serial.Serial(bus.path, bus.baudrate, parity=parity, stopbits=bus.stop_bits, timeout=0, exclusive=True)
    except FileNotFoundError as fault:
        raise LineError("E-BUS-PORT", f"{where} does not exist", "plug in the adapter, or see `ls /dev/serial/by-path` for its name") from fault
    except serial.SerialException as fault:
        raise _port_error(where, fault) from fault
    except (OSError, termios.error, ValueError) as fault:
        raise LineError("E-BUS-PORT", f"{where} cannot be set to {bus.baudrate} baud, parity {bus.parity}: {fault}", "try another speed or adapter") from fault
    termios.tcflush(port.fileno(), termios.TCIOFLUSH)
    return port


def _port_error(where: str, fault: serial.SerialException) -> LineError:
    if fault.errno in (errno.EAGAIN, errno.EBUSY):
        return LineError("E-BUS-HELD", f"{where} is held by another program", f"`fuser -v {where.rsplit(maxsplit=1)[-1]}` names it; stop it", EXIT_HELD)
    if fault.errno == errno.EACCES:
        return LineError("E-BUS-PORT", f"{where}: permission denied", "add the service's user to the group of the port (ls -l), mostly dialout")
    return LineError("E-BUS-PORT", f"{where} cannot be opened: {fault}", "look whether the path names a serial port")


def _is_pty(path: str) -> bool:
    status = Path(path).stat()
    return stat.S_ISCHR(status.st_mode) and os.major(status.st_rdev) in _PTY_MAJORS
