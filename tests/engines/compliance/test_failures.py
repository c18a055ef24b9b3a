"""What fails leaves what the engine promises, and says where; what goes on later goes on from there."""

import pytest
from msgspec.structs import replace

from engines.compliance.samples import EMAIL, FREE, USERS
from engines.compliance.target import Place, Target
from lockstep.api.reasons import Reason
from servers.runner import Pod, limits, migration, order

BROKEN = migration(
    "0003", "CREATE TABLE extra (id int);\n\nINSERT INTO users\n  VALUES (1, 's3cret');\nCREATE TABLE more (id int);"
)


def test_what_failed_is_told_with_its_place_and_without_its_data(place: Place, target: Target, pod: Pod) -> None:
    ended = pod.run(order(USERS, replace(BROKEN, version="0002")), place.secret)
    assert (ended.result.version, ended.result.applied, ended.result.pending) == ("0001", 1, 1)
    detail = ended.result.error
    assert detail is not None
    assert (detail.version, detail.statement, detail.line) == ("0002", 2, 3), ended.text
    assert "s3cret" not in ended.text
    assert place.applied() == ["0001"]
    if target.transactional:
        assert (ended.code, ended.result.reason) == (20, Reason.STATEMENT_FAILED)
        assert place.tables() == {"users"}
    else:
        # What has run by itself stays, and is known.
        assert place.tables() == {"users", "extra"}
        assert place.query(f"SELECT count(*) FROM {place.ledger('journal')}") != [(0,)]


def test_once_the_cause_is_gone_it_goes_on(place: Place, pod: Pod) -> None:
    needs = migration("0002", "CREATE TABLE a (id int);\nINSERT INTO nowhere VALUES (1);\nCREATE TABLE b (id int);")
    assert pod.run(order(USERS, needs), place.secret).code != 0
    place.query("CREATE TABLE nowhere (id int)")
    ended = pod.run(order(USERS, needs), place.secret)
    assert (ended.code, ended.result.version) == (0, "0002"), ended.text
    assert place.tables() == {"users", "nowhere", "a", "b"}
    assert place.query("SELECT count(*) FROM nowhere") == [(1,)]
    assert place.history() == [("up", "0001"), ("up", "0002")]
    assert place.query(f"SELECT count(*) FROM {place.ledger('journal')}") == [(0,)]


def test_a_long_text_that_fails_at_its_end(place: Place, target: Target, pod: Pod) -> None:
    rows = f"INSERT INTO users VALUES (2, '{'x' * 190}');\nDELETE FROM users WHERE id = 2;\n" * 500
    ended = pod.run(order(USERS, migration("2", rows + "SELECT * FROM nowhere;")), place.secret)
    assert ended.result.error is not None, ended.text
    assert (ended.result.error.statement, ended.result.error.line) == (1001, 1001)
    assert place.query("SELECT count(*) FROM users") == [(1,)]


def test_a_down_that_fails_undoes_what_it_can(place: Place, pod: Pod) -> None:
    wrong = migration("0002", str(EMAIL.up), "DROP TABLE nowhere;")
    third = migration("0003", "CREATE TABLE items (id int)", "DROP TABLE items")
    pod.run(order(USERS, wrong, third), place.secret)
    ended = pod.run(order(target="base", policy=FREE), place.secret)
    assert ended.code != 0
    assert (ended.result.version, ended.result.applied, ended.result.pending) == ("0002", 1, 2)
    assert ended.result.error is not None
    assert ended.result.error.version == "0002"
    assert place.applied() == ["0001", "0002"]
    assert place.tables() == {"users"}


def test_refusals_come_before_anything_runs(place: Place, pod: Pod) -> None:
    for word in ("COMMIT", "ROLLBACK", "BEGIN"):
        ended = pod.run(order(USERS, migration("0002", f"CREATE TABLE x (id int);\n  {word};")), place.secret)
        assert (ended.code, ended.result.reason) == (20, Reason.STATEMENT_REFUSED), ended.text
        assert ended.result.error is not None
        assert (ended.result.error.statement, ended.result.error.line) == (2, 2)
        assert place.tables() == set()


def test_a_way_back_that_is_refused_is_called_one(place: Place, pod: Pod) -> None:
    wrong = migration("0002", "CREATE TABLE items (id int)", "DROP TABLE items;\nCOMMIT;")
    pod.run(order(USERS, wrong), place.secret)
    ended = pod.run(order(target="base", policy=FREE), place.secret)
    assert (ended.code, ended.result.reason) == (20, Reason.STATEMENT_REFUSED), ended.text
    assert ended.result.message.startswith("down of version 0002 (orders-0002), statement 2, line 2, column 1: ")
    assert place.applied() == ["0001", "0002"]


def test_all_that_are_refused_are_named_at_once(place: Place, pod: Pod) -> None:
    texts = ["SELECT 1; COMMIT;", "SELECT 1;", "SELECT {{ value }};", "SELECT 'no end", *["BEGIN;"] * 5]
    wrong = [migration(f"{number:04}", text) for number, text in enumerate(texts, start=2)]
    ended = pod.run(order(USERS, *wrong), place.secret)
    assert (ended.code, ended.result.reason) == (20, Reason.STATEMENT_REFUSED), ended.text
    assert ended.result.message.startswith("version 0002 (orders-0002), statement 2, line 1, column 11: "), (
        ended.result.message
    )
    assert "; refused too: 7 more of this plan (0004, 0005, 0006, 0007, 0008, ...), " in ended.result.message
    assert ended.result.error is not None
    assert (ended.result.error.version, ended.result.error.statement) == ("0002", 2)
    said = [str(line["message"]).split()[1] for line in ended.events("refused")]
    assert said == ["0002", "0004", "0005", "0006", "0007", "0008", "0009", "0010"]
    assert place.tables() == set()


@pytest.mark.parametrize(
    "text", ["CREATE TABLE t (x varchar(9)); INSERT INTO t VALUES ('no end);", "SELECT {{ value }};", "SELECT 1;\x00"]
)
def test_what_is_no_sql_is_refused(text: str, place: Place, pod: Pod) -> None:
    ended = pod.run(order(USERS, migration("2", text)), place.secret)
    assert (ended.code, ended.result.reason) == (20, Reason.STATEMENT_REFUSED), ended.text
    assert place.tables() == set()


def test_a_statement_that_takes_too_long(place: Place, target: Target, pod: Pod) -> None:
    slow = migration("2", f"SELECT 1;\n{target.sql.slow};")
    ended = pod.run(order(USERS, slow, limits=limits(statement_timeout=300)), place.secret)
    assert ended.result.reason is Reason.STATEMENT_TIMEOUT, ended.text
    assert "statement 2" in ended.result.message
    assert place.applied() == ["0001"]


def test_a_run_that_takes_too_long(place: Place, target: Target, pod: Pod) -> None:
    slow = migration("2", f"{target.sql.slow};")
    ended = pod.run(order(USERS, slow, limits=limits(deadline=8000)), place.secret)
    assert (ended.code, ended.result.reason) == (10, Reason.DEADLINE_EXCEEDED), ended.text
    assert "2" not in place.applied()
    assert not place.is_busy()


def test_hostile_sql_leaves_the_ledger_alone(place: Place, target: Target, pod: Pod) -> None:
    assert target.sql.hostile
    pod.run(order(USERS), place.secret)
    ledger = place.history(), place.applied()
    for sql in target.sql.hostile:
        ended = pod.run(order(USERS, migration("2", f"CREATE TABLE left_behind (id int); {sql}")), place.secret)
        refusals = {Reason.STATEMENT_REFUSED, Reason.FENCED, Reason.NOT_SUPPORTED_YET}
        assert ended.result.reason in refusals, f"{sql}: {ended.text}"
        assert (place.history(), place.applied()) == ledger, sql
        if target.transactional:
            assert "left_behind" not in place.tables(), sql
    if target.transactional:
        assert pod.run(order(USERS, EMAIL), place.secret).code == 0
