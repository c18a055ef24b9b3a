"""What the examples' pages say of their files, beside what they run (tests/cluster/test_docs.py)."""

import re

from support.kube import ROOT, Kube
from support.targets import Target

EXAMPLES = ROOT / "examples"


def test_the_files_of_the_baseline_serve_an_empty_database_too(kube: Kube, target: Target) -> None:
    kube.apply(target.secret("customers-db"))
    kube.apply_yaml((EXAMPLES / "baseline" / "lockstep.yaml").read_text())
    kube.wait_reason("SchemaVersion", "customers", "UpToDate")
    assert target.columns("customers") == ["id", "name", "email"]


def test_an_approval_committed_with_the_version_does_not_stop(kube: Kube, target: Target) -> None:
    kube.apply(target.secret("invoices-db"))
    page = (EXAMPLES / "approval" / "README.md").read_text()
    (approved,) = set(re.findall(r"^sha256:[0-9a-f]{64}$", page, re.M))
    text = (EXAMPLES / "approval" / "invoices.yaml").read_text()
    kube.apply_yaml(text.replace("approval: Manual", f'approval: Manual\n  approvedPlans: ["{approved}"]'))
    kube.wait_reason("SchemaVersion", "invoices", "UpToDate")
    assert target.tables() == {"invoices"}
