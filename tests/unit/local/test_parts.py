"""The pure parts of the local cluster: names by content, certificates, archives, records, ports."""

import io
import json
import re
import socket
import sys
import tarfile
from pathlib import Path

import pytest
from cryptography import x509

from localcluster import binaries, certs, images, leftovers, network, projectimage, record
from localcluster.console import LocalClusterError, minutes
from localcluster.settings import GATEWAY, MODULES, REPOSITORY, Ports, Settings

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(root=tmp_path / "root", home=tmp_path / "home", cache=tmp_path / "cache")


def test_the_image_has_another_name_when_a_source_changes(tmp_path: Path) -> None:
    projectimage.snapshot(REPOSITORY, tmp_path)
    before = projectimage.content_tag(tmp_path)
    assert before == projectimage.content_tag(tmp_path)
    cache = tmp_path / "operator/lockstep/__pycache__"
    cache.mkdir()
    (cache / "x.pyc").write_bytes(b"x")
    assert projectimage.content_tag(tmp_path) == before, "compiled files are no input"
    (tmp_path / "operator/lockstep/new.py").write_text("")
    assert projectimage.content_tag(tmp_path) != before
    assert re.fullmatch(r"[\w][\w.-]{0,127}", before), "a tag, and a label's value"


def test_everything_that_the_dockerfile_copies_is_an_input() -> None:
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (REPOSITORY / "Dockerfile").read_text(), re.MULTILINE)
    names = {name.rstrip("*") for line in copied for name in line.split()}
    assert names - {"operator"} <= set(projectimage.INPUTS)


def test_binaries_are_kept_by_pins_flags_and_toolchain() -> None:
    keys = {module.key("1.26.8") for module in binaries.ALL}
    assert len(keys) == len(binaries.ALL)
    assert keys.isdisjoint({module.key("1.26.9") for module in binaries.ALL})


def test_every_built_program_is_a_tool_of_its_module() -> None:
    for module in binaries.ALL:
        text = (MODULES / module.name / "go.mod").read_text()
        for binary in module.binaries:
            assert re.search(rf"^\s*(tool )?{re.escape(binary.package)}$", text, re.MULTILINE), binary.package


def test_a_cached_binary_is_not_built_again(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[str] = []

    def build(go: Path, module: binaries.Module, binary: binaries.Binary, place: Path) -> None:
        built.append(binary.name)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()

    monkeypatch.setattr(binaries, "_build", build)
    monkeypatch.setattr(binaries, "find_go", lambda settings: (Path("go"), "1.26.8"))
    first = binaries.ensure(settings)
    first.paths["kubelet"].unlink()  # as an interrupted build leaves it
    built.clear()
    assert binaries.ensure(settings).key == first.key
    assert built == ["kubelet"]


def test_certificates_are_signed_by_the_authority_and_name_the_gateway(settings: Settings) -> None:
    certs.create(settings)
    assert certs.complete(settings)
    authority = x509.load_pem_x509_certificate((settings.pki / "ca.crt").read_bytes())
    for identity in certs.IDENTITIES:
        certificate = x509.load_pem_x509_certificate((settings.pki / f"{identity.file}.crt").read_bytes())
        certificate.verify_directly_issued_by(authority)
    server = x509.load_pem_x509_certificate((settings.pki / "apiserver.crt").read_bytes())
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert GATEWAY in {str(address) for address in names.get_values_for_type(x509.IPAddress)}
    certs.publish(settings)
    assert settings.kubeconfig.stat().st_mode & 0o777 == 0o600
    assert json.loads(settings.kubeconfig.read_text())["clusters"][0]["cluster"]["server"] == settings.server


@linux
def test_the_tiny_image_is_an_archive_that_names_itself(tmp_path: Path) -> None:
    fake = tmp_path / "busybox"
    fake.write_text("#!/bin/sh\necho busybox\necho sh\necho sleep\n")
    fake.chmod(0o755)
    with tarfile.open(fileobj=io.BytesIO(images.busybox_archive(fake, "x86_64"))) as archive:
        (manifest,) = json.load(archive.extractfile("manifest.json") or io.BytesIO())
        assert manifest["RepoTags"] == [images.BUSYBOX_IMAGE]
        config = json.load(archive.extractfile(manifest["Config"]) or io.BytesIO())
        assert (config["architecture"], config["config"]["User"]) == ("amd64", "65532:65532")
        with tarfile.open(fileobj=archive.extractfile("layer.tar")) as layer:
            assert layer.getmember("bin/sleep").linkname == "busybox"


def test_a_broken_record_counts_as_of_another_boot(settings: Settings) -> None:
    assert record.load(settings) is None
    known = record.Record(boot="b", key="k", sysctls={"vm/overcommit_memory": "0"}, absent=["/run/x"])
    record.save(settings, known)
    assert record.load(settings) == known
    settings.record.write_text("{")
    broken = record.load(settings)
    assert broken is not None
    assert broken.boot == ""


def test_a_taken_port_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "PORT_PATIENCE", 0)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(LocalClusterError, match=rf"port {port} \(etcd\)"):
            network.check_ports(Ports(etcd=port), {"etcd"})


def test_every_port_is_below_those_that_the_kernel_hands_out() -> None:
    ports = list(vars(Ports()).values())
    assert len(set(ports)) == len(ports)
    assert max(ports) < 30000


@linux
def test_nothing_is_found_of_a_cluster_that_never_was(settings: Settings) -> None:
    assert leftovers.mounts(settings) == []
    assert leftovers.programs(settings) == []
    assert leftovers.container_ids(settings) == set()


def test_durations_are_told_in_minutes() -> None:
    assert (minutes(0.4), minutes(61), minutes(600)) == ("0:00", "1:01", "10:00")
