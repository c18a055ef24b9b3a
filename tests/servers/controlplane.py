"""A control plane of a test's own: etcd, API server and controllers, without a node.

For what a shared cluster must not suffer: an API server that hangs or stops, operators that are killed or frozen. No
kubelet: tests play it, by writing the statuses of pods. Its binaries are those of the local cluster.
"""

import json
import os
import signal
import ssl
import subprocess
import tempfile
import urllib.error
import urllib.request
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml

from servers.process import free_port, wait_until

ROOT = Path(__file__).parents[2]
BINARIES = ROOT / ".local" / "bin"
TOKEN = "tests"
Object = dict[str, Any]

# Made by hand and once: the default one reads the machine's CAs, which takes longer than any answer.
TRUSTING = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
TRUSTING.check_hostname = False
TRUSTING.verify_mode = ssl.CERT_NONE


def available() -> bool:
    """Tell whether the binaries are there."""
    return all((BINARIES / name).exists() for name in ("etcd", "kube-apiserver", "kube-controller-manager"))


class ControlPlane:
    """etcd, kube-apiserver and kube-controller-manager, in a folder that goes with them."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="lockstep-plane-")
        self.folder = Path(self._folder.name)
        self.port = free_port()
        self._etcd_port = free_port()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> "ControlPlane":
        peer = free_port()
        client = f"http://127.0.0.1:{self._etcd_port}"
        self._start(
            "etcd",
            f"--data-dir={self.folder / 'etcd'}",
            "--unsafe-no-fsync",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls=http://127.0.0.1:{peer}",
            f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
            f"--initial-cluster=default=http://127.0.0.1:{peer}",
            "--log-level=error",
        )
        (self.folder / "tokens.csv").write_text(f"{TOKEN},admin,admin,system:masters\n")
        subprocess.run(
            ["openssl", "genrsa", "-out", str(self.folder / "sa.key"), "2048"], check=True, capture_output=True
        )
        self.start_apiserver()
        self.kubeconfig = self.write_kubeconfig("admin", self.port)
        self._start(
            "kube-controller-manager",
            f"--kubeconfig={self.kubeconfig}",
            "--leader-elect=false",
            "--secure-port=0",
            "--controllers=job-controller,garbage-collector-controller,namespace-controller,ttl-after-finished-controller,"
            "resourcequota-controller",
            f"--service-account-private-key-file={self.folder / 'sa.key'}",
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for process in reversed(self._processes.values()):
            # A stopped process does not hear.
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()
        self._folder.cleanup()

    def _start(self, name: str, *arguments: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [str(BINARIES / name), *arguments], stdout=log, stderr=subprocess.STDOUT, cwd=self.folder
            )

    def start_apiserver(self) -> None:
        """Start the API server and wait until it answers."""
        self._start(
            "kube-apiserver",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            f"--secure-port={self.port}",
            f"--cert-dir={self.folder / 'certs'}",
            f"--etcd-servers=http://127.0.0.1:{self._etcd_port}",
            f"--token-auth-file={self.folder / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={self.folder / 'sa.key'}",
            f"--service-account-signing-key-file={self.folder / 'sa.key'}",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--disable-admission-plugins=ServiceAccount",
            "--profiling=false",
        )

        def ready() -> bool:
            if self._processes["kube-apiserver"].poll() is not None:
                raise RuntimeError((self.folder / "kube-apiserver.log").read_text()[-2000:])
            return self._ready()

        wait_until(ready, 60, "the API server answers")

    def _ready(self) -> bool:
        try:
            return bool(self.call("GET", "/readyz", parse=False) == "ok")
        except (OSError, RefusedError):
            return False

    def stop_apiserver(self) -> None:
        """Kill the API server."""
        process = self._processes.pop("kube-apiserver")
        process.kill()
        process.wait()

    def signal_apiserver(self, number: signal.Signals) -> None:
        """Freeze (SIGSTOP) or thaw (SIGCONT) the API server."""
        self._processes["kube-apiserver"].send_signal(number)

    def write_kubeconfig(self, name: str, port: int) -> Path:
        """Write a kubeconfig that reaches the API server through a port, and return its path."""
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": "c",
                    "cluster": {"server": f"https://127.0.0.1:{port}", "insecure-skip-tls-verify": True},
                }
            ],
            "users": [{"name": "u", "user": {"token": TOKEN}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        path = self.folder / f"{name}.kubeconfig"
        path.write_text(yaml.safe_dump(document))
        return path

    def call(
        self, method: str, path: str, body: Any = None, content_type: str = "application/json", parse: bool = True
    ) -> Any:
        """Send a request and return the answer."""
        request = urllib.request.Request(
            f"https://127.0.0.1:{self.port}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": content_type},
        )
        try:
            with urllib.request.urlopen(request, timeout=20, context=TRUSTING) as answer:
                text = answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                raise RefusedError(error.code, error.read().decode()) from None
        return json.loads(text) if parse else text

    # What tests do with it.

    def path(self, kind: str, namespace: str | None, name: str = "", subresource: str = "") -> str:
        """Return the path of an object, or of a list."""
        group = {
            "jobs": "/apis/batch/v1",
            "leases": "/apis/coordination.k8s.io/v1",
            "migrations": "/apis/lockstep.dev/v1alpha1",
            "schemaversions": "/apis/lockstep.dev/v1alpha1",
            "customresourcedefinitions": "/apis/apiextensions.k8s.io/v1",
        }.get(kind, "/api/v1")
        parts = [group, *([f"namespaces/{namespace}"] if namespace else []), kind, name, subresource]
        return "/".join(part for part in parts if part)

    def install_crds(self) -> None:
        """Install the project's CRDs and wait until they are served."""
        for file in sorted((ROOT / "crds").glob("*.yaml")):
            crd = yaml.safe_load(file.read_text())
            self.call("POST", self.path("customresourcedefinitions", None), crd)
            name = crd["metadata"]["name"]
            path = self.path("customresourcedefinitions", None, name)
            wait_until(partial(self._established, path), 30, f"{name} is served")

    def _established(self, path: str) -> bool:
        conditions = self.call("GET", path).get("status", {}).get("conditions") or []
        return any(each["type"] == "Established" and each["status"] == "True" for each in conditions)

    def create(self, kind: str, namespace: str | None, body: Object) -> Object:
        """Create an object."""
        made: Object = self.call("POST", self.path(kind, namespace), body)
        return made

    def get(self, kind: str, namespace: str | None, name: str) -> Object:
        """Return an object."""
        found: Object = self.call("GET", self.path(kind, namespace, name))
        return found

    def list(self, kind: str, namespace: str | None) -> list[Object]:
        """Return the objects of a kind."""
        found: list[Object] = self.call("GET", self.path(kind, namespace))["items"]
        return found

    def patch(self, kind: str, namespace: str | None, name: str, body: Object, subresource: str = "") -> Object:
        """Merge a patch into an object."""
        made: Object = self.call(
            "PATCH", self.path(kind, namespace, name, subresource), body, "application/merge-patch+json"
        )
        return made

    def delete(self, kind: str, namespace: str | None, name: str, **options: Any) -> None:
        """Delete an object."""
        self.call("DELETE", self.path(kind, namespace, name), options or None)

    def play_pod(self, namespace: str, pod: Object, message: str | None = None, code: int = 0) -> None:
        """Play the kubelet: let a pod run, or (with a message) end."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        state: Object = {"running": {"startedAt": now}}
        if message is not None:
            reason = "Completed" if code == 0 else "Error"
            state = {
                "terminated": {
                    "exitCode": code,
                    "reason": reason,
                    "message": message,
                    "startedAt": now,
                    "finishedAt": now,
                }
            }
        container = {
            "name": "runner",
            "image": "i",
            "imageID": "i",
            "ready": False,
            "restartCount": 0,
            "state": state,
        }
        phase = "Running" if message is None else ("Succeeded" if code == 0 else "Failed")
        status = {"phase": phase, "startTime": now, "containerStatuses": [container]}
        self.patch("pods", namespace, pod["metadata"]["name"], {"status": status}, "status")


class RefusedError(Exception):
    """The API server said no."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text}")
        self.status = status


def clean_environment() -> dict[str, str]:
    """Return the environment without what names another cluster."""
    kept = ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT")
    return {key: value for key, value in os.environ.items() if key not in kept}
