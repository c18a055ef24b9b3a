"""The local cluster's program is no part of the operator's package: its place is put on the path here."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3] / "deploy" / "local"))
