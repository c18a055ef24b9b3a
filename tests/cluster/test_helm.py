"""An app's chart that bundles its migrations: `helm upgrade --wait` returns when the schema is there."""

import subprocess
from pathlib import Path

from support import pages
from support.kube import KUBECONFIG, ROOT, Kube, condition, is_ready
from support.targets import Target


def write_chart(folder: Path, **texts: str) -> None:
    files = {
        "Chart.yaml": "apiVersion: v2\nname: shop\nversion: 1.0.0\n",
        "values.yaml": "databaseSecret: db\n",
        "templates/migrations.yaml": pages.chart_template(),
        **{f"migrations/{name}.sql": text for name, text in texts.items()},
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)


def upgrade(kube: Kube, chart: Path, *, ok: bool = True) -> str:
    helm = str(ROOT / ".local" / "bin" / "helm")
    words = ["upgrade", "--install", "--wait", "--timeout", "60s", "shop", str(chart)]
    command = [helm, *words, "--kubeconfig", str(KUBECONFIG), "-n", kube.namespace]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) is ok, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_release_carries_its_schema(kube: Kube, target: Target, tmp_path: Path) -> None:
    kube.apply(target.secret())
    first = {
        "0001_users.up": "SELECT pg_sleep(3);\nCREATE TABLE users (n int);\n",
        "0001_users.down": "DROP TABLE users;\n",
    }
    write_chart(tmp_path, **first)
    upgrade(kube, tmp_path)
    # Not a moment later: Helm has said that it is there.
    assert target.tables() == {"users"}
    assert is_ready(kube.get("SchemaVersion", "shop"))

    second = {**first, "0002_email.up": "SELECT pg_sleep(3);\nALTER TABLE users ADD COLUMN email text;\n"}
    write_chart(tmp_path, **second)
    upgrade(kube, tmp_path)
    assert target.columns("users") == ["n", "email"]

    write_chart(tmp_path, **second, **{"0003_bad.up": "ALTER TABLE nowhere ADD COLUMN x int;\n"})
    assert "shop" in upgrade(kube, tmp_path, ok=False)
    found = kube.get("SchemaVersion", "shop")
    assert condition(found, "Ready")["reason"] == "StatementFailed"
    assert found["status"]["version"] == "0002"


def test_helm_waits_even_when_only_a_text_changed(kube: Kube, target: Target, tmp_path: Path) -> None:
    kube.apply(target.secret())
    write_chart(tmp_path, **{"0001_a.up": "SELECT 1 / 0;\n"})
    upgrade(kube, tmp_path, ok=False)
    write_chart(tmp_path, **{"0001_a.up": "SELECT pg_sleep(3);\nCREATE TABLE a (n int);\n"})
    upgrade(kube, tmp_path)
    assert target.tables() == {"a"}
