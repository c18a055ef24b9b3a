"""The pages, run as they say: each shell block with this checkout's programs, on a line as the page describes it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import pytest
import yaml

from lockstep.cli import documents
from lockstep.planning.digest import SetMember, set_digest
from support import pages
from support.kube import ROOT, Kube, Object, migration, schema_version
from support.pages import resources
from support.shell import Shell
from support.targets import Target

URL: Final = "postgres://app:password@my-database:5432/app"
"""Where pages have it, the reader puts in their own."""
ORDERS: Final = (
    migration("orders", "0001", "CREATE TABLE orders (id int)", down="DROP TABLE orders"),
    migration("orders", "0002", "ALTER TABLE orders ADD COLUMN n int", down="ALTER TABLE orders DROP COLUMN n"),
    migration("orders", "0003", "CREATE TABLE items (id int)", down="DROP TABLE items"),
)


def own(page: str, *, secret: str = "db", **spec: object) -> Object:
    """Return the SchemaVersion that a page shows, with a Secret of the test's."""
    (found,) = [each for each in resources(page) if each["kind"] == "SchemaVersion"]
    return {**found, "spec": {**found["spec"], "database": {"secretRef": {"name": secret}}, **spec}}


def digest_of(migrations: Sequence[Object]) -> str:
    """Return the digest of a set, reckoned from its resources."""
    _, found = documents.candidates(list(migrations), None)
    return set_digest(
        [SetMember(each.name, each.version, each.up_checksum, each.down_checksum) for each in found], None
    )


def readme(kube: Kube, target: Target, shell: Shell, _: Path) -> None:
    example = yaml.safe_load((ROOT / "examples" / "users" / "migrations.yaml").read_text())
    assert resources("README.md")[0]["spec"]["up"] == example["spec"]["up"]
    with shell.reading("README.md", mine={URL: target.url}) as run:
        assert "schemaversion.lockstep.dev/users condition met" in run()
    assert target.tables() == {"users"}


def users(kube: Kube, target: Target, shell: Shell, _: Path) -> None:
    with shell.reading("examples/users/README.md", mine={URL: target.url}) as run:
        run()
        run()
        assert target.columns("users") == ["id", "name", "email", "created_at"]
        run()
    kube.wait_reason("SchemaVersion", "users", "UpToDate")
    assert target.columns("users")[-1] == "last_seen_at"


def rollback_example(kube: Kube, target: Target, shell: Shell, _: Path) -> None:
    kube.apply(target.secret("orders-db"))
    with shell.reading("examples/rollback/README.md") as run:
        run()
        run()
        run()
    assert target.columns("orders") == ["id", "total"]
    assert target.columns("report") == ["id", "total"]


def baseline_example(kube: Kube, target: Target, shell: Shell, _: Path) -> None:
    target.execute((ROOT / "examples" / "baseline" / "existing.sql").read_text())
    kube.apply(target.secret("customers-db"))
    with shell.reading("examples/baseline/README.md") as run:
        run()
    assert target.columns("customers") == ["id", "name", "email"]


def approval_example(kube: Kube, target: Target, shell: Shell, _: Path) -> None:
    kube.apply(target.secret("invoices-db"))
    with shell.reading("examples/approval/README.md") as run:
        run()
        assert "CREATE TABLE invoices" in run()
        run()
        run()
    assert target.tables() == {"invoices"}


def approval(kube: Kube, target: Target, shell: Shell, here: Path) -> None:
    wanted = own("docs/approval.md")
    (here / "migrations.yaml").write_text(yaml.safe_dump_all(ORDERS))
    (here / "schemaversion.yaml").write_text(yaml.safe_dump(wanted))
    kube.apply(target.secret(), *ORDERS, wanted)
    with shell.reading("docs/approval.md", here) as run:
        shown = run()
        plan = kube.get("SchemaVersion", "orders")["status"]["plan"]
        assert shown.endswith(f"{plan['hash']}\n")
        assert "CREATE TABLE items" in run()
        assert target.tables() == set()
        run()
        assert target.tables() == {"orders", "items"}
        # What CI computes without a cluster is what was approved.
        assert run() == f"{plan['hash']}\n"


def adopting(kube: Kube, target: Target, shell: Shell, here: Path) -> None:
    (third, wanted, _harbor) = resources("docs/adopting.md")
    target.execute("CREATE TABLE orders (id int, email text)")
    target.execute("CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
    target.execute(f"INSERT INTO alembic_version VALUES ('{third['spec']['adopts'][0]}')")
    kube.apply(target.secret("orders-db"), *ORDERS[:2], third, wanted)
    found = kube.wait_reason("SchemaVersion", "orders", "ApprovalRequired")
    kube.patch("SchemaVersion", "orders", {"spec": {"approvedPlans": [found["status"]["plan"]["hash"]]}})
    kube.wait_reason("SchemaVersion", "orders", "UpToDate")
    theirs = here / "db" / "migrations"
    theirs.mkdir(parents=True)
    for each in ORDERS:
        for way in ("up", "down"):
            (theirs / f"{each['spec']['version']}_some.{way}.sql").write_text(each["spec"][way])
    with shell.reading("docs/adopting.md", here) as run:
        assert run().splitlines() == [
            "0001 orders-0001 adopt",
            "0002 orders-0002 adopt",
            "0003 orders-0003-add-email adopt",
        ]
        assert run() == f"{digest_of(ORDERS)}\n"


def concepts(kube: Kube, target: Target, shell: Shell, _: Path) -> None:
    kube.apply(target.secret(), *ORDERS, own("docs/concepts.md"))
    kube.wait_reason("SchemaVersion", "orders", "UpToDate")
    with shell.reading("docs/concepts.md") as run:
        printed = run()
    assert "migration.lockstep.dev/orders-0003" in printed
    assert "UpToDate" in printed


def digest(kube: Kube, target: Target, shell: Shell, here: Path) -> None:
    (here / "migrations").mkdir()
    versions = [*ORDERS, migration("orders", "0004", "SELECT 4")]
    for each in versions:
        (here / "migrations" / f"{each['metadata']['name']}.yaml").write_text(yaml.safe_dump(each))
    chart = {
        "Chart.yaml": "apiVersion: v2\nname: my-chart\nversion: 1.0.0\n",
        "values.yaml": "databaseSecret: db\n",
        "templates/migrations.yaml": pages.chart_template(),
        **{f"migrations/{each['spec']['version']}_some.up.sql": each["spec"]["up"] for each in versions},
        **{f"migrations/{each['spec']['version']}_some.down.sql": each["spec"]["down"] for each in ORDERS},
    }
    for name, text in chart.items():
        (here / "my-chart" / name).parent.mkdir(parents=True, exist_ok=True)
        (here / "my-chart" / name).write_text(text)
    with shell.reading("docs/digest.md", here) as run:
        # The same texts are the same set, wherever they are.
        assert run().split() == [digest_of(versions), digest_of(ORDERS), digest_of(versions)]


def local_cluster(kube: Kube, target: Target, shell: Shell, _: Path) -> None:
    with shell.reading("docs/local-cluster.md") as run:
        printed = run()
    assert all(node["metadata"]["name"] in printed for node in kube.list("Node"))


def operations(kube: Kube, target: Target, shell: Shell, _: Path) -> None:
    kube.apply(target.secret(), *ORDERS, schema_version("orders", approval="Manual"))
    found = kube.wait_reason("SchemaVersion", "orders", "ApprovalRequired")
    with shell.reading("docs/operations.md") as run:
        # A Role in each of the namespaces that are served.
        assert {"  namespace: shop", "  namespace: billing"} <= set(run().splitlines())
        assert found["status"]["plan"]["job"] in run()


def reasons(kube: Kube, target: Target, shell: Shell, _: Path) -> None:
    kube.apply(target.secret(), *ORDERS[:1], migration("orders", "2", "SELECT * FROM late"), schema_version("orders"))
    kube.wait_reason("SchemaVersion", "orders", "StatementFailed")
    target.execute("CREATE TABLE late ()")
    with shell.reading("docs/reasons.md") as run:
        run()
    kube.wait_reason("SchemaVersion", "orders", "UpToDate")


def repair(kube: Kube, target: Target, shell: Shell, _: Path) -> None:
    kube.apply(target.secret(), *ORDERS, schema_version("orders", version="0002"))
    kube.wait_reason("SchemaVersion", "orders", "UpToDate")
    # By hand, what version 0003 would do.
    target.execute("CREATE TABLE items (id int)")
    kube.apply(schema_version("orders", version="0003"))
    kube.wait_reason("SchemaVersion", "orders", "StatementFailed")
    with shell.reading("docs/repair.md") as run:
        run()
        found = kube.wait_reason("SchemaVersion", "orders", "UpToDate")
        assert [each["direction"] for each in found["status"]["history"]] == ["up", "up", "repair"]
        run()
    token = kube.get("SchemaVersion", "orders")["metadata"]["annotations"]["lockstep.dev/retry"]
    kube.wait("SchemaVersion", "orders", lambda sv: sv["status"].get("lastHandledRetry") == token, "has tried again")


def rollback(kube: Kube, target: Target, shell: Shell, _: Path) -> None:
    wanted = own("docs/rollback.md")
    kube.apply(target.secret(), *ORDERS, {**wanted, "spec": {**wanted["spec"], "version": "0003"}})
    kube.wait_reason("SchemaVersion", "orders", "UpToDate")
    with shell.reading("docs/rollback.md") as run:
        printed = run()
    assert printed.splitlines()[-2:] == ["down 0003 orders-0003", "down 0002 orders-0002"]
    assert target.tables() == {"orders"}


SCENARIOS: Final[Mapping[str, Callable[[Kube, Target, Shell, Path], None]]] = {
    "README.md": readme,
    "docs/adopting.md": adopting,
    "docs/approval.md": approval,
    "docs/concepts.md": concepts,
    "docs/digest.md": digest,
    "docs/local-cluster.md": local_cluster,
    "docs/operations.md": operations,
    "docs/reasons.md": reasons,
    "docs/repair.md": repair,
    "docs/rollback.md": rollback,
    "examples/approval/README.md": approval_example,
    "examples/baseline/README.md": baseline_example,
    "examples/rollback/README.md": rollback_example,
    "examples/users/README.md": users,
}


@pytest.mark.parametrize("page", pages.RUN)
def test_a_page_does_what_it_says(page: str, kube: Kube, target: Target, tmp_path: Path) -> None:
    SCENARIOS[page](kube, target, Shell(tmp_path, kube.namespace), tmp_path)


@pytest.mark.parametrize("page", [page for page in pages.NAMES if pages.blocks(page, "yaml")])
def test_the_api_server_takes_the_yaml_of_a_page(page: str, kube: Kube) -> None:
    """It knows rules that are not in the models, and refuses a field that it does not know."""
    if text := pages.manifest(page):
        kube.kubectl("apply", "--dry-run=server", "-f", "-", input=text)
