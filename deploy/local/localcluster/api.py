"""The few requests that starting the cluster makes to its API server."""

import http.client
import json
import ssl
from typing import Any

from localcluster.console import LocalClusterError
from localcluster.settings import GATEWAY, NODE_NAME, Settings


class Api:
    """A client with the administrator's certificate."""

    def __init__(self, settings: Settings) -> None:
        pki = settings.pki
        self._tls = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        self._tls.load_cert_chain(pki / "admin.crt", pki / "admin.key")
        self._port = settings.ports.apiserver

    def _request(self, method: str, path: str, body: str | None = None) -> tuple[int, Any]:
        connection = http.client.HTTPSConnection(GATEWAY, self._port, timeout=10, context=self._tls)
        try:
            connection.request(method, path, body, {"Content-Type": "application/apply-patch+yaml"} if body else {})
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            return 0, {"message": str(error)}
        finally:
            connection.close()

    def apply(self, path: str, document: dict[str, object]) -> None:
        """Create or update a resource, server-side."""
        status, answer = self._request("PATCH", f"{path}?fieldManager=local-cluster&force=true", json.dumps(document))
        if status not in (http.client.OK, http.client.CREATED):
            raise LocalClusterError(f"cannot apply {path}: {status} {answer.get('message')}")

    def exists(self, path: str) -> bool:
        """Tell whether a resource is there."""
        return self._request("GET", path)[0] == http.client.OK

    def node_ready(self) -> bool:
        """Tell whether the node is Ready and pods may be put on it."""
        status, node = self._request("GET", f"/api/v1/nodes/{NODE_NAME}")
        if status != http.client.OK:
            return False
        conditions = node["status"].get("conditions", [])
        ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
        return ready and not node["spec"].get("taints")
