"""A namespace of a real cluster for each test: PodSecurity `restricted` is enforced in all of them."""

import uuid
from collections.abc import Iterator

import pytest
from kubernetes import client

from support.kube import KUBECONFIG, ROOT, Kube, condition, connect


@pytest.fixture(scope="session")
def api() -> Iterator[client.ApiClient]:
    """The connection to the API server."""
    if not KUBECONFIG.exists():
        pytest.skip("no cluster: start one with `make cluster`, or name one with KUBECONFIG")
    with connect() as connection:
        # The tree's own CRDs, which an installed chart may be behind.
        for path in sorted((ROOT / "crds").glob("*.yaml")):
            (crd,) = Kube("default", connection).apply_yaml(path.read_text())
            Kube("default", connection).wait(
                "CustomResourceDefinition",
                crd["metadata"]["name"],
                lambda found: condition(found, "Established").get("status") == "True",
                "is served",
            )
        yield connection


@pytest.fixture
def kube(api: client.ApiClient) -> Iterator[Kube]:
    """A fresh namespace."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    kube = Kube(name, api)
    level = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn", "audit")}
    kube.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {**level, "lockstep-test": "1"}}}
    )
    yield kube
    kube.call("DELETE", kube.path("Namespace", name))
