"""Sqitch's projects: the plan's order is that of the versions, and a plan that Sqitch would not take is none."""

from pathlib import Path

import pytest

from lockstep.cli.importing.sqitch_plan import PlanError, parse
from support.importing import DOWN, UP, fill, imported, run

BY = "2026-08-01T12:00:00Z Ann Ex <ann@example.com>"
HEAD = "%syntax-version=1.0.0\n%project=shop\n%uri=https://example.com/shop/\n\n"


def plan(*lines: str) -> str:
    """Return a plan whose lines have a planner each: `users [accounts] # note`."""
    made = []
    for line in lines:
        head, mark, note = line.partition(" #")
        made.append(f"{head} {BY}{mark}{note}\n")
    return HEAD + "".join(made)


def wrapped(title: str, sql: str) -> str:
    return f"-- {title} to pg\n\nBEGIN;\n\n{sql}\nCOMMIT;\n"


def project(folder: Path, text: str, *names: str) -> None:
    """Write a plan, and for each of these names a script that deploys and one that reverts."""
    fill(folder, {"sqitch.plan": text, "sqitch.conf": "[core]\n\tengine = pg\n"})
    fill(
        folder,
        {f"{where}/{name}.sql": f"SELECT '{where} {name}';\n" for name in names for where in ("deploy", "revert")},
    )
    fill(folder, {f"verify/{name}.sql": "SELECT 1/0;\n" for name in names})


def texts(folder: Path) -> dict[str, tuple[str, str | None]]:
    """Return what each version deploys and reverts."""

    def of(text: str | None) -> str | None:
        return None if text is None else text.removeprefix("SELECT '").removesuffix("';\n")

    return {spec["version"]: (of(spec["up"]) or "", of(spec.get("down"))) for spec in imported(folder).values()}


def test_the_plan_is_the_order_and_its_notes_are_the_descriptions(folder: Path) -> None:
    lines = (
        "users # Who buys.\\nAnd who sells.",
        "schema/add_orders [users]",
        "  a-view [users schema/add_orders @v1]",
    )
    text = (
        plan(*lines[:2], "@v1 # first").replace("\n", "\r\n")
        + "\n  # a comment\n\n"
        + plan(lines[2]).removeprefix(HEAD)
    )
    project(folder, text, "users", "schema/add_orders", "a-view")
    specs = imported(folder)
    assert list(specs) == ["orders-0001-users", "orders-0002-schema-add-orders", "orders-0003-a-view"]
    assert [spec["description"] for spec in specs.values()] == [
        "Who buys. And who sells.",
        "schema/add orders",
        "a view",
    ]
    assert texts(folder)["0002"] == ("deploy schema/add_orders", "revert schema/add_orders")
    assert run(folder).stderr.splitlines() == [
        "lockstep: left out, verify/, which Lockstep does not run: 3 files",
        "lockstep: tags are not kept, by version: @v1 is 0002",
        "lockstep: 3 Migrations of orders, versions 0001 to 0003; next: lockstep digest FILE, or kubectl apply -f FILE",
    ]


def test_what_is_added_later_moves_no_version_and_no_name(folder: Path) -> None:
    names = [f"change{n}" for n in range(1, 120)]
    project(folder, plan(*names), *names)
    every = imported(folder)
    for known in (1, 9, 99):
        fill(folder, {"sqitch.plan": plan(*names[:known])})
        some = imported(folder)
        assert {name: every[name] for name in some} == some
        assert len(some) == known


def test_a_note_is_cut_to_what_a_description_takes(folder: Path) -> None:
    project(folder, plan(f"users # {'word ' * 500}"), "users")
    (spec,) = imported(folder).values()
    assert len(spec["description"]) == 1024


def test_reworked_changes_have_a_version_each(folder: Path) -> None:
    project(
        folder,
        plan(
            "users", "buy [users]", "@v1", "@v1.1", "pay", "@v2", "buy [buy@v2]", "@v3", "log", "buy [buy@v3 users@v1]"
        ),
        *("users", "buy", "pay", "log", "buy@v2", "buy@v3"),
    )
    assert texts(folder) == {
        "0001": ("deploy users", "revert users"),
        "0002": ("deploy buy@v2", "revert buy@v2"),
        "0003": ("deploy pay", "revert pay"),
        "0004": ("deploy buy@v3", "revert buy@v3"),
        "0005": ("deploy log", "revert log"),
        "0006": ("deploy buy", "revert buy"),
    }
    # Sqitch takes the first that is there, from the latest tag on; those of one change in their order.
    for where in ("deploy", "revert"):
        (folder / where / "buy@v2.sql").rename(folder / where / "buy@v1.1.sql")
    assert texts(folder)["0002"] == ("deploy buy@v2", "revert buy@v2")
    assert imported(folder).keys() >= {"orders-0002-buy", "orders-0004-buy", "orders-0006-buy"}
    (folder / "deploy/buy@v1.1.sql").unlink()
    assert (
        "sqitch.plan, line 6: buy is planned, and there is no deploy/buy@v2.sql, nor deploy/buy@v1.sql, "
        "deploy/buy@v1.1.sql; its name comes again in the plan\n"
    ) in run(folder).stderr


def test_planned_without_files(folder: Path) -> None:
    project(folder, plan("users", "orders", "views"), "users")
    fill(folder, {"deploy/views.sql": UP})
    done = run(folder)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == "lockstep: sqitch.plan, line 6: orders is planned, and there is no deploy/orders.sql\n"
    fill(folder, {"deploy/orders.sql": UP})
    assert [spec.get("down") is None for spec in imported(folder).values()] == [False, True, True]
    assert "2 of 3 Migrations have no way back (deploy/orders.sql, deploy/views.sql)" in run(folder).stderr


def test_other_folders_than_those_of_the_plan(folder: Path) -> None:
    fill(folder, {"sqitch.plan": plan("users", "orders"), "up/users.sql": UP, "up/orders.sql": UP})
    done = run(folder)
    assert done.exit_code == 2
    said = (
        "sqitch.plan has 2 changes, and no file of theirs is in deploy/: import a folder in which they are in deploy/"
    )
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    # As where top_dir says so.
    project(folder / "db/shop", "", "users", "orders")
    (folder / "db/shop/sqitch.plan").unlink()
    assert "copy the plan to where they are, and import that folder: db/shop\n" in run(folder).stderr
    fill(folder / "db/shop", {"sqitch.plan": plan("users")})
    assert "import the folder that has them, and a plan of its own: db/shop\n" in run(folder).stderr


def test_what_is_not_planned_is_left_out(folder: Path) -> None:
    project(folder, plan("users"), "users", "draft")
    fill(folder, {"001_old.sql": UP, "revert/001_x.sql": DOWN})
    assert list(texts(folder)) == ["0001"]
    assert run(folder).stderr.splitlines()[:3] == [
        "lockstep: left out, no change of the plan has them: deploy/draft.sql, revert/001_x.sql, revert/draft.sql",
        "lockstep: left out, verify/, which Lockstep does not run: 2 files",
        "lockstep: left out, neither in deploy/ nor in revert/: 001_old.sql",
    ]


def test_needs_that_one_line_of_versions_does_not_have_are_said(folder: Path) -> None:
    needs = "users [auth:accounts auth:@v2 !guests shop:base !auth:old 0123456789abcdef0123456789abcdef01234567]"
    project(folder, plan("base", needs), "base", "users")
    remarks = run(folder).stderr
    assert (
        "spec.requires with their lines and versions: users [auth:accounts], users [auth:@v2], users [!auth:old]\n"
        in remarks
    )
    assert (
        "conflicts are left out, since a database has all of a line's versions up to its own: users [!guests]\n"
        in remarks
    )


WRONG = {
    "no line": (f"{HEAD}users\n", "line 5: it is no line that Sqitch writes"),
    "a merge": (plan("users", "<<<<<<< HEAD", "orders"), "line 6: it is no line"),
    "punctuation": (plan("users."), "line 5: it is no line"),
    "a way back": (plan("users", "-users"), "line 6: -users takes users back"),
    "a tag of nothing": (plan("@v1", "users"), "line 5: @v1 stands before the first change"),
    "a tag twice": (plan("users", "@v1", "orders", "@v1"), "line 8: @v1 comes a second time"),
    "twice": (plan("users", "@v1", "a", "users", "@v2", "b", "b"), "line 11: b comes a second time, and no tag"),
    "the other order": (
        plan("orders [users]", "users"),
        "line 5: orders requires users, which is not planned before it",
    ),
    "itself": (plan("users [users]"), "line 5: users requires users"),
    "a tag to come": (plan("users", "orders [users@v1]", "@v1"), "line 6: orders requires users@v1"),
    "of this project": (plan("users [shop:x]"), "line 5: users requires shop:x"),
    "a need": (plan("users [:x]"), "line 5: :x is no name"),
    "nothing": (HEAD, "line 1: there is no change in it"),
}


@pytest.mark.parametrize(("text", "why"), WRONG.values(), ids=WRONG.keys())
def test_plans_that_sqitch_would_not_take(text: str, why: str, folder: Path) -> None:
    project(folder, text, "users", "orders", "a", "b")
    done = run(folder)
    assert (done.exit_code, done.stdout) == (2, "")
    assert f"sqitch.plan, {why}" in done.stderr


def test_all_of_a_plan_s_faults_are_said_at_once() -> None:
    with pytest.raises(PlanError) as caught:
        parse(plan("a [x y]", "@", "a"))
    assert [line for line, _ in caught.value.complaints] == [5, 5, 6, 7]


def test_pragmas_and_signs_as_sqitch_writes_them_too() -> None:
    text = f"% project = shop # ours\n %strict\n\n+ users {BY}\n @v1-beta.2 {BY} # note\n+a_b{BY}\n"
    with pytest.raises(PlanError, match="line that Sqitch writes"):
        parse(text)
    found = parse(text.replace("a_b2", "a_b 2"))
    assert [(each.line, each.name, each.tags) for each in found] == [(4, "users", ["v1-beta.2"]), (6, "a_b", [])]


def test_where_the_plan_is(folder: Path) -> None:
    project(folder / "db", plan("users"), "users")
    done = run(folder)
    assert done.exit_code == 2
    assert "these folders in it have some, import one of them: db" in done.stderr
    assert "sqitch.plan, deploy/, revert/ (Sqitch)" in done.stderr
    assert len(texts(folder / "db")) == 1


def test_their_own_transactions_are_stripped(folder: Path) -> None:
    up, down = wrapped("Deploy shop:users", UP), wrapped("Revert shop:users", DOWN)
    fill(folder, {"sqitch.plan": plan("users"), "deploy/users.sql": up, "revert/users.sql": down})
    done = run(folder, "--engine", "postgresql")
    assert done.exit_code == 1
    assert "deploy/users.sql: statement 1, line 3, column 1: BEGIN is refused" in done.stderr
    (spec,) = imported(folder, "--engine", "postgresql", "--strip-transactions").values()
    assert spec["up"] == up.replace("BEGIN;", "").replace("COMMIT;", "")
    assert spec["down"] == down.replace("BEGIN;", "").replace("COMMIT;", "")
