"""Faces of clips that were left out: a version keeps no pictures of them, the results of the step `crops` still may."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from storage.catalog import Catalog
from storage.layout import Root
from storage.step_parts import StepPart
from tasks.steps.recipe import CROPS, TRACKS
from tasks.steps.store import Store

PLACE = ("track_id", "start_s", "end_s")
"""Columns that tell which clip of a film one is."""


def faces_left_out(root: Root, clips: Iterable[Mapping[str, Any]]) -> dict[str, bytes]:
    """A crop (JPEG) by clip_id, of the clips whose crops were cut before they were left out and are still cached.

    Args:
        clips: rows with clip_id, source_id and `PLACE`; some tens, not a whole dataset.
    """
    wanted = {row["clip_id"]: row for row in clips}
    store = Store(root.cache / "steps")
    keys = _keys(Catalog(root), {row["source_id"] for row in wanted.values() if row["source_id"]})
    found: dict[str, bytes] = {}
    for source_id, key in keys.items():
        tracks, crops = store.part(TRACKS, key.get(TRACKS, "")), store.part(CROPS, key.get(CROPS, ""))
        if tracks is None or crops is None:
            continue
        numbers = {tuple(place[name] for name in PLACE): number for number, place in tracks.light(PLACE).items()}
        for clip_id, row in wanted.items():
            if row["source_id"] == source_id:
                picture = _middle(crops, numbers.get(tuple(row[name] for name in PLACE)))
                if picture is not None:
                    found[clip_id] = picture
    return found


def _keys(catalog: Catalog, source_ids: Iterable[str]) -> dict[str, dict[str, str]]:
    """source_id → step → key of its latest result."""
    ids = ", ".join(f"'{source_id}'" for source_id in sorted(source_ids))
    keys: dict[str, dict[str, str]] = {}
    for row in _ledger(catalog, ids) if ids else ():
        keys.setdefault(row["source_id"], {})[row["step"]] = row["key"]
    return keys


def _ledger(catalog: Catalog, ids: str) -> Iterator[dict[str, Any]]:
    where = f"step IN ('{TRACKS}', '{CROPS}') AND source_id IN ({ids})"
    return catalog.each("steps", where, ("source_id", "step", "key"))


def _middle(crops: StepPart, number: int | None) -> bytes | None:
    if number is None or crops.work(number) is None:
        return None
    pictures: list[bytes] | None = crops.value(number, "crops")
    return pictures[len(pictures) // 2] if pictures else None
