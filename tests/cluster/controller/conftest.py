"""A control plane of our own, and in it a namespace for each test."""

import itertools
from collections.abc import Iterator

import pytest

from servers.controlplane import ControlPlane, available
from support.controlled import Namespace

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def plane() -> Iterator[ControlPlane]:
    """An API server with the controllers that Jobs need, and no node."""
    if not available():
        pytest.skip("no control plane: `make cluster` builds its programs")
    with ControlPlane() as plane:
        plane.install_crds()
        yield plane


@pytest.fixture
def ns(plane: ControlPlane) -> Namespace:
    """A fresh namespace that enforces PodSecurity `restricted`."""
    name = f"t{next(_NUMBERS)}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    plane.create("namespaces", None, {"metadata": {"name": name, "labels": labels}})
    return Namespace(plane, name)
