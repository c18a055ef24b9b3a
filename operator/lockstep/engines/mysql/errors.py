"""What the server's error numbers mean, and how much of its words may be repeated. Pure.

The driver gives a number and a text. The text of a failed connection is never repeated, since it names hosts, users
and databases. Of other texts what stands in quotes is repeated where it can only be a name; it may be a row's data
otherwise (`Duplicate entry 'ann@example.org' for key 'email'`).
"""

import re
import socket
import ssl
from typing import Final

from lockstep.api.reasons import Reason
from lockstep.engines.base import RunError

LOCK_WAIT: Final = 1205
DEADLOCK: Final = 1213
PASSING: Final = frozenset({LOCK_WAIT, DEADLOCK, 1637, 3572})
"""Lock wait timeout, deadlock (a certification failure of Galera's is one), too many transactions, NOWAIT."""
INTERRUPTED: Final = 1317
TIMED_OUT: Final = frozenset({1969, 3024})
"""MariaDB's max_statement_time and MySQL's max_execution_time."""
NO_SUCH_SAVEPOINT: Final = 1305
NO_VALUE: Final = 1048
"""A column that must have a value gets none."""
NOT_ROLLED_BACK: Final = 1196
"""Warning of a ROLLBACK: what was changed in tables without transactions stays."""
TOO_LARGE: Final = frozenset({1153, 1301, 3056})
SYNTAX: Final = 1064
NOT_BEGUN: Final = frozenset({SYNTAX, 1235})
"""A syntax error, and what this server does not support: the statement was read and not run."""
UNREAD: Final = frozenset(
    {SYNTAX, 1308, 1309, 1310, 1313, 1319, 1320, 1324, 1327, *range(1330, 1334), 1337, 1338, 1413}
)
"""What is said of a block while it is read: labels, variables, conditions and cursors that are not there, or twice."""
DENIED: Final = frozenset({1044, 1142, 1227})
"""The user lacks a right on a database, a table, or the server: asked before a definition is touched."""
NO_NAME: Final = frozenset({1059, 1102, 1103, 1300})
"""What stands for a name is none: too long, with a blank at its end, with characters that names do not have."""
NO_ACCOUNT: Final = 1470
"""A user's or host's name is too long."""
NO_TABLE: Final = frozenset({1049, 1146, 1505, 1735})
"""There is no such database, table or partition, or the table has no partitions."""
NO_PROCEDURE: Final = 1305
NO_RIGHT_TO_CALL: Final = 1370

IN_CLEAR: Final = 2061
"""The client's own number: authentication failed."""

LOST: Final = frozenset({0, 1053, 1077, 1079, 1080, 1152, 1158, 1159, 1160, 1161, 1927, 2006, 2013, 2014, 2055})
"""With these the session is gone: closed, killed, the server shut down, or the network broke."""
LOST_TOO: Final = frozenset({3169, 4031})
"""MySQL's: the session was killed, or was idle for too long."""

_CONNECT: Final = {
    1040: (Reason.UNREACHABLE, "the server has no connection left"),
    1042: (Reason.UNREACHABLE, "the server could not resolve this client's address"),
    1043: (Reason.UNREACHABLE, "the handshake failed: is this a MySQL or MariaDB server?"),
    1044: (Reason.AUTHENTICATION_FAILED, "the user may not use the database, or there is none of this name"),
    1045: (Reason.AUTHENTICATION_FAILED, "the server refused the password or the user"),
    1047: (Reason.UNREACHABLE, "the server is not ready (a node of a cluster that is not in sync)"),
    1049: (Reason.DATABASE_NOT_FOUND, "the server has no such database"),
    1053: (Reason.UNREACHABLE, "the server is shutting down"),
    1129: (Reason.UNREACHABLE, "the server has blocked this client's host after many failed connections"),
    1130: (Reason.AUTHENTICATION_FAILED, "the server does not allow this client's host"),
    1203: (Reason.UNREACHABLE, "the user has no connection left"),
    1226: (Reason.UNREACHABLE, "the user has used up a limit of the server"),
    1251: (Reason.AUTHENTICATION_FAILED, "the user's way to authenticate is not supported"),
    1275: (Reason.AUTHENTICATION_FAILED, "the user's password is stored in a form that is too old"),
    1524: (Reason.AUTHENTICATION_FAILED, "the user's way to authenticate is not loaded on the server"),
    1698: (Reason.AUTHENTICATION_FAILED, "the server refused the user"),
    1820: (Reason.AUTHENTICATION_FAILED, "the user's password has expired"),
    1862: (Reason.AUTHENTICATION_FAILED, "the user's password has expired"),
    2002: (Reason.UNREACHABLE, "there is no such socket, or nobody listens on it"),
    2003: (Reason.UNREACHABLE, "the server does not answer"),
    2005: (Reason.UNREACHABLE, "the host name does not resolve"),
    2006: (Reason.UNREACHABLE, "the connection was closed while it was made"),
    2013: (
        Reason.UNREACHABLE,
        "no MySQL server answers in time, or it closed the connection: are host, port and spec.database.engine right?",
    ),
    2026: (Reason.TLS_FAILED, "the server does not offer TLS, and it is asked for"),
    IN_CLEAR: (
        Reason.AUTHENTICATION_FAILED,
        "the server asks for the password as it is, over a connection without TLS: use TLS (spec.database.tls)",
    ),
    2059: (Reason.AUTHENTICATION_FAILED, "the user's way to authenticate is not supported"),
    3032: (Reason.UNREACHABLE, "the server is in offline mode"),
    3118: (Reason.AUTHENTICATION_FAILED, "the user is locked"),
    3159: (Reason.TLS_FAILED, "the server takes no connection without TLS"),
    4151: (Reason.AUTHENTICATION_FAILED, "the user is locked"),
}
_ED25519: Final = "ed25519"
_CERTIFICATE: Final = {
    10: "the server's certificate has expired",
    62: "the server's certificate is for another host name",
    64: "the server's certificate is for another address",
}

# The first kind that fits says it.
_CAUSES: Final = (
    (ssl.SSLError, Reason.TLS_FAILED, "the TLS handshake failed"),
    (socket.gaierror, Reason.UNREACHABLE, "the host name does not resolve"),
    (ConnectionRefusedError, Reason.UNREACHABLE, "the connection was refused: is the server up, and the port right?"),
    (TimeoutError, Reason.UNREACHABLE, "no answer in time: is a firewall or a NetworkPolicy in between?"),
    (OSError, Reason.UNREACHABLE, "the server cannot be reached"),
    # The driver needs one more library to encrypt a password itself.
    (
        RuntimeError,
        Reason.AUTHENTICATION_FAILED,
        "the server asks for the password over a connection without TLS: use TLS (spec.database.tls)",
    ),
)


def connect_error(error: BaseException, secret: str) -> RunError:
    """Return what a failure to connect means; nothing of the error's text is repeated."""
    reason, what = _classify(error)
    return RunError(reason, f"cannot connect with Secret {secret!r}: {what}")


def _classify(error: BaseException) -> tuple[Reason, str]:
    cause = getattr(error, "original_exception", None) or error
    if isinstance(cause, RuntimeError) and _ED25519 in str(cause):
        # The driver needs another library for this one.
        return _CONNECT[2059]
    if isinstance(cause, ssl.SSLCertVerificationError):
        code = getattr(cause, "verify_code", 0)
        return Reason.TLS_FAILED, _CERTIFICATE.get(code, "the server's certificate is not signed by the given CA")
    for kind, reason, what in _CAUSES:
        if isinstance(cause, kind):
            return reason, what
    return _CONNECT.get(
        number_of(error), (Reason.UNREACHABLE, "the connection failed for a reason that Lockstep does not know")
    )


def number_of(error: BaseException) -> int:
    """Return the number of a driver's error; 0 where it has none."""
    found = error.args[0] if error.args else 0
    return found if isinstance(found, int) else 0


def is_lost(number: int) -> bool:
    """Tell whether an error means that the session is gone."""
    return number in LOST or number in LOST_TOO


# Texts in which whatever is quoted is a name of the schema, or one of the server's own words.
_NAMES_ONLY: Final = frozenset(
    {1005, 1007, 1008, 1010, 1044, 1046, 1048, 1049, 1050, 1051, 1052, 1054, 1056, 1057, 1059, 1060, 1061, 1063, 1067}
    | {1068, 1069, 1070, 1071, 1072, 1073, 1074, 1075, 1082, 1089, 1090, 1091, 1101, 1102, 1103, 1104, 1109, 1110}
    | {1113, 1115, 1118, 1119, 1120, 1121, 1128, 1136, 1138, 1142, 1143, 1144, 1146, 1147, 1148, 1163, 1166, 1167}
    | {1168, 1170, 1171, 1173, 1176, 1193, 1205, 1213, 1214, 1215, 1216, 1217, 1221, 1222, 1227, 1228, 1230, 1232}
    | {1235, 1238, 1239, 1246, 1247, 1248, 1249, 1253, 1264, 1267, 1270, 1271, 1273, 1286, 1288, 1289, 1290, 1294}
    | {1302, 1303, 1304, 1305, 1306, 1307, 1308, 1309, 1310, 1313, 1314, 1317, 1318, 1319, 1320, 1321, 1322, 1323}
    | {1324, 1327, 1330, 1331, 1332, 1333, 1336, 1347, 1348, 1349, 1350, 1351, 1352, 1353, 1354, 1356, 1359, 1360}
    | {1362, 1363, 1364, 1370, 1390, 1393, 1394, 1395, 1396, 1406, 1407, 1408, 1410, 1412, 1414, 1415, 1416, 1418}
    | {1419, 1422, 1423, 1424, 1425, 1426, 1427, 1435, 1436, 1442, 1443, 1445, 1446, 1449, 1451, 1452, 1455, 1456}
    | {1463, 1464, 1471, 1475, 1478, 1481, 1482, 1486, 1488, 1491, 1492, 1493, 1495, 1496, 1497, 1499, 1500, 1503}
    | {1504, 1505, 1506, 1507, 1508, 1509, 1512, 1517, 1526, 1537, 1538, 1539, 1542, 1543, 1544, 1549, 1553, 1554}
    | {1558, 1562, 1563, 1564, 1566, 1571, 1577, 1580, 1582, 1583, 1584, 1585, 1604, 1615, 1630, 1638, 1641, 1642}
    | {1659, 1660, 1674, 1681, 1690, 1701, 1708, 1709, 1731, 1732, 1736, 1746, 1753, 1766, 1792, 1793, 1812, 1813}
    | {1814, 1815, 1816, 1817, 1818, 1821, 1822, 1823, 1824, 1825, 1826, 1827, 1828, 1829, 1830, 1831, 1832, 1833}
    | {1834, 1835, 1836, 1845, 1846, 1850, 1859, 1901, 1903, 1904, 1905, 1906, 1907, 1908, 1909, 1910, 1911, 1969}
    | {3024, 3072, 3098, 3100, 3105, 3106, 3107, 3108, 3109, 3152, 3161, 3174, 3572, 3722, 3723, 3730, 3750, 3756}
    | {3757, 3758, 3761, 3780, 3812, 3813, 3815, 3816, 3817, 3818, 3819, 3820, 3821, 3822, 3823, 3825, 3837, 3855}
    | {3881, 3940, 3959, 4025, 4028, 4029, 4030, 4031, 4085, 4092, 4120, 4121, 4124, 4125, 4126, 4127, 4161, 4165}
) - {1690}
_NEAR: Final = re.compile(r"near '(.*)' at line (\d+)", re.DOTALL)
# The data comes first, and after the last of these words only names.
_BEFORE_NAMES: Final = re.compile(r"\A([^'`]*).*( for (?:key|column|function) [^\n]{1,300})\Z", re.DOTALL)
_QUOTED: Final = re.compile(r"['\"`].*['\"`]", re.DOTALL)
_LITERALS: Final = re.compile(
    r"""
      `(?:[^`]|``)*`
    | (?:(?<![\w$`])[bBxXnN])?'(?:[^'\\]|\\.|'')*(?:'|\Z)
    | "(?:[^"\\]|\\.|"")*(?:"|\Z)
    | (?<![\w$`])\d[\w.]*
    | --[^\n]*
    | \#[^\n]*
    | /\*.*?(?:\*/|\Z)
    """,
    re.DOTALL | re.VERBOSE,
)


def mask_sql(sql: str, limit: int = 120) -> str:
    """Return SQL on one line with its literals and comments taken out: they may be anybody's data."""
    return " ".join(_LITERALS.sub(lambda found: found[0] if found[0].startswith("`") else "?", sql).split())[:limit]


def words_of(number: int, text: str) -> str:
    """Return the server's text without what may be a row's data, on one line."""
    if number in _NAMES_ONLY:
        made = text
    elif (near := _NEAR.search(text)) is not None:
        # The server repeats some of the statement, which may be full of values.
        made = f"syntax error near {mask_sql(near[1]) or 'its end'!r}, line {near[2]} of the statement"
    elif number == 1644:
        # What a SIGNAL says, its author has written.
        made = text
    elif (named := _BEFORE_NAMES.match(text)) is not None and "'" in text:
        made = f"{named[1]}?{named[2]}"
    else:
        made = _QUOTED.sub("?", text)
    return " ".join(made.split())[:400]


def line_in(text: str) -> int | None:
    """Return the line of the statement that a syntax error names, from 1."""
    near = _NEAR.search(text)
    return None if near is None else int(near[2])


_OWN: Final = (
    (
        frozenset({1044, 1142, 1143, 1211, 1227, 1370, 1410}),
        Reason.PERMISSION_DENIED,
        "the user lacks a right that the ledger needs ({}): it must be able to create tables in the database, and "
        "to read and write them",
    ),
    # MariaDB lets one connect whose password has expired, and then do nothing.
    (frozenset({1820, 1862}), Reason.AUTHENTICATION_FAILED, "the user's password has expired ({})"),
    (frozenset({1290, 1792, 1836, 3100}), Reason.READ_ONLY, "the database takes no writes ({})"),
    (PASSING, Reason.LOCK_HELD, "another session holds a lock on the ledger's tables ({})"),
    (
        frozenset({1021, 1030, 1037, 1038, 1040, 1041, 1047, 1114, 1180, 1203, 1226, 3032, INTERRUPTED, *TIMED_OUT}),
        Reason.UNREACHABLE,
        "the server cannot serve now ({})",
    ),
    (
        frozenset({1034, 1048, 1054, 1062, 1136, 1146, 1194, 1195, 1364, 1366, 1406, 1932}),
        Reason.LEDGER_INVALID,
        "the tables lockstep_... are not as Lockstep has made them ({})",
    ),
    (
        TOO_LARGE,
        Reason.STATEMENT_REFUSED,
        "a row of the ledger is larger than the server takes ({}): raise max_allowed_packet on the server",
    ),
)


def own_error(number: int, text: str) -> RunError:
    """Return what it means that one of Lockstep's own statements failed."""
    words = f"error {number}: {words_of(number, text)}"
    for numbers, reason, form in _OWN:
        if number in numbers:
            return RunError(reason, form.format(words))
    return RunError(Reason.RUNNER_FAILED, f"the ledger could not be used ({words})")
