"""The runner against a bare psycopg loop, as ratios in one run: `python tests/bench/bench_runner.py`.

The bare loop is BEGIN, the file, one insert, COMMIT for each migration. Rounds are interleaved, each on an empty
database, so that what else the machine does falls on both; the figure is the median of the rounds' ratios.
"""

import argparse
import io
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.compiled import compiled
from bench.far import far_away
from lockstep.engines import load
from lockstep.engines.base import Files, Identity, Target, Task
from lockstep.engines.control import Control
from lockstep.planning.wire import OrderedMigration
from lockstep.runner.flow import Run
from lockstep.runner.report import Report
from servers.postgres import APP, PASSWORD, Database, Postgres, binaries, scram
from servers.runner import Pod, migration, numbered, order

ROUND_TRIP = 0.001
"""Seconds of a way to a server that is far away, and back."""


@dataclass(frozen=True)
class Took:
    """One measurement."""

    wall: float
    cpu: float
    """Seconds of the client's CPU; the server's are not in it."""


def bare(params: dict[str, str], migrations: Sequence[OrderedMigration]) -> Took:
    """The loop that everything is measured by."""
    wall, cpu = time.perf_counter(), time.process_time()
    with closing(psycopg.connect(make_conninfo(**params), autocommit=True)) as connection:
        connection.execute("CREATE TABLE bare (version text PRIMARY KEY, at timestamptz DEFAULT now())")
        for each in migrations:
            connection.execute("BEGIN")
            connection.execute((each.up or "").encode())
            connection.execute("INSERT INTO bare (version) VALUES (%s)", (each.version,))
            connection.execute("COMMIT")
    return Took(time.perf_counter() - wall, time.process_time() - cpu)


def in_process(params: dict[str, str], migrations: Sequence[OrderedMigration]) -> Took:
    """The run without the start of a process: connect, checks, lock, ledger, plan, all steps."""
    wanted = order(*migrations)
    task = Task(wanted, Target("postgresql", params), Files(), Identity("bench", "bench", 1, wanted.owner))
    engine = load("postgresql")
    wall, cpu = time.perf_counter(), time.process_time()
    with closing(Control(3600)) as control:
        result = Run(task, engine, control, Report(os.devnull, io.StringIO())).run()
    took = Took(time.perf_counter() - wall, time.process_time() - cpu)
    assert result.applied == len(migrations), result
    return took


def whole(params: dict[str, str], migrations: Sequence[OrderedMigration]) -> Took:
    """The run as a pod has it: a process with its bundle, from start to exit."""
    with tempfile.TemporaryDirectory() as folder:
        pod = Pod(Path(folder))
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        wall = time.perf_counter()
        ended = pod.run(order(*migrations), params)
        took = time.perf_counter() - wall
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert ended.result.applied == len(migrations), ended.text
    return Took(took, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


Runner = Callable[[dict[str, str], Sequence[OrderedMigration]], Took]


def compare(
    server: Postgres, port: int, migrations: Sequence[OrderedMigration], rounds: int, ways: dict[str, Runner]
) -> dict[str, list[Took]]:
    """Run all ways in turn, each on an empty database."""
    took: dict[str, list[Took]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            database: Database = server.database()
            took[name].append(way(database.params | {"port": str(port)}, migrations))
            server.drop(database)
    return took


def report(name: str, took: dict[str, list[Took]]) -> dict[str, object]:
    """Print one line a way, and return the figures."""
    base = took["bare loop"]
    found: dict[str, object] = {}
    for way, each in took.items():
        ratios = [a.wall / b.wall for a, b in zip(each, base, strict=True)]
        wall = statistics.median(t.wall for t in each)
        cpu = statistics.median(t.cpu for t in each)
        ratio = statistics.median(ratios)
        print(f"{name:<32}{way:<14}{wall:>9.3f} s{cpu:>9.3f} s{ratio:>8.2f}  ({min(ratios):.2f} to {max(ratios):.2f})")
        found[way] = {"wall": wall, "cpu": cpu, "ratio": ratio, "ratios": ratios}
    return found


def start_up(server: Postgres, rounds: int) -> dict[str, object]:
    """CPU and time of a process that finds its line up to date; and of Python doing nothing, to see the machine."""
    database = server.database()
    one = numbered(1)
    whole(database.params, one)
    cpu, wall, nothing = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        pod = Pod(Path(folder))
        for _ in range(rounds):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            began = time.perf_counter()
            pod.run(order(*one), database.params)
            wall.append(time.perf_counter() - began)
            between = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([sys.executable, "-c", "pass"], check=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu.append(between.ru_utime + between.ru_stime - before.ru_utime - before.ru_stime)
            nothing.append(after.ru_utime + after.ru_stime - between.ru_utime - between.ru_stime)
    server.drop(database)
    found = {
        "cpu": statistics.median(cpu),
        "least_cpu": min(cpu),
        "wall": statistics.median(wall),
        "python": min(nothing),
    }
    print(
        f"\nstart to end of a run with nothing to do: {found['cpu']:.3f} s of CPU (least {found['least_cpu']:.3f}), "
        f"{found['wall']:.3f} s; of it Python's own start {found['python']:.3f} s"
    )
    return dict(found)


def five_megabytes() -> list[OrderedMigration]:
    """Ten migrations of half a megabyte."""
    row = f"INSERT INTO t VALUES ('{'x' * 980}');\n"
    return [
        migration("1", "CREATE TABLE t (x text)"),
        *(migration(str(n), f"-- {n}\n" + row * 500) for n in range(2, 12)),
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--counts", type=int, nargs="*", default=[100, 1000])
    parser.add_argument("--json", type=Path)
    wanted = parser.parse_args()
    os.environ.update(compiled())
    version = 18 if binaries(18) is not None else 15
    ways: dict[str, Runner] = {"bare loop": bare, "in process": in_process, "whole": whole}
    found: dict[str, object] = {"server": version, "rounds": wanted.rounds}
    with Postgres(version) as server:
        # As servers keep it, unlike those of the tests.
        server.admin(f"ALTER ROLE {APP} PASSWORD '{scram(PASSWORD, 4096)}'")
        print(f"PostgreSQL {version}, {wanted.rounds} interleaved rounds, medians; ratio to the bare loop\n")
        print(f"{'':<32}{'':<14}{'wall':>11}{'CPU':>11}{'ratio':>8}")
        for count in wanted.counts:
            name = f"{count} migrations, loopback"
            found[name] = report(name, compare(server, server.port, numbered(count), wanted.rounds, ways))
        with far_away(server.port, ROUND_TRIP) as port:
            for count in wanted.counts:
                name = f"{count} migrations, 1 ms"
                found[name] = report(name, compare(server, port, numbered(count), wanted.rounds, ways))
        name = "5 MB in 10 migrations, loopback"
        found[name] = report(name, compare(server, server.port, five_megabytes(), wanted.rounds, ways))
        found["start"] = start_up(server, 2 * wanted.rounds)
    if wanted.json is not None:
        wanted.json.write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
