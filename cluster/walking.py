"""Walking: reading one column family in key order, damage not taken for the end.

Only what goes through an iterator of RocksDB's may live here; `rocks` opens the database.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cluster.folder import REPLACE
from cluster.store import StoreFault


def scan(path: Path, family: Any, start: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
    """The pairs from `start` on, in key order.

    By hand, as the library's own iterators end at a damaged block as if the data ended there.

    Raises:
        StoreFault: a block is damaged.
    """
    walk = family.iter()
    if start is None:
        walk.seek_to_first()
    else:
        walk.seek(start)
    while walk.valid():
        yield walk.key(), walk.value()
        walk.next()
    check_walk(path, walk)


def check_walk(path: Path, walk: Any) -> None:
    """Raises StoreFault if this iterator is not valid because of damage."""
    try:
        walk.status()
    except Exception as error:
        raise StoreFault(f"{path}: a file is damaged ({error}): {REPLACE}") from error
