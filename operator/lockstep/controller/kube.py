"""The Kubernetes API as raw JSON: few verbs, typed errors, a time limit on every request.

`kubernetes.aio` gives the connection and its credentials (in-cluster tokens that rotate, kubeconfigs); its model and
API classes are never imported: they would cost the operator half of its memory.
"""

import json
import os
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

import aiohttp
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config import load_incluster_config, load_kube_config
from msgspec import Struct

Object = dict[str, Any]
"""One object of the API as JSON."""

READ_TIMEOUT: Final = 20.0
"""Seconds that one reading request may take."""
PAGE: Final = 200
"""Objects of one page of a list: bounds the memory of a large one."""
MERGE_PATCH: Final = "application/merge-patch+json"
METADATA_ONLY: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


class ApiError(Exception):
    """The API server refused a request; `message` is its own."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message


class NotFoundError(ApiError):
    """404: there is no such object, or no such kind."""


class AlreadyExistsError(ApiError):
    """409 on a creation: the name is taken."""


class ConflictError(ApiError):
    """409 on a change: somebody else was faster."""


class InvalidError(ApiError):
    """400 or 422: the object is not as it must be."""


class ForbiddenError(ApiError):
    """401 or 403: a missing right, a quota, a policy, or a namespace that is going."""


class ServerBusyError(ApiError):
    """429, a 5xx, no connection, or no answer in time: worth another try."""


def _error(status: int, body: bytes) -> ApiError:
    try:
        document = json.loads(body)
        reason, message = str(document.get("reason") or ""), str(document.get("message") or "")
    except (ValueError, AttributeError):
        reason, message = "", body[:300].decode(errors="replace")
    kind: type[ApiError]
    match status:
        case 404:
            kind = NotFoundError
        case 409:
            kind = AlreadyExistsError if reason == "AlreadyExists" else ConflictError
        case 400 | 422:
            kind = InvalidError
        case 401 | 403:
            kind = ForbiddenError
        case 429:
            kind = ServerBusyError
        case _:
            kind = ServerBusyError if status >= 500 else ApiError
    return kind(status, reason, message)


class Resource(Struct, frozen=True):
    """One kind of object, as its URL names it."""

    group: str
    version: str
    plural: str

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """Return the URL's path of an object, of a namespace's list, or of the cluster's."""
        parts = ["apis", self.group, self.version] if self.group else ["api", self.version]
        if namespace is not None:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        parts += [part for part in (name, subresource) if part is not None]
        return "/" + "/".join(quote(part, safe="") for part in parts)

    @property
    def api_version(self) -> str:
        """The apiVersion of its objects."""
        return f"{self.group}/{self.version}" if self.group else self.version


MIGRATIONS: Final = Resource("lockstep.dev", "v1alpha1", "migrations")
SCHEMA_VERSIONS: Final = Resource("lockstep.dev", "v1alpha1", "schemaversions")
JOBS: Final = Resource("batch", "v1", "jobs")
PODS: Final = Resource("", "v1", "pods")
CONFIG_MAPS: Final = Resource("", "v1", "configmaps")
EVENTS: Final = Resource("", "v1", "events")
NAMESPACES: Final = Resource("", "v1", "namespaces")
LEASES: Final = Resource("coordination.k8s.io", "v1", "leases")


async def load_configuration() -> Any:
    """Return the connection's configuration: the pod's service account, or else the kubeconfig.

    Raises:
        kubernetes.aio.config.ConfigException: if there is neither.
    """
    # Not Configuration(): it would return copies of a process-wide default.
    configuration = Configuration()
    if os.environ.get("KUBERNETES_SERVICE_HOST") and not os.environ.get("KUBECONFIG"):
        load_incluster_config(client_configuration=configuration)
    else:
        await load_kube_config(client_configuration=configuration)
    # Retries are ours: the library's would outlast the time limit of a request.
    configuration.retries = None
    return configuration


class Kube:
    """A client of the API server.

    Args:
        configuration: from `load_configuration`.
        write_timeout: seconds that one writing request may take.
        before_write: called before each writing request; raises if writing is not ours (any more).
    """

    def __init__(
        self,
        configuration: Any,
        *,
        write_timeout: float = READ_TIMEOUT,
        before_write: Callable[[], None] = lambda: None,
        on_request: Callable[[str, str, int], None] = lambda method, plural, status: None,
    ) -> None:
        self.api_client = ApiClient(configuration)
        self.api_client.user_agent = "lockstep-controller"
        self._write_timeout = write_timeout
        self.before_write = before_write
        self._on_request = on_request

    async def close(self) -> None:
        """Close the connections."""
        await self.api_client.close()

    async def _request(
        self,
        method: str,
        resource: Resource,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        seconds: float | None = None,
    ) -> bytes:
        if method != "GET":
            self.before_write()
        limit = seconds or (READ_TIMEOUT if method == "GET" else self._write_timeout)
        headers = {"Accept": accept, "Content-Type": content_type, "User-Agent": self.api_client.user_agent}
        await self.api_client.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
        url = self.api_client.configuration.host + path + (f"?{urlencode(query)}" if query else "")
        try:
            response = await self.api_client.rest_client.request(
                method, url, headers=headers, body=body, _request_timeout=aiohttp.ClientTimeout(total=limit)
            )
            data: bytes = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self._on_request(method, resource.plural, 0)
            said = str(error) or type(error).__name__
            raise ServerBusyError(0, type(error).__name__, f"the API server did not answer: {said}") from error
        status: int = response.status
        self._on_request(method, resource.plural, status)
        if not 200 <= status <= 299:
            raise _error(status, data)
        return data

    async def get(self, resource: Resource, namespace: str | None, name: str, seconds: float | None = None) -> Object:
        """Return one object.

        Raises:
            ApiError: above all NotFoundError.
        """
        found: Object = json.loads(
            await self._request("GET", resource, resource.path(namespace, name), seconds=seconds)
        )
        return found

    async def pages(
        self,
        resource: Resource,
        namespace: str | None,
        *,
        label_selector: str = "",
        field_selector: str = "",
        metadata_only: bool = False,
    ) -> AsyncIterator[list[Object]]:
        """Yield the objects of a list page by page; together they are one consistent snapshot."""
        query = {"limit": str(PAGE)}
        if label_selector:
            query["labelSelector"] = label_selector
        if field_selector:
            query["fieldSelector"] = field_selector
        accept = METADATA_ONLY if metadata_only else "application/json"
        while True:
            document = json.loads(
                await self._request("GET", resource, resource.path(namespace), query=query, accept=accept)
            )
            # An empty list of metadata only is null.
            yield document["items"] or []
            if not (token := document["metadata"].get("continue")):
                return
            query["continue"] = token

    async def list_all(
        self, resource: Resource, namespace: str | None, *, label_selector: str = "", field_selector: str = ""
    ) -> list[Object]:
        """Return the objects of a list, whole; for small ones."""
        pages = self.pages(resource, namespace, label_selector=label_selector, field_selector=field_selector)
        return [each async for page in pages for each in page]

    async def create(self, resource: Resource, namespace: str | None, body: Object) -> Object:
        """Create an object and return it.

        Raises:
            ApiError: above all AlreadyExistsError, and ForbiddenError for a quota or a policy.
        """
        made: Object = json.loads(await self._request("POST", resource, resource.path(namespace), body=body))
        return made

    async def replace(self, resource: Resource, namespace: str, name: str, body: Object, seconds: float) -> Object:
        """Replace an object; its resourceVersion in `body` makes a stale one fail.

        Raises:
            ApiError: above all ConflictError.
        """
        made: Object = json.loads(
            await self._request("PUT", resource, resource.path(namespace, name), body=body, seconds=seconds)
        )
        return made

    async def patch(
        self, resource: Resource, namespace: str, name: str, body: Object, subresource: str | None = None
    ) -> Object:
        """Merge a patch into an object (or its subresource) and return it; a resourceVersion in it is a precondition.

        Raises:
            ApiError: above all NotFoundError and ConflictError.
        """
        made: Object = json.loads(
            await self._request(
                "PATCH", resource, resource.path(namespace, name, subresource), body=body, content_type=MERGE_PATCH
            )
        )
        return made

    async def delete(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        *,
        uid: str,
        resource_version: str | None = None,
        propagation: str,
    ) -> None:
        """Delete the object of that UID (as it is in that version); nothing happens if it is gone or has moved on."""
        conditions = {"uid": uid, **({"resourceVersion": resource_version} if resource_version else {})}
        body = {"propagationPolicy": propagation, "preconditions": conditions}
        try:
            await self._request("DELETE", resource, resource.path(namespace, name), body=body)
        except (NotFoundError, ConflictError):
            return

    async def log_tail(self, namespace: str, pod: str, lines: int) -> list[str]:
        """Return the last lines of a pod's log."""
        # From the end: limitBytes would cut there.
        data = await self._request(
            "GET", PODS, PODS.path(namespace, pod, "log"), query={"tailLines": str(lines)}, accept="*/*"
        )
        return data.decode(errors="replace").splitlines()
