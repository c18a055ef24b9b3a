"""The operator on a real cluster: apply-to-Ready against a bare Job, and a thousand Migrations: `make bench`.

Everything is a ratio within one run, or a count: this says nothing of seconds on another machine.
"""

import argparse
import json
import re
import statistics
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from lockstep.planning.checksum import checksum
from lockstep.planning.digest import SetMember, set_digest
from lockstep.planning.version import Version
from servers.postgres import Postgres
from support.kube import Kube, Object, connect, is_ready, migration, schema_version
from support.targets import Target, reachable
from support.waiting import eventually

LINES = 100
PER_LINE = 10
IDLE_SECONDS = 30
SYSTEM = "lockstep-system"


@dataclass(frozen=True)
class Figure:
    """One measured figure and what it should be."""

    what: str
    value: float
    goal: str = ""
    unit: str = ""


@contextmanager
def namespace() -> Iterator[Kube]:
    """A namespace for one benchmark."""
    kube = Kube(f"bench-{uuid.uuid4().hex[:6]}", connect())
    kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": kube.namespace}})
    try:
        yield kube
    finally:
        kube.call("DELETE", kube.path("Namespace", kube.namespace))


@contextmanager
def server() -> Iterator[tuple[Postgres, str]]:
    """A PostgreSQL that pods reach, and its address."""
    node = Kube("default").list("Node")[0]
    address = next(str(each["address"]) for each in node["status"]["addresses"] if each["type"] == "InternalIP")
    with reachable(address, settings={"max_connections": "400"}) as postgres:
        yield postgres, address


def image() -> str:
    """Return the image that the operator runs with."""
    found = Kube(SYSTEM).get("Deployment", "lockstep")
    return str(found["spec"]["template"]["spec"]["containers"][0]["image"])


def bare_job(name: str) -> Object:
    """Return a Job that does nothing, from the operator's image."""
    container = {
        "name": "main",
        "image": image(),
        "command": ["python", "-c", "pass"],
        "imagePullPolicy": "IfNotPresent",
    }
    template = {"spec": {"restartPolicy": "Never", "automountServiceAccountToken": False, "containers": [container]}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"backoffLimit": 0, "template": template},
    }


def timed(start: Callable[[], object], done: Callable[[], object], what: str) -> float:
    """Return the seconds from the start of one thing until another is true."""
    begin = time.monotonic()
    start()
    eventually(lambda: bool(done()), what, seconds=300, every=0.02)
    return time.monotonic() - begin


def apply_to_ready(rounds: int) -> list[Figure]:
    """Apply one Migration and a SchemaVersion until Ready; a bare Job until Complete; interleaved."""
    bare: list[float] = []
    exact: list[float] = []
    settled: list[float] = []
    up = "CREATE TABLE a (n int)"
    digest = {"digest": set_digest([SetMember("m", Version.parse("1"), checksum(up))], None)}
    with namespace() as kube, server() as (postgres, address):

        def ready(name: str) -> bool:
            return is_ready(kube.get("SchemaVersion", name))

        def succeeded(name: str) -> bool:
            return bool(kube.get("Job", name)["status"].get("succeeded"))

        for number in range(rounds):
            for name, spec, times in (
                (f"exact-{number}", {"migrations": digest}, exact),
                (f"settled-{number}", {}, settled),
            ):
                target = Target(postgres.database(), address)
                kube.apply(target.secret(name))
                objects = [migration(name, "1", up), schema_version(name, name, **spec)]
                times.append(timed(partial(kube.apply, *objects), partial(ready, name), name))
            job = f"bare-{number}"
            bare.append(timed(partial(kube.apply, bare_job(job)), partial(succeeded, job), job))
    base = statistics.median(bare)
    return [
        Figure("bare Job, apply to Complete (median)", base, unit="s"),
        Figure("apply to Ready with a digest / bare Job", statistics.median(exact) / base, "<= 0.6", "x"),
        Figure("apply to Ready without a digest (settles 1 s) / bare Job", statistics.median(settled) / base, "", "x"),
    ]


class Operator:
    """What the leading replica takes of its machine."""

    def __init__(self) -> None:
        self._kube = Kube(SYSTEM)

    @property
    def leader(self) -> str:
        """Return the pod that holds the Lease."""
        return str(self._kube.get("Lease", "lockstep")["spec"]["holderIdentity"]).split("_")[0]

    def read(self) -> tuple[float, float, float]:
        """Return its CPU seconds so far, its resident memory and its peak in MB."""
        code = "print(open('/proc/1/stat').read()); print(open('/proc/1/status').read())"
        text = self._kube.kubectl("exec", self.leader, "--", "python", "-c", code)
        fields = text.splitlines()[0].rpartition(")")[2].split()
        ticks = int(fields[11]) + int(fields[12])

        def megabytes(name: str) -> float:
            found = re.search(rf"^{name}:\s+(\d+) kB", text, re.M)
            return int(found[1]) / 1024 if found else 0.0

        return ticks / 100, megabytes("VmRSS"), megabytes("VmHWM")


def writes() -> dict[str, float]:
    """Return how many writes the API server has counted, by verb and resource."""
    text = Kube("default").call("GET", "metrics")
    counts: dict[str, float] = {}
    for labels, value in re.findall(r"^apiserver_request_total\{([^}]*)\} (\S+)$", text, re.M):
        found = dict(re.findall(r'(\w+)="([^"]*)"', labels))
        if found["verb"] in {"POST", "PUT", "PATCH", "APPLY"} and found["code"].startswith("2"):
            name = f"{found['verb']} {found['resource']}" + (f"/{found['subresource']}" if found["subresource"] else "")
            counts[name] = counts.get(name, 0) + float(value)
    return counts


def thousand() -> list[Figure]:
    """Apply 1,000 Migrations and 100 SchemaVersions, each with a database of its own, and wait for every status."""
    operator = Operator()
    with namespace() as kube, server() as (postgres, address):
        bare = [bare_job(f"bare-{number}") for number in range(LINES)]
        jobs = timed(
            lambda: kube.apply(*bare),
            lambda: all(each["status"].get("succeeded") for each in kube.list("Job")),
            "the bare Jobs are complete",
        )
        objects: list[Object] = []
        for line in range(LINES):
            name = f"line-{line}"
            target = Target(postgres.database(), address)
            kube.apply(target.secret(name))
            ups = {str(n): f"CREATE TABLE t{n} (n int)" for n in range(1, PER_LINE + 1)}
            members = [SetMember("m", Version.parse(version), checksum(up)) for version, up in ups.items()]
            objects += [migration(name, version, up) for version, up in ups.items()]
            objects.append(schema_version(name, name, migrations={"digest": set_digest(members, None)}))
        before, (cpu, _, _) = writes(), operator.read()

        def all_right() -> bool:
            return all(is_ready(each) for each in kube.list("SchemaVersion")) and all(
                each["status"].get("applied") and is_ready(each) for each in kube.list("Migration")
            )

        begin = time.monotonic()
        kube.apply(*objects)
        applied = time.monotonic() - begin
        eventually(all_right, "every status is right", seconds=1200, every=1)
        seconds = time.monotonic() - begin
        after, (worked, resident, peak) = writes(), operator.read()
        time.sleep(IDLE_SECONDS)  # idleness is what is measured here
        idle, _, _ = operator.read()
        delta = {name: after[name] - before.get(name, 0) for name in after}
        mine = [
            each for each in kube.list("Event") if each.get("source", {}).get("component", "").startswith("lockstep")
        ]
        mine += [each for each in kube.list("Event") if str(each.get("reportingComponent", "")).startswith("lockstep")]
        events = len({each["metadata"]["uid"] for each in mine if each["involvedObject"]["kind"] == "SchemaVersion"})
    statuses = delta.get("PATCH schemaversions/status", 0)
    return [
        Figure("1,000 Migrations + 100 SchemaVersions: applied by the client", applied, unit="s"),
        Figure("until all statuses are right", seconds, unit="s"),
        Figure(f"... / {LINES} bare Jobs from apply to Complete", seconds / jobs, "", "x"),
        Figure("status writes a Migration", delta.get("PATCH migrations/status", 0) / (LINES * PER_LINE), "<= 2"),
        Figure("status writes a SchemaVersion", statuses / LINES),
        Figure("status writes and events a SchemaVersion run", (statuses + events) / LINES, "<= 4"),
        Figure("patches of a Job", delta.get("PATCH jobs", 0) / LINES),
        Figure("operator's CPU for it", worked - cpu, unit="s"),
        Figure("operator's memory after it", resident, "< 120", "MB"),
        Figure("operator's peak memory", peak, unit="MB"),
        Figure(f"operator's CPU in {IDLE_SECONDS} idle seconds", idle - worked, "~ 0", "s"),
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10, help="of apply-to-Ready")
    parser.add_argument("--only", choices=["ready", "thousand"])
    parser.add_argument("--json", type=Path)
    wanted = parser.parse_args()
    figures = [] if wanted.only == "thousand" else apply_to_ready(wanted.rounds)
    figures += [] if wanted.only == "ready" else thousand()
    print()
    for figure in figures:
        goal = f"   (goal {figure.goal})" if figure.goal else ""
        print(f"{figure.what:<64}{figure.value:>10.2f} {figure.unit}{goal}")
    if wanted.json is not None:
        wanted.json.write_text(json.dumps([asdict(figure) for figure in figures], indent=1))


if __name__ == "__main__":
    main()
