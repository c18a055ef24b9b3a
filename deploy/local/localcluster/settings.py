"""Where everything of the local cluster lives, and which addresses and ports it takes."""

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
MODULES = REPOSITORY / "deploy" / "local" / "modules"

NODE_NAME = "lockstep-local"
BRIDGE = "lockstep0"
BRIDGE_MAC = "0a:58:0a:f4:00:01"
NFT_TABLE = "lockstep_local"
CNI_NETWORK = "lockstep-local"

POD_CIDR = "10.244.0.0/16"
POD_PREFIX_LENGTH = 16
FIRST_POD_ADDRESS = "10.244.0.10"
# The node's InternalIP: pods reach the API server, the DNS and any server of this machine here.
GATEWAY = "10.244.0.1"
SERVICE_CIDR = "10.96.0.0/16"
API_SERVICE_IP = "10.96.0.1"
DNS_SERVICE_IP = "10.96.0.10"
CLUSTER_DOMAIN = "cluster.local"


@dataclass(frozen=True)
class Ports:
    """The ports of the control plane: uncommon ones, below the range that the kernel hands out by itself."""

    apiserver: int = 16443
    etcd: int = 12379
    etcd_peer: int = 12380
    etcd_health: int = 12381
    kube_proxy_metrics: int = 20249
    kubelet: int = 20250
    kubelet_health: int = 20248
    kube_proxy_health: int = 20256
    controller_manager: int = 20257
    scheduler: int = 20259
    coredns_health: int = 20280


@dataclass(frozen=True)
class Settings:
    """The places on disk; all but `home` and `cache` vanish with the cluster."""

    root: Path
    """The state of the machine's one cluster. Short: a path of a Unix socket has at most 108 characters."""
    home: Path
    """What the checkout sees: the kubeconfig, the tools, a link to the logs."""
    cache: Path
    """What outlives the cluster: the binaries, the base image's stand-in, downloaded wheels."""
    ports: Ports = Ports()

    @classmethod
    def from_environment(cls) -> "Settings":
        """Read the few variables that move a directory; tests use them to run a second cluster beside the first."""
        cache_home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        return cls(
            root=Path(os.environ.get("LOCKSTEP_LOCAL_ROOT", "/var/lib/lockstep-local")),
            home=Path(os.environ.get("LOCKSTEP_LOCAL_HOME", REPOSITORY / ".local")),
            cache=Path(os.environ.get("LOCKSTEP_LOCAL_CACHE", cache_home / "lockstep")),
        )

    @cached_property
    def name(self) -> str:
        """The name of this cluster, also of its control groups."""
        return self.root.name

    @property
    def pki(self) -> Path:
        """Certificates, keys and kubeconfigs of the components."""
        return self.root / "pki"

    @property
    def config(self) -> Path:
        """Configuration files of the components."""
        return self.root / "config"

    @property
    def logs(self) -> Path:
        """One log file a component."""
        return self.root / "logs"

    @property
    def pids(self) -> Path:
        """One record a running component: its pid and when it was started."""
        return self.root / "pids"

    @property
    def run(self) -> Path:
        """Sockets, and the state of containerd that does not outlive a boot."""
        return self.root / "run"

    @property
    def containerd_socket(self) -> Path:
        """Where containerd listens."""
        return self.run / "containerd.sock"

    @property
    def cni(self) -> Path:
        """The network configuration of containerd and the leases of the pods' addresses."""
        return self.root / "cni"

    @property
    def kubelet(self) -> Path:
        """The root directory of the kubelet."""
        return self.root / "kubelet"

    @property
    def record(self) -> Path:
        """What must be known to go on with the cluster, or to take it away: boot, versions, sysctls as found."""
        return self.root / "record.json"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig, in the checkout."""
        return self.home / "kubeconfig"

    @property
    def server(self) -> str:
        """The address of the API server."""
        return f"https://{GATEWAY}:{self.ports.apiserver}"

    @property
    def lock(self) -> Path:
        """Held by whoever starts or stops the cluster."""
        return self.cache / f"{self.name}.lock"
