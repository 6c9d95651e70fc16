"""What one step came to for the clips of one source: a Parquet file under the step's key, a row group for each clip.

A row group for each, so that any clip's columns are read alone and an hour of footage is written as it comes. Beside
the step's own columns a row tells how the step went (the outcome columns of `storage.schema`, tries, time).
"""

from __future__ import annotations

import contextlib
import datetime
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from storage.atomic import written_aside
from storage.schema import STEPS

OUTCOME = ("status", "stage", "measure", "value", "threshold", "reason", "error_type")
"""How a step went, for one clip."""
WORK = (*OUTCOME, "attempts", "seconds", "cpu_seconds", "created")
CLIP = "clip"
_FACTS = b"facts"


class StepPart:
    """A finished part: its clips by number, how they went, and their columns.

    Args:
        path: the file.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it cannot be read (a disk spoilt it).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = pq.ParquetFile(path)
            table = self._file.read(columns=[CLIP, *WORK])
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, FileNotFoundError):
                raise
            raise ValueError(f"{path}: cannot be read: {error}") from error
        metadata = self._file.metadata.metadata or {}
        self.facts: dict[str, Any] = json.loads(metadata.get(_FACTS, b"{}"))
        self._work = {row.pop(CLIP): row for row in table.to_pylist()}
        self._place = {clip: number for number, clip in enumerate(self._work)}

    @property
    def clips(self) -> list[int]:
        """Numbers of the clips that the step was done to."""
        return list(self._work)

    @property
    def columns(self) -> list[str]:
        """Names of the step's own columns."""
        return [name for name in self._file.schema_arrow.names if name not in (CLIP, *WORK)]

    def work(self, clip: int) -> dict[str, Any] | None:
        """How the step went for a clip; None where it was not done to it."""
        return self._work.get(clip)

    def table(self, clip: int, columns: Iterable[str] | None = None) -> pa.Table:
        """One row with the step's columns, or those wanted."""
        wanted = self.columns if columns is None else [name for name in columns if name in self.columns]
        return self._file.read_row_group(self._place[clip], columns=wanted)

    def value(self, clip: int, name: str) -> Any:
        """One column of one clip: a number list as a flat numpy array, anything else as plain Python; None for null."""
        column = self.table(clip, [name]).column(name)
        kind = column.type
        if pa.types.is_list(kind) and (pa.types.is_floating(kind.value_type) or pa.types.is_boolean(kind.value_type)):
            if column.null_count:
                return None
            flat: NDArray[Any] = np.concatenate(
                [chunk.flatten().to_numpy(zero_copy_only=False) for chunk in column.chunks]
            )
            return flat
        return column[0].as_py()

    def light(self, columns: Iterable[str]) -> dict[int, dict[str, Any]]:
        """Clip number → the columns wanted, of all clips."""
        wanted = [name for name in columns if name in self.columns]
        table = self._file.read(columns=[CLIP, *wanted])
        return {row.pop(CLIP): row for row in table.to_pylist()}


class StepPartWriter:
    """Takes the rows of a part one by one; made by `written_part`."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._path, self._schema = path, schema
        self._writer: pq.ParquetWriter | None = None
        self.facts: dict[str, Any] = {}

    def write(self, clip: int, work: Mapping[str, Any], values: Mapping[str, Any] | pa.Table) -> None:
        """A clip's row: how it went, and the step's columns (numpy arrays are laid flat; those absent are null).

        Raises:
            KeyError: a column that the step does not have.
        """
        own = self._schema.names[1 + len(WORK) :]
        if not isinstance(values, pa.Table):
            unknown = sorted(set(values) - set(own))
            if unknown:
                raise KeyError(f"the step has no column {', '.join(unknown)}")
        arrays = [pa.array([clip], pa.int64())]
        arrays += [pa.array([work.get(name)], self._schema.field(name).type) for name in WORK]
        for name in own:
            kind = self._schema.field(name).type
            if isinstance(values, pa.Table):
                known = name in values.column_names
                arrays.append(values.column(name).combine_chunks() if known else pa.nulls(1, kind))
            else:
                arrays.append(_array(values.get(name), kind))
        self._open().write_table(pa.Table.from_arrays(arrays, schema=self._schema), row_group_size=1)

    def close(self) -> None:
        """Ends the file with the facts."""
        writer = self._open()
        writer.add_key_value_metadata({_FACTS.decode(): json.dumps(self.facts, default=_plain)})
        writer.close()

    def _open(self) -> pq.ParquetWriter:
        if self._writer is None:
            self._writer = pq.ParquetWriter(
                self._path, self._schema, compression="zstd", use_dictionary=False, write_statistics=False
            )
        return self._writer


@contextlib.contextmanager
def written_part(path: Path, fields: Iterable[pa.Field]) -> Iterator[StepPartWriter]:
    """A writer whose file appears whole on leaving, in place of an older one; not at all on an error.

    Args:
        fields: the step's own columns.

    Raises:
        StorageFull: no room; nothing of it is left.
    """
    work = [STEPS.field(name) for name in WORK]
    schema = pa.schema([pa.field(CLIP, pa.int64()), *work, *fields])
    with written_aside(path, durable=False) as partial:
        writer = StepPartWriter(partial, schema)
        yield writer
        writer.close()


def read_part(path: Path) -> StepPart | None:
    """The part at `path`; None where there is none, or one that a disk spoilt: it is made anew."""
    try:
        return StepPart(path)
    except (FileNotFoundError, ValueError):
        return None


def _array(value: Any, kind: pa.DataType) -> pa.Array:
    if value is None:
        return pa.nulls(1, kind)
    if isinstance(value, np.ndarray) and pa.types.is_list(kind):
        flat = pa.array(np.ascontiguousarray(value).reshape(-1), kind.value_type)
        return pa.ListArray.from_arrays(pa.array([0, len(flat)], pa.int32()), flat).cast(kind)
    if isinstance(value, np.generic):
        value = value.item()
    return pa.array([value], kind)


def _plain(value: Any) -> Any:
    if isinstance(value, (datetime.datetime, datetime.date)):
        return value.isoformat()
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} is no JSON value")


def joined_row(
    schema: pa.Schema, base: Mapping[str, Any], parts: Iterable[StepPart], clip: int, heavy: bool = True
) -> pa.Table:
    """One row of `schema`: the columns of a clip out of all its parts, then those of `base` over them; null elsewhere.

    Args:
        heavy: with the columns that the schema marks as heavy (pictures, sound); a clip left out has none.

    Raises:
        KeyError: a name in `base` that the schema does not have.
    """
    unknown = sorted(set(base) - set(schema.names))
    if unknown:
        raise KeyError(f"there is no column {', '.join(unknown)}")
    found: dict[str, pa.ChunkedArray] = {}
    for part in parts:
        if part.work(clip) is not None:
            wanted = [
                name for name in part.columns
                if name in schema.names and name not in base and (heavy or b"heavy" not in schema.field(name).metadata)
            ]  # fmt: skip
            found |= zip(wanted, part.table(clip, wanted).select(wanted).columns, strict=True)
    columns = [
        _array(base[field.name], field.type) if field.name in base else found.get(field.name, pa.nulls(1, field.type))
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)
