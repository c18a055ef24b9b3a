"""A Sqitch project's changes: `sqitch.plan` says which and in which order, `deploy/` and `revert/` have the SQL. Pure.

A change's version is its place in the plan, which grows at its end alone: what is added later moves no number.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from lockstep.cli.importing.changes import Change, Collected, Text, UnfitError, one_way
from lockstep.cli.importing.layouts import is_sql
from lockstep.cli.importing.sqitch_plan import PlanError, Planned, parse
from lockstep.engines.refused_texts import few

PLAN: Final = "sqitch.plan"
_DIGITS: Final = 4
"""Of a version, so that names are in their order where they are sorted as words; more when they are needed."""


def wanted(files: Sequence[str]) -> tuple[str, ...]:
    """Return those files of a project whose texts are asked for."""
    return (PLAN, *(file for file in files if file.startswith(("deploy/", "revert/")) and is_sql(file)))


def collect(files: Sequence[str], texts: Mapping[str, str]) -> Collected:
    """Return the changes of a project.

    Args:
        files: their paths in its folder.
        texts: of those that are `wanted`.

    Raises:
        UnfitError: if Sqitch would not take the plan, or a file of it is missing.
    """
    try:
        planned = parse(texts[PLAN])
    except PlanError as error:
        raise UnfitError([f"{PLAN}, line {line}: {why}" for line, why in error.complaints]) from None
    changes, complaints = list[Change](), list[str]()
    for place, each in enumerate(planned, 1):
        deploy, *more = (f"deploy/{name}" for name in each.files())
        up = next((file for file in (deploy, *more) if file in texts), None)
        if up is None:
            again = f", nor {few(more)}; its name comes again in the plan" if more else ""
            complaints.append(f"{PLAN}, line {each.line}: {each.name} is planned, and there is no {deploy}{again}")
            continue
        back = f"revert/{up.removeprefix('deploy/')}"
        down = Text(back, texts[back]) if back in texts else None
        changes.append(Change(f"{place:0{_DIGITS}}", each.name, Text(up, texts[up]), down, note=each.note))
    if not changes:
        complaints = [
            f"{PLAN} has {len(planned)} changes, and no file of theirs is in deploy/: {_elsewhere(files, planned)}"
        ]
    if complaints:
        raise UnfitError(complaints)
    remarks = (*_left_out(files, texts, changes), *_said(planned, changes), *one_way(changes))
    return Collected(tuple(changes), remarks)


def _elsewhere(files: Sequence[str], planned: Sequence[Planned]) -> str:
    """Return what to do where sqitch.conf names other folders."""
    ends = tuple(f"/deploy/{name}" for each in planned for name in each.files())
    folders = dict.fromkeys(file[: file.rindex("/deploy/")] for file in files if file.endswith(ends))
    if folders and (own := [each for each in folders if f"{each}/{PLAN}" in files]):
        return f"import the folder that has them, and a plan of its own: {', '.join(own)}"
    if folders:
        return f"copy the plan to where they are, and import that folder: {', '.join(folders)}"
    return "import a folder in which they are in deploy/ and revert/, beside the plan"


def _left_out(files: Sequence[str], texts: Mapping[str, str], changes: Sequence[Change]) -> list[str]:
    used = {text.file for change in changes for text in (change.up, change.down) if text is not None}
    unplanned = [file for file in sorted(texts) if file not in used and file != PLAN]
    checks = [file for file in files if file.startswith("verify/")]
    others = [file for file in files if is_sql(file) and file not in texts and file not in checks]
    said = (
        (", ".join(unplanned), "no change of the plan has them"),
        (f"{len(checks)} files" if checks else "", "verify/, which Lockstep does not run"),
        (", ".join(others), "neither in deploy/ nor in revert/"),
    )
    return [f"left out, {why}: {names}" for names, why in said if names]


def _said(planned: Sequence[Planned], changes: Sequence[Change]) -> list[str]:
    tags = [f"@{tag} is {change.version}" for each, change in zip(planned, changes, strict=True) for tag in each.tags]
    others = [f"{each.name} [{need.shown}]" for each in planned for need in each.needs if need.project is not None]
    conflicts = [
        f"{each.name} [{need.shown}]"
        for each in planned
        for need in each.needs
        if need.conflict and need.project is None
    ]
    said = (
        (others, "needs of other projects are left out, write spec.requires with their lines and versions"),
        (conflicts, "conflicts are left out, since a database has all of a line's versions up to its own"),
        (tags[::-1], "tags are not kept, by version"),
    )
    return [f"{what}: {few(names)}" for names, what in said if names]
