"""The API server as tests use it: plain dictionaries in and out."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client, config

from support.waiting import eventually

ROOT = Path(__file__).parents[2]
KUBECONFIG = Path(os.environ.get("KUBECONFIG") or ROOT / ".local" / "kubeconfig")
Object = dict[str, Any]

_PLURALS = {
    "Migration": ("apis/lockstep.dev/v1alpha1", "migrations"),
    "SchemaVersion": ("apis/lockstep.dev/v1alpha1", "schemaversions"),
    "Job": ("apis/batch/v1", "jobs"),
    "Deployment": ("apis/apps/v1", "deployments"),
    "Lease": ("apis/coordination.k8s.io/v1", "leases"),
    "Role": ("apis/rbac.authorization.k8s.io/v1", "roles"),
    "RoleBinding": ("apis/rbac.authorization.k8s.io/v1", "rolebindings"),
    "CustomResourceDefinition": ("apis/apiextensions.k8s.io/v1", "customresourcedefinitions"),
    **{
        kind: ("api/v1", f"{kind.lower()}s")
        for kind in ("Pod", "Secret", "ConfigMap", "Namespace", "Node", "Event", "ResourceQuota", "Service")
    },
}


class Refused(Exception):
    """The API server said no."""

    def __init__(self, status: int, body: Object) -> None:
        super().__init__(f"{status}: {body.get('message')}")
        self.status = status
        self.body = body
        self.message: str = body.get("message", "")


def connect() -> client.ApiClient:
    """Return a connection to the cluster's API server."""
    connection: client.ApiClient = config.new_client_from_config(str(KUBECONFIG))
    return connection


class Kube:
    """One namespace of a real cluster."""

    def __init__(self, namespace: str, api: client.ApiClient | None = None) -> None:
        self.namespace = namespace
        self._api = api or connect()

    def call(self, method: str, path: str, body: Any = None, query: Any = (), content_type: str | None = None) -> Any:
        """Send one request and return the parsed answer."""
        headers = {"Accept": "application/json", "Content-Type": content_type or "application/json"}
        request = self._api.param_serialize(
            method,
            "/" + path,
            query_params=list(query),
            header_params=headers,
            body=body,
            auth_settings=["BearerToken"],
        )
        response = self._api.call_api(*request, _request_timeout=30)
        text = (response.read() or b"").decode()
        answer: Any = json.loads(text) if text.startswith("{") else text
        if response.status >= 400:
            raise Refused(response.status, answer if isinstance(answer, dict) else {"message": answer})
        return answer

    def path(self, kind: str, name: str = "", namespace: str | None = None) -> str:
        """Return the path of a resource, or of its collection."""
        prefix, plural = _PLURALS[kind]
        if kind in {"Namespace", "Node", "CustomResourceDefinition"}:
            return f"{prefix}/{plural}" + (f"/{name}" if name else "")
        return f"{prefix}/namespaces/{namespace or self.namespace}/{plural}" + (f"/{name}" if name else "")

    def apply(self, *objects: Object) -> list[Object]:
        """Apply objects server-side, as `kubectl apply --server-side --force-conflicts` does."""
        return [
            self.call(
                "PATCH",
                self.path(each["kind"], each["metadata"]["name"], each["metadata"].get("namespace")),
                json.dumps(each),  # which is YAML too
                [("fieldManager", "tests"), ("force", "true")],
                "application/apply-patch+yaml",
            )
            for each in objects
        ]

    def apply_yaml(self, text: str) -> list[Object]:
        """Apply the documents of a YAML text."""
        return self.apply(*(each for each in yaml.safe_load_all(text) if each))

    def get(self, kind: str, name: str) -> Object:
        """Return one object."""
        found: Object = self.call("GET", self.path(kind, name))
        return found

    def find(self, kind: str, name: str) -> Object | None:
        """Return one object, or None if there is none."""
        try:
            return self.get(kind, name)
        except Refused as refused:
            if refused.status == 404:
                return None
            raise

    def list(self, kind: str, selector: str = "", fields: str = "") -> list[Object]:
        """Return the objects of a kind."""
        query = [("labelSelector", selector)] * bool(selector) + [("fieldSelector", fields)] * bool(fields)
        found: list[Object] = self.call("GET", self.path(kind), query=query)["items"]
        return found

    def patch(self, kind: str, name: str, change: Object, subresource: str = "") -> Object:
        """Merge a change into an object."""
        path = self.path(kind, name) + (f"/{subresource}" if subresource else "")
        patched: Object = self.call("PATCH", path, change, content_type="application/merge-patch+json")
        return patched

    def delete(self, kind: str, name: str, policy: str = "Background") -> None:
        """Delete an object, if it is there."""
        try:
            self.call("DELETE", self.path(kind, name), {"propagationPolicy": policy})
        except Refused as refused:
            if refused.status != 404:
                raise

    def wait(self, kind: str, name: str, until: Callable[[Object], Any], what: str, seconds: float = 60) -> Object:
        """Return the object once `until` holds for it."""

        def look() -> Object | None:
            found = self.find(kind, name)
            if found is None:
                raise AssertionError(f"{kind} {name} is not there")
            if not until(found):
                raise AssertionError(json.dumps(found.get("status"), indent=1))
            return found

        return eventually(look, f"{kind} {name}: {what}", seconds)

    def wait_gone(self, kind: str, name: str, seconds: float = 60) -> None:
        """Return once an object is no longer there."""
        eventually(lambda: self.find(kind, name) is None, f"{kind} {name} is gone", seconds)

    def wait_reason(self, kind: str, name: str, reason: str, seconds: float = 60) -> Object:
        """Return the object once its Ready condition has this reason for its present generation."""
        return self.wait(
            kind,
            name,
            lambda found: is_current(found) and condition(found, "Ready").get("reason") == reason,
            f"reason {reason}",
            seconds,
        )

    def kubectl(self, *words: str, check: bool = True, **more: Any) -> str:
        """Run kubectl in this namespace and return what it prints."""
        kubectl = ROOT / ".local" / "bin" / "kubectl"
        command = [
            str(kubectl) if kubectl.exists() else "kubectl",
            "--kubeconfig",
            str(KUBECONFIG),
            "-n",
            self.namespace,
        ]
        done = subprocess.run([*command, *words], capture_output=True, text=True, check=False, **more)
        if check and done.returncode:
            raise AssertionError(f"kubectl {' '.join(words)}: {done.stdout}{done.stderr}")
        printed: str = done.stdout + ("" if check else done.stderr)
        return printed


def condition(found: Object, kind: str) -> Object:
    """Return a condition of an object; empty if it has none."""
    conditions: list[Object] = found.get("status", {}).get("conditions") or []
    return next((each for each in conditions if each["type"] == kind), {})


def is_current(found: Object) -> bool:
    """Tell whether the status speaks of the present generation."""
    return bool(found.get("status", {}).get("observedGeneration") == found["metadata"]["generation"])


def is_ready(found: Object) -> bool:
    """Tell whether the object is Ready in its present generation."""
    return is_current(found) and condition(found, "Ready").get("status") == "True"


def migration(line: str, version: str | None, up: str, **spec: Any) -> Object:
    """Return a Migration."""
    words: Object = {"schema": line, "up": up, **spec}
    if version is not None:
        words["version"] = version
    name = f"{line}-{version or spec.pop('name', 'repeatable')}".replace("_", "-")
    return {
        "apiVersion": "lockstep.dev/v1alpha1",
        "kind": "Migration",
        "metadata": {"name": words.pop("name", name)},
        "spec": words,
    }


def schema_version(name: str, secret: str = "db", **spec: Any) -> Object:
    """Return a SchemaVersion."""
    return {
        "apiVersion": "lockstep.dev/v1alpha1",
        "kind": "SchemaVersion",
        "metadata": {"name": name},
        "spec": {"database": {"secretRef": {"name": secret}}, **spec},
    }


def secret(name: str, **data: str) -> Object:
    """Return a Secret."""
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}


def config_map(name: str, **data: str) -> Object:
    """Return a ConfigMap."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}
