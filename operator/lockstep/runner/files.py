"""What the pod has mounted: the order's shards and the Secrets' keys."""

import os
from pathlib import Path

from lockstep.api.reasons import Reason
from lockstep.engines.base import Files, RunError
from lockstep.planning.bundle import InvalidOrderError, unpack
from lockstep.planning.checksum import checksum
from lockstep.planning.version import InvalidVersionError, Version, parse_target
from lockstep.planning.wire import (
    BUNDLE_DIR,
    CA_DIR,
    CLIENT_CERTIFICATE_DIR,
    SECRET_DIR,
    TERMINATION_LOG,
    Order,
    OrderedMigration,
)

ROOT_VARIABLE = "LOCKSTEP_ROOT"
"""Puts the pod's folders elsewhere, so that the runner runs as a plain process."""
TERMINATION_VARIABLE = "LOCKSTEP_TERMINATION_LOG"


class Mounts:
    """The pod's folders."""

    def __init__(self, environment: "os._Environ[str]") -> None:
        self._root = environment.get(ROOT_VARIABLE, "")
        self.termination_log = environment.get(TERMINATION_VARIABLE, TERMINATION_LOG)
        self.private = environment.get("TMPDIR", "/tmp")  # noqa: S108 - the pod's only writable folder

    def _folder(self, path: str) -> Path:
        return Path(self._root + path)

    def order(self) -> Order:
        """Read the order, and see that its texts are what their checksums say.

        Raises:
            RunError: BundleInvalid or DuplicateVersion.
        """
        folder = self._folder(BUNDLE_DIR)
        # Kubernetes puts `..data` and the like beside them.
        shards = sorted(each for each in folder.glob("*") if each.name.isdigit()) if folder.is_dir() else []
        if not shards:
            raise RunError(Reason.BUNDLE_INVALID, f"the pod has no bundle in {BUNDLE_DIR}")
        try:
            order = unpack(each.read_bytes() for each in shards)
        except InvalidOrderError as error:
            raise RunError(Reason.BUNDLE_INVALID, str(error)) from error
        check_order(order)
        return order

    def secret(self) -> dict[str, str]:
        """Return the Secret's keys; none when it is not there."""
        folder = self._folder(SECRET_DIR)
        if not folder.is_dir():
            return {}
        files = (each for each in folder.iterdir() if not each.name.startswith("..") and each.is_file())
        # surrogateescape: what is no UTF-8 is seen by the parser, not here.
        return {each.name: each.read_bytes().decode("utf-8", "surrogateescape").rstrip("\r\n") for each in files}

    def files(self) -> Files:
        """Return where the keys of the other Secrets are."""

        def there(path: str) -> str | None:
            folder = self._folder(path)
            return str(folder) if folder.is_dir() else None

        return Files(there(CA_DIR), there(CLIENT_CERTIFICATE_DIR), self.private)


def check_order(order: Order) -> None:
    """See that an order makes sense. Pure.

    Raises:
        RunError: BundleInvalid or DuplicateVersion.
    """
    seen: dict[Version, str] = {}
    try:
        parse_target(order.target)
        for each in order.migrations:
            _check_texts(each)
            if each.version is None:
                continue
            version = Version.parse(each.version)
            if (other := seen.get(version)) is not None:
                raise RunError(
                    Reason.DUPLICATE_VERSION, f"{other} and {each.name} are both version {each.version}: rename one"
                )
            seen[version] = each.name
    except InvalidVersionError as error:
        raise RunError(Reason.BUNDLE_INVALID, f"the bundle holds what is no version: {error}") from error


def _check_texts(migration: OrderedMigration) -> None:
    up, down = (migration.up, migration.up_checksum, "up"), (migration.down, migration.down_checksum, "down")
    for text, expected, which in (up, down):
        if text is not None and checksum(text) != expected:
            raise RunError(
                Reason.BUNDLE_INVALID,
                f"the {which} text of {migration.name} in the bundle does not match its checksum: it was changed "
                "after it was planned",
            )
