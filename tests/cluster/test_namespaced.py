"""A second operator that serves one namespace, installed from the same chart; its runner's image cannot be pulled."""

import subprocess
from collections.abc import Iterator

import pytest

from support.kube import KUBECONFIG, ROOT, Kube, condition, migration, schema_version
from support.targets import Target

NOWHERE = "127.0.0.1:1/lockstep:none"


@pytest.fixture
def own(unserved: Kube, operator: None) -> Iterator[Kube]:
    """A namespace with an operator of its own."""
    yield unserved
    helm(unserved, "uninstall", "own")


def helm(kube: Kube, *words: str) -> None:
    command = [str(ROOT / ".local" / "bin" / "helm"), *words, "--kubeconfig", str(KUBECONFIG), "-n", kube.namespace]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def install(kube: Kube, image: str, runner: str) -> None:
    repository, _, tag = image.rpartition(":")
    values = {
        "image.repository": repository,
        "image.tag": tag,
        "runner.image": runner,
        "watch.namespaces": f"{{{kube.namespace}}}",
        "crds.install": "false",
        "replicas": "1",
        "controller.backoffSeconds": "1",
        "controller.backoffMaxSeconds": "5",
    }
    words = [word for name, value in values.items() for word in ("--set", f"{name}={value}")]
    helm(kube, "upgrade", "--install", "--wait", "--timeout", "2m", "own", str(ROOT / "charts" / "lockstep"), *words)


def test_an_image_that_cannot_be_pulled_and_rights_in_one_namespace_only(own: Kube, target: Target) -> None:
    deployment = Kube("lockstep-system").get("Deployment", "lockstep")
    image = deployment["spec"]["template"]["spec"]["containers"][0]["image"]
    install(own, image, NOWHERE)
    own.apply(target.secret(), migration("orders", "1", "CREATE TABLE a (n int)"), schema_version("orders"))
    found = own.wait_reason("SchemaVersion", "orders", "ImagePullFailed")
    assert NOWHERE in condition(found, "Ready")["message"]
    assert target.tables() == set()

    account = f"--as=system:serviceaccount:{own.namespace}:own-lockstep"
    assert own.kubectl("auth", "can-i", "create", "jobs.batch", account, check=False).startswith("yes")
    for words in (
        ["create", "jobs.batch", "-n", "default"],
        ["get", "secrets"],
        ["list", "migrations.lockstep.dev", "-A"],
    ):
        assert own.kubectl("auth", "can-i", *words, account, check=False).startswith("no")

    # The operator's setting is corrected: the pod that waits for the old image is not waited for.
    install(own, image, image)
    own.wait_reason("SchemaVersion", "orders", "UpToDate", seconds=120)
    assert target.tables() == {"a"}
