"""Where `make test` unpacks the servers that Debian does not have here: see deploy/local/localcluster."""

import os
import re
from pathlib import Path

_HOME = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
CACHE = Path(os.environ.get("LOCKSTEP_LOCAL_CACHE", _HOME / "lockstep"))


def unpacked(name: str, version: int | str) -> Path | None:
    """Return the newest of a server's releases of a version; None where there is none.

    What has its name is complete: it is unpacked under another one.
    """
    found = (CACHE / "servers").glob(f"{name}-{version}.*")
    return max(found, key=lambda path: [int(part) for part in re.findall(r"\d+", path.name)], default=None)
