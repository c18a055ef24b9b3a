"""The command line."""

from enum import StrEnum
from importlib.metadata import version as installed
from pathlib import Path
from typing import Annotated

import typer

from lockstep.cli import documents, preview
from lockstep.planning.digest import SetMember, set_digest
from lockstep.planning.version import InvalidVersionError, parse_target

USAGE_ERRORS = (documents.DocumentError, InvalidVersionError, OSError)

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Database migrations in lockstep with deployments.")


@app.callback()
def _root() -> None:
    """Database migrations in lockstep with deployments."""


@app.command()
def version() -> None:
    """Print the version of this program."""
    typer.echo(installed("lockstep"))


@app.command()
def digest(
    places: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="YAML files, folders, or - for standard input.")
    ],
    schema: Annotated[str | None, typer.Option(help="The line; may be left out where the files have one.")] = None,
    target: Annotated[str, typer.Option(help="The version that is meant: a version, latest or base.")] = "latest",
) -> None:
    """Print the digest of a set of Migrations, for spec.migrations.digest of the SchemaVersion."""
    try:
        _, found = documents.candidates(documents.read(places), schema)
        members = [SetMember(each.name, each.version, each.up_checksum, each.down_checksum) for each in found]
        typer.echo(set_digest(members, parse_target(target)))
    except USAGE_ERRORS as error:
        typer.echo(f"lockstep: {error}", err=True)
        raise typer.Exit(2) from None


class Output(StrEnum):
    """How a plan is printed."""

    TEXT = "text"
    HASH = "hash"
    JSON = "json"


@app.command()
def plan(  # noqa: PLR0917 - each is an option of the command
    places: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="YAML files, folders, or - for standard input.")
    ],
    schema: Annotated[str | None, typer.Option(help="The line; may be left out where the files have one.")] = None,
    target: Annotated[str, typer.Option(help="The version to reach: a version, latest or base.")] = "latest",
    start: Annotated[
        str | None, typer.Option("--from", help="The version that the database has, reached with these same files.")
    ] = None,
    after: Annotated[
        list[str] | None,
        typer.Option(help="Files of an earlier release that the database has; once for each, in their order."),
    ] = None,
    baseline: Annotated[str | None, typer.Option(help="spec.baseline of a database that is not empty.")] = None,
    out_of_order: Annotated[bool, typer.Option(help="As spec.outOfOrder: Allow.")] = False,
    output: Annotated[Output, typer.Option("--output", "-o", help="text, hash alone, or json.")] = Output.TEXT,
) -> None:
    """Print the plan that a run would make, and its hash for spec.approvedPlans, from files alone."""
    try:
        made = preview.make(
            places,
            preview.Asked(schema, target, start, tuple(after or ()), baseline, allow_out_of_order=out_of_order),
        )
    except USAGE_ERRORS as error:
        typer.echo(f"lockstep: {error}", err=True)
        raise typer.Exit(2) from None
    except preview.RefusedError as refused:
        typer.echo(f"lockstep: {refused}", err=True)
        raise typer.Exit(1) from None
    typer.echo(
        {Output.TEXT: preview.as_text, Output.HASH: lambda p: p.hash, Output.JSON: preview.as_json}[output](made)
    )


class Engine(StrEnum):
    """Whose SQL the texts are."""

    POSTGRESQL = "postgresql"
    MYSQL = "mysql"
    MARIADB = "mariadb"
    SQLITE = "sqlite"


@app.command("import")
def import_files(  # noqa: PLR0917 - each is an option of the command
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder that holds another tool's SQL files.")],
    schema: Annotated[str, typer.Option(metavar="LINE", help="The line that the Migrations shall be of.")],
    namespace: Annotated[str | None, typer.Option(help="Written into each; left out by default.")] = None,
    engine: Annotated[
        Engine | None, typer.Option(help="Also look for what a run on it would refuse, and then print nothing.")
    ] = None,
    strip_transactions: Annotated[
        bool,
        typer.Option(
            "--strip-transactions",
            help="Take BEGIN and COMMIT out that are around the whole of a text, as --engine reads it.",
        ),
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FOLDER", help="Write a file for each instead of printing them."),
    ] = None,
) -> None:
    """Print another tool's SQL files as Migrations; what is to be known of them goes to standard error."""
    from lockstep.cli import importing  # noqa: PLC0415 - it brings the engines; no other command needs them

    try:
        made = importing.make(folder, schema, namespace, engine, strip_transactions=strip_transactions)
        if output is not None:
            importing.write(output, made.resources)
    except importing.UnfitError as unfit:
        for complaint in unfit.complaints:
            typer.echo(f"lockstep: {complaint}", err=True)
        raise typer.Exit(unfit.code) from None
    except USAGE_ERRORS as error:
        typer.echo(f"lockstep: {error}", err=True)
        raise typer.Exit(2) from None
    if output is None:
        for each in made.resources:
            typer.echo(importing.written(each.document).encode(), nl=False)
    for remark in made.remarks(output):
        typer.echo(f"lockstep: {remark}", err=True)
