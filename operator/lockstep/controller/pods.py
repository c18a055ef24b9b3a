"""What a run's Job and pods say: under way, ended with a result, or ended without one and why."""

import re
from collections.abc import Sequence
from enum import Enum

from msgspec import Struct

from lockstep.api.reasons import Reason
from lockstep.controller.facts import JobFact, PodFact
from lockstep.planning.result import Result, decode_result


class Phase(Enum):
    """How far a run's Job is."""

    PENDING = "pending"
    """Its container has not started."""
    RUNNING = "running"
    ENDED = "ended"


class Verdict(Struct, frozen=True):
    """What is known of one run."""

    phase: Phase
    result: Result | None = None
    reason: Reason | None = None
    """Why it is held up (PENDING), or how it ended without a result."""
    message: str = ""
    pod: str | None = None
    counts: bool = True
    """Whether a failure makes the next wait longer: an eviction does not."""


_PULL = frozenset({"ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable"})
_REJECTED = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
_VOLUME = re.compile("volume|pvc", re.IGNORECASE)
"""In the scheduler's messages about claims; none of its others has these words."""
UNMOUNTED = frozenset({"FailedMount", "FailedAttachVolume", "FailedMapVolume"})
"""Reasons of events that say why a pod does not get its volume."""
INTERRUPTIONS = frozenset({Reason.INTERRUPTED, Reason.POD_LOST})
"""Ends that say nothing about the migration."""


def _one_line(text: str, limit: int = 500) -> str:
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def _of_claim(pod: PodFact) -> str:
    """Return what is wrong with a pod's claim, as far as the scheduler's message tells."""
    if f'"{pod.claim}" not found' in pod.unschedulable:
        return (
            f"there is no PersistentVolumeClaim {pod.claim} in this namespace, and pod {pod.name} waits for it: create "
            "it, or correct spec.database.volume.claimName"
        )
    if "unbound" in pod.unschedulable:
        return (
            f"PersistentVolumeClaim {pod.claim} is not bound to a volume, and pod {pod.name} waits for it: see "
            f"`kubectl describe pvc {pod.claim}`"
        )
    return (
        f"no node takes pod {pod.name} with PersistentVolumeClaim {pod.claim}: {pod.unschedulable}; check the claim, "
        "who else uses it, and spec.execution"
    )


def unmounted(pod: PodFact, message: str) -> tuple[Reason, str]:
    """Return the reason for which a pod that has its node does not get its volume.

    Args:
        pod: the pod.
        message: what the kubelet or the attaching controller said in an event.
    """
    return (
        Reason.VOLUME_UNAVAILABLE,
        _one_line(
            f"PersistentVolumeClaim {pod.claim} cannot be mounted into pod {pod.name}: {message}; where a pod on "
            "another node has it, let spec.execution.affinity bring the run there"
        ),
    )


def hold_up(pod: PodFact) -> tuple[Reason, str] | None:
    """Return why a pod does not start, if it says so."""
    if pod.waiting in _PULL:
        return (
            Reason.IMAGE_PULL_FAILED,
            _one_line(
                f"the image of pod {pod.name} cannot be pulled ({pod.waiting}): {pod.waiting_message}; check the "
                "operator's image setting, spec.execution.imagePullSecrets and the registry"
            ),
        )
    if pod.waiting in _REJECTED:
        return (
            Reason.POD_REJECTED,
            _one_line(f"the container of pod {pod.name} cannot start ({pod.waiting}): {pod.waiting_message}"),
        )
    if pod.unschedulable and pod.claim and _VOLUME.search(pod.unschedulable):
        return Reason.VOLUME_UNAVAILABLE, _one_line(_of_claim(pod))
    if pod.unschedulable:
        return (
            Reason.UNSCHEDULABLE,
            _one_line(f"no node takes pod {pod.name}: {pod.unschedulable}; check spec.execution and the nodes"),
        )
    return None


def _end_of(pod: PodFact, result: Result | None) -> Verdict:
    """Return how a terminal pod ended."""
    if result is not None:
        counts = result.reason not in INTERRUPTIONS
        return Verdict(Phase.ENDED, result, result.reason, result.message, pod.name, counts)
    if pod.exit_reason == "OOMKilled" or (pod.exit_code == 137 and "OOM" in pod.exit_reason):
        message = f"pod {pod.name} was killed for lack of memory: raise spec.execution.resources.limits.memory"
        return Verdict(Phase.ENDED, None, Reason.OUT_OF_MEMORY, message, pod.name)
    if pod.reason == "DeadlineExceeded":
        message = f"pod {pod.name} did not end in time: raise spec.execution.deadline, or find out what it waits for"
        return Verdict(Phase.ENDED, None, Reason.DEADLINE_EXCEEDED, message, pod.name)
    if pod.disrupted or pod.reason in ("Evicted", "NodeLost", "Shutdown", "Terminated", "Preempting") or pod.deleting:
        cause = f" ({pod.reason})" if pod.reason else ""
        message = _one_line(f"pod {pod.name} was taken away{cause}: {pod.message or 'evicted, drained or deleted'}")
        return Verdict(Phase.ENDED, None, Reason.POD_LOST, message, pod.name, counts=False)
    code = "no exit code" if pod.exit_code is None else f"exit code {pod.exit_code}"
    said = f": {pod.exit_message}" if pod.exit_message else (f": {pod.message}" if pod.message else "")
    message = _one_line(f"pod {pod.name} ended without a result ({code}, {pod.exit_reason or pod.reason}){said}")
    return Verdict(Phase.ENDED, None, Reason.RUNNER_FAILED, message, pod.name)


def verdict(job: JobFact, pods: Sequence[PodFact], said: Result | None = None) -> Verdict:
    """Judge a run by its Job and that Job's pods (oldest first).

    Args:
        job: its Job.
        pods: the pods of that Job.
        said: a result found in the log of the last pod whose termination message held none.
    """
    alive = [pod for pod in pods if not pod.terminal]
    if alive:
        return _alive(alive[-1])
    if not pods:
        return _without_pods(job)
    last = pods[-1]
    result = decode_result(last.exit_message) or said
    interrupted = result is None or result.reason in INTERRUPTIONS
    if last.disrupted and interrupted and not job.ended and not job.deleting:
        # The Job itself replaces an evicted pod: its interruption is not the end.
        return Verdict(Phase.PENDING, message=f"pod {last.name} was evicted; waiting for its replacement")
    if result is None and _job_is_late(job):
        return _without_pods(job)
    return _end_of(last, result)


def _alive(pod: PodFact) -> Verdict:
    if pod.started:
        return Verdict(Phase.RUNNING, pod=pod.name)
    reason, message = hold_up(pod) or (None, "")
    return Verdict(Phase.PENDING, reason=reason, message=message, pod=pod.name)


def _job_is_late(job: JobFact) -> bool:
    return job.ended == "Failed" and job.ended_reason == "DeadlineExceeded"


def _without_pods(job: JobFact) -> Verdict:
    """Judge a Job by its own conditions."""
    if _job_is_late(job):
        message = f"Job {job.name} did not end in time: raise spec.execution.deadline, or find out what it waits for"
        return Verdict(Phase.ENDED, None, Reason.DEADLINE_EXCEEDED, message)
    if job.ended:
        message = f"Job {job.name} ended ({job.ended_reason or job.ended}) and its pod is gone with its result"
        return Verdict(Phase.ENDED, None, Reason.POD_LOST, _one_line(message), counts=False)
    return Verdict(Phase.PENDING)


def rejection(message: str) -> tuple[Reason, str]:
    """Return the reason for which the API server, or the Job controller, could not make an object."""
    if "exceeded quota" in message or "must specify limits" in message or "must specify requests" in message:
        return Reason.QUOTA_EXCEEDED, _one_line(f"{message}; raise the quota, or set spec.execution.resources")
    if "is being terminated" in message or "NamespaceTerminating" in message:
        return Reason.NAMESPACE_TERMINATING, _one_line(message)
    return Reason.POD_REJECTED, _one_line(f"the run's pod was rejected: {message}")
