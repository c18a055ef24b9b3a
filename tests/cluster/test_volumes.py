"""SQLite in a cluster: a file on a volume that an app has open, and volumes that are not there; real pods, real claims.

The volumes are folders of this machine, which is the node.
"""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.kube import Kube, Object, Refused, condition, is_ready, migration, schema_version, secret
from support.waiting import eventually

UP, DOWN = "ALTER TABLE users ADD COLUMN email", "ALTER TABLE users DROP COLUMN email"
APP = """
import os, signal, sqlite3
os.close(os.open({path!r}, os.O_CREAT))
os.chmod({path!r}, {mode})
app = sqlite3.connect({path!r}, isolation_level=None)
app.execute("PRAGMA journal_mode = WAL")
app.execute("CREATE TABLE IF NOT EXISTS users (name TEXT)")
app.execute("INSERT INTO users (name) VALUES ('ada')")
print("the app has its file open", flush=True)
signal.pause()
"""


def folder(path: Path, user: int, group: int, mode: int) -> Path:
    """Make a folder that belongs to somebody; the kubelet, which is root, finds it wherever it is."""
    path.mkdir()
    os.chown(path, user, group)
    # The process's umask does not count here.
    path.chmod(mode)
    return path


Make = Callable[..., None]


@pytest.fixture
def volume(kube: Kube) -> Iterator[Make]:
    """A function that makes the volume of the namespace's claim, for whoever claims it."""
    name = f"{kube.namespace}-data"

    def make(path: Path, *, local: bool = False) -> None:
        """Make it of a folder; a `local` one knows fsGroup, and says on which node it is."""
        node = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "Exists"}]}
        source: Object = {"hostPath": {"path": str(path), "type": "Directory"}}
        if local:
            source = {"local": {"path": str(path)}, "nodeAffinity": {"required": {"nodeSelectorTerms": [node]}}}
        spec = {
            "capacity": {"storage": "1Mi"},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "",
            "claimRef": {"namespace": kube.namespace, "name": "app-data"},
            **source,
        }
        apply(kube, {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec})

    yield make
    kube.kubectl("delete", "persistentvolume", name, "--ignore-not-found", "--wait=false")


def apply(kube: Kube, wanted: Object) -> None:
    kube.kubectl("apply", "--server-side", "-f", "-", input=json.dumps(wanted))


def claim(kube: Kube) -> None:
    """Claim the volume of the namespace; it is bound once both are there."""
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Mi"}},
        "storageClassName": "",
        "volumeName": f"{kube.namespace}-data",
    }
    apply(kube, {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "app-data"}, "spec": spec})


@pytest.fixture(scope="session")
def image(operator: None) -> str:
    """An image with Python and SQLite: Lockstep's own."""
    found = Kube("lockstep-system").get("Deployment", "lockstep")
    return str(found["spec"]["template"]["spec"]["containers"][0]["image"])


def start_app(kube: Kube, image: str, path: str, mode: int = 0o644, **who: int) -> None:
    """Start a pod that makes a database, where there is none, and keeps it open."""
    container = {
        "name": "app",
        "image": image,
        "command": ["python", "-c", APP.format(path=path, mode=mode)],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    spec = {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 0,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}, **who},
        "containers": [container],
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "app-data"}}],
    }
    kube.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "app"}, "spec": spec})
    eventually(lambda: "open" in kube.kubectl("logs", "app", check=False), "the app has its file open", 60)


def in_app(kube: Kube, path: str, sql: str) -> list[list[Any]]:
    """Run SQL as the app: with its user, in its pod."""
    program = (
        "import json, sqlite3; "
        f"app = sqlite3.connect({path!r}, isolation_level=None); print(json.dumps(app.execute({sql!r}).fetchall()))"
    )
    found: list[list[Any]] = json.loads(kube.kubectl("exec", "app", "--", "python", "-c", program))
    return found


def columns(kube: Kube, path: str) -> list[str]:
    return [row[1] for row in in_app(kube, path, "PRAGMA table_info(users)")]


def wanted(version: str, execution: Object, volume: Object | None = None, **spec: Any) -> Object:
    """Return a SchemaVersion of the database on the volume, which has had its first version from the app."""
    made = schema_version("shop", version=version, baseline="1", execution=execution, **spec)
    made["spec"]["database"] |= {"engine": "sqlite", "volume": {"claimName": "app-data", **(volume or {})}}
    return made


def line(kube: Kube, url: str) -> None:
    kube.apply(
        secret("db", url=url),
        migration("shop", "1", "CREATE TABLE users (name TEXT)"),
        migration("shop", "2", UP, down=DOWN),
    )


def at(kube: Kube, version: str) -> Object:
    return kube.wait(
        "SchemaVersion", "shop", lambda sv: is_ready(sv) and sv["status"]["version"] == version, f"at {version}", 90
    )


def message(found: Object) -> str:
    return str(condition(found, "Ready")["message"])


def test_both_ways_while_the_app_has_the_file_open(kube: Kube, volume: Make, image: str, tmp_path: Path) -> None:
    """The file is the app's alone: user 1000, mode 644, in WAL mode, where a reader writes too."""
    volume(folder(tmp_path / "v", 1000, 1000, 0o755))
    claim(kube)
    path, as_app, mount = "/data/app.db", {"runAsUser": 1000}, {"mountPath": "/data"}
    start_app(kube, image, path, runAsUser=1000, runAsGroup=1000)
    line(kube, f"sqlite:///{path}")
    kube.apply(wanted("2", {}, mount))
    refused = kube.wait_reason("SchemaVersion", "shop", "PermissionDenied")
    assert "folder" in message(refused)
    kube.apply(wanted("2", as_app, mount))
    assert at(kube, "2")["status"]["history"][0]["direction"] == "baseline"
    assert columns(kube, path) == ["name", "email"]
    # The app goes on with what the run has left.
    in_app(kube, path, "INSERT INTO users VALUES ('grace', 'g@example.com')")

    # A look for drift has a pod of its own, and so has a plan.
    in_app(kube, path, "CREATE TABLE by_hand (n)")
    kube.apply(wanted("2", as_app, mount, driftCheck="2s"))
    drifted = kube.wait(
        "SchemaVersion", "shop", lambda sv: condition(sv, "Drifted").get("status") == "True", "Drifted", 90
    )
    assert "by_hand" in condition(drifted, "Drifted")["message"]
    kube.apply(wanted("1", as_app, mount))
    waiting = kube.wait_reason("SchemaVersion", "shop", "ApprovalRequired", seconds=90)
    assert columns(kube, path) == ["name", "email"]
    kube.apply(wanted("1", as_app, mount, approvedPlans=[waiting["status"]["plan"]["hash"]]))
    at(kube, "1")
    assert columns(kube, path) == ["name"]
    assert in_app(kube, path, "SELECT name FROM users") == [["ada"], ["grace"]]
    assert in_app(kube, path, "PRAGMA journal_mode") == [["wal"]]
    owners = {(each.name, each.stat().st_uid, each.stat().st_gid) for each in (tmp_path / "v").iterdir()}
    assert {each[1:] for each in owners} == {(1000, 1000)}, owners


def test_a_file_that_the_apps_group_may_write(kube: Kube, volume: Make, image: str, tmp_path: Path) -> None:
    """Another user than the app's: what it makes beside the file is of the app's group."""
    volume(folder(tmp_path / "v", 1000, 2000, 0o770))
    claim(kube)
    path, as_group = "/data/app.db", {"fsGroup": 2000}
    start_app(kube, image, path, mode=0o660, runAsUser=1000, runAsGroup=2000)
    line(kube, "sqlite:////database/app.db")
    kube.apply(wanted("2", {}, rollback="Allow"))
    kube.wait_reason("SchemaVersion", "shop", "PermissionDenied")
    kube.apply(wanted("2", as_group, rollback="Allow"))
    at(kube, "2")
    in_app(kube, path, "INSERT INTO users VALUES ('grace', 'g@example.com')")
    kube.apply(wanted("1", as_group, rollback="Allow"))
    at(kube, "1")
    in_app(kube, path, "INSERT INTO users VALUES ('edsger')")
    assert in_app(kube, path, "SELECT name FROM users") == [["ada"], ["grace"], ["edsger"]]
    assert {each.stat().st_gid for each in (tmp_path / "v").iterdir()} == {2000}


def test_a_new_volume_has_its_schema_before_its_app(kube: Kube, volume: Make, image: str, tmp_path: Path) -> None:
    """It is root's until the kubelet gives it to the group of the first pod: the run's, which makes the file."""
    volume(folder(tmp_path / "v", 0, 0, 0o755), local=True)
    claim(kube)
    line(kube, "sqlite:////database/app.db?mode=rwc")
    kube.apply(wanted("2", {"runAsUser": 1000, "fsGroup": 2000}, {"subPath": "shop"}))
    at(kube, "2")
    path = "/data/shop/app.db"
    start_app(kube, image, path, runAsUser=1000, fsGroup=2000)
    assert in_app(kube, path, "SELECT name, email FROM users") == [["ada", None]]
    made = (tmp_path / "v" / "shop" / "app.db").stat()
    assert (made.st_uid, made.st_gid) == (1000, 2000)


def test_a_claim_that_is_missing_then_unbound_then_there(kube: Kube, volume: Make, tmp_path: Path) -> None:
    line(kube, "sqlite:////database/app.db?mode=rwc")
    kube.apply(wanted("2", {"runAsUser": 1000}, progressDeadline="1s"))
    found = kube.wait_reason("SchemaVersion", "shop", "VolumeUnavailable")
    assert "there is no PersistentVolumeClaim app-data in this namespace" in message(found)
    # It goes on waiting after it counts as Stalled.
    kube.wait("SchemaVersion", "shop", lambda sv: condition(sv, "Stalled").get("status") == "True", "is Stalled")
    claim(kube)
    kube.wait("SchemaVersion", "shop", lambda sv: "is not bound" in message(sv), "says that the claim is not bound")
    assert condition(kube.get("SchemaVersion", "shop"), "Ready")["reason"] == "VolumeUnavailable"
    volume(folder(tmp_path / "v", 1000, 1000, 0o755))
    # The pod that waited goes on by itself, and makes the file as the URL says.
    assert at(kube, "2")["status"]["run"]["attempt"] == 1
    assert (tmp_path / "v" / "app.db").stat().st_uid == 1000


def test_a_volume_that_cannot_be_mounted(kube: Kube, volume: Make, tmp_path: Path) -> None:
    """It is bound, its folder is not there: only the kubelet's events say so."""
    volume(tmp_path / "v")
    claim(kube)
    line(kube, "sqlite:////database/app.db?mode=rwc")
    kube.apply(wanted("2", {"runAsUser": 1000}))
    found = kube.wait_reason("SchemaVersion", "shop", "VolumeUnavailable")
    assert "PersistentVolumeClaim app-data cannot be mounted into pod shop-" in message(found)
    assert "not a directory" in message(found)
    folder(tmp_path / "v", 1000, 1000, 0o755)
    at(kube, "2")


def spec_of(**database: Any) -> Object:
    return {"database": {"secretRef": {"name": "db"}, **database}}


CLAIM = {"claimName": "app-data"}


@pytest.mark.parametrize(
    ("spec", "piece"),
    [
        (spec_of(volume=CLAIM), "spec.database.volume is for SQLite: set spec.database.engine"),
        (spec_of(volume=CLAIM, engine="postgresql"), "spec.database.volume is for SQLite"),
        (spec_of(volume={}, engine="sqlite"), "spec.database.volume.claimName: Required value"),
        *[
            (spec_of(volume={**CLAIM, "mountPath": path}, engine="sqlite"), "a place that the runner itself needs")
            for path in ("/tmp", "/lockstep/database", "/usr/lib", "/opt/lockstep", "/etc")
        ],
        (spec_of(volume={**CLAIM, "mountPath": "data"}, engine="sqlite"), "spec.database.volume.mountPath"),
        (spec_of(volume={**CLAIM, "mountPath": "/a/../tmp"}, engine="sqlite"), "spec.database.volume.mountPath"),
        (spec_of(volume={**CLAIM, "subPath": "../other"}, engine="sqlite"), "spec.database.volume.subPath"),
        ({**spec_of(), "execution": {"runAsUser": 0}}, "spec.execution.runAsUser"),
        ({**spec_of(), "execution": {"fsGroup": 0}}, "spec.execution.fsGroup"),
    ],
)
def test_what_the_api_server_refuses(unserved: Kube, spec: Object, piece: str) -> None:
    with pytest.raises(Refused) as caught:
        unserved.apply({**schema_version("shop"), "spec": spec})
    assert piece in caught.value.message


def test_what_is_not_said_of_a_volume(unserved: Kube) -> None:
    (made,) = unserved.apply({**schema_version("shop"), "spec": spec_of(volume=CLAIM, engine="sqlite")})
    assert made["spec"]["database"]["volume"] == {"claimName": "app-data", "mountPath": "/database"}
