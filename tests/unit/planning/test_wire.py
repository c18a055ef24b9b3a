"""What passes between operator and run survives the way, and keeps its bounds."""

import gzip
import json
from unittest import mock

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockstep.api.reasons import Reason, Severity
from lockstep.planning.bundle import InvalidOrderError, pack, unpack
from lockstep.planning.result import (
    EXIT_CODES,
    LAST_STEPS,
    RESULT_BYTES,
    DriftSummary,
    ErrorDetail,
    LedgerMark,
    Outcome,
    PlanSummary,
    Progress,
    Result,
    StepDone,
    decode_result,
    encode_result,
    outcome_of,
)
from lockstep.planning.wire import (
    AdoptOrder,
    Mode,
    OrderedMigration,
    RepairOrder,
)

# As earlier versions wrote it, and read it: with all that has a default, of which they insist on some.
ORDER = {
    "format": 1,
    "line": "orders",
    "target": "latest",
    "job": "orders-1",
    "attempt": 1,
    "owner": {"cluster": "c", "namespace": "shop", "name": "orders", "uid": "u"},
    "database": {
        "secret": "orders-db",
        "key": None,
        "engine": None,
        "ledger_schema": "lockstep",
        "pooler": "None",
        "tls": {"mode": "verify-full", "ca_secret": "ca", "ca_key": "ca.crt", "client_certificate_secret": None},
    },
    "known_version": None,
    "known_ledger": None,
    "known_sequence": 0,
    "known_hash": None,
    "mode": "run",
    "policy": {"out_of_order": "Reject", "rollback": "Approve", "approval": "Automatic", "approved_plans": ["p"]},
    "baseline": None,
    "adopt": {"history": "Alembic", "table": None},
    "drift": {"policy": "Report", "include": [], "ignore": ["audit.*"]},
    "repair": {"token": "t", "action": "MarkApplied", "version": "1", "confirm": None, "note": ""},
    "limits": {"lock_timeout_ms": 5000, "statement_timeout_ms": None, "deadline_ms": 3600000},
    "migrations": [
        {
            "name": "m",
            "version": "1",
            "up_checksum": "c",
            "down_checksum": None,
            "description": "é",
            "kind": "Schema",
            "transaction": "Auto",
            "irreversible": None,
            "lock_timeout_ms": None,
            "requires": [["auth", "2"]],
            "adopts": ["a"],
            "up": "SELECT 1",
            "down": None,
        }
    ],
}


def packed(document: object) -> list[bytes]:
    return [gzip.compress(json.dumps(document).encode())]


def test_operator_and_runner_of_neighbouring_versions_understand_each_other() -> None:
    read = unpack(packed(ORDER))
    assert read.migrations == (
        OrderedMigration("m", "1", "c", description="é", requires=(("auth", "2"),), adopts=("a",), up="SELECT 1"),
    )
    assert read.policy.approved_plans == ("p",)
    assert (read.mode, read.repair, read.adopt) == (
        Mode.RUN,
        RepairOrder("t", "MarkApplied", "1"),
        AdoptOrder("Alembic"),
    )
    written = json.loads(gzip.decompress(b"".join(pack(read))))
    assert written == ORDER
    assert list(written) == list(ORDER)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({**ORDER, "format": 2}, "the bundle has format 2, this runner reads 1: the operator and the runner must be"),
        ({**ORDER, "younger": 1}, "unknown field `younger`.*must be of one version"),
        ({**ORDER, "limits": {"younger": 1}}, r"unknown field `younger` - at `\$\.limits`"),
        ({**ORDER, "attempt": "1"}, r"Expected `int`, got `str` - at `\$\.attempt`"),
        ({**ORDER, "migrations": [{"name": "m"}]}, r"required field `version` - at `\$\.migrations\[0\]`"),
        ([ORDER], "cannot be read"),
        (None, "cannot be read"),
    ],
)
def test_an_order_that_is_not_understood_is_refused_with_the_place(document: object, message: str) -> None:
    with pytest.raises(InvalidOrderError, match=message):
        unpack(packed(document))


def test_a_result_of_an_earlier_version_is_read() -> None:
    document = {
        "format": 1,
        "reason": "StatementFailed",
        "message": "no",
        "applied": 0,
        "pending": 1,
        "error": {"version": "3", "statement": None, "line": 7, "sqlstate": None},
        "plan": {"hash": "h", "direction": "Up", "count": 2, "steps": ["up 3"]},
        "drift": {"drifted": None, "message": "m", "hash": None},
        "steps": [{"name": "m", "version": None, "direction": "up", "ms": 1, "at": "t", "kind": "Schema"}],
    }
    assert decode_result(f" {json.dumps(document)}\n") == Result(
        Reason.STATEMENT_FAILED,
        "no",
        pending=1,
        error=ErrorDetail("3", line=7),
        plan=PlanSummary("h", "Up", 2, ("up 3",)),
        drift=DriftSummary(None, "m"),
        steps=(StepDone("m", None, "up", 1, "t"),),
    )


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
        more = len(msgspec.json.encode(steps[left - 1]))
        assert len(text.encode()) + more + len(',"steps":[]') > RESULT_BYTES


def test_what_has_no_shape_is_seen_in_a_message() -> None:
    message = 'syntax error at or near "\ufeffCREATE", "\u00a0x\u200b" and \x1a\nin line\t2: ü 日本 \N{ELEPHANT}'
    found = decode_result(encode_result(Result(Reason.STATEMENT_FAILED, message)))
    assert found is not None
    shown = 'syntax error at or near "\\ufeffCREATE", "\\u00a0x\\u200b" and \\u001a in line 2: ü 日本 \N{ELEPHANT}'
    assert found.message == shown


def test_of_many_steps_only_those_are_rendered_that_fit() -> None:
    steps = tuple(StepDone(f"m{n}", str(n), "up", n, "2026-01-01T00:00:00Z") for n in range(10_000))
    with mock.patch("msgspec.json.encode", wraps=msgspec.json.encode) as rendered:
        received = decode_result(encode_result(Result(Reason.UP_TO_DATE, "", steps=steps)))
    assert received is not None
    assert 10 < len(received.steps) < LAST_STEPS
    assert rendered.call_count < LAST_STEPS


@pytest.mark.parametrize(
    "text",
    [
        *("", "null", "[]", "{}", "OOMKilled", '{"format":1}', '{"format":1,"reason":"Nonsense","message":""}'),
        *('{"reason":"UpToDate","message":""}', '{"format":2,"reason":"UpToDate","message":""}'),
        *('{"format":1,"reason":"UpToDate"}', '{"format":1,"reason":"UpToDate","message":"","younger":1}'),
        '{"format":1,"reason":"UpToDate","message":"\ud800"}',
    ],
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
    assert Progress.decode('{"done":3,"total":10}') is None
