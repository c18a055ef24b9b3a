"""A Secret's words turned into the place of a file by our own parser. Pure.

No message repeats any part of what was read, except the name of a query key.
"""

import re
from typing import Final
from urllib.parse import unquote_to_bytes

from lockstep.api.reasons import Reason
from lockstep.engines.base import RunError, SecretWords

MODES: Final = ("rw", "rwc", "ro")
"""What `mode` in a query may say; rwc makes a file that is not there."""
IGNORED: Final = frozenset(
    {
        "cache",
        "timeout",
        "uri",
        "check_same_thread",
        "isolation_level",
        "busy_timeout",
        "foreign_keys",
        "journal_mode",
        "synchronous",
        "_busy_timeout",
        "_timeout",
        "_fk",
        "_foreign_keys",
        "_journal",
        "_journal_mode",
        "_loc",
        "_pragma",
        "_sync",
        "_synchronous",
        "_txlock",
    }
)
"""Query keys that say what an application's own session shall be like; a run's is as Lockstep needs it."""

_SCHEME: Final = re.compile(r"(?:jdbc:)?(?:sqlite3?|file)(?:\+[a-z0-9_]+)?:", re.IGNORECASE)
_OPEN: Final = re.compile(r"/+")
_KEY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,40}")
_HOST: Final = re.compile(r"//[^/]")
_RELATIVE: Final = "the path is not absolute, and the pod's working directory is nobody's"
_HINT: Final = "write sqlite:////path/to/file.db, with ?mode=rwc where a file that is not there shall be made"


class _UnreadableError(Exception):
    """The URL makes no sense; the message names nothing of it."""


def parse(words: SecretWords, secret: str) -> dict[str, str]:
    """Return `path`, which is absolute, and `mode`, one of MODES.

    Raises:
        RunError: InvalidURL.
    """
    try:
        if words.url is None:
            return {"path": _path(words.parts.get("path") or words.parts.get("dbname", "")), "mode": "rw"}
        return _parse(words.url)
    except _UnreadableError as error:
        raise RunError(
            Reason.INVALID_URL, f"the URL in Secret {secret!r} is none of a SQLite file: {error}; {_HINT}"
        ) from None


def _parse(url: str) -> dict[str, str]:
    found = _SCHEME.match(url)
    if found is None and not url.startswith("/"):
        raise _UnreadableError("it begins neither with sqlite: nor with file:")
    rest = url if found is None else url[found.end() :]
    rest = rest.partition("#")[0] if found is not None else rest
    body, _, query = rest.partition("?")
    if _HOST.match(body):
        # Behind two slashes a URL has a host.
        raise _UnreadableError(_RELATIVE)
    return {"path": _path(_decode(body)), "mode": _mode(query)}


def _path(text: str) -> str:
    if "\x00" in text:
        raise _UnreadableError("it holds a zero byte")
    if text.strip("/") in {"", ":memory:"}:
        raise _UnreadableError("it names no file, and what is in memory is gone when the run ends")
    # sqlite:///path is relative for some tools and absolute for others: in a pod only the latter makes sense.
    if not text.startswith("/"):
        raise _UnreadableError(_RELATIVE)
    return _OPEN.sub("/", text)


def _mode(query: str) -> str:
    mode = "rw"
    for pair in filter(None, query.split("&")):
        key, _, value = pair.partition("=")
        if key == "mode":
            if value not in MODES:
                raise _UnreadableError(f"mode must be one of {', '.join(MODES)}")
            mode = value
        elif key not in IGNORED:
            what = f"its query has the unknown key {key!r}" if _KEY.fullmatch(key) else "its query has an unknown key"
            raise _UnreadableError(what)
    return mode


def _decode(text: str) -> str:
    try:
        return unquote_to_bytes(text.encode("utf-8", "surrogateescape")).decode()
    except UnicodeDecodeError:
        raise _UnreadableError("its path is not UTF-8") from None
