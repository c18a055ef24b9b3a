"""What the cluster starts with beside what the API server makes by itself."""

from localcluster.settings import DNS_SERVICE_IP, GATEWAY

_RBAC = "rbac.authorization.k8s.io"
_COREDNS = "system:coredns"
_DNS_PORTS: list[dict[str, object]] = [
    {"name": "dns", "port": 53, "protocol": "UDP"},
    {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
]

# By the path of the API at which each is applied.
BOOTSTRAP: dict[str, dict[str, object]] = {
    f"/apis/{_RBAC}/v1/clusterroles/{_COREDNS}": {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "ClusterRole",
        "metadata": {"name": _COREDNS},
        "rules": [
            {"apiGroups": [""], "resources": ["services", "pods", "namespaces"], "verbs": ["list", "watch"]},
            {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
        ],
    },
    f"/apis/{_RBAC}/v1/clusterrolebindings/{_COREDNS}": {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": _COREDNS},
        "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": _COREDNS},
        "subjects": [{"apiGroup": _RBAC, "kind": "User", "name": _COREDNS}],
    },
    # The Service that tools expect; CoreDNS itself runs on the node, so its endpoint is written down here.
    "/api/v1/namespaces/kube-system/services/kube-dns": {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "kube-dns", "labels": {"k8s-app": "kube-dns", "kubernetes.io/name": "CoreDNS"}},
        "spec": {"clusterIP": DNS_SERVICE_IP, "ports": _DNS_PORTS},
    },
    "/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices/kube-dns-node": {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "kube-dns-node", "labels": {"kubernetes.io/service-name": "kube-dns"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [GATEWAY], "conditions": {"ready": True}}],
        "ports": _DNS_PORTS,
    },
}
