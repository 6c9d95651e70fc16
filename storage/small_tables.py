"""Parquet files that users write: read whole, within bounds that a small file cannot make large.

A Parquet file can say one long text or one number once and mean it a billion times, so the size of the file bounds
nothing. Columns stay as they are stored, in dictionaries, until every cell is known to be of a size that is wanted.
"""

from __future__ import annotations

import errno
import os
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

MOST_ROWS = 1_000_000
MOST_VALUES = 20_000_000
"""Of all columns together, those in lists counted one by one."""
MOST_BYTES = 256 << 20
"""Of what the file holds, unpacked."""
LONGEST_CELL = 1 << 20
_ROWS = 1000


def read_small_table(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The rows of a Parquet file.

    Raises:
        OSError: it cannot be read, is no Parquet, or holds more than a manifest does.
    """
    name = os.fspath(path)
    try:
        with open(name, "rb") as stream:
            return _rows(name, pq.ParquetFile(stream, read_dictionary=_texts(stream)))
    except pa.ArrowException as error:
        raise OSError(errno.EINVAL, f"is no Parquet file that can be read ({error})", name) from error


def _texts(stream: Any) -> list[str]:
    schema = pq.read_metadata(stream).schema
    stream.seek(0)
    columns = (schema.column(at) for at in range(len(schema)))
    return [column.path for column in columns if column.physical_type == "BYTE_ARRAY"]


def _rows(name: str, file: pq.ParquetFile) -> list[dict[str, Any]]:
    about = file.metadata
    groups = [about.row_group(at) for at in range(about.num_row_groups)]
    values = sum(group.column(at).num_values for group in groups for at in range(group.num_columns))
    size = sum(group.total_byte_size for group in groups)
    for found, most, what in (
        (about.num_rows, MOST_ROWS, "rows"), (values, MOST_VALUES, "values"), (size, MOST_BYTES, "bytes unpacked"),
    ):  # fmt: skip
        if found > most:
            raise OSError(errno.EFBIG, f"holds {found} {what}, more than {most}", name)
    rows: list[dict[str, Any]] = []
    letters = 0
    for batch in file.iter_batches(_ROWS, use_threads=False):
        letters += sum(_letters(name, column) for column in batch.columns)
        if letters > MOST_BYTES:
            raise OSError(errno.EFBIG, f"holds more than {MOST_BYTES >> 20} MiB of text", name)
        rows += batch.to_pylist()
    return rows


def _letters(name: str, column: pa.Array) -> int:
    """Bytes of a column's texts, all of them counted as often as they stand there."""
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        return _letters(name, column.flatten())
    if not pa.types.is_dictionary(column.type):
        return int(column.nbytes)
    lengths = pc.binary_length(column.dictionary)
    if (pc.max(lengths).as_py() or 0) > LONGEST_CELL:
        raise OSError(errno.EFBIG, f"has a cell of more than {LONGEST_CELL >> 20} MiB", name)
    return int(pc.sum(lengths.take(column.indices)).as_py() or 0)
