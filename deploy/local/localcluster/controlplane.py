"""etcd, the API server, the controllers, the scheduler: their configuration and command lines."""

import json
from pathlib import Path

from localcluster import probes
from localcluster.binaries import Binaries
from localcluster.processes import Component
from localcluster.settings import GATEWAY, POD_CIDR, SERVICE_CIDR, Settings

# Writes are recorded, so that tests and benchmarks can count who wrote what; the cluster's own noise is not.
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived", "ResponseStarted"],
    "omitManagedFields": True,
    "rules": [
        {"level": "None", "verbs": ["get", "list", "watch"]},
        {"level": "None", "userGroups": ["system:nodes", "system:serviceaccounts:kube-system"]},
        {
            "level": "None",
            "users": [
                "system:apiserver",
                "system:kube-scheduler",
                "system:kube-controller-manager",
                "system:kube-proxy",
            ],
        },
        {"level": "Metadata"},
    ],
}

SCHEDULER = {
    "apiVersion": "kubescheduler.config.k8s.io/v1",
    "kind": "KubeSchedulerConfiguration",
    "leaderElection": {"leaderElect": False},
}


def write(path: Path, document: dict[str, object]) -> str:
    """Write a configuration file (JSON is YAML) and return its path for a command line."""
    return write_text(path, json.dumps(document, indent=1))


def write_text(path: Path, text: str) -> str:
    """Write a configuration file if it differs (some components restart when theirs is touched); return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text() != text:
        path.write_text(text)
    return str(path)


def etcd(settings: Settings, binaries: Binaries) -> Component:
    """The store; it does not wait for the disk, because the cluster is thrown away anyway."""
    pki, ports = settings.pki, settings.ports
    client = f"https://127.0.0.1:{ports.etcd}"
    peer = f"http://127.0.0.1:{ports.etcd_peer}"
    argv = [
        binaries["etcd"],
        "--name=lockstep-local",
        f"--data-dir={settings.root / 'etcd'}",
        "--unsafe-no-fsync",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=lockstep-local={peer}",
        f"--listen-metrics-urls=http://127.0.0.1:{ports.etcd_health}",
        "--client-cert-auth",
        f"--trusted-ca-file={pki / 'ca.crt'}",
        f"--cert-file={pki / 'etcd.crt'}",
        f"--key-file={pki / 'etcd.key'}",
        "--auto-compaction-mode=periodic",
        "--auto-compaction-retention=10m",
        "--quota-backend-bytes=4294967296",
        "--log-level=warn",
    ]
    return Component("etcd", argv, probes.http_get(ports.etcd_health, "/health"))


def apiserver(settings: Settings, binaries: Binaries) -> Component:
    """The API server. It listens on the bridge alone: this machine and the pods reach it, the network does not."""
    pki, ports = settings.pki, settings.ports
    policy = write(settings.config / "audit.json", AUDIT_POLICY)
    argv = [
        binaries["kube-apiserver"],
        f"--bind-address={GATEWAY}",
        f"--advertise-address={GATEWAY}",
        f"--secure-port={ports.apiserver}",
        f"--cert-dir={pki}",
        f"--client-ca-file={pki / 'ca.crt'}",
        f"--tls-cert-file={pki / 'apiserver.crt'}",
        f"--tls-private-key-file={pki / 'apiserver.key'}",
        f"--etcd-servers=https://127.0.0.1:{ports.etcd}",
        f"--etcd-cafile={pki / 'ca.crt'}",
        f"--etcd-certfile={pki / 'etcd-client.crt'}",
        f"--etcd-keyfile={pki / 'etcd-client.key'}",
        f"--kubelet-certificate-authority={pki / 'ca.crt'}",
        f"--kubelet-client-certificate={pki / 'apiserver-kubelet.crt'}",
        f"--kubelet-client-key={pki / 'apiserver-kubelet.key'}",
        "--kubelet-preferred-address-types=InternalIP,Hostname",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={pki / 'service-accounts.pub'}",
        f"--service-account-signing-key-file={pki / 'service-accounts.key'}",
        f"--service-cluster-ip-range={SERVICE_CIDR}",
        f"--requestheader-client-ca-file={pki / 'ca.crt'}",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={pki / 'front-proxy.crt'}",
        f"--proxy-client-key-file={pki / 'front-proxy.key'}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        "--profiling=false",
        f"--audit-policy-file={policy}",
        f"--audit-log-path={settings.logs / 'audit.log'}",
        "--audit-log-mode=batch",
        "--audit-log-batch-max-wait=1s",
        "--audit-log-maxsize=100",
        "--audit-log-maxbackup=2",
    ]
    ready = probes.https(GATEWAY, ports.apiserver, "/readyz", pki / "ca.crt", pki / "admin")
    return Component("kube-apiserver", argv, ready)


def controller_manager(settings: Settings, binaries: Binaries) -> Component:
    """The controllers, with enough workers and requests a second not to be what a test waits for."""
    pki, port = settings.pki, settings.ports.controller_manager
    kubeconfig = pki / "controller-manager.kubeconfig"
    argv = [
        binaries["kube-controller-manager"],
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        f"--tls-cert-file={pki / 'controller-manager.crt'}",
        f"--tls-private-key-file={pki / 'controller-manager.key'}",
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        "--leader-elect=false",
        "--use-service-account-credentials",
        f"--service-account-private-key-file={pki / 'service-accounts.key'}",
        f"--root-ca-file={pki / 'ca.crt'}",
        f"--cluster-signing-cert-file={pki / 'ca.crt'}",
        f"--cluster-signing-key-file={pki / 'ca.key'}",
        f"--cluster-cidr={POD_CIDR}",
        "--concurrent-job-syncs=20",
        "--concurrent-namespace-syncs=20",
        "--kube-api-qps=300",
        "--kube-api-burst=500",
        "--profiling=false",
    ]
    healthy = probes.https("127.0.0.1", port, "/healthz", pki / "ca.crt")
    return Component("kube-controller-manager", argv, healthy)


def scheduler(settings: Settings, binaries: Binaries) -> Component:
    """The scheduler."""
    pki, port = settings.pki, settings.ports.scheduler
    kubeconfig = str(pki / "scheduler.kubeconfig")
    connection = {"kubeconfig": kubeconfig, "qps": 300, "burst": 500}
    argv = [
        binaries["kube-scheduler"],
        f"--config={write(settings.config / 'scheduler.json', {**SCHEDULER, 'clientConnection': connection})}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        f"--tls-cert-file={pki / 'scheduler.crt'}",
        f"--tls-private-key-file={pki / 'scheduler.key'}",
    ]
    return Component("kube-scheduler", argv, probes.https("127.0.0.1", port, "/healthz", pki / "ca.crt"))
