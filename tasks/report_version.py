"""The page of a dataset version that is on the disk: its rows, its pictures, and the ledger of its steps."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from storage.catalog import Catalog
from storage.layout import Root
from storage.shards import read_rows, rows_with
from storage.versions import Version, checkout_version
from tasks.report_dataset import dataset_page
from tasks.report_left_out import PLACE, faces_left_out
from tasks.report_tally import COLUMNS

_LEDGER = ("step", "status", "seconds", "cpu_seconds", "attempts", "error_type")


def version_page(root: Root | str | os.PathLike[str], spec: str, folder: str | os.PathLike[str] | None = None) -> Path:
    """Write the page of the version that `spec` names (``NAME``, ``NAME@VERSION``, ``NAME@TAG``); returns its path.

    Args:
        folder: where to; default: beside the version, ``datasets/NAME/VERSION.report``.

    Raises:
        NotFound: there is no such version.
        DubwrightError: its files are neither here nor in DVC's cache.
    """
    place = Root(root)
    version = checkout_version(place, spec, make_current=False)
    target = Path(folder) if folder is not None else version.path.with_name(f"{version.version}.report")

    def crops_of(clip_ids: Sequence[str]) -> Mapping[str, bytes]:
        rows = list(rows_with(version.path, "clip_id", clip_ids, ["clip_id", "source_id", "crops", *PLACE]))
        found = {row["clip_id"]: row["crops"][len(row["crops"]) // 2] for row in rows if row["crops"]}
        return found | faces_left_out(place, [row for row in rows if not row["crops"]])

    return dataset_page(
        target, _facts(version), read_rows(version.path, COLUMNS), crops_of, _ledger(place, version), version.dataset
    )


def _facts(version: Version) -> dict[str, Any]:
    return {
        "version": version.dataset_id, "tags": ", ".join(version.tags), "current": version.current,
        "rows": version.rows, "first made": version.created, "message": version.message,
        "made after": version.parent, "code revision": version.code_revision,
    }  # fmt: skip


def _ledger(place: Root, version: Version) -> Iterator[dict[str, Any]]:
    """The latest work at every step on the sources of the dataset."""
    yield from Catalog(place).each("steps", f"dataset = '{version.dataset}'", _LEDGER)
