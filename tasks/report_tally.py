"""What a dataset's clips come to, counted as their rows pass: ten or a million, each is seen once and forgotten."""

from __future__ import annotations

import hashlib
import heapq
import math
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

KEPT_SHOWN, LEFT_SHOWN, LEFT_SHOWN_EACH = 60, 36, 6
EXAMPLES = 3
COLUMNS = (
    "clip_id", "source_id", "source_uri", "start_s", "end_s", "num_frames", "fps", "split", "speaker", "speaker_source",
    "licence", "consent", "status", "stage", "measure", "value", "threshold", "reason", "error_type", "emotion",
    "intensity", "caption", "caption_source", "sync_confidence", "sync_offset", "sync_residual", "loudness_lufs",
    "speech_share", "blur", "exposure", "occlusion", "face_px", "yaw", "pitch",
)  # fmt: skip
"""Columns of CLIPS that are counted; all of them light."""
NUMBERS = (
    "length", "face_px", "blur", "exposure", "occlusion", "sync_confidence", "sync_offset", "loudness_lufs",
    "speech_share", "yaw", "pitch",
)  # fmt: skip

Row = Mapping[str, Any]


@dataclass
class Reason:
    """Clips left out by one measure of one step."""

    status: str
    stage: str
    measure: str
    clips: int = 0
    thresholds: set[float] = field(default_factory=set)
    examples: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Share:
    """Clips, seconds and who is in them."""

    clips: int = 0
    seconds: float = 0.0
    speakers: Counter[str] = field(default_factory=Counter)
    sources: set[str] = field(default_factory=set)

    def add(self, row: Row, seconds: float) -> None:
        """Count a clip."""
        self.clips += 1
        self.seconds += seconds
        self.sources.add(str(row.get("source_id") or ""))
        if row.get("speaker"):
            self.speakers[row["speaker"]] += 1


class Tally:
    """Counts and samples of CLIPS rows; light columns are enough (`COLUMNS`)."""

    def __init__(self) -> None:
        self.statuses: Counter[str] = Counter()
        self.kept: dict[str, array[float]] = {name: array("d") for name in NUMBERS}
        self.left: dict[str, array[float]] = {name: array("d") for name in NUMBERS}
        self.emotions: Counter[tuple[str, int]] = Counter()
        self.caption_sources: Counter[str] = Counter()
        self.speaker_sources: Counter[str] = Counter()
        self.captions: dict[str, list[str]] = defaultdict(list)
        self.splits: dict[str, Share] = defaultdict(Share)
        self.rights: dict[tuple[str, str], Share] = defaultdict(Share)
        self.all = Share()
        self.frames = 0
        self.reasons: dict[tuple[str, str, str], Reason] = {}
        self.marks: dict[str, set[float]] = defaultdict(set)
        self._seen: Counter[str] = Counter()
        self._kept_sample: list[tuple[tuple[int, int], str, dict[str, Any]]] = []
        self._left_sample: list[tuple[tuple[int, int], str, dict[str, Any]]] = []

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Tally:
        """The tally of rows."""
        tally = cls()
        for row in rows:
            tally.add(row)
        return tally

    def add(self, row: Row) -> None:
        """Count one row."""
        status = str(row.get("status") or "failed")
        self.statuses[status] += 1
        numbers = _numbers(row)
        for name, value in numbers.items():
            (self.kept if status == "ok" else self.left)[name].append(value)
        if status == "ok":
            self._add_kept(row, numbers.get("length", 0.0))
        else:
            self._add_left(row)

    @property
    def clips(self) -> int:
        """Rows seen."""
        return sum(self.statuses.values())

    @property
    def kept_sample(self) -> list[dict[str, Any]]:
        """Some of the clips kept, of as many files as there are; always the same ones of the same rows."""
        return [row for _, _, row in sorted(self._kept_sample, key=lambda entry: tuple(-part for part in entry[0]))]

    @property
    def left_sample(self) -> list[dict[str, Any]]:
        """Some of the clips left out, of each reason some."""
        order = [(reason.status, reason.stage, reason.measure) for reason in self.ordered_reasons]
        rows = [row for _, _, row in self._left_sample]
        return sorted(rows, key=lambda row: (order.index(_reason_of(row)), str(row["clip_id"])))

    @property
    def ordered_reasons(self) -> list[Reason]:
        """Reasons, the most frequent first."""
        return sorted(self.reasons.values(), key=lambda reason: (-reason.clips, reason.stage, reason.measure))

    @property
    def torn_speakers(self) -> list[str]:
        """Speakers with clips in more than one split: there should be none."""
        where: dict[str, set[str]] = defaultdict(set)
        for name, share in self.splits.items():
            for speaker in share.speakers:
                where[speaker].add(name)
        return sorted(speaker for speaker, splits in where.items() if len(splits) > 1)

    def _add_kept(self, row: Row, seconds: float) -> None:
        self.all.add(row, seconds)
        self.frames += row.get("num_frames") or 0
        self.splits[row.get("split") or "none"].add(row, seconds)
        self.rights[(row.get("licence") or "not stated", row.get("consent") or "not stated")].add(row, seconds)
        self.emotions[(row.get("emotion") or "unknown", int(row.get("intensity") or 0))] += 1
        self.speaker_sources[row.get("speaker_source") or "not stated"] += 1
        source = row.get("caption_source") or ("not stated" if row.get("caption") else "no caption")
        self.caption_sources[source] += 1
        if row.get("caption") and len(self.captions[source]) < EXAMPLES and row["caption"] not in self.captions[source]:
            self.captions[source].append(row["caption"])
        self._sample(self._kept_sample, row, str(row.get("source_id") or ""), KEPT_SHOWN)

    def _add_left(self, row: Row) -> None:
        key = _reason_of(row)
        reason = self.reasons.setdefault(key, Reason(*key))
        reason.clips += 1
        if row.get("threshold") is not None and len(reason.thresholds) < 8:
            reason.thresholds.add(float(row["threshold"]))
            self.marks[_AS_NUMBER.get(key[2], key[2])].add(float(row["threshold"]))
        if len(reason.examples) < EXAMPLES:
            reason.examples.append(_shown(row))
        self._sample(self._left_sample, row, "\0".join(key), LEFT_SHOWN, LEFT_SHOWN_EACH)

    def _sample(
        self, heap: list[tuple[tuple[int, int], str, dict[str, Any]]], row: Row, group: str, most: int, each: int = 0
    ) -> None:
        """Keeps the first of every group, then the second of every group, …; by lot, which a hash of the id casts."""
        self._seen[group] += 1
        turn = self._seen[group]
        if each and turn > each:
            return
        name = str(row.get("clip_id") or "")
        lot = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=6).digest(), "big")
        entry = ((-turn, -lot), name, _shown(row))
        if len(heap) < most:
            heapq.heappush(heap, entry)
        elif entry[:2] > heap[0][:2]:
            heapq.heapreplace(heap, entry)


_AS_NUMBER = {"clip_s": "length", "yaw_deg": "yaw", "pitch_deg": "pitch", "loudness": "loudness_lufs"}


def _reason_of(row: Row) -> tuple[str, str, str]:
    return (str(row["status"]), str(row.get("stage") or ""), str(row.get("measure") or row.get("error_type") or ""))


def _numbers(row: Row) -> dict[str, float]:
    found = {name: row.get(name) for name in NUMBERS}
    if row.get("start_s") is not None and row.get("end_s") is not None:
        found["length"] = row["end_s"] - row["start_s"]
    numbers = {name: float(value) for name, value in found.items() if value is not None and math.isfinite(value)}
    return {name: math.degrees(value) if name in ("yaw", "pitch") else value for name, value in numbers.items()}


def _shown(row: Row) -> dict[str, Any]:
    """What the page tells of one clip."""
    wanted = (
        "clip_id", "status", "stage", "measure", "value", "threshold", "reason", "error_type", "emotion", "intensity",
        "caption", "speaker", "split", "sync_confidence",
    )  # fmt: skip
    name = Path(str(row.get("source_uri") or "")).name or str(row.get("clip_id"))
    when = ""
    if row.get("start_s") is not None and row.get("end_s") is not None:
        when = f"{row['start_s']:.1f}–{row['end_s']:.1f} s"
    return {**{column: row.get(column) for column in wanted}, "name": name, "when": when}
