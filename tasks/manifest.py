"""Tables that users write: CSV, JSON lines or Parquet, one row an input."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import Any

from storage.errors import UsageError
from storage.fetching import is_remote, local_path
from storage.masking import masked
from storage.small_tables import read_small_table
from storage.texts import read_text

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
            rows = read_small_table(place)
        else:
            text = read_text(place)
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
        except (ValueError, RecursionError) as error:  # the latter: of brackets in brackets, thousands deep
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
    """A path of a manifest: relative ones lie beside the manifest, a folder or an address. Absolute, or None.

    Raises:
        UsageError: a list or a number, which JSON and Parquet can write where a path is asked for.
    """
    if value is not None and not isinstance(value, str):
        raise UsageError(f"{str(value)[:60]} is no path", "write the name of a file")
    if value is None:
        return None
    if is_remote(value):
        return masked(value)  # where it has a password, the row says so, and is refused for it
    if isinstance(beside, str) and is_remote(beside) and not value.startswith(("/", "file://")):
        return f"{beside.rstrip('/')}/{value.removeprefix('./')}"
    place = at_home(local_path(value))
    return str(place if place.is_absolute() else (Path(beside) / place).absolute())


def at_home(path: str) -> Path:
    """A path whose ``~/`` is the user's home; other people's homes (``~name``) are not looked up."""
    return Path(path).expanduser() if path == "~" or path.startswith("~/") else Path(path)
