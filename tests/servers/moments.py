"""Inside of a runner that uses SQLite: each of its statements and of SQLite's system calls is a moment; at one it ends.

SQLite lets its system calls be replaced, which its own tests do too: they are counted here, and done. What the runner
leaves is what a kill -9 at that place leaves.
"""

import _sqlite3
import ctypes
import errno
import os
import signal
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any


class End(StrEnum):
    """What happens at the moment that is counted down to."""

    KILL = "kill -9 before it"
    KILL_WITHIN = "kill -9 when half of what is written has been"
    KILL_DONE = "kill -9 after it"
    FULL = "the next write finds no space on the disk"


_INT, _LONG, _SIZE, _POINTER = ctypes.c_int, ctypes.c_longlong, ctypes.c_size_t, ctypes.c_void_p
_CALLS: dict[bytes, tuple[Any, ...]] = {
    b"open": (_INT, ctypes.c_char_p, _INT, _INT),
    b"ftruncate": (_INT, _INT, _LONG),
    b"fcntl": (_INT, _INT, _INT, _POINTER),
    b"unlink": (_INT, ctypes.c_char_p),
    b"write": (ctypes.c_ssize_t, _INT, _POINTER, _SIZE),
    b"pwrite": (ctypes.c_ssize_t, _INT, _POINTER, _SIZE, _LONG),
    b"pwrite64": (ctypes.c_ssize_t, _INT, _POINTER, _SIZE, _LONG),
}
"""What may change a file, or lock it: the type of the result, then those of the arguments."""
_WRITES = (b"write", b"pwrite", b"pwrite64")


class _Vfs(ctypes.Structure):
    """struct sqlite3_vfs, to its third version."""


_SET = ctypes.CFUNCTYPE(_INT, ctypes.POINTER(_Vfs), ctypes.c_char_p, _POINTER)
_GET = ctypes.CFUNCTYPE(_POINTER, ctypes.POINTER(_Vfs), ctypes.c_char_p)
_Vfs._fields_ = [
    ("version", _INT),
    ("file_size", _INT),
    ("longest", _INT),
    ("next", _POINTER),
    ("name", ctypes.c_char_p),
    ("data", _POINTER),
    *((f"method{number}", _POINTER) for number in range(13)),
    ("set_system_call", _SET),
    ("get_system_call", _GET),
]


def can_be_counted() -> bool:
    """Tell whether this Python's SQLite can be reached: one that is linked into it cannot."""
    return hasattr(ctypes.CDLL(_sqlite3.__file__), "sqlite3_vfs_find")


@dataclass
class Moments:
    """Counts them, and ends the process, at the number `at`; 0: never."""

    at: int
    end: End
    report: Path
    """Where `told` writes."""
    count: int = 0
    struck: bool = False

    def __post_init__(self) -> None:
        self._full = False
        self._kept: list[object] = []

    def arm(self) -> None:
        """Stand before everything that this process does with SQLite from now on."""
        library = ctypes.CDLL(_sqlite3.__file__)
        find = library.sqlite3_vfs_find
        find.restype, find.argtypes = ctypes.POINTER(_Vfs), [ctypes.c_char_p]
        vfs = find(None)
        for name, types in _CALLS.items():
            # errno is what SQLite looks at afterwards: it must come through.
            kind = ctypes.CFUNCTYPE(*types, use_errno=True)
            if address := vfs.contents.get_system_call(vfs, name):
                counted = kind(self._counted(kind(address), writes=name in _WRITES))
                self._kept.append(counted)
                vfs.contents.set_system_call(vfs, name, ctypes.cast(counted, _POINTER))
        self._trace()

    def told(self) -> None:
        """Write down how many there were; called at the end of a process that comes to it."""
        self.report.write_text(f"{self.count} {int(self.struck)}")

    def _trace(self) -> None:
        connect = sqlite3.connect

        def traced(*words: Any, **more: Any) -> sqlite3.Connection:
            made: sqlite3.Connection = connect(*words, **more)
            made.set_trace_callback(self._statement)
            return made

        setattr(sqlite3, "connect", traced)  # noqa: B010 - its stub is overloaded

    def _statement(self, _: str) -> None:
        if self._next():
            self._die()

    def _next(self) -> bool:
        """Count; tell whether the process ends at this one."""
        self.count += 1
        if self.count != self.at:
            return False
        self._full = self.end is End.FULL
        return not self._full

    def _die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def _counted(self, call: Callable[..., int], *, writes: bool) -> Callable[..., int]:
        def counted(*words: Any) -> int:
            ends = self._next()
            if writes and self._full:
                self._full, self.struck = False, True
                ctypes.set_errno(errno.ENOSPC)
                return -1
            if ends and writes and self.end is End.KILL_WITHIN:
                call(*words[:2], words[2] // 2, *words[3:])
            elif ends and self.end is End.KILL_DONE:
                call(*words)
            if ends:
                self._die()
            return call(*words)

        return counted
