"""A real project's migrations, where they are at hand: up as the server takes them whole, and down as far as they go.

Two of its downs fail, in whatever way they are sent: one makes two indexes whose names are taken, the other an index on
a text without a length, which MySQL alone minds. A rollback that meets them says so, loses nothing, and goes on
from there once they are corrected.
"""

import re
from typing import Any

import pymysql
from pymysql.constants import CLIENT

from engines.mysql.words import done, journal, keys, tables
from lockstep.api.reasons import Reason
from lockstep.engines.mysql.lexer import split
from lockstep.planning.checksum import checksum
from lockstep.planning.wire import OrderedMigration, Policy
from servers.corpora import NEEDED, load
from servers.mariadb import APP, PASSWORD, MariaDatabase
from servers.runner import Pod, migration, order

FREE = Policy(rollback="Allow")
EMPTY = 1065
"""What the server says of the end of a text that ends in a comment."""

pytestmark = NEEDED


def whole(database: MariaDatabase, text: str) -> None:
    """Have the server itself cut a text into statements."""
    arguments: dict[str, Any] = {"host": "127.0.0.1", "port": database.server.port, "user": APP, "password": PASSWORD}
    with pymysql.connect(**arguments, database=database.name, client_flag=CLIENT.MULTI_STATEMENTS) as connection:
        with connection.cursor() as cursor:
            try:
                cursor.execute(text)
                while cursor.nextset():
                    pass
            except pymysql.err.Error as error:
                if error.args[0] != EMPTY:
                    raise
        connection.commit()


def catalog(database: MariaDatabase) -> dict[str, str]:
    """Return the definition of every table and routine, as the server shows it."""
    found = {}
    for name in sorted(tables(database)):
        [row] = database.query(f"SHOW CREATE TABLE `{name}`")
        found[name] = str(row[1])
    routines = (
        "SELECT ROUTINE_NAME, ROUTINE_DEFINITION FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = DATABASE()"
    )
    for routine, body in database.query(routines):
        found[f"routine {routine}"] = str(body)
    return found


def test_up_gives_what_the_server_makes_of_the_whole_text(database: MariaDatabase, pod: Pod) -> None:
    wanted = load("authelia/mysql")
    assert done(pod.run(order(*wanted), keys(database))).result.applied == len(wanted)
    theirs = database.server.database()
    for each in wanted:
        whole(theirs, each.up or "")
    assert catalog(database) == catalog(theirs)
    database.server.drop(theirs)


def corrected(each: OrderedMigration, number: int) -> OrderedMigration:
    """Return a migration with one statement of its down taken out."""
    text = each.down or ""
    part = list(split(text))[number - 1]
    return migration(each.version, each.up or "", f"{text[: part.start]}DO 0{text[part.end :]}", name=each.name)


def test_down_fails_truthfully_and_goes_on_once_it_is_corrected(database: MariaDatabase, pod: Pod) -> None:
    wanted = load("authelia/mysql")
    done(pod.run(order(*wanted), keys(database)))
    wrong = []
    for _ in range(5):
        ended = pod.run(order(*wanted, target="base", policy=FREE), keys(database))
        if ended.code == 0:
            break
        assert ended.result.reason is Reason.STATEMENT_FAILED, ended.text[-3000:]
        error = ended.result.error
        assert error is not None
        assert error.statement is not None
        assert {step for step, _, _ in journal(database)} == {error.version.lstrip("0")} if error.version else set()
        wrong.append((error.version, re.findall(r"error ([0-9]+)", ended.result.message)[0]))
        wanted = [corrected(each, error.statement) if each.version == error.version else each for each in wanted]
    mysql = "MariaDB" not in str(database.query("SELECT VERSION()"))
    assert wrong == [*([("0012", "1170")] if mysql else []), ("0007", "1061"), ("0007", "1061")]
    assert ended.result.version == "base"
    assert catalog(database) == {}
    assert journal(database) == []
    assert all(checksum(each.up or "") == each.up_checksum for each in wanted)
