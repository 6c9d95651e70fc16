"""The catalog as a page: players, the original beside the dub, searched and filtered without a server.

One page and files of rows beside it, a thousand rows each, which the page takes in one after the other (as scripts: a
browser reads no other file from a disk). It plays the library's own files by relative links, so a root that is moved as
a whole keeps its page. Only a screenful of players exists at a time, however many rows there are.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import quote

from storage.atomic import write_text
from storage.catalog import Catalog
from storage.layout import Root
from tasks.report import environment

MOST_ROWS = 20_000
EACH_FILE = 1000
SHOWN = 24
"""Cards of a screenful."""
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
WANTED = {
    "renders": (
        "render_id", "created", "status", "reason", "review", "emotion", "caption", "input_uri", "audio_uri",
        "output_uri", "duration_s", "sync_confidence_before", "sync_confidence_after", "outside_psnr_db",
        "identity_cosine", "flicker", "seam", "model_id", "dataset_id", "run_id", "seed",
    ),
    "clips": (
        "clip_id", "created", "status", "reason", "emotion", "intensity", "caption", "transcript", "speaker", "split",
        "dataset", "source_id", "source_uri", "start_s", "end_s", "sync_confidence",
    ),
}  # fmt: skip
"""Columns on the page, as far as the catalog has them."""
_FILES = {"renders": {"before": "input_uri", "after": "output_uri"}, "clips": {"after": "source_uri"}}


@dataclass(frozen=True)
class Browsed:
    """The page, rows on it and rows in the catalog by table."""

    page: Path
    shown: dict[str, int]
    held: dict[str, int]


def catalog_page(
    root: Root | str | os.PathLike[str], folder: str | os.PathLike[str] | None = None, most: int = MOST_ROWS
) -> Browsed:
    """Write ``folder/index.html`` and ``folder/rows/*.js``; an older page there is replaced.

    Args:
        folder: default: ``ROOT/browse``.
        most: rows of a table at most, the newest.
    """
    place = Root(root)
    target = Path(folder).absolute() if folder is not None else place.local / "browse"
    catalog = Catalog(place)
    shown, held, files = {}, {}, {}
    columns: dict[str, list[str]] = {}
    for table, wanted in WANTED.items():
        stored = catalog.columns(table).names
        names = [name for name in wanted if name in stored]
        rows = catalog.rows(table, None, most, names, order_by="-created") if catalog.count(table) else []
        columns[table] = [*names, *_FILES[table]]
        lines = [[*(_value(row[name]) for name in names), *_links(table, row, place, target)] for row in rows]
        files[table] = list(_write(target / "rows", table, lines))
        shown[table], held[table] = len(rows), catalog.count(table)
    about = {
        "columns": columns, "files": files, "held": held, "shown": shown, "each": SHOWN, "pictures": PICTURES,
        "models": _models(catalog),
    }  # fmt: skip
    made = datetime.datetime.now(datetime.UTC)
    page = environment().get_template("browse.html.j2").render(about=about, made=made, held=held, shown=shown)
    write_text(target / "index.html", page)
    kept = {Path(name).name for names in files.values() for name in names}
    for old in (target / "rows").glob("*.js"):  # only now: until here the older page was whole
        if old.name not in kept:
            old.unlink()
    return Browsed(target / "index.html", shown, held)


def _write(folder: Path, table: str, lines: Sequence[list[Any]]) -> Iterator[str]:
    """Files of rows, named by what is in them: a page never sees those of another."""
    for start in range(0, len(lines), EACH_FILE):
        body = json.dumps(lines[start : start + EACH_FILE], separators=(",", ":"))
        name = f"{table}-{start // EACH_FILE:04d}-{hashlib.blake2b(body.encode(), digest_size=6).hexdigest()}.js"
        if not (folder / name).is_file():
            write_text(folder / name, f'take("{table}",{body});\n')
        yield f"{folder.name}/{name}"


def _links(table: str, row: dict[str, Any], root: Root, folder: Path) -> list[str | None]:
    """Files of a row as links from the page; None for those that are not there."""
    return [_link(row.get(column), root, folder) for column in _FILES[table].values()]


def _link(uri: str | None, root: Root, folder: Path) -> str | None:
    if not uri or "\0" in uri:
        return None
    path = root.resolve(uri)
    return quote(PurePath(os.path.relpath(path, folder)).as_posix()) if path.is_file() else None


def _models(catalog: Catalog) -> dict[str, list[str | None]]:
    """model_id → name@version, dataset, and what it was started from."""
    rows = catalog.rows("models", columns=["model_id", "name", "version", "dataset_id", "parent"])
    labels = {row["model_id"]: f"{row['name']}@{row['version']}" for row in rows}
    return {
        row["model_id"]: [labels[row["model_id"]], row["dataset_id"], labels.get(row["parent"], row["parent"])]
        for row in rows
    }


def _value(value: Any) -> Any:
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M")
    if isinstance(value, float):
        return float(f"{value:.5g}") if math.isfinite(value) else None
    return value
