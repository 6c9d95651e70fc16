"""Tables that users write: CSV, JSON lines or Parquet, one row an input."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import Any

from storage.errors import UsageError
from storage.fetching import is_remote, local_path
from storage.shards import read_rows

SUFFIXES = (".csv", ".jsonl", ".parquet")


def read_table(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Rows by column name; empty cells are None. UTF-8, with or without a byte order mark; `;` and tab work too.

    Raises:
        UsageError: missing, unreadable, or of another kind; the error names the line.
    """
    place = Path(path)
    if place.suffix.lower() not in SUFFIXES:
        raise UsageError(f"{place}: is no manifest", f"give a file that ends in {', '.join(SUFFIXES)}")
    try:
        if place.suffix.lower() == ".parquet":
            rows = list(read_rows(place))
        else:
            text = place.read_text(encoding="utf-8-sig")
            rows = _json_lines(place, text) if place.suffix.lower() == ".jsonl" else _csv(text)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{place}: cannot be read: {error}", "check the path, and that it is UTF-8 text") from error
    return [{name: _cell(value) for name, value in row.items() if isinstance(name, str)} for row in rows]


def _csv(text: str) -> list[dict[str, Any]]:
    head = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=head.count)
    return list(csv.DictReader(text.splitlines(), delimiter=delimiter, skipinitialspace=True))


def _json_lines(place: Path, text: str) -> list[dict[str, Any]]:
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise UsageError(f"{place}: line {number} is not JSON: {error}", "write one object a line") from error
        if not isinstance(row, dict):
            raise UsageError(f"{place}: line {number} is not a JSON object", "write one object a line")
        rows.append(row)
    return rows


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        value = value.strip()
    return None if value in ("", [], None) else value


def located(value: str | None, beside: Path | str) -> str | None:
    """A path of a manifest: relative ones lie beside the manifest, a folder or an address. Absolute, or None."""
    if value is None or is_remote(value):
        return value
    if isinstance(beside, str) and is_remote(beside) and not value.startswith(("/", "file://")):
        return f"{beside.rstrip('/')}/{value.removeprefix('./')}"
    place = Path(local_path(value)).expanduser()
    return str(place if place.is_absolute() else (Path(beside) / place).absolute())
