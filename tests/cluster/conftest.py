"""A namespace of a real cluster for each test: PodSecurity `restricted` is enforced in all of them."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from kubernetes import client

from servers.postgres import Postgres
from support.kube import KUBECONFIG, ROOT, Kube, condition, connect
from support.targets import Target, reachable


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


@contextmanager
def fresh(api: client.ApiClient, prefix: str) -> Iterator[Kube]:
    """Yield a fresh namespace."""
    name = f"{prefix}-{uuid.uuid4().hex[:8]}"
    kube = Kube(name, api)
    level = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn", "audit")}
    kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": level}})
    yield kube
    kube.call("DELETE", kube.path("Namespace", name))


@pytest.fixture
def kube(api: client.ApiClient) -> Iterator[Kube]:
    """A fresh namespace."""
    with fresh(api, "test") as kube:
        yield kube


@pytest.fixture
def unserved(api: client.ApiClient) -> Iterator[Kube]:
    """A fresh namespace that the cluster's operator leaves alone (see TEST_HELM_ARGS in the Makefile)."""
    with fresh(api, "ctl") as kube:
        yield kube


@pytest.fixture(scope="session")
def address(api: client.ApiClient) -> str:
    """The node's address, at which pods reach servers of this machine."""
    (node, *_) = Kube("default", api).list("Node")
    return next(str(each["address"]) for each in node["status"]["addresses"] if each["type"] == "InternalIP")


@pytest.fixture(scope="session")
def operator(api: client.ApiClient) -> None:
    """The operator, as its chart installs it."""
    kube = Kube("lockstep-system", api)
    if kube.find("Deployment", "lockstep") is None:
        pytest.skip("the operator is not installed: `make image install`")
    kube.wait(
        "Deployment",
        "lockstep",
        lambda found: found["status"].get("availableReplicas", 0) >= 1,
        "is available",
        seconds=120,
    )


@pytest.fixture(scope="session")
def server(address: str) -> Iterator[Postgres]:
    """A PostgreSQL that pods reach."""
    with reachable(address) as server:
        yield server


@contextmanager
def empty(server: Postgres, address: str) -> Iterator[Target]:
    """Yield an empty database of a server."""
    database = server.database()
    yield Target(database, address)
    server.drop(database)


@pytest.fixture
def target(operator: None, server: Postgres, address: str) -> Iterator[Target]:
    """An empty database, and an operator that can take it somewhere."""
    with empty(server, address) as target:
        yield target


@pytest.fixture
def other_target(operator: None, server: Postgres, address: str) -> Iterator[Target]:
    """A second empty database."""
    with empty(server, address) as target:
        yield target
