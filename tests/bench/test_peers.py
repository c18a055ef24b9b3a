"""The parts of the comparison: each tool that is here does its work on two migrations, and what does not is seen."""

import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psycopg
import pytest

from bench.bench_peers import Bench, Failed, Took, figures, measure, reached, server
from bench.peers import TOOLS, Change, Command, Place, Tool, changes
from servers.postgres import Postgres, binaries


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    if binaries(18) is None:
        pytest.skip("PostgreSQL 18 is not installed on this machine")
    with server() as running:
        yield running


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_each_tool_applies_its_files_once(tool: Tool, postgres: Postgres, tmp_path: Path) -> None:
    if why := tool.missing():
        pytest.skip(f"{tool.name}: {why}")
    tool.lay_out(tmp_path, changes(2))
    # The second run would fail if it applied anything again: the tables are there.
    pair = measure(tool, tmp_path, Bench(postgres, postgres.port, 120), 2)
    assert (pair.nothing is not None) == tool.knows_what_is_applied
    for took in filter(None, (pair.up, pair.nothing)):
        assert took.wall > 0
        assert took.memory > 1


class Words(Tool):
    """A tool that runs Python with these words, and applies nothing."""

    name = "words"

    def __init__(self, code: str) -> None:
        self.code = code

    def lay_out(self, folder: Path, wanted: Sequence[Change]) -> None: ...

    def command(self, folder: Path, place: Place) -> Command:
        return Command([sys.executable, "-c", self.code])


@pytest.mark.parametrize(
    ("code", "limit", "why"),
    [
        ("pass", 60, "0 tables are there, not 2"),
        ("import sys; sys.exit('no such file')", 60, "exit code 1: no such file"),
        ("import signal; signal.pause()", 0.5, "not done after"),
    ],
)
def test_a_tool_that_does_not_do_its_work_has_no_figures(
    code: str, limit: float, why: str, postgres: Postgres, tmp_path: Path
) -> None:
    with pytest.raises(Failed, match=why):
        measure(Words(code), tmp_path, Bench(postgres, postgres.port, limit), 2)


def test_the_memory_is_that_of_the_tool_and_not_of_what_measures_it(postgres: Postgres, tmp_path: Path) -> None:
    ballast = b"x" * (100 << 20)
    (psql,) = (each for each in TOOLS if each.name == "psql")
    psql.lay_out(tmp_path, changes(2))
    assert measure(psql, tmp_path, Bench(postgres, postgres.port, 60), 2).up.memory < len(ballast) >> 20


def test_a_server_that_is_far_away_takes_its_time(postgres: Postgres) -> None:
    with reached(postgres, 20) as port:
        place = f"host=127.0.0.1 port={port} dbname=postgres user=bench password=bench sslmode=disable"
        with psycopg.connect(place, autocommit=True) as connection:
            began = time.monotonic()
            connection.execute("SELECT 1")
            # At least: the proxy waits, and does not guess.
            assert time.monotonic() - began >= 0.020
    with reached(postgres, 0) as port:
        assert port == postgres.port


def test_a_commit_takes_as_long_as_the_disk_is_said_to() -> None:
    if binaries(18) is None:
        pytest.skip("PostgreSQL 18 is not installed on this machine")
    with server(commit=20) as running, running.database().connect(admin=True) as connection:
        connection.execute("CREATE TABLE t (a int)")
        began = time.monotonic()
        connection.execute("INSERT INTO t VALUES (1)")
        assert time.monotonic() - began >= 0.020


def test_a_ratio_is_the_median_of_the_rounds_ratios() -> None:
    def took(wall: float) -> Took:
        return Took(wall, 0.5, 10)

    # A slow round is slow for both: the ratio of the medians would be 1.
    found = figures([took(2), took(10), took(30)], [took(1), took(10), took(10)])
    assert (found.ratio, found.least, found.most) == (2, 1, 3)
    assert found.wall == 10
