"""The runner on MariaDB or MySQL against a PyMySQL loop of the same statements: `python tests/bench/bench_mysql.py`.

The loop sends one statement after the other, in autocommit, and keeps no record. Rounds are interleaved, each on an
empty database; the figure is the median of the rounds' ratios. `--trace` says what a run sends and how long it takes.
"""

import argparse
import io
import json
import os
import re
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

import pymysql

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.far import far_away
from lockstep.engines import load
from lockstep.engines.base import Files, Identity, Target, Task
from lockstep.engines.control import Control
from lockstep.engines.mysql import channel
from lockstep.engines.mysql.connect import Driver
from lockstep.engines.mysql.lexer import split
from lockstep.planning.wire import OrderedMigration
from lockstep.runner.flow import Run
from lockstep.runner.report import Report
from servers.mariadb import Mariadb
from servers.mysql import Mysql
from servers.runner import migration, numbered, order

ROUND_TRIP: Final = 0.001
_OBJECT: Final = re.compile(r"[`'(]?(?<!lockstep_)\b(?:t\d+|i\d+|'[^']*'|\d+)\b[`')]?")
_HEAD: Final = 60

Params = dict[str, str]
Way = Callable[[Params, Sequence[OrderedMigration]], float]


def one_large(count: int) -> list[OrderedMigration]:
    """Return one migration of as many tables, each made, altered and indexed."""
    numbers = range(1, count + 1)
    return [
        migration(
            "1",
            ";\n".join(
                [
                    *(f"CREATE TABLE t{n} (id bigint PRIMARY KEY, name varchar(100))" for n in numbers),
                    *(f"ALTER TABLE t{n} ADD COLUMN added int" for n in numbers),
                    *(f"CREATE INDEX i{n} ON t{n} (name)" for n in numbers),
                ]
            ),
        )
    ]


def bare(params: Params, migrations: Sequence[OrderedMigration]) -> float:
    """The loop that everything is measured by."""
    texts = [each.up or "" for each in migrations]
    statements = [text[part.start : part.end] for text in texts for part in split(text)]
    began = time.perf_counter()
    with _connect(params) as connection, connection.cursor() as cursor:
        for sql in statements:
            cursor.execute(sql)
    return time.perf_counter() - began


def _connect(params: Params) -> "pymysql.Connection[Any]":
    # That of the runner reads no CAs where it verifies nobody.
    return Driver(
        host=params["host"],
        port=int(params["port"]),
        user=params["user"],
        password=params["password"],
        database=params["database"],
        autocommit=True,
    )


def in_process(params: Params, migrations: Sequence[OrderedMigration]) -> float:
    """The run without the start of a process: connect, checks, lock, ledger, plan, all steps."""
    wanted = order(*migrations)
    task = Task(wanted, Target("mysql", params), Files(), Identity("bench", "bench", 1, wanted.owner))
    engine = load("mysql")
    began = time.perf_counter()
    with closing(Control(3600)) as control:
        result = Run(task, engine, control, Report(os.devnull, io.StringIO())).run()
    took = time.perf_counter() - began
    assert result.applied == len(migrations), result
    return took


@contextmanager
def traced() -> Iterator[dict[str, list[float]]]:
    """Note each text that is sent meanwhile, by its kind, and how long its answer took."""
    took: dict[str, list[float]] = defaultdict(list)
    plain, told = pymysql.connections.Connection.query, channel._tell

    def query(self: "pymysql.Connection[Any]", sql: Any, unbuffered: bool = False) -> int:
        text = sql.decode(errors="replace") if isinstance(sql, bytes) else str(sql)
        began = time.perf_counter()
        try:
            return plain(self, sql, unbuffered)
        finally:
            kind = " ".join(_OBJECT.sub("_", text[: 4 * _HEAD]).split())[:_HEAD]
            took[kind].append(time.perf_counter() - began)

    def tell(raw: Any, word: bytes) -> None:
        began = time.perf_counter()
        told(raw, word)
        took["COM_SET_OPTION"].append(time.perf_counter() - began)

    pymysql.connections.Connection.query = query  # type: ignore[method-assign]
    channel._tell = tell
    try:
        yield took
    finally:
        pymysql.connections.Connection.query = plain  # type: ignore[method-assign]
        channel._tell = told


def trace(server: Mariadb, migrations: Sequence[OrderedMigration]) -> None:
    """Print what a run sends."""
    database = server.database()
    with traced() as took:
        wall = in_process(database.params, migrations)
    server.drop(database)
    sent, waited = sum(map(len, took.values())), sum(map(sum, took.values()))
    print(f"{sent} round trips, {waited:.3f} s of {wall:.3f} s in them")
    for kind, each in sorted(took.items(), key=lambda pair: -sum(pair[1]))[:25]:
        print(f"{len(each):>7}{sum(each):>9.3f} s{1e6 * statistics.median(each):>9.0f} us  {kind}")


def compare(
    name: str, server: Mariadb, port: int, migrations: Sequence[OrderedMigration], rounds: int
) -> dict[str, object]:
    """Run both ways in turn, each on an empty database; print and return the figures."""
    ways: dict[str, Way] = {"bare loop": bare, "in process": in_process}
    took: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, run in ways.items():
            database = server.database()
            took[way].append(run(database.params | {"port": str(port)}, migrations))
            server.drop(database)
    ratios = [mine / base for mine, base in zip(took["in process"], took["bare loop"], strict=True)]
    walls = {way: statistics.median(each) for way, each in took.items()}
    words = "".join(f"{wall:>9.3f} s" for wall in walls.values())
    print(f"{name:<44}{words}{statistics.median(ratios):>8.2f}  ({min(ratios):.2f} to {max(ratios):.2f})", flush=True)
    return {"walls": walls, "ratios": ratios}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--server", choices=["mariadb", "mysql"], default="mariadb")
    parser.add_argument("--trace", action="store_true")
    parser.add_argument("--json", type=Path)
    wanted = parser.parse_args()
    cases = {
        f"{3 * wanted.count} statements in one": one_large(wanted.count),
        f"{wanted.count} migrations of one": numbered(wanted.count),
    }
    found: dict[str, object] = {"server": wanted.server, "rounds": wanted.rounds}
    kind = Mysql if wanted.server == "mysql" else Mariadb
    with kind() as server, far_away(server.port, ROUND_TRIP) as far:
        if wanted.trace:
            for name, migrations in cases.items():
                print(f"\n{name}")
                trace(server, migrations)
            return
        print(f"{wanted.server}, {wanted.rounds} interleaved rounds, medians; ratio to the bare loop\n")
        for name, migrations in cases.items():
            near = f"{name}, loopback"
            found[near] = compare(near, server, server.port, migrations, wanted.rounds)
        for name, migrations in cases.items():
            away = f"{name}, 1 ms"
            found[away] = compare(away, server, far, migrations, wanted.rounds)
        # As a server has it that loses nothing when it crashes.
        server.admin("SET GLOBAL innodb_flush_log_at_trx_commit = 1")
        for name, migrations in cases.items():
            durable = f"{name}, each commit durable"
            found[durable] = compare(durable, server, server.port, migrations, wanted.rounds)
    if wanted.json is not None:
        wanted.json.write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
