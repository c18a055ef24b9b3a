"""What passes between operator and run survives the way, and keeps its bounds."""

import json
import os
from dataclasses import asdict
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockstep.api.reasons import Reason, Severity
from lockstep.planning.result import (
    EXIT_CODES,
    LAST_STEPS,
    RESULT_BYTES,
    ErrorDetail,
    LedgerMark,
    Outcome,
    Progress,
    Result,
    StepDone,
    decode_result,
    encode_result,
    outcome_of,
)
from lockstep.planning.wire import (
    SHARD_BYTES,
    DatabaseOrder,
    InvalidOrderError,
    Order,
    OrderedMigration,
    Owner,
    Tls,
    pack,
    unpack,
)


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


def test_a_result_survives() -> None:
    sent = Result(
        Reason.STATEMENT_FAILED,
        'relation "users" does not exist',
        version="0002",
        applied=2,
        pending=1,
        holder="pod",
        error=ErrorDetail("0003", 2, 7, "42P01"),
        ledger=LedgerMark("u", 5, "h"),
        steps=(StepDone("m", "0002", "up", 12, "2026-01-01T00:00:00Z"),),
    )
    text = encode_result(sent)
    assert decode_result(text + "\n") == sent
    assert "\n" not in text


@given(st.text(max_size=5000), st.integers(0, 300), st.text(max_size=63))
def test_a_result_keeps_its_size(message: str, count: int, name: str) -> None:
    message, name = (text.encode(errors="ignore").decode() for text in (message, name))
    steps = tuple(StepDone(name, str(n), "up", n, "2026-01-01T00:00:00Z") for n in range(count))
    text = encode_result(Result(Reason.UP_TO_DATE, message, version="1", steps=steps))
    assert len(text.encode()) <= RESULT_BYTES
    received = decode_result(text)
    assert received is not None
    assert received.reason is Reason.UP_TO_DATE
    assert received.version == "1"
    # The newest steps stay, as many as have room.
    left = len(steps) - len(received.steps)
    assert received.steps == steps[left:]
    if left:
        more = len(json.dumps(asdict(steps[left - 1]), separators=(",", ":"), ensure_ascii=False).encode())
        assert len(text.encode()) + more + len(',"steps":[]') > RESULT_BYTES


def test_of_many_steps_only_those_are_rendered_that_fit() -> None:
    steps = tuple(StepDone(f"m{n}", str(n), "up", n, "2026-01-01T00:00:00Z") for n in range(10_000))
    with mock.patch("lockstep.planning.result.asdict", wraps=asdict) as rendered:
        received = decode_result(encode_result(Result(Reason.UP_TO_DATE, "", steps=steps)))
    assert received is not None
    assert 10 < len(received.steps) < LAST_STEPS
    assert rendered.call_count < LAST_STEPS


@pytest.mark.parametrize(
    "text", ["", "null", "[]", "{}", "OOMKilled", '{"format":1}', '{"format":1,"reason":"Nonsense"}']
)
def test_what_is_no_result_is_told_apart(text: str) -> None:
    assert decode_result(text) is None


def test_every_severity_has_an_outcome_and_every_outcome_an_exit_code() -> None:
    assert {outcome_of(reason) for reason in Reason} == set(Outcome) == set(EXIT_CODES)
    assert len(set(EXIT_CODES.values())) == len(EXIT_CODES)
    assert outcome_of(Reason.LOCK_HELD) is Outcome.RETRYABLE
    assert Reason("LockHeld").severity is Severity.WAITING


def test_progress_survives_beside_other_words_of_a_log_line() -> None:
    sent = Progress(3, 10, "0004", message="é")
    assert Progress.decode(sent.encode()) == sent
    assert Progress.decode(json.dumps({**json.loads(sent.encode()), "ts": "now"})) == sent
    assert Progress.decode("free text") is None
    assert Progress.decode('{"event":"other"}') is None
