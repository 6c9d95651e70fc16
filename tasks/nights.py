"""What one night knows of those before it: which footage was seen, which dataset version was judged, what was left.

All of it lies with what it is about (the verdict with the challenger in the registry), so that a night that was killed
anywhere is gone on with, and nothing is done twice.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from storage import fetching
from storage.atomic import write_json
from storage.errors import DubwrightError
from storage.ids import code_revision, content_id
from storage.layout import Root
from storage.registry import Registry
from tasks.config import Config
from tasks.sources import Source

_OF_CLIPS = ("faces", "shots", "tracks", "preprocess", "audio", "captions", "people")
"""Sections of the configuration that clips depend on."""
GATE = "gate"
"""Under this name the verdict on a challenger stands among its metrics."""


def verdict_on(registry: Registry, line: str, dataset_id: str) -> dict[str, Any] | None:
    """The verdict of the night that judged a challenger trained on this dataset version; None where none did."""
    found = [verdict for verdict in _verdicts(registry, line) if verdict["dataset_id"] == dataset_id]
    return found[-1] if found else None


def keep_verdict(
    registry: Registry, model_id: str, champion_id: str, dataset_id: str, verdict: Mapping[str, Any], metrics: Any
) -> None:
    """Write down what the gate decided, before it is acted upon: see `promote_overdue`.

    Args:
        champion_id: whom the challenger was compared with.
        verdict: `tasks.evaluate_gate.Verdict.as_dict`.
        metrics: the challenger's metric table on `dataset_id`, or on what judged in its place.
    """
    kept = {**verdict, "dataset_id": dataset_id, "champion": champion_id}
    registry.note(model_id, {GATE: kept, **metrics})


def promote_overdue(registry: Registry, line: str) -> str | None:
    """Promote the challenger that won in a night that ended before it could; returns its id, None where there is none.

    One that was the champion already is not promoted again: somebody rolled it back.
    """
    standing = registry.champion(line)
    ever = {event["model_id"] for event in registry.history(line)}
    for verdict in reversed(_verdicts(registry, line)):
        if verdict["promoted"] and verdict["model_id"] not in ever:
            if standing is not None and verdict["champion"] == standing["model_id"]:
                return registry.promote(verdict["model_id"], verdict["reason"])
            return None
    return None


def clear_training(model: str | os.PathLike[str]) -> None:
    """Remove checkpoints and start of a training that is judged: several times what its model takes, every night.

    Args:
        model: the trained pipeline, which stays, with the curve beside it.
    """
    for name in ("checkpoints", "start"):
        shutil.rmtree(Path(model).parent / name, ignore_errors=True)


def _verdicts(registry: Registry, line: str) -> list[dict[str, Any]]:
    """All verdicts of a line, in the order of the models' versions, each with the model_id that it is on."""
    found = []
    for row in registry.models(line):
        verdict = json.loads(row["metrics"] or "{}").get(GATE)
        if verdict is not None:
            found.append({**verdict, "model_id": row["model_id"]})
    return found


def footage_stamp(sources: Sequence[Source], config: Config) -> str | None:
    """What the footage is, told without reading it: places, sizes, times, what manifests say, settings and code.

    None where some of it cannot be told: then it is read.
    """
    try:
        files = [(source.as_dict(), [_stamp(uri) for uri in {source.uri, source.sound}]) for source in sources]
    except (OSError, DubwrightError):
        return None
    return content_id(
        "footage", sorted(files, key=lambda file: str(file[0]["uri"])), config.hash(*_OF_CLIPS), code_revision()
    )


def _stamp(uri: str) -> tuple[Any, ...]:
    if fetching.is_remote(uri):
        return (uri, str(fetching.remote_stamp(uri)))
    about = os.stat(fetching.local_path(uri))
    return (uri, about.st_size, about.st_mtime_ns)


def seen(root: Root, dataset: str) -> dict[str, str]:
    """{"stamp": of the footage that the last night took in whole, "version": that came of it}; {} where none did."""
    try:
        note: dict[str, str] = json.loads(_note(root, dataset).read_text())
        return note
    except (OSError, ValueError):
        return {}


def keep_seen(root: Root, dataset: str, stamp: str | None, version: str) -> None:
    """Note what `seen` tells."""
    if stamp is not None:
        write_json(_note(root, dataset), {"stamp": stamp, "version": version})


def _note(root: Root, dataset: str) -> Path:
    return root.cache / "nights" / f"{dataset}.json"
