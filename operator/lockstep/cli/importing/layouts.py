"""How other tools name their files: one table, and what a name says by it. Pure."""

import re
from enum import StrEnum
from typing import Final

from msgspec import Struct

from lockstep.api.names import VERSION_MAX_LENGTH


class Way(StrEnum):
    """What a file holds."""

    UP = "up"
    DOWN = "down"
    BASELINE = "baseline"
    """The way up of its version and of all before it, on a new database."""
    EITHER = "either"
    """Both ways with a comment between them, or the way up alone: its text says which."""


class Layout(Struct, frozen=True):
    """How files are named; groups: version, title, and `way` as _WAYS reads it."""

    example: str
    tools: str
    pattern: re.Pattern[str]
    place: str | None = None
    """The group by whose words its tools put the files in order, where they do not compare numbers."""


class Named(Struct, frozen=True):
    """What a file's name says of it."""

    file: str
    """Its path in the folder."""
    version: str | None
    """None: it has none and is repeatable."""
    title: str
    way: Way
    tools: str = ""
    """Whose files are named so."""
    place: str | None = None
    """What its tool compares as words; None: it compares the versions as numbers."""
    dialect: str | None = None
    """The engine that it is for alone, or another database; None: it does not say."""
    never: bool = False
    """Whether its tool would use no transaction."""


FLYWAY: Final = "Flyway"
DIESEL: Final = "Diesel, Hasura"
PRISMA: Final = "Prisma"

_NUMBER: Final = r"[0-9]{1,20}"
_VERSION: Final = rf"(?P<version>{_NUMBER}(?:\.{_NUMBER})*)"
# A dash before a digit may be a date's: `2026-08-01_x.sql` would be version 2026.
_TITLE: Final = r"(?:(?:[_.]|-(?![0-9]))(?P<title>[^/]*))?"
# Diesel takes any digits and dashes before the first underscore, whatever date they are.
_STAMP: Final = r"(?P<version>[0-9]+(?:-[0-9]+)*)"
_FITS: Final = re.compile(rf"{_NUMBER}(?:\.{_NUMBER})*")
# Flyway looks into all folders of a location.
_FOLDERS: Final = r"(?:[^/]+/)*"

LAYOUTS: Final = (
    Layout(
        "0003_add_email.up.sql, 0003_add_email.down.sql",
        "golang-migrate, sqlx, node-pg-migrate, pop",
        re.compile(rf"V?{_VERSION}{_TITLE}\.(?P<way>up|down)\.sql"),
    ),
    Layout(
        "V2.1__add_email.sql or V2_1__add_email.sql, U2.1__add_email.sql, B2.1__all.sql",
        FLYWAY,
        re.compile(rf"{_FOLDERS}(?P<way>[VUB])(?P<version>{_NUMBER}(?:[._]{_NUMBER})*)__(?P<title>[^/]*)\.sql"),
    ),
    Layout("R__views.sql", FLYWAY, re.compile(rf"{_FOLDERS}(?P<way>R)__(?P<title>[^/]+)\.sql")),
    Layout(
        "2026-08-01-120000_add_email/up.sql, 2026-08-01-120000_add_email/down.sql",
        DIESEL,
        re.compile(rf"{_STAMP}{_TITLE}/(?P<way>up|down)\.sql"),
        "version",
    ),
    Layout(
        "20260801120000_add_email/migration.sql",
        PRISMA,
        re.compile(rf"(?P<folder>{_STAMP}{_TITLE})/(?P<way>migration)\.sql"),
        "folder",
    ),
    Layout(
        "0003_add_email.sql or 0003.sql",
        "goose, sql-migrate, dbmate, tern, node-pg-migrate, Play, MyBatis, rambler; sqlx, Atlas, Drizzle; "
        "in two files: Postgrator, db-migrate, yoyo",
        re.compile(rf"{_VERSION}{_TITLE}\.sql"),
    ),
)
"""The first that fits a path counts."""

_WAYS: Final = {
    "up": Way.UP,
    "down": Way.DOWN,
    "V": Way.UP,
    "U": Way.DOWN,
    "B": Way.BASELINE,
    "R": Way.UP,
    "migration": Way.UP,
    None: Way.EITHER,
}
_NUMBERED: Final = re.compile(r"[VUB]?[0-9]|R__")

_DIALECTS: Final = {
    **dict.fromkeys(("postgresql", "postgres", "pgsql", "pg"), "postgresql"),
    **dict.fromkeys(("sqlite", "sqlite3"), "sqlite"),
    **{word: word for word in ("mysql", "mariadb")},
    **{word: word for word in ("cockroach", "cockroachdb", "crdb", "oracle", "mssql", "sqlserver", "h2", "hsqldb")},
    **{word: word for word in ("db2", "derby", "clickhouse", "spanner", "redshift", "snowflake")},
}
"""How files say which database they are for."""


def recognise(file: str) -> Named | None:
    """Return what the name of a file says; None: it is none of the layouts'.

    Args:
        file: its path in the folder, with `/`.
    """
    for layout in LAYOUTS:
        if (found := layout.pattern.fullmatch(file)) is None:
            continue
        groups = found.groupdict()
        version = groups.get("version")
        if version is not None:
            # Diesel leaves the dashes of its date out, to Flyway V2_1 is 2.1.
            version = groups["version"] = version.replace("-", "").replace("_", ".")
            if not _FITS.fullmatch(version) or len(version) > VERSION_MAX_LENGTH:
                return None
        title, dialect, never = _told(groups.get("title") or "")
        place = None if layout.place is None else groups[layout.place]
        return Named(file, version, title, _WAYS[groups.get("way")], layout.tools, place, dialect, never)
    return None


def _told(title: str) -> tuple[str, str | None, bool]:
    """Return a title without what pop writes behind it: which database it is for, and that it uses no transaction."""
    short = title.removesuffix(".autocommit")
    stem, dot, last = short.rpartition(".")
    dialect = _DIALECTS.get(last.lower()) if dot else None
    return short if dialect is None else stem, dialect, short != title


def is_sql(file: str) -> bool:
    """Tell whether a file says that it is SQL."""
    return file.lower().endswith(".sql")


def is_numbered(file: str) -> bool:
    """Tell whether a file is named as a migration is: one in a programming language, where it is no SQL."""
    return _NUMBERED.match(file.rpartition("/")[2]) is not None


def listed() -> str:
    """Return the layouts for people, one a line."""
    known = [*((layout.example, layout.tools) for layout in LAYOUTS), ("sqitch.plan, deploy/, revert/", "Sqitch")]
    return "\n".join(f"  {example} ({tools})" for example, tools in known)
