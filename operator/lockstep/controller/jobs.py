"""The Job of a run and its bundle, rendered; no I/O."""

import base64
import hashlib
from collections.abc import Sequence
from typing import Any, Final

from lockstep.api import names
from lockstep.api.fields import milliseconds
from lockstep.api.schemaversion import Execution, SchemaVersionSpec
from lockstep.controller.facts import JobFact, SchemaVersionFact
from lockstep.controller.inputs import RunInput
from lockstep.controller.kube import JOBS, SCHEMA_VERSIONS, Object
from lockstep.controller.settings import Settings
from lockstep.planning import wire
from lockstep.planning.version import Version

NAME_LENGTH: Final = 57
"""A pod's name is its Job's and six more characters, and its host name has 63."""
GRACE_SECONDS: Final = 30
"""For a run to get to a boundary after SIGTERM."""
POD_MARGIN: Final = 60
"""Seconds that the pod has beyond the runner's own deadline, so that the runner can say what happened."""
JOB_MARGIN: Final = 600
"""The same for the Job: to be scheduled, to pull the image. A Job's deadline deletes the pod and its message."""
RESOURCES: Final[dict[str, Any]] = {
    "requests": {"cpu": "50m", "memory": "96Mi"},
    "limits": {"memory": "512Mi"},
}
VOLUME: Final = "volume"
"""Name in the pod of the volume that holds the database's file."""
_SHARD_KEY: Final = "shard"


def job_name(fact: SchemaVersionFact, run_input: RunInput, attempt: int, mode: wire.Mode = wire.Mode.RUN) -> str:
    """Return a Job's name: the same for the same SchemaVersion, input, mode and attempt, at most 57 characters."""
    digest = hashlib.sha256(f"{fact.uid} {run_input}".encode()).hexdigest()[:10]
    word = "" if mode is wire.Mode.RUN else f"-{mode.value}"
    tail = f"{word}-{digest}-{attempt}"
    # A Job's name becomes a label and a host name: no dots.
    head = fact.name.replace(".", "-")[: NAME_LENGTH - len(tail)].rstrip("-")
    return head + tail


def label_value(name: str) -> str:
    """Return a name as a label's value: at most 63 characters, and still telling long names apart."""
    if len(name) <= 63:
        return name
    return f"{name[:52].rstrip('-.')}-{hashlib.sha256(name.encode()).hexdigest()[:10]}"


def labels(fact: SchemaVersionFact, mode: wire.Mode) -> dict[str, str]:
    """Return the labels of what belongs to a SchemaVersion's runs."""
    return {
        "app.kubernetes.io/managed-by": "lockstep",
        names.LABEL_WATCH: names.WATCH_RUN,
        names.LABEL_SCHEMA_VERSION: label_value(fact.name),
        names.LABEL_MODE: mode.value,
    }


def _owner(api_version: str, kind: str, name: str, uid: str) -> Object:
    # Not blockOwnerDeletion: a foreground deletion of the owner must not wait for a run that hangs.
    return {"apiVersion": api_version, "kind": kind, "name": name, "uid": uid, "controller": True}


def shard_name(job: str, index: int) -> str:
    """Return the name of the ConfigMap with one shard of a bundle."""
    return f"{job}-{index:03d}"


def render_shards(fact: SchemaVersionFact, job: JobFact, shards: Sequence[bytes]) -> list[Object]:
    """Return the bundle's ConfigMaps, owned by the Job, so that they go with it."""
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": shard_name(job.name, index),
                "namespace": fact.namespace,
                "labels": {
                    "app.kubernetes.io/managed-by": "lockstep",
                    names.LABEL_SCHEMA_VERSION: label_value(fact.name),
                },
                "ownerReferences": [_owner(JOBS.api_version, "Job", job.name, job.uid)],
            },
            "immutable": True,
            "binaryData": {_SHARD_KEY: base64.b64encode(shard).decode()},
        }
        for index, shard in enumerate(shards)
    ]


def _volumes(spec: SchemaVersionSpec, job: str, shards: int) -> tuple[list[Object], list[Object]]:
    """Return the pod's volumes and where they are mounted."""
    volumes: list[Object] = [
        {
            "name": "bundle",
            "projected": {
                "sources": [
                    {
                        "configMap": {
                            "name": shard_name(job, index),
                            "items": [{"key": _SHARD_KEY, "path": f"{index:03d}"}],
                        }
                    }
                    for index in range(shards)
                ]
            },
        },
        {"name": "tmp", "emptyDir": {}},
        # Optional: without it the pod would wait without a word; so the runner can name what is missing.
        {"name": "database", "secret": {"secretName": spec.database.secret_ref.name, "optional": True}},
    ]
    mounts: list[Object] = [
        {"name": "bundle", "mountPath": wire.BUNDLE_DIR, "readOnly": True},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - the container's own
        {"name": "database", "mountPath": wire.SECRET_DIR, "readOnly": True},
    ]
    tls = spec.database.tls
    for name, path, reference in (
        ("ca", wire.CA_DIR, tls.ca_secret_ref if tls else None),
        ("client", wire.CLIENT_CERTIFICATE_DIR, tls.client_certificate_secret_ref if tls else None),
    ):
        if reference is not None:
            volumes.append({"name": name, "secret": {"secretName": reference.name, "optional": True}})
            mounts.append({"name": name, "mountPath": path, "readOnly": True})
    if (volume := spec.database.volume) is not None:
        volumes.append({"name": VOLUME, "persistentVolumeClaim": {"claimName": volume.claim_name}})
        # A plan and a look for drift, too: to read a file in WAL mode SQLite writes beside it, and it rolls back what
        # a crash has left.
        mount = {"name": VOLUME, "mountPath": volume.mount_path}
        mounts.append(mount if volume.sub_path is None else {**mount, "subPath": volume.sub_path})
    return volumes, mounts


def _security(execution: Execution) -> Object:
    """Return the pod's security context: `restricted`, and able to write what the app has written."""
    context: Object = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    user, group = execution.run_as_user, execution.fs_group
    if user is not None:
        context["runAsUser"] = user
    if group is not None:
        context["fsGroup"] = group
        if user is not None:
            # The owner has its rights. Who has only the group's needs each file to be gone through: SQLite makes its
            # files 644, whatever the umask.
            context["fsGroupChangePolicy"] = "OnRootMismatch"
    return context


def _group(execution: Execution) -> Object:
    """Return the runner's own group: of the files that it makes, on volumes too that know no fsGroup.

    Without it a user that the image does not know has root's. A pod's own context takes none without a user.
    """
    group = execution.fs_group or execution.run_as_user
    return {} if group is None else {"runAsGroup": group}


def _pod_spec(spec: SchemaVersionSpec, settings: Settings, job: str, shards: int) -> Object:
    execution = spec.execution
    seconds = -(-milliseconds(execution.deadline) // 1000)
    volumes, mounts = _volumes(spec, job, shards)
    pod: Object = {
        "restartPolicy": "Never",
        "activeDeadlineSeconds": seconds + POD_MARGIN,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        # Nothing in the pod may speak to the API server.
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": _security(execution),
        "containers": [
            {
                "name": names.RUNNER_CONTAINER,
                "image": settings.image,
                "imagePullPolicy": settings.image_pull_policy,
                "command": ["python", "-m", "lockstep.runner"],
                "env": [{"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
                "resources": execution.resources or RESOURCES,
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                    **_group(execution),
                },
                "terminationMessagePath": wire.TERMINATION_LOG,
                "terminationMessagePolicy": "File",
                "volumeMounts": mounts,
            }
        ],
        "volumes": volumes,
    }
    if execution.service_account_name is not None:
        pod["serviceAccountName"] = execution.service_account_name
    if execution.node_selector:
        pod["nodeSelector"] = dict(execution.node_selector)
    if execution.tolerations:
        pod["tolerations"] = list(execution.tolerations)
    if execution.affinity:
        pod["affinity"] = execution.affinity
    if execution.image_pull_secrets:
        pod["imagePullSecrets"] = [{"name": each.name} for each in execution.image_pull_secrets]
    return pod


def render_job(
    fact: SchemaVersionFact,
    spec: SchemaVersionSpec,
    settings: Settings,
    *,
    run_input: RunInput,
    attempt: int,
    target: Version,
    shards: int,
    mode: wire.Mode = wire.Mode.RUN,
) -> Object:
    """Return a run's Job, suspended: its bundle is owned by it, so it must exist before the bundle does."""
    name = job_name(fact, run_input, attempt, mode)
    seconds = -(-milliseconds(spec.execution.deadline) // 1000)
    annotations = {
        names.ANNOTATION_OWNER: fact.name,
        names.ANNOTATION_INPUT: str(run_input),
        names.ANNOTATION_ATTEMPT: str(attempt),
        names.ANNOTATION_TARGET: target.text,
        **({names.ANNOTATION_RETRY: fact.retry} if fact.retry is not None else {}),
    }
    return {
        "apiVersion": JOBS.api_version,
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": fact.namespace,
            "labels": labels(fact, mode),
            "annotations": annotations,
            "ownerReferences": [_owner(SCHEMA_VERSIONS.api_version, names.SCHEMA_VERSION, fact.name, fact.uid)],
        },
        "spec": {
            "suspend": True,
            "backoffLimit": 0,
            "completions": 1,
            "parallelism": 1,
            "activeDeadlineSeconds": seconds + JOB_MARGIN,
            "podReplacementPolicy": "Failed",
            # An eviction is no failure of the migration: the Job makes another pod.
            "podFailurePolicy": {
                "rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]
            },
            "template": {
                "metadata": {
                    # Ours win: the operator's watch rests on them.
                    "labels": {**spec.execution.pod_labels, **labels(fact, mode)},
                    "annotations": {**spec.execution.pod_annotations, names.ANNOTATION_OWNER: fact.name},
                },
                "spec": _pod_spec(spec, settings, name, shards),
            },
        },
    }
