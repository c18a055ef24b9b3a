"""Metrics; every label has few values, none is a resource's name."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()

RECONCILES = Counter("lockstep_reconciles_total", "Keys worked on.", ["kind", "outcome"], registry=REGISTRY)
RECONCILE_SECONDS = Histogram(
    "lockstep_reconcile_seconds",
    "Time from taking a key to being done with it.",
    ["kind"],
    buckets=(0.005, 0.02, 0.1, 0.5, 2, 10),
    registry=REGISTRY,
)
REQUESTS = Counter(
    "lockstep_api_requests_total", "Requests to the API server.", ["method", "resource", "status"], registry=REGISTRY
)
RUNS = Counter(
    "lockstep_runs_total",
    "Runs, plans and looks for drift (mode) that ended.",
    ["mode", "outcome", "reason"],
    registry=REGISTRY,
)
RUN_SECONDS = Histogram(
    "lockstep_run_seconds",
    "Time from a Job's start to its result on the status, as far as this process saw both.",
    buckets=(1, 2, 5, 15, 60, 300, 1800, 7200),
    registry=REGISTRY,
)
RESOURCES = Gauge("lockstep_resources", "Objects in the cache.", ["kind"], registry=REGISTRY)
QUEUE = Gauge("lockstep_queue_keys", "Keys waiting for work.", registry=REGISTRY)
LEADER = Gauge("lockstep_leader_bool", "1 while this replica leads.", registry=REGISTRY)
WATCH_AGE = Gauge("lockstep_watch_age_seconds", "Age of the last byte of the most silent watch.", registry=REGISTRY)
MISSED = Counter("lockstep_missed_events_total", "Changes found by a resync only.", registry=REGISTRY)
