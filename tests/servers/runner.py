"""The runner as a plain process: its folders, its order, its end."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict, Unpack

from msgspec.structs import replace

from lockstep.planning.bundle import pack
from lockstep.planning.checksum import checksum
from lockstep.planning.result import Result, decode_result
from lockstep.planning.wire import (
    BUNDLE_DIR,
    CA_DIR,
    CLIENT_CERTIFICATE_DIR,
    SECRET_DIR,
    AdoptOrder,
    DatabaseOrder,
    DriftOrder,
    Limits,
    Mode,
    Order,
    OrderedMigration,
    Owner,
    Policy,
    RepairOrder,
)
from servers.postgres import Database

OWNER = Owner("cluster-uid", "shop", "orders", "sv-uid")


class MigrationWords(TypedDict, total=False):
    """What else a migration may say."""

    name: str
    description: str
    kind: str
    transaction: str
    irreversible: str | None
    lock_timeout_ms: int | None
    requires: tuple[tuple[str, str], ...]
    adopts: tuple[str, ...]


class OrderWords(TypedDict, total=False):
    """What else an order may say."""

    job: str
    owner: Owner
    database: DatabaseOrder
    known_version: str | None
    known_ledger: str | None
    known_sequence: int
    known_hash: str | None
    mode: Mode
    policy: Policy
    baseline: str | None
    adopt: AdoptOrder | None
    drift: DriftOrder
    repair: RepairOrder | None
    limits: Limits


def migration(
    version: str | None, up: str, down: str | None = None, **more: Unpack[MigrationWords]
) -> OrderedMigration:
    """Return one migration of the order; its name follows from its version."""
    down_checksum = None if down is None else checksum(down)
    made = OrderedMigration(f"orders-{version}", version, checksum(up), down_checksum, up=up, down=down)
    return replace(made, **more)


def order(*migrations: OrderedMigration, target: str = "latest", **more: Unpack[OrderWords]) -> Order:
    """Return an order for line `orders`."""
    made = Order(
        line="orders",
        target=target,
        job="orders-abc",
        attempt=1,
        owner=OWNER,
        database=DatabaseOrder("orders-db"),
        migrations=migrations,
    )
    return replace(made, **more)


def limits(**milliseconds: int) -> Limits:
    """Return limits, each with the ending `_ms` left out."""
    return Limits(**{f"{name}_ms": value for name, value in milliseconds.items()})


def keys_of(database: Database) -> dict[str, str]:
    """Return the Secret of a database, in parts: its password is odd and need not be encoded there."""
    return dict(database.params)


@dataclass
class Ended:
    """How a run ended."""

    code: int
    result: Result
    lines: list[dict[str, object]] = field(repr=False)
    text: str = field(repr=False)

    def events(self, name: str) -> list[dict[str, object]]:
        """Return the lines of one event."""
        return [line for line in self.lines if line.get("event") == name]


class Pod:
    """One runner's process with a root folder of its own, as a pod has."""

    def __init__(self, folder: Path, name: str = "orders-abc-x1") -> None:
        self.folder = folder / name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.process: subprocess.Popen[str] | None = None

    @property
    def pid(self) -> int:
        """The number of the process that was started."""
        assert self.process is not None
        return self.process.pid

    @property
    def alive(self) -> bool:
        """Whether it was started and its end was not taken in."""
        return self.process is not None and self.process.returncode is None

    @property
    def message(self) -> Path:
        """The termination message."""
        return self.folder / "message"

    def mount(self, place: str, files: Mapping[str, str | bytes]) -> None:
        """Fill one of the pod's folders."""
        folder = Path(f"{self.folder}{place}")
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.iterdir():
            old.unlink()
        for name, value in files.items():
            (folder / name).write_bytes(value if isinstance(value, bytes) else value.encode())

    def start(
        self,
        wanted: Order,
        secret: Mapping[str, str],
        *,
        ca: Mapping[str, str] | None = None,
        client: Mapping[str, str] | None = None,
    ) -> None:
        """Start the process."""
        self.mount(BUNDLE_DIR, {f"{number:03}": shard for number, shard in enumerate(pack(wanted))})
        self.mount(SECRET_DIR, secret)
        if ca is not None:
            self.mount(CA_DIR, ca)
        if client is not None:
            self.mount(CLIENT_CERTIFICATE_DIR, client)
        self.message.unlink(missing_ok=True)
        environment = {
            **os.environ,
            "LOCKSTEP_ROOT": str(self.folder),
            "LOCKSTEP_TERMINATION_LOG": str(self.message),
            "POD_NAME": self.name,
        }
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "lockstep.runner"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
        )

    def signal(self, number: signal.Signals) -> None:
        """Send the process a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """Kill it and wait."""
        assert self.process is not None
        self.process.kill()
        self.process.communicate(timeout=30)

    def wait_for(self, event: str, seconds: float = 20) -> dict[str, object]:
        """Read the log until an event is there; the lines read are kept for the end."""
        assert self.process is not None
        assert self.process.stdout is not None
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            line = self.process.stdout.readline()
            if not line:
                raise AssertionError(f"the runner ended before {event}")
            found: dict[str, object] = json.loads(line)
            if found.get("event") == event:
                return found
        raise AssertionError(f"no {event} in {seconds} s")

    def end(self, seconds: float = 60) -> Ended:
        """Wait for the end."""
        assert self.process is not None
        text, _ = self.process.communicate(timeout=seconds)
        lines = text.strip().splitlines()
        assert self.message.exists(), text
        result = decode_result(self.message.read_text())
        assert result is not None, text
        assert lines[-1] == self.message.read_text(), text
        return Ended(self.process.returncode, result, [json.loads(line) for line in lines[:-1]], text)

    def run(self, wanted: Order, secret: Mapping[str, str], **more: Mapping[str, str]) -> Ended:
        """Start and wait for the end."""
        self.start(wanted, secret, **more)
        return self.end()


def numbered(
    count: int, sql: str = "CREATE TABLE t{n} (id bigint PRIMARY KEY, name text)"
) -> Sequence[OrderedMigration]:
    """Return as many migrations, each from the template."""
    return [migration(f"{n:05}", sql.format(n=n), f"DROP TABLE t{n}") for n in range(1, count + 1)]
