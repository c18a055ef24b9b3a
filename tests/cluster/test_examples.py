"""The examples, run as their pages say: each shell block in its folder, and what it prints compared with the page."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.kube import KUBECONFIG, ROOT, Kube
from support.targets import Target

EXAMPLES = ROOT / "examples"


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A PATH on which kubectl and lockstep are those of this checkout."""
    for name, program in {
        "kubectl": ROOT / ".local" / "bin" / "kubectl",
        "lockstep": ROOT / ".venv/bin/lockstep",
    }.items():
        if program.exists():
            (tmp_path / name).symlink_to(program)
    return f"{tmp_path}:{os.environ['PATH']}"


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    """Yield each shell block of a page, and what the page says that the last of it prints."""
    pattern = r"^ *```(sh)?\n(.*?)^ *```"
    found = [
        (kind, re.sub(r"^ {3}", "", text, flags=re.M))
        for kind, text in re.findall(pattern, page.read_text(), re.M | re.S)
    ]
    for index, (kind, text) in enumerate(found):
        if kind == "sh":
            following = found[index + 1] if index + 1 < len(found) else ("sh", "")
            yield text, "" if following[0] == "sh" else following[1]


def run(page: Path, kube: Kube, path: str) -> list[str]:
    """Run a page; return what its blocks have printed."""
    # A copy, whose namespace can be changed.
    here = Path(path.partition(":")[0]) / "kubeconfig"
    here.write_text(KUBECONFIG.read_text())
    environment = {**os.environ, "PATH": path, "KUBECONFIG": str(here)}
    subprocess.run(
        ["kubectl", "config", "set-context", "--current", f"--namespace={kube.namespace}"],
        check=True,
        capture_output=True,
        env=environment,
    )
    printed = []
    for text, expected in blocks(page):
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text],
            cwd=page.parent,
            check=False,
            capture_output=True,
            text=True,
            env=environment,
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"
        if expected:
            assert done.stdout.endswith(expected), f"{text}\nprints {done.stdout!r}\nnot {expected!r}"
        printed.append(done.stdout)
    return printed


def test_rollback(kube: Kube, target: Target, path: str) -> None:
    kube.apply(target.secret("orders-db"))
    run(EXAMPLES / "rollback" / "README.md", kube, path)
    assert target.columns("orders") == ["id", "total"]
    assert target.columns("report") == ["id", "total"]


def test_baseline(kube: Kube, target: Target, path: str) -> None:
    target.execute((EXAMPLES / "baseline" / "existing.sql").read_text())
    kube.apply(target.secret("customers-db"))
    run(EXAMPLES / "baseline" / "README.md", kube, path)
    assert target.columns("customers") == ["id", "name", "email"]


def test_the_files_of_the_baseline_serve_an_empty_database_too(kube: Kube, target: Target) -> None:
    kube.apply(target.secret("customers-db"))
    kube.apply_yaml((EXAMPLES / "baseline" / "lockstep.yaml").read_text())
    kube.wait_reason("SchemaVersion", "customers", "UpToDate")
    assert target.columns("customers") == ["id", "name", "email"]


def test_approval(kube: Kube, target: Target, path: str) -> None:
    kube.apply(target.secret("invoices-db"))
    printed = run(EXAMPLES / "approval" / "README.md", kube, path)
    assert "CREATE TABLE invoices" in printed[1]
    assert target.tables() == {"invoices"}


def test_an_approval_committed_with_the_version_does_not_stop(kube: Kube, target: Target, path: str) -> None:
    kube.apply(target.secret("invoices-db"))
    page = (EXAMPLES / "approval" / "README.md").read_text()
    (approved,) = set(re.findall(r"^sha256:[0-9a-f]{64}$", page, re.M))
    text = (EXAMPLES / "approval" / "invoices.yaml").read_text()
    kube.apply_yaml(text.replace("approval: Manual", f'approval: Manual\n  approvedPlans: ["{approved}"]'))
    kube.wait_reason("SchemaVersion", "invoices", "UpToDate")
    assert target.tables() == {"invoices"}
