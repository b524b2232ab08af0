"""Records what SQLite does to its files: every write, truncation, sync and deletion, in order, without a compiler.

A copy of SQLite's own file system layer ("VFS") becomes the default in this process. It calls the original for everything and notes what changes
a file. It lives in the library that the sqlite3 module itself is linked with. What the program does to whole files (rename, unlink, sync of a
directory) is noted beside it. The shared-memory file is not noted: a power cut leaves none.

    ("create", inode, path)  ("write", inode, offset, bytes)  ("truncate", inode, size)  ("sync", inode)
    ("unlink", path)  ("rename", from, to)  ("dirsync",)  ("mark", whatever the program under test wants to be found there)
"""

from __future__ import annotations

import _sqlite3
import ctypes
import os
import sqlite3
from pathlib import Path
from typing import Any

_OK = 0
_POINTER, _INT, _I64, _TEXT = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64, ctypes.c_char_p

# Names are passed on as the pointers they are: SQLite keeps them for the life of the file.
_OPEN = ctypes.CFUNCTYPE(_INT, _POINTER, _POINTER, _POINTER, _INT, _POINTER)
_DELETE = ctypes.CFUNCTYPE(_INT, _POINTER, _POINTER, _INT)
_WRITE = ctypes.CFUNCTYPE(_INT, _POINTER, _POINTER, _INT, _I64)
_TRUNCATE = ctypes.CFUNCTYPE(_INT, _POINTER, _I64)
_SYNC = ctypes.CFUNCTYPE(_INT, _POINTER, _INT)


class _Vfs(ctypes.Structure):
    """struct sqlite3_vfs of version 3 (sqlite.org/c3ref/vfs.html)."""

    _fields_ = (
        ("version", _INT),
        ("file_size", _INT),
        ("path_max", _INT),
        ("next", _POINTER),
        ("name", _TEXT),
        ("data", _POINTER),
        ("open", _OPEN),
        ("delete", _DELETE),
        ("others", _POINTER * 14),
    )


class _Methods(ctypes.Structure):
    """struct sqlite3_io_methods of version 3 (sqlite.org/c3ref/io_methods.html)."""

    _fields_ = (
        ("version", _INT),
        ("close", _POINTER),
        ("read", _POINTER),
        ("write", _WRITE),
        ("truncate", _TRUNCATE),
        ("sync", _SYNC),
        ("others", _POINTER * 13),
    )


def sqlite_library() -> ctypes.CDLL:
    """The library that the sqlite3 module itself uses; symbols are looked for in what the module is linked with, too."""
    return ctypes.CDLL(getattr(_sqlite3, "__file__", None))


def is_available() -> bool:
    """False where an interpreter carries SQLite inside and shows nothing of it."""
    return hasattr(sqlite_library(), "sqlite3_vfs_register")


class Recorder:
    """Made once in a process, before the first connection; `operations` grows from then on."""

    def __init__(self, directory: Path) -> None:
        self.operations: list[tuple[Any, ...]] = []
        self._directory = f"{directory}/"
        self._inodes: dict[int, int] = {}
        """Address of SQLite's file object to the number of the file that it has open."""
        self._names: dict[str, int] = {}
        self._made = 0
        self._kept: list[Any] = []
        self._tables: dict[int, _Methods] = {}
        self._register()
        self._watch_os()

    def mark(self, what: object) -> None:
        self.operations.append(("mark", what))

    def _register(self) -> None:
        library = sqlite_library()
        library.sqlite3_vfs_find.restype = _POINTER
        library.sqlite3_vfs_find.argtypes = [_TEXT]
        library.sqlite3_vfs_register.argtypes = [_POINTER, _INT]
        sqlite3.connect(":memory:").close()
        self._original_address = library.sqlite3_vfs_find(None)
        self._original = _Vfs.from_address(self._original_address)
        vfs = _Vfs.from_buffer_copy(self._original)
        vfs.name = b"recording"
        vfs.open, vfs.delete = _OPEN(self._open), _DELETE(self._delete)
        self._kept += [vfs]
        library.sqlite3_vfs_register(ctypes.addressof(vfs), 1)

    def _watch_os(self) -> None:
        rename, unlink, fsync = os.rename, os.unlink, os.fsync

        def watched_rename(source: Any, target: Any, **words: Any) -> None:
            rename(source, target, **words)
            self._renamed(os.fspath(source), os.fspath(target))

        def watched_unlink(path: Any, **words: Any) -> None:
            unlink(path, **words)
            self._unlinked(os.fspath(path))

        def watched_fsync(descriptor: int) -> None:
            fsync(descriptor)
            if os.path.isdir(f"/proc/self/fd/{descriptor}"):  # noqa: PTH112 - a descriptor, no path of ours
                self.operations.append(("dirsync",))

        os.rename, os.unlink, os.fsync = watched_rename, watched_unlink, watched_fsync  # type: ignore[assignment]

    # -- whole files

    def _open(self, _vfs: int, name: int | None, file: int, flags: int, out_flags: int | None) -> int:
        code: int = self._original.open(self._original_address, name, file, flags, out_flags)
        path = ctypes.string_at(name).decode() if name else ""
        if code == _OK and path.startswith(self._directory):
            if path not in self._names:
                self._made += 1
                self._names[path] = self._made
                self.operations.append(("create", self._made, path.removeprefix(self._directory)))
            self._inodes[file] = self._names[path]
            slot = ctypes.c_void_p.from_address(file)
            slot.value = ctypes.addressof(self._table(slot.value or 0))
        return code

    def _table(self, address: int) -> _Methods:
        if address not in self._tables:
            original = _Methods.from_address(address)
            table = _Methods.from_buffer_copy(original)

            def write(file: int, data: int, size: int, offset: int) -> int:
                self.operations.append(("write", self._inodes[file], offset, ctypes.string_at(data, size)))
                return int(original.write(file, data, size, offset))

            def truncate(file: int, size: int) -> int:
                self.operations.append(("truncate", self._inodes[file], size))
                return int(original.truncate(file, size))

            def sync(file: int, flags: int) -> int:
                code = int(original.sync(file, flags))
                self.operations.append(("sync", self._inodes[file]))
                return code

            table.write, table.truncate, table.sync = _WRITE(write), _TRUNCATE(truncate), _SYNC(sync)
            self._tables[address] = table
        return self._tables[address]

    def _delete(self, _vfs: int, name: int, sync_directory: int) -> int:
        code: int = self._original.delete(self._original_address, name, sync_directory)
        if code == _OK:
            self._unlinked(ctypes.string_at(name).decode())
            if sync_directory:
                self.operations.append(("dirsync",))
        return code

    def _unlinked(self, path: str) -> None:
        if self._names.pop(path, None):
            self.operations.append(("unlink", path.removeprefix(self._directory)))

    def _renamed(self, source: str, target: str) -> None:
        inode = self._names.pop(source, None)
        if inode:
            self._names[target] = inode
            self.operations.append(("rename", source.removeprefix(self._directory), target.removeprefix(self._directory)))
