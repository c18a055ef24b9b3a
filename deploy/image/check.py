"""Run inside the finished image, while it is built: everything that may be imported can be."""

import bz2
import ctypes
import importlib
import lzma
import pkgutil
import sqlite3
import ssl
import sys
import uuid
import zlib

import lockstep

STANDARD = (bz2, ctypes, lzma, sqlite3, uuid, zlib)
# What is loaded late, and so would be missed late.
LATE = (
    "kopf",
    "kubernetes.aio.client.api_client",
    "kubernetes.aio.config",
    "kubernetes.client.configuration",
    "kubernetes.config",
    "prometheus_client",
    "psycopg",
    "rich.traceback",
    "sqlalchemy.dialects.mysql",
    "sqlalchemy.dialects.postgresql",
    "sqlalchemy.dialects.sqlite",
    "structlog",
    "tenacity",
    "yaml",
)


def main() -> int:
    """Import everything; print what is missing."""
    missing = []
    ours = [m.name for m in pkgutil.walk_packages(lockstep.__path__, "lockstep.") if not m.name.endswith("__main__")]
    for name in (*LATE, *ours):
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            missing.append(f"{name}: {error}")
        except Exception as error:  # not a matter of packing: the unit tests say it better
            print(f"{name}: {error!r}")
    if importlib.import_module("psycopg").pq.__impl__ != "binary":
        missing.append("psycopg runs without its compiled part")
    if not ssl.create_default_context().get_ca_certs():
        missing.append("no CA certificate is trusted")
    for line in missing:
        print(line)
    return 1 if missing else 0


sys.exit(main())
