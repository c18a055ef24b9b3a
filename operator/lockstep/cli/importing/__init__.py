"""Other tools' files as Migrations: their names tell version and way, their comments where the way back begins."""

from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from lockstep.cli.importing.changes import RefusedError, UnfitError
from lockstep.cli.importing.folder import read, write
from lockstep.cli.importing.literal import written
from lockstep.cli.importing.refusing import refusals
from lockstep.cli.importing.resources import Resource, resources
from lockstep.cli.importing.stripping import strip

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


def make(
    folder: Path,
    line: str,
    namespace: str | None = None,
    engine: str | None = None,
    *,
    strip_transactions: bool = False,
) -> Imported:
    """Return the Migrations that a folder's files are.

    Args:
        folder: where they are.
        line: the line that they shall be of.
        namespace: written into each.
        engine: whose SQL they are, where a look at them is asked for.
        strip_transactions: whether BEGIN and COMMIT that are around the whole of a text are taken out.

    Raises:
        DocumentError: if there is no such folder.
        UnfitError: if files cannot be used; RefusedError, if a run on that engine would refuse them.
    """
    if strip_transactions and engine is None:
        raise UnfitError(
            ["--strip-transactions needs --engine: what BEGIN and COMMIT are, each database reads for itself"]
        )
    collected = read(folder, engine)
    if not strip_transactions or engine is None:
        changes, remarks = collected.changes, collected.remarks
        left: tuple[str, ...] = ()
    else:
        stripped = strip(collected.changes, engine)
        changes, remarks, left = stripped.changes, (*collected.remarks, *stripped.remarks), stripped.left
    made = resources(changes, line, namespace)
    if engine is not None and (refused := refusals(made, engine)):
        around = () if strip_transactions else strip(changes, engine).taken
        raise RefusedError([*left, *refused, _what_now(refused, around)])
    return Imported(line, made, remarks)


def _what_now(refused: Sequence[str], around: Sequence[str]) -> str:
    option = (
        f"; --strip-transactions takes BEGIN and COMMIT out that are around {len(around)} of them" if around else ""
    )
    return (
        f"nothing is written, since a run would refuse what is in {len(refused)} of the texts: mend these files, in a "
        f"copy where the other tool still checks them, and import again{option}"
    )
