"""What the driver is told of TLS, and what it tells a server that has none."""

import socket
import ssl
import struct
import threading
from pathlib import Path

import pymysql
import pytest

from lockstep.engines.mysql.connect import Driver
from servers.certificates import Authority


def test_no_ca_is_read_to_verify_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = tmp_path / "ca.crt"
    bundle.write_text(Authority().pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    assert ssl.create_default_context().cert_store_stats()["x509_ca"] > 0
    made: ssl.SSLContext = vars(Driver(defer_connect=True))["ctx"]
    assert (made.verify_mode, made.check_hostname) == (ssl.CERT_NONE, False)
    assert made.cert_store_stats()["x509_ca"] == 0


class Rogue:
    """Poses as a server without TLS, and asks for the password by a way of its choice."""

    def __init__(self, plugin: bytes) -> None:
        self._plugin = plugin
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.heard = b""
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> int:
        self._thread.start()
        port: int = self._listener.getsockname()[1]
        return port

    def __exit__(self, *_: object) -> None:
        self._thread.join(20)
        self._listener.close()

    def _serve(self) -> None:
        client, _ = self._listener.accept()
        client.settimeout(20)
        capabilities = 0x0008_0000 | 0x0000_8200 | 0x0000_0008
        low, high = struct.pack("<H", capabilities & 0xFFFF), struct.pack("<H", capabilities >> 16)
        head = (
            b"\x0a8.0.36\0" + struct.pack("<I", 7) + b"12345678\0" + low + b"\x21\x02\0" + high + b"\x15" + b"\0" * 10
        )
        with client:
            self._say(client, 0, head + b"123456789012\0mysql_native_password\0")
            client.recv(4096)
            self._say(client, 2, b"\xfe" + self._plugin + b"\0\x02Password: ")
            while found := client.recv(4096):
                self.heard += found

    @staticmethod
    def _say(client: socket.socket, number: int, packet: bytes) -> None:
        client.sendall(struct.pack("<I", len(packet))[:3] + bytes([number]) + packet)


@pytest.mark.parametrize("plugin", [b"mysql_clear_password", b"dialog"])
def test_no_server_without_tls_is_told_the_password(plugin: bytes) -> None:
    rogue = Rogue(plugin)
    with rogue as port, pytest.raises(pymysql.err.OperationalError) as caught:
        Driver(host="127.0.0.1", port=port, user="app", password="s3cret", connect_timeout=10, read_timeout=2)
    assert (b"s3cret" in rogue.heard, caught.value.args[0]) == (False, 2061)
