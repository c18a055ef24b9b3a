"""One namespace of a test's own control plane, and what tests ask of it."""

import json
from collections.abc import Callable
from typing import Any

from lockstep.api.reasons import Reason
from lockstep.planning.result import EXIT_CODES, LedgerMark, PlanSummary, Result, StepDone, encode_result
from servers.controlplane import ControlPlane, RefusedError
from support.waiting import eventually

Object = dict[str, Any]


class Namespace:
    """A namespace with its Migrations, SchemaVersions and Jobs."""

    def __init__(self, plane: ControlPlane, name: str) -> None:
        self.plane = plane
        self.name = name
        self._seen: set[str] = set()

    def migration(self, name: str, version: str, line: str = "orders", **spec: Any) -> Object:
        """Create a Migration."""
        body = {"schema": line, "version": version, "up": f"CREATE TABLE t{version} ()", **spec}
        return self._create(
            "migrations", "Migration", name, {key: value for key, value in body.items() if value is not None}
        )

    def schema_version(self, name: str = "orders", **spec: Any) -> Object:
        """Create a SchemaVersion."""
        return self._create(
            "schemaversions", "SchemaVersion", name, {"database": {"secretRef": {"name": "db"}}, **spec}
        )

    def _create(self, kind: str, word: str, name: str, spec: Object) -> Object:
        body = {"apiVersion": "lockstep.dev/v1alpha1", "kind": word, "metadata": {"name": name}, "spec": spec}
        return self.plane.create(kind, self.name, body)

    def change(self, name: str = "orders", **spec: Any) -> None:
        """Change a SchemaVersion's spec."""
        self.plane.patch("schemaversions", self.name, name, {"spec": spec})

    def get(self, name: str = "orders") -> Object:
        """Return a SchemaVersion."""
        return self.plane.get("schemaversions", self.name, name)

    def jobs(self) -> list[Object]:
        """Return the Jobs, oldest first."""
        return sorted(self.plane.list("jobs", self.name), key=lambda job: job["metadata"]["resourceVersion"])

    def pods(self, job: str | None = None) -> list[Object]:
        """Return the pods (of one Job)."""
        found = self.plane.list("pods", self.name)
        return [pod for pod in found if job is None or pod["metadata"]["labels"].get("job-name") == job]

    def wait_job(self, number: int = 1, seconds: float = 30) -> Object:
        """Wait for the so-many-th Job that has been let go."""

        def look() -> Object | None:
            jobs = [job for job in self.jobs() if not job["spec"].get("suspend")]
            return jobs[-1] if len(jobs) >= number else None

        return eventually(look, f"Job number {number}", seconds, every=0.02)

    def of_mode(self, mode: str) -> list[Object]:
        """Return the Jobs of one mode (run, plan, check) that have been let go, oldest first."""
        found = [job for job in self.jobs() if job["metadata"]["labels"]["lockstep.dev/mode"] == mode]
        return [job for job in found if not job["spec"].get("suspend")]

    def wait_next(self, mode: str = "run", seconds: float = 30) -> Object:
        """Wait for the next Job of a mode that has been let go: none that was returned before."""

        def look() -> Object | None:
            return next((job for job in self.of_mode(mode) if job["metadata"]["uid"] not in self._seen), None)

        found = eventually(look, f"the next {mode}", seconds, every=0.02)
        self._seen.add(found["metadata"]["uid"])
        return found

    def wait_attempt(self, attempt: int, seconds: float = 30) -> Object:
        """Wait for a Job of this attempt that has been let go."""

        def look() -> Object | None:
            for job in self.jobs():
                if (
                    job["metadata"]["annotations"]["lockstep.dev/attempt"] == str(attempt)
                    and not job["spec"]["suspend"]
                ):
                    return job
            return None

        return eventually(look, f"attempt {attempt}", seconds, every=0.02)

    def wait_pod(self, job: str, seconds: float = 30) -> Object:
        """Wait for a Job's pod."""

        def look() -> Object | None:
            pods = [pod for pod in self.pods(job) if not pod["metadata"].get("deletionTimestamp")]
            return pods[-1] if pods else None

        return eventually(look, f"the pod of {job}", seconds, every=0.02)

    def run(self, job: Object) -> Object:
        """Play the kubelet: let a Job's pod run; return it."""
        pod = self.wait_pod(job["metadata"]["name"])
        # On a node a deleted pod stays until its kubelet says that it has ended.
        binding = {"target": {"kind": "Node", "name": "nowhere"}, "metadata": {"name": pod["metadata"]["name"]}}
        self.plane.call("POST", self.plane.path("pods", self.name, pod["metadata"]["name"], "binding"), binding)
        self.plane.play_pod(self.name, pod)
        return pod

    def end(self, job: Object, result: Result | None = None, code: int | None = None) -> None:
        """Play the kubelet and the runner: let a Job's pod end with a result (done, by default)."""
        pod = self.wait_pod(job["metadata"]["name"])
        said = result or done(job["metadata"]["annotations"]["lockstep.dev/target"])
        exit_code = code if code is not None else EXIT_CODES[said.outcome]
        self.plane.play_pod(self.name, pod, encode_result(said), exit_code)

    def end_pod(self, pod: Object, result: Result, code: int = 10) -> None:
        """Play the kubelet: let this very pod, which is being deleted, end with a result and, once that is read, go."""
        self.plane.play_pod(self.name, pod, encode_result(result), code)
        job = pod["metadata"]["ownerReferences"][0]["name"]
        # Nobody would ever have seen it, had it gone in the same moment.
        self.wait(lambda sv: _ended(sv["status"].get("run"), job), f"the end of {job} is read")
        try:
            self.plane.delete("pods", self.name, pod["metadata"]["name"], gracePeriodSeconds=0)
        except RefusedError as error:
            # A garbage collector that asks once more takes an ended pod away at once.
            if error.status != 404:
                raise

    def hold(self, pod: Object, reason: str, message: str) -> None:
        """Play the kubelet: keep a pod's container waiting."""
        container = {
            "name": "runner",
            "image": "i",
            "imageID": "",
            "ready": False,
            "restartCount": 0,
            "state": {"waiting": {"reason": reason, "message": message}},
        }
        status = {"phase": "Pending", "containerStatuses": [container]}
        self.plane.patch("pods", self.name, pod["metadata"]["name"], {"status": status}, "status")

    def wait(self, until: Callable[[Object], Any], what: str, name: str = "orders", seconds: float = 30) -> Object:
        """Wait until something holds for a SchemaVersion."""

        def look() -> Object | None:
            found = self.get(name)
            if not until(found):
                raise AssertionError(json.dumps(found["status"], indent=1))
            return found

        return eventually(look, f"{name}: {what}", seconds, every=0.05)

    def wait_state(self, state: str, name: str = "orders", seconds: float = 30) -> Object:
        """Wait until a SchemaVersion is in a state, of its present generation."""
        return self.wait(
            lambda sv: (
                sv["status"].get("state") == state
                and sv["status"]["observedGeneration"] == sv["metadata"]["generation"]
            ),
            state,
            name,
            seconds,
        )

    def wait_migration(self, name: str, until: Callable[[Object], Any], what: str, seconds: float = 30) -> Object:
        """Wait until something holds for a Migration."""

        def look() -> Object | None:
            found = self.plane.get("migrations", self.name, name)
            return found if until(found) else None

        return eventually(look, f"{name}: {what}", seconds, every=0.05)

    def wait_gone(self, kind: str, name: str, seconds: float = 30) -> None:
        """Wait until an object is gone."""

        def look() -> bool:
            try:
                self.plane.get(kind, self.name, name)
            except RefusedError as error:
                return error.status == 404
            return False

        eventually(look, f"{kind} {name} is gone", seconds)

    def events(self) -> list[str]:
        """Return the reasons of the events about SchemaVersions."""
        found = self.plane.list("events", self.name)
        return [each["reason"] for each in found if each["involvedObject"]["kind"] == "SchemaVersion"]


def _ended(run: Object | None, job: str) -> bool:
    return run is not None and (run["job"], run["outcome"]) != (job, "Running")


HASH = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64


def planned(version: str, digest: str = HASH, count: int = 1, reason: Reason = Reason.PLANNED) -> Result:
    """Return the result of a plan for a way down from a version."""
    steps = tuple(f"down {number}" for number in range(count))
    return Result(reason, "planned", version, plan=PlanSummary(digest, "Down", count, steps), ledger=MARK)


MARK = LedgerMark("u", 1, "h")


def done(version: str) -> Result:
    """Return the result of a run that has reached a version."""
    step = StepDone("m", version, "up", 5, "2026-07-01T12:00:00Z")
    return Result(Reason.UP_TO_DATE, "there", version, applied=1, ledger=LedgerMark("u", 1, "h"), steps=(step,))
