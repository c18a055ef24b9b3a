"""What the pod has mounted."""

import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from lockstep.api.reasons import Reason
from lockstep.engines.base import RunError
from lockstep.planning.bundle import pack
from lockstep.planning.wire import BUNDLE_DIR, SECRET_DIR
from lockstep.runner.files import ROOT_VARIABLE, Mounts
from servers.runner import migration, order


@pytest.fixture
def mounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mounts:
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path))
    return Mounts(os.environ)


def put(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in files.items():
        (folder / name).write_bytes(value)


def refused(mounts: Mounts) -> Reason:
    with pytest.raises(RunError) as caught:
        mounts.order()
    return caught.value.reason


def test_the_shards_are_read_in_their_order(mounts: Mounts, tmp_path: Path) -> None:
    wanted = order(migration("1", "SELECT 1"))
    [packed] = pack(wanted)
    put(Path(f"{tmp_path}{BUNDLE_DIR}"), {"000": packed[:50], "001": packed[50:], "..data": b"x"})
    assert mounts.order() == wanted


def test_a_bundle_that_is_missing_or_damaged(mounts: Mounts, tmp_path: Path) -> None:
    assert refused(mounts) is Reason.BUNDLE_INVALID
    put(Path(f"{tmp_path}{BUNDLE_DIR}"), {"000": b"x"})
    assert refused(mounts) is Reason.BUNDLE_INVALID


def test_orders_that_make_no_sense(mounts: Mounts, tmp_path: Path) -> None:
    one = migration("1", "SELECT 1")
    for wanted, reason in (
        (order(one, migration("1.0", "SELECT 2", name="other")), Reason.DUPLICATE_VERSION),
        (order(replace(one, version="x")), Reason.BUNDLE_INVALID),
        (order(one, target="x"), Reason.BUNDLE_INVALID),
        (order(replace(one, up="SELECT 2")), Reason.BUNDLE_INVALID),
        (order(replace(one, down="x", down_checksum=one.up_checksum)), Reason.BUNDLE_INVALID),
    ):
        put(Path(f"{tmp_path}{BUNDLE_DIR}"), {"000": pack(wanted)[0]})
        assert refused(mounts) is reason


def test_the_secrets_keys_without_their_final_newline(mounts: Mounts, tmp_path: Path) -> None:
    assert mounts.secret() == {}
    put(Path(f"{tmp_path}{SECRET_DIR}"), {"password": b" p \n", "user": b"u\r\n", "..data": b"x", "odd": b"\xff"})
    assert mounts.secret() == {"password": " p ", "user": "u", "odd": "\udcff"}
