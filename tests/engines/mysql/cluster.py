"""Two nodes of a Galera cluster on this machine, where Debian's galera-4 is installed."""

import os
import shutil
from contextlib import ExitStack
from pathlib import Path

from servers.mariadb import Mariadb
from servers.process import free_port, give

VARIABLE = "LOCKSTEP_GALERA"
"""Names the provider's library where it is not in Debian's place."""
DEBIAN = "/usr/lib/galera/libgalera_smm.so"


def provider() -> str | None:
    """Return the library that makes a cluster of MariaDBs; None where there is none."""
    found = os.environ.get(VARIABLE, DEBIAN)
    return found if Path(found).exists() and shutil.which("rsync") else None


class Node(Mariadb):
    """One node; the second gets its data from the first."""

    def __init__(self, first: "Node | None" = None) -> None:
        super().__init__()
        self.group = free_port()
        self.first = first
        transfer = free_port()
        self.settings |= {
            "binlog_format": "ROW",
            "innodb_autoinc_lock_mode": "2",
            "wsrep_on": "ON",
            "wsrep_provider": provider() or "",
            "wsrep_cluster_name": "lockstep",
            "wsrep_cluster_address": "gcomm://" if first is None else f"gcomm://127.0.0.1:{first.group}",
            "wsrep_node_address": "127.0.0.1",
            "wsrep_sst_method": "rsync",
            "wsrep_sst_receive_address": f"127.0.0.1:{transfer}",
            "wsrep_provider_options": f"gmcast.listen_addr=tcp://127.0.0.1:{self.group};base_port={self.group};"
            f"ist.recv_addr=127.0.0.1:{free_port()}",
        }
        if first is None:
            self.settings["wsrep_new_cluster"] = "ON"

    def create(self) -> None:
        """Make the files of the first node; the second's come from it."""
        if self.first is None:
            super().create()
            return
        self.data.mkdir()
        give(self.data)
        users = self.folder / "users.sql"
        users.write_text("")
        give(users)


def cluster(stack: ExitStack) -> tuple[Node, Node]:
    """Start both."""
    first = Node()
    stack.enter_context(first)
    second = Node(first)
    stack.enter_context(second)
    return first, second
