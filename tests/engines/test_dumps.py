r"""A database's own dump as the first migration, as docs/adopting.md says: what it makes, its dump shows again.

The dumps are those of the real tools, with what they write around SQL: pg_dump's settings, `\restrict` and COPY;
mariadb-dump's conditional comments, DELIMITER and the command at its head; SQLite's PRAGMA and transaction.
"""

import difflib
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from lockstep.api.reasons import Reason
from lockstep.planning.wire import DatabaseOrder
from servers.mariadb import PASSWORD, MariaDatabase, Mariadb, Mariadb11
from servers.postgres import Database, Postgres
from servers.process import run
from servers.runner import Pod, keys_of, migration, order

ODD = "a;b ''q'' \\ %s :x {{ x }} ${y} ü€"

POSTGRESQL = f"""
CREATE TYPE mood AS ENUM ('so;so', 'happy');
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TABLE users (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, mood mood, b bytea, d jsonb);
CREATE TABLE posts (id serial PRIMARY KEY, author int REFERENCES users ON DELETE CASCADE, stars positive);
CREATE INDEX ON users (lower(name)) WHERE mood = 'happy';
CREATE VIEW happy AS SELECT name FROM users WHERE mood = 'happy';
CREATE FUNCTION f(a int) RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT CASE WHEN a > 0 THEN a ELSE 0 END; END;
CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $_$ BEGIN NEW.name := NEW.name || ';'; RETURN NEW; END $_$;
INSERT INTO users (name, mood, b, d) VALUES ('{ODD}', 'happy', '\\x00ff', '{{"a": "\\\\."}}'),
  (E'a\\nb\\tc', NULL, '', NULL);
INSERT INTO posts (author, stars) VALUES (1, 5);
CREATE TRIGGER stamp BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION stamp();
COMMENT ON TABLE users IS 'it''s; all';
"""
MARIADB = f"""
CREATE TABLE users (id int AUTO_INCREMENT PRIMARY KEY, name varchar(50) NOT NULL COMMENT 'it''s; all', b blob, d json,
  twice int GENERATED ALWAYS AS (id * 2) VIRTUAL, KEY by_name (name));
CREATE TABLE posts (id int PRIMARY KEY, author int, FOREIGN KEY (author) REFERENCES users (id) ON DELETE CASCADE);
CREATE TABLE log (s text);
INSERT INTO users (name, b, d) VALUES ('{ODD}', x'00ff27', '{{"a":true}}'), ('a\\nb', NULL, NULL);
INSERT INTO posts VALUES (1, 1);
CREATE VIEW authors AS SELECT u.name FROM users u JOIN posts p ON p.author = u.id;
DELIMITER $$
CREATE TRIGGER tr AFTER INSERT ON posts FOR EACH ROW BEGIN INSERT INTO log VALUES ('x;'); END$$
CREATE PROCEDURE p(IN a int) BEGIN DECLARE i int DEFAULT 0; WHILE i < a DO SET i = i + 1; END WHILE; END$$
CREATE FUNCTION f(a int) RETURNS int DETERMINISTIC RETURN a + 1$$
CREATE EVENT ev ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01 00:00:00' DO BEGIN DELETE FROM log; END$$
DELIMITER ;
"""
SQLITE = f"""
CREATE TABLE users (id integer PRIMARY KEY AUTOINCREMENT, name text NOT NULL, b blob);
CREATE TABLE posts (id integer PRIMARY KEY, author int REFERENCES users);
INSERT INTO users (name, b) VALUES ('{ODD}', x'00ff'), ('a
b', NULL);
INSERT INTO posts VALUES (1, 1);
CREATE VIEW authors AS SELECT name FROM users;
CREATE TRIGGER tr AFTER INSERT ON posts BEGIN UPDATE users SET name = name || ';' WHERE id = NEW.author; END;
"""


def is_the_same(ours: str, theirs: str) -> None:
    found = list(difflib.unified_diff(theirs.splitlines(), ours.splitlines(), lineterm=""))
    assert not found, "\n".join(found)


def is_made(pod: Pod, secret: dict[str, str], text: str, engine: str) -> None:
    ended = pod.run(order(migration("1", text), database=DatabaseOrder("orders-db", engine=engine)), secret)
    assert (ended.code, ended.result.applied) == (0, 1), ended.text


def by_pg_dump(database: Database) -> str:
    server = database.server
    words = [server.client("pg_dump"), "--no-owner", "--exclude-schema=lockstep", f"--port={server.port}"]
    secret = {"PGPASSWORD": database.params["password"]}
    dump = run([*words, "--host=127.0.0.1", "--username=app", database.name], env=secret).stdout
    # That of a server that came without is of a newer one, and sets what only newer ones know.
    return dump if server.version >= 17 else dump.replace("SET transaction_timeout = 0;\n", "")


def test_pg_dump(any_server: Postgres, pod: Pod) -> None:
    source, copy = any_server.database(), any_server.database()
    is_made(pod, keys_of(source), POSTGRESQL, "postgresql")
    dump = by_pg_dump(source)
    # Older ones do not write it.
    without = re.sub(r"^\\(un)?restrict .*$", "", dump, flags=re.MULTILINE)
    if without != dump:
        ended = pod.run(order(migration("1", dump)), keys_of(copy))
        assert ended.result.reason is Reason.STATEMENT_REFUSED
        assert "delete that line and its partner" in ended.result.message
    is_made(pod, keys_of(copy), without, "postgresql")
    is_the_same(re.sub(r"^\\(un)?restrict .*$", "", by_pg_dump(copy), flags=re.MULTILINE), without)


def by_mariadb_dump(database: MariaDatabase) -> str:
    home = Mariadb11.home()
    if home is None:
        pytest.skip("there is no mariadb-dump on this machine")
    ledger = [f"--ignore-table={database.name}.{name}" for (name,) in database.query("SHOW TABLES LIKE 'lockstep%'")]
    words = [f"{home}/bin/mariadb-dump", "--no-defaults", "--host=127.0.0.1", f"--port={database.server.port}"]
    what = ["--skip-add-locks", "--hex-blob", "--routines", "--events", "--skip-comments", *ledger, database.name]
    # As whoever the cache belongs to.
    return run([*words, "--user=app", *what], {}, env={"MYSQL_PWD": PASSWORD}).stdout


@pytest.mark.parametrize("kind", ["mariadb", "mariadb11"])
def test_mariadb_dump(kind: str, request: pytest.FixtureRequest, pod: Pod) -> None:
    server: Mariadb = request.getfixturevalue(kind)
    source, copy = server.database(), server.database()
    is_made(pod, source.params, MARIADB, "mariadb")
    dump = by_mariadb_dump(source)
    assert "/*M!999999\\-" in dump, "this one does not begin as others do"
    is_made(pod, copy.params, dump, "mariadb")
    is_the_same(by_mariadb_dump(copy), dump)


def by_sqlite(path: Path) -> str:
    with closing(sqlite3.connect(path)) as connection:
        lines = [line for line in connection.iterdump() if "lockstep_" not in line]
    return "\n".join(lines)


def test_sqlite_dump(tmp_path: Path, pod: Pod) -> None:
    source, copy = tmp_path / "source", tmp_path / "copy"
    is_made(pod, {"url": f"sqlite:///{source}?mode=rwc"}, SQLITE, "sqlite")
    dump = by_sqlite(source)
    secret = {"url": f"sqlite:///{copy}?mode=rwc"}
    ended = pod.run(order(migration("1", dump), database=DatabaseOrder("orders-db", engine="sqlite")), secret)
    assert ended.result.reason is Reason.STATEMENT_REFUSED
    without = dump.replace("BEGIN TRANSACTION;\n", "").replace("COMMIT;", "")
    is_made(pod, secret, without, "sqlite")
    is_the_same(by_sqlite(copy), dump)
