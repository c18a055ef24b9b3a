"""`python -m lockstep.runner`."""

import sys

from lockstep.runner.main import main

if __name__ == "__main__":
    sys.exit(main())
