"""An order as the pod mounts it: packed into shards, and read with its migrations left packed.

The text is one JSON document, gzipped in blocks of whole migrations. So a run of ten thousand reads them one after the
other, and holds the texts of no more than a block.
"""

import gzip
import zlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from operator import eq
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from lockstep.planning.lazy import Lazy
from lockstep.planning.wire import ORDER_FORMAT, Order, OrderedMigration

SHARD_BYTES: Final = 900_000
"""Bytes of one shard of a packed order: a ConfigMap holds at most 1 MiB, its metadata included."""
BLOCK_BYTES: Final = 65_536
"""From how many bytes of JSON on a block ends."""
KEPT_BYTES: Final = 1 << 20
"""Orders of less JSON than this are held as they were read: reading them again takes longer than they take room."""

_OPEN: Final = b'"migrations":['
_COMMA: Final = b","
_END: Final = b"]}"
_READ_BYTES: Final = 16_384
_GZIP: Final = 16 + zlib.MAX_WBITS
_ONE_VERSION: Final = "the operator and the runner must be of one version"


class InvalidOrderError(ValueError):
    """The shards hold no order that this version understands."""


class _Head(Struct):
    """What an order of any format begins with."""

    format: object = None


class _Block(Struct):
    """Some migrations, where a message says `$.migrations` as of the whole order."""

    migrations: tuple[OrderedMigration, ...]


def pack(order: Order) -> list[bytes]:
    """Return the order as gzipped shards, each small enough for one ConfigMap."""
    head = msgspec.json.encode(replace(order, migrations=())).removesuffix(_END)
    blocks = _blocks(msgspec.json.encode(each) for each in order.migrations)
    # mtime 0: the same order gives the same bytes.
    packed = b"".join(gzip.compress(part, compresslevel=6, mtime=0) for part in chain([head], blocks, [_END]))
    return [packed[i : i + SHARD_BYTES] for i in range(0, len(packed), SHARD_BYTES)]


def _blocks(migrations: Iterable[bytes]) -> Iterator[bytes]:
    """Join migrations to blocks; all but the first begin with the comma behind the one before."""
    block = b""
    for number, each in enumerate(migrations):
        block += _COMMA * bool(number) + each
        if len(block) >= BLOCK_BYTES:
            yield block
            block = b""
    if block:
        yield block


def unpack(shards: Iterable[bytes]) -> Order:
    """Read an order from its shards, in their order.

    Raises:
        InvalidOrderError: if they are damaged, incomplete, or of another format.
    """
    packed = b"".join(shards)
    try:
        head, end = _member(packed, 0)
        if not head.endswith(_OPEN):
            # In one piece, as earlier versions packed it.
            order = _decoded(gzip.decompress(packed))
            return replace(order, migrations=tuple(order.migrations))
        order = _decoded(head + _END)
        return replace(order, migrations=Bundle(packed, end))
    except InvalidOrderError:
        raise
    except msgspec.ValidationError as error:
        raise InvalidOrderError(f"the bundle cannot be read ({error}): {_ONE_VERSION}") from error
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise InvalidOrderError(f"the bundle cannot be read ({type(error).__name__})") from error


def _decoded(text: bytes) -> Order:
    found = msgspec.json.decode(text, type=_Head).format
    if found != ORDER_FORMAT:
        raise InvalidOrderError(f"the bundle has format {found}, this runner reads {ORDER_FORMAT}: {_ONE_VERSION}")
    return msgspec.json.decode(text, type=Order)


def _member(packed: bytes, start: int) -> tuple[bytes, int]:
    """Return the text of the block that begins there, and where it ends.

    Raises:
        EOFError: if it has no end.
        zlib.error: if it is damaged.
    """
    view, unzip, parts = memoryview(packed), zlib.decompressobj(_GZIP), []
    end = start
    while not unzip.eof:
        piece = view[end : end + _READ_BYTES]
        if not piece:
            raise EOFError
        parts.append(unzip.decompress(piece))
        end += len(piece)
    return b"".join(parts), end - len(unzip.unused_data)


class Bundle(Lazy[OrderedMigration]):
    """The migrations of an order, each read when it is asked for; all of them have been read once.

    Raises:
        EOFError, zlib.error, msgspec.MsgspecError: if they cannot be read.
    """

    def __init__(self, packed: bytes, start: int) -> None:
        self._packed = packed
        self._starts: list[int] = []
        self._firsts: list[int] = []
        """Number of the first migration of each block."""
        self._kept: dict[int, tuple[OrderedMigration, ...]] = {}
        self._bytes = 0
        self._count = 0
        text, end = _member(packed, start)
        while text != _END:
            self._starts.append(start)
            self._firsts.append(self._count)
            self._bytes += len(text)
            self._count += len(self._keep(len(self._starts) - 1, text))
            start = end
            text, end = _member(packed, start)
        if end != len(packed):
            raise EOFError

    def _keep(self, block: int, text: bytes) -> tuple[OrderedMigration, ...]:
        if self._bytes > KEPT_BYTES:
            self._kept.clear()
        whole = b"{" + _OPEN + text.removeprefix(_COMMA) + _END
        self._kept[block] = found = msgspec.json.decode(whole, type=_Block).migrations
        return found

    def _block(self, block: int) -> tuple[OrderedMigration, ...]:
        found = self._kept.get(block)
        return self._keep(block, _member(self._packed, self._starts[block])[0]) if found is None else found

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[OrderedMigration]:
        for block in range(len(self._starts)):
            yield from self._block(block)

    def at(self, place: int) -> OrderedMigration:
        """Read a migration."""
        block = bisect_right(self._firsts, place) - 1
        return self._block(block)[place - self._firsts[block]]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(eq, self, other))

    __hash__ = None  # type: ignore[assignment]
