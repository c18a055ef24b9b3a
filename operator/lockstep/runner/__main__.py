"""`python -m lockstep.runner`."""

import gc
import sys


def run() -> int:
    """Start: the imports are most of it, and what they make stays, so that collecting it would be in vain."""
    gc.disable()
    from lockstep.runner.main import main  # noqa: PLC0415 - after the collector is off

    return main()


if __name__ == "__main__":
    sys.exit(run())
