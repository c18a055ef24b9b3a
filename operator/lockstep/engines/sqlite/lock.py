"""The lock of a run: a lock of the kernel on the database's own file, one byte for each line.

It belongs to the process that runs the SQL, is tried and never waited for, and is gone at once when the process ends,
however it ends. The bytes lie far behind those that SQLite itself locks, so that applications go on meanwhile. The
locks are those of an open file description: SQLite closes files of its own in this process, which would let go of
locks that belong to the process.
"""

import errno
import fcntl
import hashlib
import os
import struct
from typing import Final

from lockstep.api.reasons import Reason
from lockstep.engines.base import RunError

_FIRST: Final = 1 << 62
"""SQLite's own locks are at 1 GiB."""
_BITS: Final = 61
_FLOCK: Final = "hhqqi0q"
"""struct flock of Linux: type, whence, start, length, pid."""


def lock_byte(line: str) -> int:
    """Return the byte of the file that stands for a line."""
    digest = hashlib.sha256(f"lockstep\nline {line}".encode()).digest()
    return _FIRST + (int.from_bytes(digest[:8], "big") >> (64 - _BITS))


class FileLock:
    """The database's file, opened for its locks alone.

    It must be closed after SQLite's connection: closing any descriptor of a file takes SQLite's own locks on it away.
    """

    def __init__(self, path: str, flags: int) -> None:
        self._file = os.open(path, flags | os.O_CLOEXEC, 0o644)

    def try_line(self, line: str) -> bool:
        """Try for a line's lock.

        Raises:
            RunError: Unreachable, if the file system has no locks.
        """
        try:
            fcntl.fcntl(self._file, fcntl.F_OFD_SETLK, struct.pack(_FLOCK, fcntl.F_WRLCK, 0, lock_byte(line), 1, 0))
        except OSError as error:
            if error.errno in {errno.EAGAIN, errno.EACCES}:
                return False
            raise RunError(
                Reason.UNREACHABLE,
                f"the file system of the database has no locks ({errno.errorcode.get(error.errno or 0, '?')}): "
                "two runs could not be kept apart; put the file on another volume",
            ) from error
        return True

    def held(self, line: str) -> bool:
        """Tell whether another run holds a line's lock."""
        asked = struct.pack(_FLOCK, fcntl.F_WRLCK, 0, lock_byte(line), 1, 0)
        try:
            answer = fcntl.fcntl(self._file, fcntl.F_OFD_GETLK, asked)
        except OSError:
            # Whoever asks takes it for under way, and waits.
            return True
        return bool(struct.unpack(_FLOCK, answer)[0] != fcntl.F_UNLCK)

    def close(self) -> None:
        """Let go of the locks."""
        os.close(self._file)
