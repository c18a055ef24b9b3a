"""The life of a local cluster: a second one, beside that of the checkout, in namespaces of its own.

It has the machine's network and mounts for itself alone, so that starting it, breaking it and ending it touches nobody.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
# Directories that are the same for every cluster of a machine.
SHARED = ("/run/containerd", "/var/lib/cni", "/var/lib/kubelet", "/var/log")

pytestmark = [
    pytest.mark.skipif(
        sys.platform != "linux" or os.geteuid() != 0 or os.environ.get("CLUSTER", "local") != "local",
        reason="CLUSTER=local needs Linux and root",
    ),
    pytest.mark.timeout(240),
]


class Machine:
    """A network and mounts of its own, and the commands of the local cluster in there."""

    def __init__(self, directory: Path) -> None:
        self.root = Path(f"/var/lib/lockstep-test-{os.getpid()}")
        self.home = directory
        mounts = " && ".join(f"mkdir -p {path} && mount -t tmpfs tmpfs {path}" for path in SHARED)
        script = f"{mounts} && ip link set lo up && echo ready && exec sleep infinity"
        self._holder = subprocess.Popen(
            ["unshare", "--net", "--mount", "--propagation", "slave", "sh", "-c", script], stdout=subprocess.PIPE
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == b"ready\n"

    def run(self, *command: str, check: bool = True) -> str:
        environment = {
            **os.environ,
            "PYTHONPATH": str(REPOSITORY / "deploy" / "local"),
            "LOCKSTEP_LOCAL_ROOT": str(self.root),
            "LOCKSTEP_LOCAL_HOME": str(self.home),
            "KUBECONFIG": str(self.home / "kubeconfig"),
            "KUBECACHEDIR": str(self.home / "cache"),
        }
        inside = ["nsenter", "--target", str(self._holder.pid), "--net", "--mount", f"--wd={REPOSITORY}", *command]
        done = subprocess.run(inside, env=environment, capture_output=True, text=True, check=False)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def mounts(self) -> list[str]:
        """List the mounts, but for those of the checkout's own cluster, which come and go."""
        lines = self.run("cat", "/proc/self/mountinfo").splitlines()
        return [line for line in lines if "/var/lib/lockstep-local/" not in line]

    def local(self, command: str) -> str:
        return self.run(sys.executable, "-m", "localcluster", command)

    def kubectl(self, *arguments: str, check: bool = True) -> str:
        return self.run(str(self.home / "bin" / "kubectl"), *arguments, check=check)

    def pid(self, component: str) -> int:
        return int(json.loads((self.root / "pids" / f"{component}.json").read_text())["pid"])

    def hello(self, name: str) -> str:
        """Run a pod to its end and return what it printed."""
        self.kubectl(
            "create",
            "job",
            name,
            "--image=lockstep-busybox:dev",
            "--",
            "nslookup",
            "kubernetes.default.svc.cluster.local",
        )
        self.kubectl("wait", "--for=condition=Complete", f"job/{name}", "--timeout=60s")
        return self.kubectl("logs", f"job/{name}")

    def close(self) -> None:
        self.local("down")
        lock = self.run(
            sys.executable, "-c", "from localcluster.settings import *; print(Settings.from_environment().lock)"
        )
        Path(lock.strip()).unlink()
        self._holder.kill()
        self._holder.wait()
        assert self._holder.stdout is not None
        self._holder.stdout.close()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path / "home")
    try:
        yield machine
    finally:
        machine.close()
        shutil.rmtree(tmp_path, ignore_errors=True)


def test_it_starts_heals_and_goes_without_a_trace(machine: Machine) -> None:
    mounts, rules = machine.mounts(), machine.run("nft", "list", "ruleset")
    links, sysctls = machine.run("ip", "-br", "link"), machine.run("sysctl", "net.ipv4.ip_forward")

    machine.local("up")
    assert "Address: 10.96.0.1" in machine.hello("first")

    # A second start has nothing to do.
    started = time.monotonic()
    assert "runs already" in machine.local("up")
    assert time.monotonic() - started < 5

    # What was killed, or hangs, comes back; the pods and the API's objects are still there.
    machine.kubectl("run", "stays", "--image=lockstep-busybox:dev", "--", "sleep", "infinity")
    machine.kubectl("wait", "--for=condition=Ready", "pod/stays", "--timeout=60s")
    for component in ("kubelet", "containerd", "etcd", "kube-apiserver"):
        os.kill(machine.pid(component), signal.SIGKILL)
    os.kill(machine.pid("kube-proxy"), signal.SIGSTOP)
    said = machine.local("up")
    for component in ("kubelet", "containerd", "etcd", "kube-apiserver", "kube-proxy"):
        assert component in said
    assert "Address: 10.96.0.1" in machine.hello("second")
    assert machine.kubectl("get", "pod", "stays", "-o=jsonpath={.status.containerStatuses[0].restartCount}") == "0"

    # It goes while pods run and half of it is dead, and nothing of it stays.
    for component in ("kubelet", "containerd", "kube-controller-manager"):
        os.kill(machine.pid(component), signal.SIGKILL)
    machine.local("down")
    assert machine.local("leftovers") == ""
    assert not machine.root.exists()
    assert machine.mounts() == mounts
    assert machine.run("nft", "list", "ruleset") == rules
    assert machine.run("ip", "-br", "link") == links
    assert machine.run("sysctl", "net.ipv4.ip_forward") == sysctls
    remaining = machine.run("find", *SHARED, "-mindepth", "1").splitlines()
    assert remaining == []

    # The next one starts clean.
    machine.local("up")
    assert machine.kubectl("get", "pods", "-A", "-o", "name") == ""
