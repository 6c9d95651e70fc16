"""Where a row of a dataset version lies: decided by its content alone, so that growth leaves most files as they are.

Rows are ordered by a hash of the film they are from and of their key. A shard holds all rows whose hash begins with
the same bits; where they are more than `SHARD_BYTES`, one bit more tells two shards apart. So a shard's rows depend
neither on the order in which they came nor on the version before, and a clip that is added touches one shard (now and
then it splits it in two). Clips of one film lie together: one video more changes a shard or two, not one for each clip.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

SHARD_BYTES = 32_000_000
"""Rows of a shard weigh at most this, unless it is one row. A constant: another value would make other files of the
same rows."""
_GROUP, _KEY = 4, 8  # bytes of the hash


@dataclass(frozen=True, slots=True)
class Entry:
    """A row that a version will hold.

    place: 12 bytes that order the rows. group: what lies together with it: rows of the same pictures, whatever their
    sound, so that new sound moves no pictures. size: bytes. digest: 16 bytes over its values. origin: where its values
    are: a shard of the version before and the number in it, or ("", number) for rows that were just gathered.
    """

    place: bytes
    key: str
    source: str
    group: str
    size: int
    digest: bytes
    status: str
    origin: tuple[str, int]


def place_of(group: str, key: str) -> bytes:
    """12 bytes by which rows are ordered: rows of one group lie together."""
    own = hashlib.blake2b(key.encode(), digest_size=_KEY).digest()
    return (hashlib.blake2b(group.encode(), digest_size=_GROUP).digest() if group else own[:_GROUP]) + own


def shards_of(entries: Sequence[Entry], shard_bytes: int = 0) -> Iterator[tuple[str, Sequence[Entry]]]:
    """(name, rows) of every shard, for rows sorted by `(place, key)`; names sort as the rows do.

    Args:
        shard_bytes: for tests; 0 takes `SHARD_BYTES`.
    """
    limit = shard_bytes or SHARD_BYTES
    places = [int.from_bytes(entry.place, "big") for entry in entries]
    before = [0, *accumulate(entry.size for entry in entries)]
    bits = 8 * (_GROUP + _KEY)
    waiting = [(0, len(entries), 0)]
    while waiting:
        low, high, depth = waiting.pop()
        if low == high:
            continue
        if high - low == 1 or depth == bits or before[high] - before[low] <= limit:
            prefix = places[low] >> (bits - depth)
            yield f"part-{f'{prefix:0{depth}b}' if depth else 'all'}.parquet", entries[low:high]
            continue
        middle = ((places[low] >> (bits - depth)) * 2 + 1) << (bits - depth - 1)
        cut = bisect_left(places, middle, low, high)
        waiting += [(cut, high, depth + 1), (low, cut, depth + 1)]
