"""The names that resources, labels and annotations carry: fixed, since users write them."""

from typing import Final

GROUP: Final = "lockstep.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"

MIGRATION: Final = "Migration"
MIGRATIONS: Final = "migrations"
SCHEMA_VERSION: Final = "SchemaVersion"
SCHEMA_VERSIONS: Final = "schemaversions"

LABEL_WATCH: Final = f"{GROUP}/watch"
"""On what the operator watches with a selector: `run` for the Jobs and pods of runs."""
WATCH_RUN: Final = "run"
LABEL_SCHEMA_VERSION: Final = f"{GROUP}/schemaversion"
"""On Jobs, pods and bundles: the name of the SchemaVersion (shortened to a label's 63 characters)."""

ANNOTATION_RETRY: Final = f"{GROUP}/retry"
"""On a SchemaVersion: any new value starts one more attempt after a permanent error."""
ANNOTATION_INPUT: Final = f"{GROUP}/input-hash"
ANNOTATION_ATTEMPT: Final = f"{GROUP}/attempt"
ANNOTATION_OWNER: Final = f"{GROUP}/schemaversion"
ANNOTATION_TARGET: Final = f"{GROUP}/target"
"""On Jobs: the version that the run goes to, `latest` resolved."""

LABEL_MODE: Final = f"{GROUP}/mode"
"""On Jobs and their pods: `run`, `plan` (says what a run would do) or `check` (looks for drift)."""

RUNNER_CONTAINER: Final = "runner"
"""Name of the container that does a run."""
ANNOTATION_BUNDLE: Final = f"{GROUP}/bundle"
"""On Jobs: hash of the bundle, so that a Job whose maker died is finished with the very same one."""

TARGET_LATEST: Final = "latest"
TARGET_BASE: Final = "base"

VERSION_PATTERN: Final = r"^[0-9]{1,20}(\.[0-9]{1,20})*$"
VERSION_MAX_LENGTH: Final = 128
