"""A certificate authority for the cluster, what it signs, and the kubeconfigs made of that."""

import ipaddress
import json
import os
from base64 import b64encode
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from localcluster.settings import API_SERVICE_IP, CLUSTER_DOMAIN, GATEWAY, NODE_NAME, Settings

LIFETIME = timedelta(days=3650)


@dataclass(frozen=True)
class Identity:
    """Whom a certificate names, and where a server with it is reached."""

    file: str
    user: str
    groups: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()


ADMIN = Identity("admin", "lockstep-local-admin", ("system:masters",))
IDENTITIES = (
    ADMIN,
    Identity("etcd", "etcd", (), ("127.0.0.1",)),
    Identity("etcd-client", "kube-apiserver-etcd-client"),
    Identity(
        "apiserver",
        "kube-apiserver",
        (),
        (
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            f"kubernetes.default.svc.{CLUSTER_DOMAIN}",
            "localhost",
            "127.0.0.1",
            GATEWAY,
            API_SERVICE_IP,
        ),
    ),
    Identity("apiserver-kubelet", "kube-apiserver-kubelet-client", ("system:masters",)),
    Identity("front-proxy", "front-proxy-client"),
    Identity("kubelet", f"system:node:{NODE_NAME}", ("system:nodes",), (NODE_NAME, GATEWAY)),
    Identity("controller-manager", "system:kube-controller-manager", (), ("localhost", "127.0.0.1")),
    Identity("scheduler", "system:kube-scheduler", (), ("localhost", "127.0.0.1")),
    Identity("kube-proxy", "system:kube-proxy"),
    Identity("coredns", "system:coredns"),
)
# Components that talk to the API server, by the names of their identities.
KUBECONFIGS = ("admin", "kubelet", "controller-manager", "scheduler", "kube-proxy", "coredns")


def _write(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def _key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    _write(path, pem)
    return key


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=not authority,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def create(settings: Settings) -> None:
    """Make everything that the components and the administrator need to know each other."""
    pki = settings.pki
    pki.mkdir(parents=True, exist_ok=True, mode=0o700)
    authority_key = _key(pki / "ca.key")
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "lockstep-local")])
    authority = (
        _builder(name, name, authority_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_usage(authority=True), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    _write(pki / "ca.crt", authority.public_bytes(serialization.Encoding.PEM))
    for identity in IDENTITIES:
        key = _key(pki / f"{identity.file}.key")
        subject = x509.Name(
            [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in identity.groups]
            + [x509.NameAttribute(NameOID.COMMON_NAME, identity.user)]
        )
        builder = (
            _builder(subject, name, key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(authority=False), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]),
                critical=False,
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False
            )
        )
        if identity.hosts:
            names = x509.SubjectAlternativeName([_alternative(host) for host in identity.hosts])
            builder = builder.add_extension(names, critical=False)
        certificate = builder.sign(authority_key, hashes.SHA256())
        _write(pki / f"{identity.file}.crt", certificate.public_bytes(serialization.Encoding.PEM))
    _service_account_keys(pki)
    for component in KUBECONFIGS:
        _write(pki / f"{component}.kubeconfig", _kubeconfig(settings, component))
    _write(pki / "complete", b"")


def complete(settings: Settings) -> bool:
    """Tell whether `create` got to its end."""
    return (settings.pki / "complete").exists()


def _service_account_keys(pki: Path) -> None:
    public = _key(pki / "service-accounts.key").public_key()
    encoded = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    _write(pki / "service-accounts.pub", encoded)


def _kubeconfig(settings: Settings, component: str) -> bytes:
    """Render a kubeconfig that needs no other file; JSON is YAML."""

    def data(file: str) -> str:
        return b64encode((settings.pki / file).read_bytes()).decode()

    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "lockstep-local",
                "cluster": {"server": settings.server, "certificate-authority-data": data("ca.crt")},
            }
        ],
        "users": [
            {
                "name": component,
                "user": {
                    "client-certificate-data": data(f"{component}.crt"),
                    "client-key-data": data(f"{component}.key"),
                },
            }
        ],
        "contexts": [{"name": "lockstep-local", "context": {"cluster": "lockstep-local", "user": component}}],
        "current-context": "lockstep-local",
    }
    return json.dumps(document, indent=1).encode()


def publish(settings: Settings) -> None:
    """Put the administrator's kubeconfig where the checkout expects it."""
    settings.home.mkdir(parents=True, exist_ok=True)
    content = (settings.pki / "admin.kubeconfig").read_bytes()
    if not settings.kubeconfig.exists() or settings.kubeconfig.read_bytes() != content:
        settings.kubeconfig.unlink(missing_ok=True)
        _write(settings.kubeconfig, content)
