"""An order survives the way to the pod, and its texts take no room there but while they are of use."""

import gzip
import os
import tracemalloc
from collections.abc import Callable, Sequence
from unittest.mock import Mock

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from lockstep.planning import bundle
from lockstep.planning.bundle import SHARD_BYTES, Bundle, InvalidOrderError, pack, unpack
from lockstep.planning.plan import Direction, Step
from lockstep.planning.wire import DatabaseOrder, Order, OrderedMigration, Owner, Tls
from lockstep.runner.actions import Actions
from lockstep.runner.judge import candidate
from servers.runner import migration


def order(*migrations: OrderedMigration) -> Order:
    return Order(
        line="orders",
        target="latest",
        job="orders-1",
        attempt=1,
        owner=Owner("c", "shop", "orders", "u"),
        database=DatabaseOrder("orders-db", tls=Tls("verify-full", "ca")),
        migrations=migrations,
    )


@given(st.text(max_size=50))
def test_an_order_survives(text: str) -> None:
    # Lone surrogates are no text that YAML or the API server could carry.
    text = text.encode(errors="ignore").decode()
    sent = order(OrderedMigration("m", "1", "c", up=text), OrderedMigration("views", None, "d", down=text))
    assert unpack(pack(sent)) == sent


def test_a_line_of_5_mb_that_does_not_shrink_is_cut_into_shards() -> None:
    text = os.urandom(2_500_000).hex()
    shards = pack(order(OrderedMigration("m", "1", "c", up=text)))
    assert len(shards) > 1
    assert all(len(shard) <= SHARD_BYTES for shard in shards)
    assert unpack(shards).migrations[0].up == text


def test_the_same_order_gives_the_same_bytes() -> None:
    assert pack(order(OrderedMigration("m", "1", "c"))) == pack(order(OrderedMigration("m", "1", "c")))


@pytest.mark.parametrize("damage", [b"", b"x", None])
def test_a_damaged_bundle_is_refused(damage: bytes | None) -> None:
    shards = pack(order(OrderedMigration("m", "1", "c", up="x" * 1000)))
    with pytest.raises(InvalidOrderError, match="cannot be read"):
        unpack([shards[0][:-20]] if damage is None else [damage])


def many(count: int, size: int = 100) -> list[OrderedMigration]:
    """Return migrations that fill some blocks."""
    return [migration(str(number), f"{number:0{size}}") for number in range(1, count + 1)]


@pytest.mark.parametrize("kept", [0, 1 << 30], ids=["read again", "held"])
def test_each_migration_is_found_by_its_place(kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "KEPT_BYTES", kept)
    wanted = many(1_000)
    found = unpack(pack(order(*wanted))).migrations
    assert isinstance(found, Bundle)
    assert len(found) == len(wanted)
    places = [0, 999, 500, 1, -1, *range(250, 750, 7)]
    assert [found[place] for place in places] == [wanted[place] for place in places]
    assert list(found) == list(reversed(list(reversed(found)))) == wanted
    assert found[10:20] == tuple(wanted[10:20])
    with pytest.raises(IndexError):
        found[1_000]
    assert found == unpack(pack(order(*wanted))).migrations
    assert found != wanted[:-1]
    assert found != [*wanted[:-1], replace(wanted[-1], name="other")]


def test_earlier_versions_read_it_as_one_document_and_it_reads_theirs() -> None:
    sent = order(*many(1_000))
    text = gzip.decompress(b"".join(pack(sent)))
    assert text == msgspec.json.encode(sent)
    assert unpack([gzip.compress(text)]) == sent


def blocks() -> list[bytes]:
    """Return the blocks of an order, each as it is packed."""
    packed, end, found = b"".join(pack(order(*many(1_000)))), 0, []
    while end < len(packed):
        start = end
        _, end = bundle._member(packed, start)
        found.append(packed[start:end])
    assert len(found) > 4
    return found


def without_the_end(parts: list[bytes]) -> Sequence[bytes]:
    return parts[:-1]


def without_a_block_and_the_end(parts: list[bytes]) -> Sequence[bytes]:
    return parts[:-2]


def with_more_behind(parts: list[bytes]) -> Sequence[bytes]:
    return [*parts, gzip.compress(b"]}")]


def with_a_block_damaged(parts: list[bytes]) -> Sequence[bytes]:
    middle = bytearray(parts[2])
    middle[len(middle) // 2] ^= 1
    return [*parts[:2], bytes(middle), *parts[3:]]


def with_a_block_of_another_version(parts: list[bytes]) -> Sequence[bytes]:
    return [*parts[:2], gzip.compress(b',{"name":"m","younger":1}'), *parts[3:]]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (without_the_end, "cannot be read"),
        (without_a_block_and_the_end, "cannot be read"),
        (with_more_behind, "cannot be read"),
        (with_a_block_damaged, "cannot be read"),
        (with_a_block_of_another_version, r"unknown field `younger` - at `\$\.migrations\[0\]`.*of one version"),
    ],
)
def test_a_block_that_is_missing_or_damaged_is_seen_at_once(
    damage: Callable[[list[bytes]], Sequence[bytes]], message: str
) -> None:
    assert len(unpack(blocks()).migrations) == 1_000
    with pytest.raises(InvalidOrderError, match=message):
        unpack(damage(blocks()))


def test_the_texts_of_a_large_order_are_never_there_all_at_once() -> None:
    size, count = 20_000, 500
    shards = pack(order(*many(count, size)))
    tracemalloc.start()
    try:
        given = unpack(shards)
        steps = [Step(Direction.UP, candidate(each)) for each in given.migrations]
        actions = Actions(steps, given, Mock(texts=dict))
        assert sum(len(action.text) for action in actions) == size * count
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < size * count / 4
