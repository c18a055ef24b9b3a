"""Another tool's history, read once, from a PostgreSQL."""

from lockstep.engines.postgresql.channel import Channel
from lockstep.planning.adoption import ForeignRow
from lockstep.planning.wire import Order


def read_foreign(channel: Channel, order: Order) -> tuple[tuple[ForeignRow, ...], bool]:
    """Return the rows of the tool's history, and whether its last one stands for all before it."""
    raise NotImplementedError
