"""Reads a folder of another tool's, and writes one of Migrations."""

from collections.abc import Sequence
from pathlib import Path

from lockstep.cli.documents import DocumentError
from lockstep.cli.importing.changes import Collected, UnfitError
from lockstep.cli.importing.collecting import collect, wanted
from lockstep.cli.importing.literal import written
from lockstep.cli.importing.resources import Resource


def read(folder: Path, engine: str | None = None) -> Collected:
    """Return the changes that a folder's files are.

    Args:
        folder: where they are.
        engine: whose files are meant, where there are some for several databases.

    Raises:
        DocumentError: if there is no such folder.
        UnfitError: if files cannot be used.
    """
    if not folder.is_dir():
        raise DocumentError(f"{folder}: no such folder")
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    files = sorted(path.as_posix() for path in found if not any(part.startswith(".") for part in path.parts))
    texts, complaints = dict[str, str](), list[str]()
    for file in wanted(files):
        content = (folder / file).read_bytes()
        if (zero := content.find(b"\0")) >= 0:
            complaints.append(_unreadable(file, content, zero, "a zero byte, which no database takes in SQL"))
            continue
        try:
            texts[file] = content.decode()
        except UnicodeDecodeError as error:
            complaints.append(_unreadable(file, content, error.start, "it is no UTF-8"))
    if complaints:
        raise UnfitError(complaints)
    return collect(files, texts, engine)


def _unreadable(file: str, content: bytes, at: int, what: str) -> str:
    line = content.count(b"\n", 0, at) + 1
    return f"{file}, line {line}: {what}: save the file as UTF-8 (iconv -f ITS-ENCODING -t UTF-8)"


def write(folder: Path, resources: Sequence[Resource]) -> None:
    """Write a file for each Migration; nothing, if one is there with other content.

    Raises:
        DocumentError: if one is.
    """
    texts = {folder / f"{each.name}.yaml": written(each.document).encode() for each in resources}
    others = [str(path) for path, text in texts.items() if path.exists() and path.read_bytes() != text]
    if others:
        raise DocumentError(
            f"there already, with other content: {', '.join(others)}: remove them, or name another folder"
        )
    folder.mkdir(parents=True, exist_ok=True)
    for path, text in texts.items():
        path.write_bytes(text)
