"""The bridge that pods hang on, the translation of their addresses, and the kernel's settings for that."""

import ipaddress
import json
import shutil
import socket
import subprocess
import time
from pathlib import Path

from localcluster.console import LocalClusterError
from localcluster.settings import (
    BRIDGE,
    BRIDGE_MAC,
    GATEWAY,
    NFT_TABLE,
    POD_CIDR,
    POD_PREFIX_LENGTH,
    SERVICE_CIDR,
    Ports,
)

# What the cluster needs of the kernel; as found is put back when it goes.
WANTED_SYSCTLS = {
    "net/ipv4/ip_forward": "1",
    "net/bridge/bridge-nf-call-iptables": "1",  # a Service's answer between two pods must pass the translation
    "fs/inotify/max_user_instances": "1024",  # a follower of a log takes one
}
# What the kubelet sets by itself.
KUBELET_SYSCTLS = (
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
)
PORT_PATIENCE = 2.0  # one of ours may be about to go
NFT_TABLES = (("inet", NFT_TABLE), ("ip", "kube-proxy"), ("ip6", "kube-proxy"))
FORWARD_RULES = (("-i", BRIDGE, "-j", "ACCEPT"), ("-o", BRIDGE, "-j", "ACCEPT"))

RULES = f"""
table inet {NFT_TABLE}
delete table inet {NFT_TABLE}
table inet {NFT_TABLE} {{
    chain postrouting {{
        type nat hook postrouting priority srcnat; policy accept;
        ip saddr {POD_CIDR} ip daddr != {POD_CIDR} oifname != "{BRIDGE}" masquerade
    }}
}}
"""


def run(*command: str, stdin: str | None = None) -> str:
    """Run a tool; its words are the error when it fails."""
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LocalClusterError(f"{' '.join(command)} failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def succeeds(*command: str) -> bool:
    """Run a tool whose failure is an answer."""
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def read_sysctls() -> dict[str, str]:
    """Read the settings that will be changed, as they are now."""
    values = {}
    for name in (*WANTED_SYSCTLS, *KUBELET_SYSCTLS):
        path = Path("/proc/sys") / name
        if path.exists():
            values[name] = path.read_text().strip()
    return values


def write_sysctls(values: dict[str, str]) -> None:
    """Set kernel settings; one that does not exist here or is already right is left alone."""
    for name, value in values.items():
        path = Path("/proc/sys") / name
        if path.exists() and path.read_text().strip() != value:
            try:
                path.write_text(value)
            except OSError as error:
                raise LocalClusterError(f"cannot set {path} to {value}: {error.strerror}") from error


def prepare_kernel() -> None:
    """Load what may not be loaded yet; a kernel with everything built in has no modprobe."""
    if shutil.which("modprobe"):
        for module in ("br_netfilter", "overlay", "nf_conntrack"):
            succeeds("modprobe", "--quiet", module)
    wanted = dict(WANTED_SYSCTLS)
    inotify = Path("/proc/sys/fs/inotify/max_user_instances")
    if inotify.exists() and int(inotify.read_text()) >= int(wanted["fs/inotify/max_user_instances"]):
        del wanted["fs/inotify/max_user_instances"]
    write_sysctls(wanted)


def links() -> list[dict[str, object]]:
    """List the network interfaces."""
    found: list[dict[str, object]] = json.loads(run("ip", "-json", "link", "show"))
    return found


def bridge_exists() -> bool:
    """Tell whether the bridge is there."""
    return any(link["ifname"] == BRIDGE for link in links())


def pod_links() -> list[str]:
    """List the interfaces that hang on the bridge: the host's ends of the pods' interfaces."""
    return [str(link["ifname"]) for link in links() if link.get("master") == BRIDGE]


def _check_addresses() -> None:
    ours = [ipaddress.ip_network(POD_CIDR), ipaddress.ip_network(SERVICE_CIDR)]
    for route in json.loads(run("ip", "-json", "-4", "route", "show")):
        if route.get("dev") == BRIDGE or route["dst"] == "default":
            continue
        taken = ipaddress.ip_network(route["dst"])
        for network in ours:
            if taken.overlaps(network):
                raise LocalClusterError(
                    f"the local cluster needs {network}, but this machine routes {taken} to {route.get('dev')}"
                )


def create() -> None:
    """Make the bridge with the gateway's address, and let pods out."""
    if not bridge_exists():
        _check_addresses()
        run("ip", "link", "add", BRIDGE, "address", BRIDGE_MAC, "type", "bridge")
    run("ip", "address", "replace", f"{GATEWAY}/{POD_PREFIX_LENGTH}", "dev", BRIDGE)
    run("ip", "link", "set", BRIDGE, "up")
    run("ip", "link", "set", "lo", "up")
    run("nft", "-f", "-", stdin=RULES)
    _let_forward()


def _let_forward() -> None:
    """Where something (Docker does) drops what is forwarded, let the pods' packets through."""
    if not shutil.which("iptables"):
        return
    done = subprocess.run(["iptables", "-S", "FORWARD"], capture_output=True, text=True, check=False)
    if "-P FORWARD DROP" not in done.stdout:
        return
    for rule in FORWARD_RULES:
        if not succeeds("iptables", "-C", "FORWARD", *rule):
            run("iptables", "-I", "FORWARD", *rule)


def forward_rules() -> list[str]:
    """List our rules in iptables."""
    if not shutil.which("iptables"):
        return []
    done = subprocess.run(["iptables", "-S", "FORWARD"], capture_output=True, text=True, check=False)
    return [line for line in done.stdout.splitlines() if BRIDGE in line]


def nft_tables() -> list[tuple[str, str]]:
    """List our tables in nftables: ours and kube-proxy's."""
    if not shutil.which("nft"):
        return []
    listed = run("nft", "list", "tables")
    return [(family, name) for family, name in NFT_TABLES if f"table {family} {name}\n" in f"{listed}\n"]


def remove() -> None:
    """Take away the bridge, what hangs on it, and every rule."""
    if bridge_exists():
        for name in pod_links():
            succeeds("ip", "link", "delete", name)
        run("ip", "link", "delete", BRIDGE)
    for family, name in nft_tables():
        run("nft", "delete", "table", family, name)
    for rule in FORWARD_RULES if forward_rules() else ():
        while succeeds("iptables", "-C", "FORWARD", *rule):
            run("iptables", "-D", "FORWARD", *rule)


def check_ports(ports: Ports, wanted: set[str]) -> None:
    """Make sure that nobody else has the ports of the components that are to be started."""
    for name in sorted(wanted):
        port = getattr(ports, name)
        deadline = time.monotonic() + PORT_PATIENCE
        while not _free(port):
            if time.monotonic() > deadline:
                raise LocalClusterError(
                    f"port {port} ({name}) is taken by another program; `ss -ltnp sport = :{port}` names it"
                )
            time.sleep(0.1)


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
        return True
