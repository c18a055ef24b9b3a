"""What the server says of itself, and whether Lockstep can work on it."""

import re
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from lockstep.api.reasons import Reason
from lockstep.engines.base import RunError
from lockstep.engines.mysql.channel import Channel, handshake_id

OLDEST: Final = {"MySQL": (8, 0), "MariaDB": (10, 11)}
_NUMBERS: Final = re.compile(r"(\d+)\.(\d+)\.(\d+)")
_RELATIVES: Final = ("TiDB", "Vitess", "OceanBase", "Doris", "StarRocks", "SingleStore", "MemSQL", "Clickhouse")
_VARIABLES: Final = (
    "read_only",
    "super_read_only",
    "innodb_read_only",
    "transaction_read_only",
    "tx_read_only",
    "wsrep_on",
    "max_allowed_packet",
    "lower_case_table_names",
    "log_bin",
    "binlog_format",
)


class Server(Struct, frozen=True):
    """One server, as it was when the session began."""

    kind: str
    """MySQL or MariaDB."""
    version: tuple[int, int, int]
    database: str
    """The database of the session, as the server names it."""
    connection: int
    """The session's id on the server."""
    handshake: int
    """The id that the client was told when it connected: another one where a proxy is in between."""
    packet: int
    """Bytes of the longest statement that the server takes."""
    read_only: str | None = None
    """Which of its settings forbids writes."""
    galera: bool = False
    """Whether it is a node of a Galera cluster."""
    row_log: bool = True
    """Whether its log of changes, if it has one, takes rows: not only statements."""

    @property
    def maria(self) -> bool:
        """Whether it is MariaDB."""
        return self.kind == "MariaDB"


def version_of(text: str) -> tuple[str, tuple[int, int, int]]:
    """Return kind and version of what VERSION() says. Pure.

    Raises:
        RunError: EngineNotSupported.
    """
    relative = next((each for each in _RELATIVES if each.lower() in text.lower()), None)
    # MariaDB 10 says `5.5.5-10.11.6-MariaDB` to old clients.
    found = _NUMBERS.search(text.removeprefix("5.5.5-"))
    if relative is not None or found is None:
        raise RunError(Reason.ENGINE_NOT_SUPPORTED, f"the server is {relative or 'neither'}, neither MySQL nor MariaDB")
    kind = "MariaDB" if "mariadb" in text.lower() else "MySQL"
    version = (int(found[1]), int(found[2]), int(found[3]))
    if version[:2] < OLDEST[kind]:
        oldest = ".".join(map(str, OLDEST[kind]))
        raise RunError(
            Reason.ENGINE_NOT_SUPPORTED, f"the server is {kind} {version[0]}.{version[1]}; {oldest} is the oldest"
        )
    return kind, version


NO_LIMITS: Final = {"sql_select_limit": str(2**64 - 1), "sql_big_selects": "1"}
"""What lets a session read all rows; DEFAULT is whatever the server has been told."""


def read_server(channel: Channel) -> Server:
    """Ask the server what it is.

    Raises:
        RunError: EngineNotSupported.
    """
    # Several values at once: proxies answer `SELECT CONNECTION_ID()` themselves.
    [(version, connection, database, *limits)] = channel.query(
        "SELECT VERSION(), CONNECTION_ID(), DATABASE(), @@SESSION.sql_select_limit, @@SESSION.sql_big_selects"
    )
    kind, numbers = version_of(str(version))
    if [str(each) for each in limits] != list(NO_LIMITS.values()):
        # The server's own are some of SHOW too.
        channel.query(f"SET {', '.join(f'SESSION {name} = {value}' for name, value in NO_LIMITS.items())}")
    names = ", ".join(f"'{name}'" for name in _VARIABLES)
    found = {
        str(name).lower(): str(value)
        for name, value in channel.query(f"SHOW SESSION VARIABLES WHERE Variable_name IN ({names})")
    }
    return Server(
        kind,
        numbers,
        str(database),
        int(connection),
        handshake_id(channel.raw),
        int(found["max_allowed_packet"]),
        _read_only(found),
        found.get("wsrep_on", "OFF") == "ON",
        found.get("log_bin", "OFF") != "ON" or found.get("binlog_format", "ROW") != "STATEMENT",
    )


def _read_only(variables: Mapping[str, str]) -> str | None:
    names = ("read_only", "super_read_only", "innodb_read_only", "transaction_read_only", "tx_read_only")
    return next((name for name in names if variables.get(name, "OFF").upper() not in {"OFF", "0"}), None)


def check_server(server: Server, pooler: str) -> None:
    """See that this server takes writes, and that no proxy that was not announced is in between. Pure.

    Raises:
        RunError: PoolerDetected or ReadOnly.
    """
    if server.read_only is not None:
        raise RunError(
            Reason.READ_ONLY, f"the server takes no writes ({server.read_only} is on): the Secret must name the primary"
        )
    if server.handshake != server.connection and pooler != "Session":
        raise RunError(
            Reason.POOLER_DETECTED,
            f"a proxy is between Lockstep and {server.kind}, and the lock lives in a session: name the server itself "
            "in the Secret, or, if the proxy keeps a session a client, set database.pooler: Session",
        )


def check_pooler(channel: Channel, beside: Channel) -> None:
    """See that a proxy keeps this client's session, while a second client is in a transaction.

    Raises:
        RunError: PoolerDetected.
    """
    ask = "SELECT CONNECTION_ID(), 1"
    for _ in range(3):
        first = channel.query(ask)
        beside.query("START TRANSACTION")
        second = beside.query(ask)
        again = channel.query(ask)
        beside.query("ROLLBACK")
        if first != again or first == second:
            raise RunError(
                Reason.POOLER_DETECTED,
                "the proxy in between gives its sessions to one client after the other, and the lock lives in a "
                "session: let it keep a session a client, or name the server itself in the Secret",
            )
