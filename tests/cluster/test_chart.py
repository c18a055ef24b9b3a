"""The chart, with the real Helm, and what the operator may do once it is installed."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.kube import KUBECONFIG, ROOT, Kube

HELM = ROOT / ".local" / "bin" / "helm"
CHART = ROOT / "charts" / "lockstep"
SYSTEM = "lockstep-system"
ACCOUNT = f"system:serviceaccount:{SYSTEM}:lockstep"


def helm(*words: str, check: bool = True) -> str:
    done = subprocess.run([str(HELM), *words], capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done.stdout + ("" if check else done.stderr)


def template(*words: str) -> list[dict[str, Any]]:
    rendered = helm("template", "lockstep", str(CHART), "--namespace", SYSTEM, *words)
    return [each for each in yaml.safe_load_all(rendered) if each]


def test_it_is_well_formed() -> None:
    helm("lint", "--strict", str(CHART))


def test_the_api_server_accepts_all_of_it(kube: Kube, tmp_path: Path) -> None:
    values = ["networkPolicy.enabled=true", "controller.clusterID=x", f"watch.namespaces={{{kube.namespace}}}"]
    documents = template(*(word for value in values for word in ("--set", value)), "--skip-tests")
    for document in documents:
        document["metadata"].pop("namespace", None)
    (tmp_path / "all.yaml").write_text(yaml.safe_dump_all(documents))
    words = ["apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", str(tmp_path / "all.yaml")]
    printed = kube.kubectl(*words)
    assert printed.count("serverside-applied (server dry run)") == len(documents)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("replicas=0", "replicas"),
        ("image.pullPolicy=Sometimes", "pullPolicy"),
        ("watchNamespaces=a", "watchNamespaces"),
    ],
)
def test_bad_values_are_refused(value: str, message: str) -> None:
    assert message in helm("template", str(CHART), "--set", value, check=False)


def test_crds_are_kept_and_can_be_left_out() -> None:
    crds = [each for each in template() if each["kind"] == "CustomResourceDefinition"]
    assert len(crds) == 2
    assert all(each["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep" for each in crds)
    assert not [each for each in template("--set", "crds.install=false") if each["kind"] == "CustomResourceDefinition"]


def test_named_namespaces_need_no_cluster_wide_rights() -> None:
    documents = template("--set", "watch.namespaces={shop}")
    (cluster_role,) = [each for each in documents if each["kind"] == "ClusterRole"]
    assert cluster_role["rules"] == [
        {"apiGroups": [""], "resources": ["namespaces"], "resourceNames": ["kube-system"], "verbs": ["get"]}
    ]
    (role,) = [each for each in documents if each["kind"] == "Role" and each["metadata"]["namespace"] == "shop"]
    assert {"apiGroups": ["batch"], "resources": ["jobs"]}.items() <= role["rules"][2].items()


def rules() -> set[tuple[str, str]]:
    found = set()
    for document in template():
        if document["kind"] in {"Role", "ClusterRole"}:
            for rule in document["rules"]:
                found |= {(resource, verb) for resource in rule["resources"] for verb in rule["verbs"]}
    return found


def test_every_right_has_its_reason_in_the_docs() -> None:
    page = (ROOT / "docs" / "permissions.md").read_text()
    documented = set()
    known = {verb for _, verb in rules()}
    for resources, verbs in re.findall(r"^\| [a-z0-9.]+ \| ([a-z/, ]+) \| (.+?) \| .+ \|$", page, re.M):
        documented |= {(each, verb) for each in resources.split(", ") for verb in verbs.split(", ") if verb in known}
    assert documented == rules()


def can(kube: Kube, verb: str, resource: str, *words: str) -> bool:
    answer = kube.kubectl("auth", "can-i", verb, resource, f"--as={ACCOUNT}", *words, check=False)
    return answer.splitlines()[0] == "yes" if answer else False


def test_the_operator_may_not_touch_secrets(operator: None, kube: Kube) -> None:
    for verb in ("get", "list", "watch", "create", "update", "patch", "delete"):
        assert not can(kube, verb, "secrets"), verb
    assert can(kube, "create", "jobs.batch")
    assert not can(kube, "create", "pods")
    assert not can(kube, "create", "pods/exec")
    assert not can(kube, "update", "migrations.lockstep.dev")
    assert not can(kube, "delete", "schemaversions.lockstep.dev")


def test_two_replicas_and_one_leader(operator: None, kube: Kube) -> None:
    system = Kube(SYSTEM)
    found = system.wait("Deployment", "lockstep", lambda it: it["status"].get("availableReplicas") == 2, "has two")
    assert found["spec"]["replicas"] == 2
    holder = system.get("Lease", "lockstep")["spec"]["holderIdentity"]
    pods = [each["metadata"]["name"] for each in system.list("Pod", "app.kubernetes.io/name=lockstep")]
    assert any(holder.startswith(pod) for pod in pods), (holder, pods)


def test_its_own_test_passes(operator: None) -> None:
    printed = helm("test", "lockstep", "--namespace", SYSTEM, "--kubeconfig", str(KUBECONFIG), "--timeout", "2m")
    assert "Succeeded" in printed


def test_no_credential_is_asked_for_by_the_pods_of_the_operator(operator: None) -> None:
    pods = Kube(SYSTEM).list("Pod", "app.kubernetes.io/name=lockstep")
    for pod in pods:
        assert "secret" not in json.dumps(pod["spec"].get("volumes", [])).replace("kube-api-access", "").lower()
