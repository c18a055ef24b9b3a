"""Which database a SchemaVersion speaks of, and how to reach it."""

from typing import Annotated, Literal

from pydantic import Field

from lockstep.api.fields import Key, Model, Name, rule

_SEGMENT = r"\.?[-_a-zA-Z0-9][-_.a-zA-Z0-9]*"
"""A part of a path; none goes up."""
RUNNERS_OWN_PATHS = (
    r"^/(lockstep|tmp|proc|sys|dev|etc|bin|sbin|lib|lib64)(/.*)?$|^/usr/?$|^/usr/s?bin(/.*)?$|^/usr/lib(/.*)?$"
    r"|^/opt/?$|^/opt/lockstep(/.*)?$"
)
"""Where nothing may be mounted: the runner is there, or what Kubernetes gives its pod."""


class SecretRef(Model):
    """A Secret in the same namespace."""

    name: Name
    """Name of the Secret."""
    key: Key | None = None
    """Key that holds the URL; by default uri, url or DATABASE_URL, or host, port, dbname, user and password."""


class CaSecretRef(Model):
    """A Secret that holds a certificate authority."""

    name: Name
    """Name of the Secret."""
    key: Key = "ca.crt"
    """Key that holds the certificates (PEM)."""


class ClientCertificateSecretRef(Model):
    """A Secret of type kubernetes.io/tls."""

    name: Name
    """Name of the Secret; its keys are tls.crt and tls.key."""


class DatabaseTls(Model):
    """How the connection is protected."""

    mode: Literal["Disable", "Prefer", "Require", "VerifyCA", "VerifyFull"] | None = None
    """What is verified; by default what the URL says, and VerifyFull where a CA is given."""
    ca_secret_ref: CaSecretRef | None = None
    """The authority that the server's certificate must come from."""
    client_certificate_secret_ref: ClientCertificateSecretRef | None = None
    """The certificate to show to the server."""


class Volume(Model):
    """A PersistentVolumeClaim of the same namespace."""

    claim_name: Name
    """Name of the claim."""
    sub_path: Annotated[str, Field(min_length=1, max_length=1024, pattern=rf"^{_SEGMENT}(/{_SEGMENT})*/?$")] | None = (
        None
    )
    """Folder of the volume to mount, where it is not the whole of it."""
    mount_path: Annotated[str, Field(min_length=2, max_length=256, pattern=rf"^(/{_SEGMENT})+/?$")] = "/database"
    """Where the pod of a run finds it: the path that the Secret gives is below."""


class Database(Model):
    """Which database, and how to reach it."""

    secret_ref: SecretRef
    """The Secret with the connection; only the Job's pod mounts it."""
    engine: Literal["postgresql", "mysql", "mariadb", "sqlite"] | None = None
    """What kind of database it is; inferred where the URL says it."""
    volume: Volume | None = None
    """The volume with the file (engine sqlite only); mounted read-write, for a plan or a look for drift too."""
    tls: DatabaseTls | None = None
    """How the connection is protected."""
    ledger_schema: Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z_][a-z0-9_]*$")] = "lockstep"
    """PostgreSQL schema that holds the ledger."""
    pooler: Literal["None", "Session"] = "None"
    """Session: a session-pooling proxy is in between; transaction pooling is always refused."""


DATABASE_RULES: list[dict[str, str]] = [
    rule(
        "!has(self.database.volume) || (has(self.database.engine) && self.database.engine == 'sqlite')",
        "spec.database.volume is for SQLite: set spec.database.engine to sqlite, or leave the volume out",
    ),
    rule(
        f"!has(self.database.volume) || !self.database.volume.mountPath.matches('{RUNNERS_OWN_PATHS}')",
        "spec.database.volume.mountPath is a place that the runner itself needs: choose another, such as /database",
    ),
]
"""Rules of the spec that holds it."""
