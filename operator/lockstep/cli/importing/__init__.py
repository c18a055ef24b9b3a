"""Other tools' files as Migrations: their names tell version and way, their comments where the way back begins."""

from pathlib import Path

from msgspec import Struct

from lockstep.cli.importing.collecting import RefusedError, UnfitError
from lockstep.cli.importing.folder import read, write
from lockstep.cli.importing.literal import written
from lockstep.cli.importing.refusing import refusals
from lockstep.cli.importing.resources import Resource, resources

__all__ = ("Imported", "RefusedError", "UnfitError", "make", "write", "written")


class Imported(Struct, frozen=True):
    """What a folder has become."""

    line: str
    resources: tuple[Resource, ...]
    found: tuple[str, ...]
    """What is to be known of its files."""

    def remarks(self, output: Path | None) -> tuple[str, ...]:
        """Return what is to be known, and last how many there are and what comes next.

        Args:
            output: where they were written; None: they were printed.
        """
        versions = [each.change.version for each in self.resources if each.change.version is not None]
        span = f", versions {versions[0]} to {versions[-1]}" if versions else ""
        repeatable = len(self.resources) - len(versions)
        more = f", {repeatable} of them repeatable" if repeatable else ""
        place = "FILE" if output is None else output
        return (
            *self.found,
            f"{len(self.resources)} Migrations of {self.line}{span}{more}; next: lockstep digest {place}, or "
            f"kubectl apply -f {place}",
        )


def make(folder: Path, line: str, namespace: str | None = None, engine: str | None = None) -> Imported:
    """Return the Migrations that a folder's files are.

    Args:
        folder: where they are.
        line: the line that they shall be of.
        namespace: written into each.
        engine: whose SQL they are, where a look at them is asked for.

    Raises:
        DocumentError: if there is no such folder.
        UnfitError: if files cannot be used; RefusedError, if a run on that engine would refuse them.
    """
    collected = read(folder)
    made = resources(collected.changes, line, namespace)
    if engine is not None and (refused := refusals(made, engine)):
        raise RefusedError(
            [
                *refused,
                f"nothing is written, since a run would refuse what is in {len(refused)} of the texts: mend these "
                "files, in a copy where the other tool still checks them, and import again",
            ]
        )
    return Imported(line, made, collected.remarks)
