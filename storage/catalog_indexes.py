"""What keeps a catalog table quick as it grows: word and vector indexes, and the joining of small parts.

Lance finds rows that no index holds yet by looking at each of them, so an answer is always whole; it only takes longer.
Every write leaves a part of its own and rows outside the indexes; once there are enough of either, the writer that made
the last of them tidies up. Scalar columns get no index: at 100,000 rows a scan of one takes 4 ms, with an index 3.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lancedb.index import FTS, IvfFlat

from storage.atomic import FileLock
from storage.catalog_columns import VECTORS
from storage.errors import LockHeld

WORDS: Mapping[str, Mapping[str, str]] = {
    "sources": {"text": "speech", "uri": "name"},
    "clips": {"caption": "english", "transcript": "speech"},
    "renders": {"caption": "english", "input_uri": "name", "output_uri": "name"},
}
"""Columns that are searched by words, per table, and how they are cut into words (`_CUT`)."""
_CUT: Mapping[str, FTS] = {
    # What this project writes: cut down to stems, so that "smile" finds "smiling".
    "english": FTS(base_tokenizer="icu"),
    # Any language, as it stands. Unicode's word breaks: Chinese, Japanese and Thai have no blanks between words.
    "speech": FTS(base_tokenizer="icu", stem=False, remove_stop_words=False),
    # What files are called: every dot, dash and slash parts two words.
    "name": FTS(base_tokenizer="simple", stem=False, remove_stop_words=False),
}
_log = logging.getLogger(__name__)
PROBED = 40
"""Cells of a vector index that a search looks into: five of six among 100,000 rows, where it finds 99 of 100 nearest
faces; one of twelve among a million."""
_CELL = 2048
"""Rows of a cell. Lance joins cells of less than half as many when it brings an index up to date."""
_PIECES, _MOST_PIECES, _GROWTH = 4, 16, 1.25
_SAMPLES, _ROUNDS = 64, 10


@dataclass(frozen=True)
class Upkeep:
    """When a table is tidied.

    parts: files of rows, one a write, that are joined. waiting: rows outside the indexes, and waiting_share: the same
    as a share of the table; the larger of both counts (cutting a thousand rows into words takes 6 ms, at every search
    anew). vectors: rows with a vector from which it gets an index; up to
    there comparing with each of them is quick enough, and exact.
    """

    parts: int = 32
    waiting: int = 1000
    waiting_share: float = 0.01
    vectors: int = 20_000


def index_words(target: Any, table: str, lock: Path) -> None:
    """Make the word indexes that `table` should have and has not."""
    if not _missing_words(target, table):
        return
    with FileLock(lock, timeout_s=600):
        target.checkout_latest()
        for column in _missing_words(target, table):
            _drop(target, column)
            target.create_index(column, config=_CUT[WORDS[table][column]], name=_words_name(column))


def tidy(target: Any, table: str, lock: Path, upkeep: Upkeep) -> bool:
    """Join parts and bring the indexes up to date if it is time; returns whether it was done.

    One process does it at a time; who comes meanwhile goes on without. A conflict with another writer ends it, as does
    a full disk: the rows are written and found without it, and what was not done is done after a later write.
    """
    if not _is_due(target, upkeep):
        return False
    try:
        with FileLock(lock, timeout_s=0):
            target.checkout_latest()
            if not _is_due(target, upkeep):
                return False
            index_vectors(target, upkeep)
            target.optimize()
    except LockHeld:
        return False
    except (RuntimeError, OSError) as error:
        if "onflict" not in str(error):
            _log.warning("%s: its indexes could not be brought up to date: %s", table, str(error).splitlines()[0])
        return False
    return True


def index_vectors(target: Any, upkeep: Upkeep) -> None:
    """Make the vector indexes that are due.

    Bringing one up to date adds a piece to it, and each piece is searched for itself. So it is made anew once it is in
    pieces and the table a quarter larger than it was made for: over a table's life that is five times its size.
    """
    present = {name: index for index in target.list_indices() for name in index.columns}
    for column in VECTORS:
        if column not in target.schema.names or target.count_rows() < upkeep.vectors:
            continue
        held = target.count_rows(f"{column} IS NOT NULL")
        if held < upkeep.vectors:
            continue
        cells = max(8, held // _CELL)
        old = present.get(column)
        if old is not None and not _is_scattered(target, old.name, held):
            continue
        # Whole vectors, sorted into cells: no codebook to train (minutes for a quantised index of as many rows), and
        # the cosines in the answers are exact.
        config = IvfFlat(
            distance_type="cosine", num_partitions=cells, sample_rate=_SAMPLES, max_iterations=_ROUNDS
        )  # fmt: skip
        _drop(target, column)
        target.create_index(column, config=config, name=f"{column}_in_{cells}_of_{held}")


def _is_due(target: Any, upkeep: Upkeep) -> bool:
    stats = target.stats()
    if stats["fragment_stats"]["num_fragments"] > upkeep.parts:
        return True
    rows = stats["num_rows"]
    indexes = target.list_indices()
    names = [index.name for index in indexes]
    vectors = {name for index in indexes for name in index.columns} & set(VECTORS)
    if not names and rows < upkeep.vectors:
        return False
    patience = max(upkeep.waiting, int(upkeep.waiting_share * rows))
    states = [target.index_stats(name) for name in names]
    if any(state is not None and state.num_unindexed_rows > patience for state in states):
        return True
    # A table that was filled in few large writes has few parts, and nothing waits for an index that is not there.
    wanted = [column for column in VECTORS if column in target.schema.names and column not in vectors]
    return rows >= upkeep.vectors and any(
        target.count_rows(f"{column} IS NOT NULL") >= upkeep.vectors for column in wanted
    )


def _is_scattered(target: Any, name: str, held: int) -> bool:
    state = target.index_stats(name)
    pieces = (state.num_indices or 0) if state is not None else 0
    ending = name.rsplit("_", 1)[-1]
    made_for = int(ending) if ending.isdigit() else 0  # the name that Lance gives has no number
    return pieces > _MOST_PIECES or (pieces > _PIECES and held >= _GROWTH * made_for) or held >= 4 * made_for


def _missing_words(target: Any, table: str) -> list[str]:
    names = {index.name for index in target.list_indices()}
    return [column for column in WORDS[table] if _words_name(column) not in names and column in target.schema.names]


def _words_name(column: str) -> str:
    # An index of an older release was made by other rules: it bears Lance's own name and is made anew.
    return f"{column}_words"


def _drop(target: Any, column: str) -> None:
    for index in target.list_indices():
        if column in index.columns:
            target.drop_index(index.name)
