"""Whether a finished file goes to its place or is kept back for review, and how it gets there: whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

from storage.atomic import written_aside
from storage.signing import SIDECAR
from tasks.config_sections import Gate
from tasks.measure import Measured
from tasks.quality_gate import judge, review_text

REVIEW = "review"
"""Folder beside an output's place for what the gate keeps back, and the stage of its row."""


def review_place(out: str | os.PathLike[str]) -> Path:
    """Where an output goes that is kept back."""
    place = Path(out)
    return place.parent / REVIEW / place.name


def deliver(made: Path, place: Path) -> None:
    """Moves a finished file, and the manifest beside it if there is one, over what stands at `place`.

    Raises:
        StorageFull: `place` is on another disk, which is full.
    """
    beside = made.with_suffix(SIDECAR)
    if beside.exists():
        _move(beside, place.with_suffix(SIDECAR))
    _move(made, place)


def judged(made: dict[str, Any], gate: Gate, out: str, stage: str) -> dict[str, Any]:
    """A RENDERS row by the thresholds in force: ok at `stage` and `out`, or rejected and in the folder of review."""
    findings = judge(Measured(**{name: made[column] for name, column in _COLUMNS.items()}), gate)
    text = review_text(findings)
    if not findings or not gate.keep_back:
        verdict = {"status": "ok", "stage": stage, "output_uri": out, "measure": None, "value": None, "threshold": None}
        remarks = {"reason": None} if made["stage"] == REVIEW else {}
        return made | verdict | remarks | {"review": text}
    first = findings[0]
    return made | {
        "status": "rejected", "stage": REVIEW, "output_uri": str(review_place(out)), "review": text,
        "measure": first.measure, "value": first.value, "threshold": first.threshold,
        "reason": f"kept back for review: {text} (look at it; other thresholds under gate.* let it pass)",
    }  # fmt: skip


_COLUMNS = {
    "sync_before": "sync_confidence_before", "sync_after": "sync_confidence_after", "sync_offset": "sync_offset",
    "identity_cosine": "identity_cosine", "flicker": "flicker", "seam": "seam", "outside_psnr_db": "outside_psnr_db",
}  # fmt: skip


def _move(source: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        source.replace(place)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        with written_aside(place) as partial:
            shutil.copyfile(source, partial)
        source.unlink()
