"""The command line."""

from importlib.metadata import version as installed
from typing import Annotated

import typer

from lockstep.cli import documents
from lockstep.planning.digest import set_digest
from lockstep.planning.version import InvalidVersionError, parse_target

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
        _, members = documents.members(documents.read(places), schema)
        typer.echo(set_digest(members, parse_target(target)))
    except (documents.DocumentError, InvalidVersionError, OSError) as error:
        typer.echo(f"lockstep: {error}", err=True)
        raise typer.Exit(2) from None
