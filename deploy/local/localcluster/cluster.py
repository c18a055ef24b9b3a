"""Start the cluster, or bring back what is missing of it."""

import os
import platform
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from localcluster import binaries as programs
from localcluster import certs, controlplane, images, network, node, packages, processes, record, teardown
from localcluster.api import Api
from localcluster.binaries import Binaries
from localcluster.console import LocalClusterError, console, note, say
from localcluster.manifests import BOOTSTRAP
from localcluster.processes import Component
from localcluster.settings import GATEWAY, NODE_NAME, Settings

NODE_READY = 90.0
# The ports of a component, by the names in settings.Ports.
PORTS = {
    "etcd": {"etcd", "etcd_peer", "etcd_health"},
    "kube-apiserver": {"apiserver"},
    "kube-controller-manager": {"controller_manager"},
    "kube-scheduler": {"scheduler"},
    "kubelet": {"kubelet", "kubelet_health"},
    "kube-proxy": {"kube_proxy_health", "kube_proxy_metrics"},
    "coredns": {"coredns_health"},
}


def require_machine() -> None:
    """Say at once what cannot work."""
    if sys.platform != "linux" or os.geteuid() != 0:
        raise LocalClusterError(
            "CLUSTER=local needs Linux and root: it starts a kubelet. Elsewhere use CLUSTER=kind or CLUSTER=existing."
        )


def up(settings: Settings) -> None:
    """Make sure that the cluster runs; on return a pod can be created."""
    require_machine()
    started = time.monotonic()
    packages.ensure(packages.CLUSTER)
    with record.locked(settings.lock, "start or stop of the cluster"):
        binaries = programs.ensure(settings)
        programs.link(settings, binaries.paths)
        _discard_old(settings, binaries)
        fresh = record.load(settings) is None
        if fresh:
            say("Starting Kubernetes " + programs.pinned("kubernetes", "k8s.io/kubernetes"))
            _prepare(settings, binaries)
        network.prepare_kernel()
        network.create()
        changed = _start(settings, binaries)
        certs.publish(settings)
        _link_logs(settings)
    if changed and not fresh:
        note(f"started again: {', '.join(changed)}")
    word = "is up" if changed else "runs already"
    say(f"The cluster {word} ({time.monotonic() - started:.1f} s)")
    console.print(f"    export KUBECONFIG={settings.kubeconfig}")
    note(f"node {NODE_NAME}, InternalIP {GATEWAY}; logs in {settings.home / 'logs'}; `make cluster-down` ends it")


def _discard_old(settings: Settings, binaries: Binaries) -> None:
    known = record.load(settings)
    if known is None:
        if settings.root.exists():
            teardown.down(settings)
        return
    if known.boot != record.boot_id():
        say("The machine was restarted: starting afresh")
    elif known.key != binaries.key:
        say("The running cluster has other versions than this checkout pins: starting afresh")
    elif not certs.complete(settings):
        say("The last start was cut off: starting afresh")
    else:
        return
    teardown.down(settings)


def _prepare(settings: Settings, binaries: Binaries) -> None:
    if any(name == "kube-proxy" for _, name in network.nft_tables()):
        raise LocalClusterError("this machine is a Kubernetes node already (nftables has a table of kube-proxy's)")
    known = record.Record(
        boot=record.boot_id(),
        key=binaries.key,
        sysctls=network.read_sysctls(),
        absent=record.absent_directories(),
    )
    record.save(settings, known)
    certs.create(settings)


def _start(settings: Settings, binaries: Binaries) -> list[str]:
    """Start what does not run. The names of what was started come back."""
    first = [
        controlplane.etcd(settings, binaries),
        controlplane.apiserver(settings, binaries),
        node.containerd(settings, binaries),
    ]
    second = [
        controlplane.controller_manager(settings, binaries),
        controlplane.scheduler(settings, binaries),
        node.kubelet(settings, binaries),
        node.kube_proxy(settings, binaries),
        node.coredns(settings, binaries),
    ]
    for component in (*first, *second):
        if processes.running(settings, component.name) is None:
            network.check_ports(settings.ports, PORTS.get(component.name, set()))
    changed = processes.ensure(settings, first)
    with ThreadPoolExecutor() as pool:
        image = pool.submit(_load_pause_image, settings, binaries, first[2])
        for component in first:
            processes.wait_healthy(settings, component)
        api = Api(settings)
        if "kube-apiserver" in changed:
            list(pool.map(lambda item: api.apply(*item), BOOTSTRAP.items()))
        changed += processes.ensure(settings, second)
        image.result()
        _wait(settings, second, api)
    return changed


def _load_pause_image(settings: Settings, binaries: Binaries, containerd: Component) -> None:
    processes.wait_healthy(settings, containerd)
    if images.BUSYBOX_IMAGE not in images.present(settings, binaries):
        images.import_busybox(settings, binaries, platform.machine())


def _wait(settings: Settings, components: list[Component], api: Api) -> None:
    for component in components:
        processes.wait_healthy(settings, component)
    if not processes.wait_for(api.node_ready, NODE_READY):
        raise LocalClusterError(
            f"the node is not Ready after {NODE_READY:.0f} s. {processes.tail(settings, 'kubelet')}"
        )
    default_account = "/api/v1/namespaces/default/serviceaccounts/default"
    if not processes.wait_for(lambda: api.exists(default_account), NODE_READY):
        raise LocalClusterError(f"the controllers do nothing. {processes.tail(settings, 'kube-controller-manager')}")


def _link_logs(settings: Settings) -> None:
    link = settings.home / "logs"
    if not (link.is_symlink() and link.readlink() == settings.logs):
        link.unlink(missing_ok=True)
        link.symlink_to(settings.logs)
