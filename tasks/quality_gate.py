"""The gate that every output passes or is kept back for review: its measures against the thresholds in force."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tasks.config_sections import Gate
from tasks.measure import Measured


@dataclass(frozen=True)
class Finding:
    """A measure that misses its threshold, and what that means."""

    measure: str
    value: float
    threshold: float
    unit: str
    meaning: str

    def __str__(self) -> str:
        side = "below" if self.value < self.threshold else "above"
        unit = f" {self.unit}" if self.unit else ""
        return f"{self.measure} {self.value:.2f}{unit} is {side} {self.threshold:g}{unit}: {self.meaning}"


def render_columns(measured: Measured, gate: Gate) -> dict[str, Any]:
    """The columns of a RENDERS row that hold the measures, and `review`, which says why it was kept back."""
    return {
        "sync_confidence_before": measured.sync_before, "sync_confidence_after": measured.sync_after,
        "sync_offset": measured.sync_offset, "outside_psnr_db": measured.outside_psnr_db,
        "identity_cosine": measured.identity_cosine, "identity": measured.identity, "flicker": measured.flicker,
        "seam": measured.seam, "review": review_text(judge(measured, gate)),
    }  # fmt: skip


def judge(measured: Measured, gate: Gate) -> list[Finding]:
    """What speaks against an output; nothing: it may be shipped.

    What could not be measured (no sync expert, a track without speech, a pack without identities) is not judged, nor
    what has no threshold.
    """
    findings: list[Finding] = []

    def below(name: str, value: float | None, least: float | None, unit: str, meaning: str) -> None:
        if value is not None and least is not None and not value >= least:
            findings.append(Finding(name, value, least, unit, meaning))

    def above(name: str, value: float | None, most: float | None, unit: str, meaning: str) -> None:
        if value is not None and most is not None and not value <= most:
            findings.append(Finding(name, value, most, unit, meaning))

    below("sync", measured.sync_after, gate.min_sync, "", "the lips do not follow the track")
    if measured.sync_after is not None:
        before = measured.sync_before
        # Lips that already fitted (the track is the footage's own) need not fit better.
        if before is not None and (gate.min_sync is None or before < gate.min_sync):
            gain = measured.sync_after - before
            below("sync gain", gain, gate.min_sync_gain, "", "the lips fit the track hardly better than before")
        # An offset is told only by lips that fit.
        if gate.min_sync is None or measured.sync_after >= gate.min_sync:
            offset = None if measured.sync_offset is None else abs(measured.sync_offset)
            above("sync offset", offset, gate.max_sync_offset, "frames of 1/25 s", "the track is early or late")
    below("identity", measured.identity_cosine, gate.min_identity, "", "the face is no longer the same person's")
    above("flicker", measured.flicker, gate.max_flicker, "", "the face trembles more than in the footage")
    above("seam", measured.seam, gate.max_seam, "", "the edge of the pasted face shows")
    below(
        "outside PSNR", measured.outside_psnr_db, gate.min_outside_psnr_db, "dB", "the picture beside the face changed"
    )
    return findings


def review_text(findings: Sequence[Finding]) -> str | None:
    """The column `review` of a row: all findings, or None where there are none."""
    return "; ".join(str(finding) for finding in findings) or None
