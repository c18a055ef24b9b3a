"""The files of a Secret that is mounted into the pod."""

from pathlib import Path

from lockstep.api.reasons import Reason
from lockstep.engines.base import RunError


def mounted(folder: str | None, key: str, secret: str, what: str) -> Path:
    """Return the file of a Secret's key.

    Args:
        folder: where the Secret is mounted; None: it is not.
        key: of the Secret.
        secret: its name.
        what: is in it, for people.

    Raises:
        RunError: SecretNotFound or SecretKeyNotFound.
    """
    names = sorted(each.name for each in Path(folder).iterdir() if not each.name.startswith("..")) if folder else []
    if not names:
        raise RunError(Reason.SECRET_NOT_FOUND, f"Secret {secret!r} with the {what} is not there, or is empty")
    if key not in names:
        raise RunError(
            Reason.SECRET_KEY_NOT_FOUND,
            f"Secret {secret!r} has no key {key!r} with the {what}; it has: {', '.join(names)[:200]}",
        )
    return Path(folder or "") / key
