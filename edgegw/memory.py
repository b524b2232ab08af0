"""How the C library keeps memory: as little in reserve as a process that runs for years on a small machine should hold."""

from __future__ import annotations

import ctypes

# mallopt(3), glibc: what is free at the end of the heap goes back from here on, what is asked of the system ahead, and how many heaps there are.
_TRIM_THRESHOLD, _TOP_PAD, _ARENA_MAX = -1, -2, -8
_KEPT_BYTES = 64 * 1024
_AHEAD_BYTES = 16 * 1024


def hold_little() -> None:
    """Before the first thread: one heap for all of them, since they take turns anyway. Another C library than glibc has nothing to set."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return
    for option, value in ((_ARENA_MAX, 1), (_TRIM_THRESHOLD, _KEPT_BYTES), (_TOP_PAD, _AHEAD_BYTES)):
        mallopt(option, value)
