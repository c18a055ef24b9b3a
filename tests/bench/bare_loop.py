"""The loop that every tool is measured by: `python bare_loop.py FOLDER CONNINFO`.

The least that does the work: what is not in its table is applied in the order of the files' names, each in one
transaction with its record. No lock, no checksum, no check of what was applied.
"""

import sys
from pathlib import Path

import psycopg


def main() -> None:
    """Apply what is missing."""
    folder, conninfo = sys.argv[1:]
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS bare (version text PRIMARY KEY, at timestamptz DEFAULT now())")
        applied = {version for (version,) in connection.execute("SELECT version FROM bare")}
        for path in sorted(Path(folder).glob("*.sql")):
            if path.stem in applied:
                continue
            connection.execute("BEGIN")
            connection.execute(path.read_bytes())
            connection.execute("INSERT INTO bare (version) VALUES (%s)", (path.stem,))
            connection.execute("COMMIT")


if __name__ == "__main__":
    main()
