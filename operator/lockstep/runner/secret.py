"""Which keys of a Secret say where the database is. Pure; values are never repeated, names of keys are."""

from collections.abc import Mapping, Sequence
from typing import Final

from lockstep.api.reasons import Reason
from lockstep.engines import ENGINES, FOREIGN, SCHEMES, engine_of
from lockstep.engines.base import RunError, SecretWords
from lockstep.planning.wire import DatabaseOrder

URL_KEYS: Final = ("uri", "url", "DATABASE_URL")
PART_KEYS: Final = {
    "host": ("host",),
    "port": ("port",),
    "dbname": ("dbname", "database"),
    "user": ("user", "username"),
    "password": ("password",),
    "sslmode": ("sslmode",),
    "path": ("path", "file"),
}
NEEDED: Final[Mapping[str, tuple[str, ...]]] = {
    "postgresql": ("host", "user"),
    "sqlite": ("path|dbname",),
    "mysql": ("host", "user", "dbname"),
    "mariadb": ("host", "user", "dbname"),
}
"""Parts that an engine cannot do without; `|` stands between those of which one is enough."""
RELATED: Final = (frozenset({"mysql", "mariadb"}),)
"""Engines of which one takes the URLs of the other."""


def read_secret(values: Mapping[str, str], database: DatabaseOrder) -> tuple[str, SecretWords]:
    """Return the engine's name and what the Secret says.

    Raises:
        RunError: SecretNotFound, SecretKeyNotFound or EngineNotSupported.
    """
    if database.engine is not None and database.engine not in ENGINES:
        raise _unsupported(database.engine)
    if not values:
        raise RunError(
            Reason.SECRET_NOT_FOUND,
            f"there is no Secret {database.secret!r} in this namespace, or it is empty: create it, or correct "
            "database.secretRef",
        )
    has = ", ".join(sorted(values))[:300]
    if database.key is not None:
        if database.key not in values:
            raise RunError(
                Reason.SECRET_KEY_NOT_FOUND, f"Secret {database.secret!r} has no key {database.key!r}; it has: {has}"
            )
        return _of_url(values[database.key], database)
    for key in URL_KEYS:
        if values.get(key):
            return _of_url(values[key], database)
    parts = {
        part: value
        for part, keys in PART_KEYS.items()
        if (value := next((values[k] for k in keys if values.get(k)), ""))
    }
    # A Service Binding says what kind of database it is.
    kind = values.get("type", "").lower()
    if database.engine is None and kind in FOREIGN and kind not in SCHEMES:
        raise _unsupported(kind)
    engine = database.engine or SCHEMES.get(kind, "postgresql")
    missing = [part for part in NEEDED[engine] if not any(each in parts for each in part.split("|"))]
    if missing:
        raise RunError(
            Reason.SECRET_KEY_NOT_FOUND,
            f"Secret {database.secret!r} has neither {' nor '.join(URL_KEYS)}, and no {_words(missing)}; it has: {has}",
        )
    return engine, SecretWords(parts=parts)


def _words(missing: Sequence[str]) -> str:
    """Return the parts that are missing, each by all keys that it may have."""
    return " and no ".join(" or ".join(key for each in part.split("|") for key in PART_KEYS[each]) for part in missing)


def _of_url(url: str, database: DatabaseOrder) -> tuple[str, SecretWords]:
    said = engine_of(url)
    if said is not None and database.engine not in {None, said} and {said, database.engine} not in RELATED:
        raise RunError(
            Reason.INVALID_URL,
            f"database.engine is {database.engine}, but the URL in Secret {database.secret!r} is one of {said}: "
            "correct one of them",
        )
    # Keywords (host=... user=...) are PostgreSQL's own; its parser also tells apart what is nobody's.
    return database.engine or said or "postgresql", SecretWords(url=url.strip())


def _unsupported(name: str) -> RunError:
    known = ", ".join(ENGINES)
    return RunError(
        Reason.ENGINE_NOT_SUPPORTED, f"{name!r} is no engine that Lockstep supports yet; it supports: {known}"
    )
