"""What the driver is told of TLS."""

import ssl
from pathlib import Path

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
