"""The recordings made anew, where the tools are: record.py installs them."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from engines.histories import tools
from engines.histories.asking import recorded
from engines.histories.record import RECORDINGS, Recording
from engines.histories.scratch import Servers


@pytest.fixture(scope="module")
def scratch_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with Servers(tmp_path_factory.mktemp("scratch")).running() as running:
        yield running


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda recording: recording.name)
def test_the_tools_of_this_machine_make_the_same(
    recording: Recording, scratch_servers: Servers, tmp_path: Path
) -> None:
    if not tools.has(recording.needs):
        pytest.skip(f"{recording.tool} is not here; tests/engines/histories/record.py installs it")
    for engine in recording.engines:
        folder = tmp_path / engine
        folder.mkdir()
        text = recording.record(scratch_servers.database(engine), folder)
        assert steady(text) == steady(recorded(recording.name, engine))


def steady(text: str) -> str:
    """Return a recording without what differs from time to time: dates, durations, identities made of them."""
    text = re.sub(r"'2[0-9]{3}-[0-9]{2}-[0-9]{2} [^']*'|\b17[0-9]{11}\b", "<date>", text)
    text = re.sub(r"'(recorder|[0-9]{10})'", "<who>", text)
    return re.sub(r"<date>, ?[0-9]+, ?(true|false|0|1)\)", r"<date>, <duration>, \1)", text)
