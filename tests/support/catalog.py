"""All objects of a PostgreSQL database, as the product's SQL reads and hashes them.

The product itself compares them in the server and never has them all; tests want to see them.
"""

from lockstep.engines.postgresql.catalog import BEGIN, CatalogOptions, again, pinned, reading
from lockstep.engines.postgresql.channel import Channel
from lockstep.engines.postgresql.messages import Command


def read_objects(channel: Channel, options: CatalogOptions) -> dict[str, str]:
    """Return the hash of every object of the database, by its name for people.

    Raises:
        SqlError: if the server refused; the transaction has ended then.
        StoppedError: if the run must stop.
        ConnectionLostError: if the connection is gone.
    """
    query = f"{reading(channel, options.include)} SELECT f.name, f.hash FROM found AS f"
    commands = [Command(f"{BEGIN} READ ONLY"), *pinned(), Command(query, (options.ledger_schema,)), Command("COMMIT")]
    rows = again(channel, lambda: channel.run(commands)[-2].rows)
    return {name or "": hashed or "" for name, hashed in rows}
