"""A Secret's words turned into the place of a file. Pure."""

import re
from typing import Final

from lockstep.engines.base import SecretWords
from lockstep.engines.urls import UnreadableError, decode, no_zero, reading, unknown_key

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
_HOST: Final = re.compile(r"//[^/]")
_RELATIVE: Final = "the path is not absolute, and the pod's working directory is nobody's"
_FORM: Final = "sqlite:////path/to/file.db, with ?mode=rwc where a file that is not there shall be made"


def parse(words: SecretWords, secret: str) -> dict[str, str]:
    """Return `path`, which is absolute, and `mode`, one of MODES.

    Raises:
        RunError: InvalidURL.
    """
    if words.url is None:
        with reading("place of a SQLite file", secret, _FORM):
            return {"path": _path(words.parts.get("path") or words.parts.get("dbname", "")), "mode": "rw"}
    with reading("URL of a SQLite file", secret, _FORM):
        return _parse(words.url)


def _parse(url: str) -> dict[str, str]:
    found = _SCHEME.match(url)
    if found is None and not url.startswith("/"):
        raise UnreadableError("it begins neither with sqlite: nor with file:")
    rest = url if found is None else url[found.end() :]
    rest = rest.partition("#")[0] if found is not None else rest
    body, _, query = rest.partition("?")
    if _HOST.match(body):
        # Behind two slashes a URL has a host.
        raise UnreadableError(_RELATIVE)
    return {"path": _path(decode(body)), "mode": _mode(query)}


def _path(text: str) -> str:
    if no_zero(text).strip("/") in {"", ":memory:"}:
        raise UnreadableError("it names no file, and what is in memory is gone when the run ends")
    # sqlite:///path is relative for some tools and absolute for others: in a pod only the latter makes sense.
    if not text.startswith("/"):
        raise UnreadableError(_RELATIVE)
    return _OPEN.sub("/", text)


def _mode(query: str) -> str:
    mode = "rw"
    for pair in filter(None, query.split("&")):
        key, _, value = pair.partition("=")
        if key == "mode":
            if value not in MODES:
                raise UnreadableError(f"mode must be one of {', '.join(MODES)}")
            mode = value
        elif key not in IGNORED:
            raise unknown_key(key, query, "SQLite's")
    return mode
