"""The runner's modules compiled before it is measured, as the image has them.

A checkout has no bytecode where PYTHONDONTWRITEBYTECODE is set: each start would compile all that is Lockstep's anew.
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from typing import Final

from servers.cache import CACHE

_ALL: Final = "import runpy, lockstep.runner.__main__, lockstep.runner.main, lockstep.engines.postgresql.engine"


@cache
def compiled() -> Mapping[str, str]:
    """Compile what is not compiled yet; return the variables by which a process finds it."""
    words = {"PYTHONPYCACHEPREFIX": str(CACHE / "bytecode"), "PYTHONDONTWRITEBYTECODE": ""}
    subprocess.run([sys.executable, "-c", _ALL], env={**os.environ, **words}, check=True)
    return words
