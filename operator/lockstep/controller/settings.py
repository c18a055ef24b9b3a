"""What the operator can be told from outside: environment variables only."""

import os
import socket
from collections.abc import Mapping
from fnmatch import fnmatchcase

from msgspec import Struct


class InvalidSettingError(ValueError):
    """An environment variable cannot be read; the message names it and says what it must be."""


class Settings(Struct, frozen=True, kw_only=True):
    """The operator's settings; every duration in seconds unless its name says otherwise."""

    pod_name: str
    """POD_NAME: who we are in the Lease."""
    pod_namespace: str
    """POD_NAMESPACE: where the Lease is."""
    image: str
    """LOCKSTEP_IMAGE: the image of the runner's pods, best the operator's own."""
    image_pull_policy: str = "IfNotPresent"
    """LOCKSTEP_IMAGE_PULL_POLICY of these pods."""
    watch_namespaces: tuple[str, ...] = ()
    """LOCKSTEP_WATCH_NAMESPACES, separated by commas; none: the whole cluster."""
    exclude_namespaces: tuple[str, ...] = ()
    """LOCKSTEP_EXCLUDE_NAMESPACES, separated by commas: names or patterns (`*`, `?`) that another operator serves."""
    cluster_id: str = ""
    """LOCKSTEP_CLUSTER_ID: the cluster's identity where the namespace kube-system may not be read."""
    lease_name: str = "lockstep-controller"
    """LOCKSTEP_LEASE_NAME."""
    lease_seconds: float = 15.0
    """LOCKSTEP_LEASE_SECONDS: how long others wait after the leader's last sign of life."""
    renew_seconds: float = 10.0
    """LOCKSTEP_RENEW_SECONDS: a leader that could not renew for so long ends its process."""
    retry_seconds: float = 2.0
    """LOCKSTEP_RETRY_SECONDS: how often the Lease is renewed, or tried."""
    settle_seconds: float = 1.0
    """LOCKSTEP_SETTLE_MILLISECONDS: how long a set without a digest must have been quiet."""
    resync_seconds: float = 300.0
    """LOCKSTEP_RESYNC_SECONDS: how often the cache is compared with a list."""
    workers: int = 8
    """LOCKSTEP_WORKERS: keys worked on at a time."""
    backoff_seconds: float = 5.0
    """LOCKSTEP_BACKOFF_SECONDS: the wait after the first failed attempt; it doubles."""
    backoff_max_seconds: float = 300.0
    """LOCKSTEP_BACKOFF_MAX_SECONDS: the longest such wait."""
    drift_floor_seconds: float = 60.0
    """LOCKSTEP_DRIFT_FLOOR_SECONDS: the shortest pause of spec.driftCheck; for tests."""
    http_port: int = 8080
    """LOCKSTEP_HTTP_PORT: /healthz, /readyz, /metrics; 0: none."""
    log_level: str = "INFO"
    """LOCKSTEP_LOG_LEVEL."""
    job_ttl_seconds: int = 600
    """LOCKSTEP_JOB_TTL_SECONDS: how long a Job stays once its result is on the status."""

    def serves(self, namespace: str) -> bool:
        """Tell whether a namespace is this operator's."""
        return not any(fnmatchcase(namespace, pattern) for pattern in self.exclude_namespaces)

    @property
    def write_timeout(self) -> float:
        """Time limit of one request that writes: it must end before another replica may take over."""
        return max(1.0, self.lease_seconds - self.renew_seconds)


def _number(environ: Mapping[str, str], name: str, default: float, least: float) -> float:
    text = environ.get(name, "").strip()
    if not text:
        return default
    try:
        number = float(text)
    except ValueError:
        raise InvalidSettingError(f"{name}={text!r} is no number") from None
    if number < least:
        raise InvalidSettingError(f"{name}={text!r} must be at least {least:g}")
    return number


def _names(environ: Mapping[str, str], name: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each.strip() for each in environ.get(name, "").split(",") if each.strip()))


def load(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings.

    Raises:
        InvalidSettingError: if a variable is missing or cannot be read.
    """

    def required(name: str) -> str:
        if not (value := environ.get(name, "").strip()):
            raise InvalidSettingError(f"{name} is not set")
        return value

    settings = Settings(
        pod_name=environ.get("POD_NAME", "").strip() or socket.gethostname(),
        pod_namespace=required("POD_NAMESPACE"),
        image=required("LOCKSTEP_IMAGE"),
        image_pull_policy=environ.get("LOCKSTEP_IMAGE_PULL_POLICY", "").strip() or "IfNotPresent",
        watch_namespaces=_names(environ, "LOCKSTEP_WATCH_NAMESPACES"),
        exclude_namespaces=_names(environ, "LOCKSTEP_EXCLUDE_NAMESPACES"),
        cluster_id=environ.get("LOCKSTEP_CLUSTER_ID", "").strip(),
        lease_name=environ.get("LOCKSTEP_LEASE_NAME", "").strip() or "lockstep-controller",
        lease_seconds=_number(environ, "LOCKSTEP_LEASE_SECONDS", 15, 3),
        renew_seconds=_number(environ, "LOCKSTEP_RENEW_SECONDS", 10, 2),
        retry_seconds=_number(environ, "LOCKSTEP_RETRY_SECONDS", 2, 0.1),
        settle_seconds=_number(environ, "LOCKSTEP_SETTLE_MILLISECONDS", 1000, 0) / 1000,
        resync_seconds=_number(environ, "LOCKSTEP_RESYNC_SECONDS", 300, 1),
        workers=int(_number(environ, "LOCKSTEP_WORKERS", 8, 1)),
        backoff_seconds=_number(environ, "LOCKSTEP_BACKOFF_SECONDS", 5, 0.1),
        backoff_max_seconds=_number(environ, "LOCKSTEP_BACKOFF_MAX_SECONDS", 300, 0.1),
        drift_floor_seconds=_number(environ, "LOCKSTEP_DRIFT_FLOOR_SECONDS", 60, 0.1),
        http_port=int(_number(environ, "LOCKSTEP_HTTP_PORT", 8080, 0)),
        log_level=environ.get("LOCKSTEP_LOG_LEVEL", "").strip().upper() or "INFO",
        job_ttl_seconds=int(_number(environ, "LOCKSTEP_JOB_TTL_SECONDS", 600, 0)),
    )
    if not settings.retry_seconds < settings.renew_seconds < settings.lease_seconds:
        raise InvalidSettingError(
            "LOCKSTEP_RETRY_SECONDS < LOCKSTEP_RENEW_SECONDS < LOCKSTEP_LEASE_SECONDS must hold, "
            f"not {settings.retry_seconds:g}, {settings.renew_seconds:g}, {settings.lease_seconds:g}"
        )
    return settings
