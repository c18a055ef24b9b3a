"""How one sees that a component works."""

import http.client
import socket
import ssl
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

TIMEOUT = 2.0


@lru_cache
def _tls(ca: Path, client: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(ca))
    if client is not None:
        context.load_cert_chain(client.with_suffix(".crt"), client.with_suffix(".key"))
    return context


def https(host: str, port: int, path: str, ca: Path, client: Path | None = None) -> Callable[[], bool]:
    """Probe by an HTTPS request; `client` is the path of a certificate and its key without their suffix."""

    def probe() -> bool:
        if not ca.exists():
            return False
        return _ok(http.client.HTTPSConnection(host, port, timeout=TIMEOUT, context=_tls(ca, client)), path)

    return probe


def http_get(port: int, path: str) -> Callable[[], bool]:
    """Probe by an HTTP request to this machine."""
    return lambda: _ok(http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT), path)


def _ok(connection: http.client.HTTPConnection, path: str) -> bool:
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def unix(path: Path) -> Callable[[], bool]:
    """Probe by connecting to a Unix socket."""

    def probe() -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(TIMEOUT)
            try:
                client.connect(str(path))
            except OSError:
                return False
            return True

    return probe
