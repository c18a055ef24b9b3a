"""Where the volume of a SQLite database may be mounted in the pod of a run."""

import re

import pytest
from pydantic import ValidationError

from lockstep.api.database import RUNNERS_OWN_PATHS, Volume
from lockstep.api.schemaversion import Execution
from lockstep.planning import wire

OWN = [wire.BUNDLE_DIR, wire.SECRET_DIR, wire.CA_DIR, wire.CLIENT_CERTIFICATE_DIR, wire.TERMINATION_LOG]
SYSTEM = ["/tmp", "/proc", "/sys/fs", "/usr", "/usr/bin", "/usr/lib/python3", "/lib64", "/etc/ssl", "/opt", "/usr/"]
THEIRS = [
    "/data",
    "/database",
    "/var/lib/app",
    "/usr/src/app/db",
    "/usr/local/app",
    "/opt/app/data",
    "/app",
    "/tmpdata",
]


@pytest.mark.parametrize("path", [*OWN, *SYSTEM, "/lockstep", "/opt/lockstep", "/opt/lockstep/lib"])
def test_the_runners_own_places_are_refused(path: str) -> None:
    assert re.search(RUNNERS_OWN_PATHS, path)


@pytest.mark.parametrize("path", THEIRS)
def test_the_places_of_applications_are_not(path: str) -> None:
    assert not re.search(RUNNERS_OWN_PATHS, path)
    assert Volume(claim_name="c", mount_path=path).mount_path == path


@pytest.mark.parametrize("path", ["/", "data", "/a/../b", "/..", "/.", "/a//b", "/a:b", "/a b", ""])
def test_what_is_no_place_in_a_pod(path: str) -> None:
    with pytest.raises(ValidationError):
        Volume(claim_name="c", mount_path=path)


@pytest.mark.parametrize("path", ["/shop", "..", "a/../b", "a//b", "."])
def test_what_is_no_folder_of_a_volume(path: str) -> None:
    with pytest.raises(ValidationError):
        Volume(claim_name="c", sub_path=path)


@pytest.mark.parametrize("path", ["shop", "shop/.data/v1", "a..b", "shop/"])
def test_what_is_a_folder_of_a_volume(path: str) -> None:
    assert Volume(claim_name="c", sub_path=path).sub_path == path


@pytest.mark.parametrize("number", [0, -1, 2**31])
def test_nothing_runs_as_root(number: int) -> None:
    with pytest.raises(ValidationError):
        Execution(run_as_user=number)
    with pytest.raises(ValidationError):
        Execution(fs_group=number)
