"""Lockstep against other tools, as whole processes and as ratios in one run: `python tests/bench/bench_peers.py`.

The same migrations in every tool's own format, each on an empty database: up, and once more with nothing to do. Rounds
are interleaved, so that what else the machine does falls on all; a ratio is the median of the rounds' ratios to the
bare loop of the same round.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.far import far_away
from bench.getting import install
from bench.peers import HERE, TOOLS, USER, Change, Command, Place, Tool, changes
from servers.postgres import Database, Postgres

VERSION: Final = 18
MANY: Final = 10_000
"""From here on there is one round only."""


@dataclass(frozen=True)
class Took:
    """What one run of one tool took."""

    wall: float
    """Seconds from its start to its exit."""
    cpu: float
    """Seconds of the CPU, of the tool and what it starts; the server's are not in it."""
    memory: float
    """Its largest process at its largest, in MiB of resident memory."""


class Failed(Exception):
    """A tool did not do its work; the message says why."""


def run(command: Command, folder: Path, limit: float) -> Took:
    """Run a command and measure it.

    Raises Failed where it fails or takes longer than the limit, in seconds.
    """
    figures, log = folder / "took.json", folder / "log"
    words = [sys.executable, "-I", "-S", str(HERE / "launch.py"), str(figures), *command.words]
    with log.open("wb") as out:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            cwd=folder,
            env={**os.environ, **command.environment},
            start_new_session=True,
        )
        try:
            code = process.wait(limit)
        except subprocess.TimeoutExpired:
            raise Failed(f"not done after {limit:.0f} s") from None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    if code != 0:
        raise Failed(f"exit code {code}: {log.read_text(errors='replace')[-2000:]}")
    return Took(**json.loads(figures.read_text()))


@contextmanager
def server(commit: float = 0) -> Iterator[Postgres]:
    """A server with the role that the tools work as.

    Args:
        commit: milliseconds that a commit waits for the disk. The files are in memory, so the server sleeps for so long
            (`commit_delay`): disks differ, and this one would not take the same time twice.
    """
    disk = {"fsync": "on", "synchronous_commit": "on", "commit_siblings": "0", "commit_delay": f"{commit * 1000:.0f}"}
    with Postgres(VERSION, **(disk if commit else {})) as postgres:
        postgres.admin(f"CREATE ROLE {USER} LOGIN PASSWORD '{USER}'")
        yield postgres


@contextmanager
def reached(postgres: Postgres, round_trip: float) -> Iterator[int]:
    """The port by which the tools reach the server, so many milliseconds away."""
    if not round_trip:
        yield postgres.port
        return
    with far_away(postgres.port, round_trip / 1000) as port:
        yield port


@contextmanager
def empty(postgres: Postgres) -> Iterator[Database]:
    """A database of the tools' role, for one run."""
    database = postgres.database()
    postgres.admin(f"ALTER DATABASE {database.name} OWNER TO {USER}")
    try:
        yield database
    finally:
        postgres.drop(database)


@dataclass(frozen=True)
class Bench:
    """Where and how long the tools may work."""

    postgres: Postgres
    port: int
    """By which the tools reach the server: another one than its own where it is far away."""
    limit: float
    """Seconds that one run may take."""


@dataclass(frozen=True)
class Pair:
    """One round of one tool."""

    up: Took
    nothing: Took | None
    """With everything applied; None where the tool has no such thing."""


def measure(tool: Tool, folder: Path, bench: Bench, count: int) -> Pair:
    """Run one tool up and once more on an empty database, and see that it did what it should.

    Raises Failed.
    """
    with empty(bench.postgres) as database, tempfile.TemporaryDirectory() as work:
        command = tool.command(folder, Place(bench.port, database.name))

        def one() -> Took:
            took = run(command, Path(work), bench.limit)
            ((found,),) = database.query("SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relname ~ '^t[0-9]+$'")
            if found != count:
                raise Failed(f"{found} tables are there, not {count}")
            return took

        up = one()
        return Pair(up, one() if tool.knows_what_is_applied else None)


def laid_out(tools: Sequence[Tool], folder: Path, wanted: Sequence[Change]) -> dict[str, Path]:
    """Write the migrations for each tool, once for all rounds; return each one's folder."""
    places = {tool.name: folder / tool.name.replace(" ", "-") for tool in tools}
    for tool in tools:
        places[tool.name].mkdir()
        tool.lay_out(places[tool.name], wanted)
    return places


@dataclass(frozen=True)
class Seen:
    """All rounds of one number of migrations."""

    count: int
    rounds: int
    load: tuple[float, float]
    """The machine's, of one minute, before and after."""
    pairs: dict[str, list[Pair]]
    failed: dict[str, str]
    """Why a tool has no figures."""


def compare(tools: Sequence[Tool], bench: Bench, count: int, rounds: int) -> Seen:
    """Run all tools in turn; one that fails is left out from there on."""
    pairs: dict[str, list[Pair]] = {tool.name: [] for tool in tools}
    failed: dict[str, str] = {}
    before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="lockstep-bench-") as folder:
        places = laid_out(tools, Path(folder), changes(count))
        for number in range(rounds):
            # Each round starts with another one: none is always the one after the slowest.
            first = number % len(tools)
            for tool in (*tools[first:], *tools[:first]):
                if tool.name in failed:
                    continue
                try:
                    pairs[tool.name].append(measure(tool, places[tool.name], bench, count))
                except Failed as error:
                    failed[tool.name] = str(error)
    return Seen(count, rounds, (before, os.getloadavg()[0]), pairs, failed)


@dataclass(frozen=True)
class Figures:
    """The medians of one tool, in the units of Took; the ratios are to the bare loop's wall in the same round."""

    wall: float
    ratio: float
    least: float
    most: float
    cpu: float
    memory: float


def figures(took: Sequence[Took], bare: Sequence[Took]) -> Figures:
    """Return the medians of the rounds."""
    ratios = [mine.wall / theirs.wall for mine, theirs in zip(took, bare, strict=True)]
    return Figures(
        statistics.median(each.wall for each in took),
        statistics.median(ratios),
        min(ratios),
        max(ratios),
        statistics.median(each.cpu for each in took),
        statistics.median(each.memory for each in took),
    )


def _cells(found: Figures | None) -> str:
    if found is None:
        return "| | | | "
    spread = f" ({found.least:.2f} to {found.most:.2f})" if found.least != found.most else ""
    return f"| {found.wall:.2f} s | {found.ratio:.2f}{spread} | {found.cpu:.2f} s | {found.memory:.0f} MiB "


def report(seen: Seen, bare: str, absent: dict[str, str]) -> dict[str, object]:
    """Print a table, ready for docs/benchmarks.md, and return its figures.

    Raises Failed where there is nothing to measure by.
    """
    if bare in seen.failed:
        raise Failed(f"{bare}: {seen.failed[bare]}")
    base = seen.pairs[bare]
    print(
        f"\n{seen.count:,} migrations, PostgreSQL {VERSION}, rounds: {seen.rounds}, "
        f"load {seen.load[0]:.1f} before and {seen.load[1]:.1f} after\n"
    )
    print("| tool | up | / bare loop | CPU | memory | nothing to do | / bare loop | CPU | memory |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    found: dict[str, object] = {}
    for name, pairs in seen.pairs.items():
        if name in seen.failed:
            print(f"| {name} | {seen.failed[name].splitlines()[0]} | | | | | | | |")
            found[name] = seen.failed[name]
            continue
        up = figures([each.up for each in pairs], [each.up for each in base])
        again = [each.nothing for each in pairs if each.nothing is not None]
        nothing = figures(again, [each.nothing for each in base if each.nothing is not None]) if again else None
        print(f"| {name} {_cells(up)}{_cells(nothing)}|")
        found[name] = {"up": asdict(up), "nothing": nothing and asdict(nothing), "rounds": [asdict(p) for p in pairs]}
    for name, why in absent.items():
        print(f"| {name} | {why} | | | | | | | |")
    sys.stdout.flush()
    return {"rounds": seen.rounds, "load": seen.load, "tools": found}


def chosen(names: Sequence[str]) -> tuple[list[Tool], dict[str, str]]:
    """Return the tools that are wanted and here, the bare loop always, and why others are not."""
    bare, *others = TOOLS
    wanted = [bare, *(each for each in others if not names or each.name.lower() in names)]
    absent = {each.name: why for each in wanted if (why := each.missing())}
    return [each for each in wanted if each.name not in absent], absent


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--counts", type=int, nargs="+", default=[100, 1000, MANY])
    parser.add_argument("--rounds", type=int, default=5, help=f"from {MANY:,} migrations on it is one")
    names = [each.name.lower() for each in TOOLS[1:]]
    parser.add_argument("--tools", type=str.lower, nargs="+", default=[], choices=names)
    parser.add_argument("--limit", type=float, default=600, help="seconds that one run may take")
    parser.add_argument("--round-trip", type=float, default=0, help="milliseconds to the server and back")
    # As in production; 0 is a server that loses what it has committed when it crashes.
    parser.add_argument("--commit", type=float, default=1, help="milliseconds that a commit waits for the disk")
    parser.add_argument("--install", action="store_true", help="get the tools that are not here")
    parser.add_argument("--json", type=Path)
    wanted = parser.parse_args()
    if wanted.install:
        install()
    tools, absent = chosen(wanted.tools)
    found: dict[str, object] = {"server": VERSION, "round trip": wanted.round_trip, "commit": wanted.commit}
    with server(wanted.commit) as postgres, reached(postgres, wanted.round_trip) as port:
        bench = Bench(postgres, port, wanted.limit)
        if wanted.round_trip:
            print(f"The server is {wanted.round_trip} ms away, there and back.")
        print(f"A commit waits {wanted.commit} ms for the disk." if wanted.commit else "No commit waits for a disk.")
        # Once unmeasured: programs and libraries are read from the disk, and what cannot work is seen at once.
        warm = compare(tools, bench, 2, 1)
        for name, why in warm.failed.items():
            print(f"{name}: {why}", file=sys.stderr)
            absent[name] = "does not work here"
        tools = [each for each in tools if each.name not in absent]
        for count in wanted.counts:
            rounds = wanted.rounds if count < MANY else 1
            found[str(count)] = report(compare(tools, bench, count, rounds), TOOLS[0].name, absent)
            if wanted.json is not None:
                wanted.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
