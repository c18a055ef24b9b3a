"""The recordings made anew, where the tools are: `make test-all` gets them."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from engines.histories import tools
from engines.histories.asking import recorded
from engines.histories.record import RECORDINGS, Recording
from engines.histories.scratch import Servers, mariadb_dump


@pytest.fixture(scope="module")
def scratch_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with Servers(tmp_path_factory.mktemp("scratch")).running() as running:
        yield running


@pytest.mark.parametrize(
    ("recording", "engine"),
    [
        pytest.param(recording, engine, id=f"{recording.name}-{engine}")
        for recording in RECORDINGS
        for engine in recording.engines
    ],
)
def test_the_tools_of_this_machine_make_the_same(
    recording: Recording, engine: str, scratch_servers: Servers, tmp_path: Path
) -> None:
    if not tools.has(recording.needs):
        pytest.skip(f"{recording.tool} is not here: {tools.how(recording.needs)}")
    if engine == "mariadb" and mariadb_dump() is None:
        pytest.skip("mariadb-dump is not here")
    text = recording.record(scratch_servers.database(engine), tmp_path)
    assert steady(text) == steady(recorded(recording.name, engine))


def steady(text: str) -> str:
    """Return a recording without what differs from time to time: dates, durations, identities made of them."""
    text = re.sub(r"'2[0-9]{3}-[0-9]{2}-[0-9]{2} [^']*'|\b17[0-9]{11}\b", "<date>", text)
    text = re.sub(r"'(recorder|[0-9]{10})'", "<who>", text)
    return re.sub(r"<date>, ?[0-9]+, ?(true|false|0|1)\)", r"<date>, <duration>, \1)", text)
