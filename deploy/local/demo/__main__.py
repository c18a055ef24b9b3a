"""Shows Lockstep at work: a database goes to version 0001, then to 0002, and back once somebody has agreed."""

import base64
import json
import os
import secrets
import subprocess
import sys
from pathlib import Path
from string import Template

from rich.text import Text

from demo import image
from localcluster.console import LocalClusterError, console, note, say
from localcluster.settings import REPOSITORY, Settings

NAMESPACE = "lockstep-demo"
EXAMPLE = REPOSITORY / "examples" / "users"
OFFICIAL_IMAGE = "postgres:18"
OFFICIAL_USER = 999
LOCAL_USER = 65532
WAIT = "180s"


def kubectl(*words: str, stdin: str | None = None) -> str:
    """Run kubectl in the demo's namespace and return what it prints.

    Raises:
        LocalClusterError: with what kubectl said, if it failed.
    """
    own = REPOSITORY / ".local" / "bin" / "kubectl"
    command = [str(own) if own.exists() else "kubectl", "--namespace", NAMESPACE, *words]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LocalClusterError(f"kubectl {' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def show(*words: str) -> None:
    """Run kubectl and show both the command and what it prints."""
    console.print(Text(f"\n$ kubectl -n {NAMESPACE} {' '.join(words)}", style="bold cyan"))
    console.print(Text(kubectl(*words).rstrip()))


def apply(*files: Path) -> None:
    """Apply files, showing the command."""
    words = [word for path in files for word in ("-f", str(path.relative_to(REPOSITORY)))]
    console.print(Text(f"\n$ kubectl -n {NAMESPACE} apply {' '.join(words)}", style="bold cyan"))
    console.print(Text(kubectl("apply", *(word for path in files for word in ("-f", str(path)))).rstrip()))


def namespace() -> None:
    """Make an empty namespace, so that every demo tells the same story."""
    say(f"An empty namespace {NAMESPACE}")
    kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=true")
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    document = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}
    kubectl("apply", "-f", "-", stdin=json.dumps(document))


def database() -> None:
    """Start a PostgreSQL in the namespace, with a password made up here and kept in the Secret alone."""
    local = os.environ.get("CLUSTER", "local") == "local"
    name = image.ensure(Settings.from_environment()) if local else OFFICIAL_IMAGE
    password = secrets.token_urlsafe(18)
    url = f"postgres://app:{password}@postgres.{NAMESPACE}.svc:5432/postgres"
    data = {key: base64.b64encode(value.encode()).decode() for key, value in {"url": url, "password": password}.items()}
    document = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "users-db"}, "data": data}
    kubectl("apply", "-f", "-", stdin=json.dumps(document))
    template = Template(Path(__file__).with_name("postgres.yaml").read_text())
    manifest = template.safe_substitute(image=name, user=LOCAL_USER if local else OFFICIAL_USER)
    say("A PostgreSQL in it")
    kubectl("apply", "-f", "-", stdin=manifest)
    kubectl("rollout", "status", "deployment/postgres", f"--timeout={WAIT}")


def show_table() -> None:
    """Show the table as the database has it."""
    console.print(
        Text(f"\n$ kubectl -n {NAMESPACE} exec deployment/postgres -- psql -c '\\d users'", style="bold cyan")
    )
    # The socket asks for the password too: it is read in the pod and never leaves it.
    psql = "PGPASSWORD=$(cat /secret/password) psql --host=/data --username=app --dbname=postgres --command='\\d users'"
    console.print(Text(kubectl("exec", "deployment/postgres", "--", "sh", "-c", psql).rstrip()))


def demo() -> None:
    """Tell the story."""
    namespace()
    database()
    say("The users table: one Migration, and the SchemaVersion that wants it")
    apply(EXAMPLE / "migrations.yaml", EXAMPLE / "schemaversion.yaml")
    show("wait", "--for=condition=Ready", "schemaversion/users", f"--timeout={WAIT}")
    show("get", "schemaversions,migrations")
    show_table()
    say("The next release: a second version")
    apply(EXAMPLE / "second.yaml")
    show("wait", "--for=condition=Ready", "schemaversion/users", f"--timeout={WAIT}")
    show("get", "schemaversions,migrations")
    show_table()
    say("The way back: a lower version asks first (spec.rollback: Approve), and shows its plan")
    apply(EXAMPLE / "schemaversion.yaml")
    show("wait", "--for=condition=ApprovalRequired", "schemaversion/users", f"--timeout={WAIT}")
    show("get", "schemaversions")
    plan = "{.status.plan.direction}{'\\n'}{.status.plan.steps[*]}{'\\n'}{.status.plan.hash}{'\\n'}"
    show("get", "schemaversion", "users", "--output", f"jsonpath={plan}")
    say("Agreed: the plan of this very hash may run")
    approved = kubectl("get", "schemaversion", "users", "--output", "jsonpath={.status.plan.hash}")
    change = json.dumps({"spec": {"approvedPlans": [approved]}})
    show("patch", "schemaversion", "users", "--type=merge", "--patch", change)
    show("wait", "--for=jsonpath={.status.version}=0001", "schemaversion/users", f"--timeout={WAIT}")
    show("wait", "--for=condition=Ready", "schemaversion/users", f"--timeout={WAIT}")
    show("get", "schemaversions,migrations")
    show_table()
    say("Where to look next")
    note("export KUBECONFIG=.local/kubeconfig" if os.environ.get("CLUSTER", "local") == "local" else "your KUBECONFIG")
    note(f"kubectl -n {NAMESPACE} get schemaversion users -o yaml     what Lockstep knows of the database")
    note(f"kubectl -n {NAMESPACE} logs job/$(kubectl -n {NAMESPACE} get sv users -o jsonpath={{.status.run.job}})")
    note("kubectl -n lockstep-system logs deployment/lockstep         what the operator does")
    note("docs/concepts.md, docs/rollback.md, docs/reasons.md, examples/; `make cluster-down` takes everything away")


def main() -> None:
    """Run the demo; what the user can act on comes without a traceback."""
    try:
        demo()
    except LocalClusterError as error:
        console.print("[bold red]error:[/bold red]", Text(str(error)))
        sys.exit(1)


if __name__ == "__main__":
    main()
