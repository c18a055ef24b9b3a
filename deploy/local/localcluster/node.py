"""containerd, the kubelet, kube-proxy, CoreDNS: their configuration and command lines."""

import re
import shutil
from pathlib import Path

from localcluster import probes
from localcluster.binaries import Binaries
from localcluster.controlplane import write, write_text
from localcluster.images import PAUSE_IMAGE
from localcluster.packages import CNI_PLUGINS
from localcluster.processes import Component
from localcluster.settings import (
    BRIDGE,
    CLUSTER_DOMAIN,
    CNI_NETWORK,
    FIRST_POD_ADDRESS,
    GATEWAY,
    NODE_NAME,
    POD_CIDR,
    Settings,
)

CAP_SYS_RESOURCE = 24

CONTAINERD = """\
version = 3
root = "{root}/containerd"
state = "{run}/containerd"
disabled_plugins = ["io.containerd.nri.v1.nri", "io.containerd.tracing.processor.v1.otlp"]

[grpc]
  address = "{socket}"

[plugins."io.containerd.metadata.v1.bolt"]
  no_sync = true

[plugins."io.containerd.internal.v1.opt"]
  path = "{root}/opt"

[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "{pause}"

[plugins."io.containerd.cri.v1.runtime"]
  # Without CAP_SYS_RESOURCE no sandbox starts unless the kubelet's wishes are cut down to what is allowed.
  restrict_oom_score_adj = {restrict}
  netns_mounts_under_state_dir = true

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
  BinaryName = "{runc}"
  Root = "{run}/runc"
  SystemdCgroup = false

[plugins."io.containerd.cri.v1.runtime".cni]
  bin_dirs = ["{plugins}"]
  conf_dir = "{cni}"
  use_internal_loopback = true
"""

COREFILE = """\
.:53 {{
    bind {gateway}
    errors
    health 127.0.0.1:{health}
    kubernetes {domain} in-addr.arpa ip6.arpa {{
        kubeconfig {kubeconfig}
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
        ttl 5
    }}
    forward . {resolv}
    cache 5
    loadbalance
}}
"""


def lacks_cap_sys_resource() -> bool:
    """Tell whether this machine may not lower OOM scores."""
    found = re.search(r"^CapEff:\s*([0-9a-f]+)", Path("/proc/self/status").read_text(), re.MULTILINE)
    return found is None or not int(found[1], 16) >> CAP_SYS_RESOURCE & 1


def resolv_conf() -> Path:
    """Find the resolver file with real servers in it, behind systemd-resolved's stub too."""
    real = Path("/run/systemd/resolve/resolv.conf")
    default = Path("/etc/resolv.conf")
    stub = default.exists() and re.search(r"^nameserver\s+127\.0\.0\.53", default.read_text(), re.MULTILINE)
    return real if stub and real.exists() else default


def containerd(settings: Settings, binaries: Binaries) -> Component:
    """The container runtime, with directories of its own; a Docker engine's containerd is left in peace."""
    text = CONTAINERD.format(
        root=settings.root,
        run=settings.run,
        socket=settings.containerd_socket,
        pause=PAUSE_IMAGE,
        restrict=str(lacks_cap_sys_resource()).lower(),
        runc=shutil.which("runc") or "/usr/sbin/runc",
        plugins=CNI_PLUGINS,
        cni=settings.cni / "conf",
    )
    settings.run.mkdir(parents=True, exist_ok=True)
    place = write_text(settings.config / "containerd.toml", text)
    write(settings.cni / "conf" / "10-lockstep.conflist", _network(settings))
    argv = [binaries["containerd"], "--config", place, "--log-level", "warn"]
    path = {"PATH": f"{binaries.directories}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
    return Component("containerd", argv, probes.unix(settings.containerd_socket), path)


def _network(settings: Settings) -> dict[str, object]:
    addresses = {"subnet": POD_CIDR, "rangeStart": FIRST_POD_ADDRESS, "gateway": GATEWAY}
    bridge = {
        "type": "bridge",
        "bridge": BRIDGE,
        "isGateway": True,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "dataDir": str(settings.cni / "leases"),
            "ranges": [[addresses]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    return {"cniVersion": "1.0.0", "name": CNI_NETWORK, "plugins": [bridge]}


def kubelet(settings: Settings, binaries: Binaries) -> Component:
    """The kubelet: no eviction, no image collection (an image could not be pulled again), no waiting in line."""
    pki, ports = settings.pki, settings.ports
    document: dict[str, object] = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": GATEWAY,
        "port": ports.kubelet,
        "healthzPort": ports.kubelet_health,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(pki / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(pki / "kubelet.crt"),
        "tlsPrivateKeyFile": str(pki / "kubelet.key"),
        "clusterDomain": CLUSTER_DOMAIN,
        "clusterDNS": [GATEWAY],
        "resolvConf": str(resolv_conf()),
        "containerRuntimeEndpoint": f"unix://{settings.containerd_socket}",
        "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": False,
        "enforceNodeAllocatable": [],
        "failCgroupV1": False,
        "failSwapOn": False,
        "localStorageCapacityIsolation": False,
        "evictionHard": {
            "memory.available": "0%",
            "nodefs.available": "0%",
            "nodefs.inodesFree": "0%",
            "imagefs.available": "0%",
            "imagefs.inodesFree": "0%",
        },
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "makeIPTablesUtilChains": False,
        "maxPods": 250,
        "serializeImagePulls": False,
        "registryPullQPS": 0,
        "eventRecordQPS": 0,
        "kubeAPIQPS": 300,
        "kubeAPIBurst": 500,
        "podLogsDir": str(settings.root / "pod-logs"),
        "volumePluginDir": str(settings.kubelet / "volume-plugins"),
        "oomScoreAdj": 0,
    }
    argv = [
        binaries["kubelet"],
        f"--config={write(settings.config / 'kubelet.json', document)}",
        f"--kubeconfig={pki / 'kubelet.kubeconfig'}",
        f"--hostname-override={NODE_NAME}",
        f"--node-ip={GATEWAY}",
        f"--root-dir={settings.kubelet}",
        f"--cert-dir={settings.kubelet / 'pki'}",
    ]
    return Component("kubelet", argv, probes.http_get(ports.kubelet_health, "/healthz"))


def kube_proxy(settings: Settings, binaries: Binaries) -> Component:
    """Services, in nftables."""
    ports = settings.ports
    document: dict[str, object] = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "hostnameOverride": NODE_NAME,
        "bindAddress": GATEWAY,
        "clusterCIDR": POD_CIDR,
        "clientConnection": {"kubeconfig": str(settings.pki / "kube-proxy.kubeconfig")},
        "healthzBindAddress": f"127.0.0.1:{ports.kube_proxy_health}",
        "metricsBindAddress": f"127.0.0.1:{ports.kube_proxy_metrics}",
        "nftables": {"minSyncPeriod": "100ms", "syncPeriod": "1h"},
        # The machine's connection tracking stays as it is.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "oomScoreAdj": 0,
    }
    argv = [binaries["kube-proxy"], f"--config={write(settings.config / 'kube-proxy.json', document)}"]
    return Component("kube-proxy", argv, probes.http_get(ports.kube_proxy_health, "/healthz"))


def coredns(settings: Settings, binaries: Binaries) -> Component:
    """The cluster's DNS, at the gateway's address."""
    health = settings.ports.coredns_health
    text = COREFILE.format(
        gateway=GATEWAY,
        health=health,
        domain=CLUSTER_DOMAIN,
        kubeconfig=settings.pki / "coredns.kubeconfig",
        resolv=resolv_conf(),
    )
    argv = [binaries["coredns"], "-conf", write_text(settings.config / "Corefile", text), "-quiet"]
    return Component("coredns", argv, probes.http_get(health, "/health"))
