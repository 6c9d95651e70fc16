"""From a video to CLIPS rows: each face track becomes clips with aligned crops, masks, sound and measures, or a reason.

One decoding pass finds shots and tracks, a second cuts the crops. Rows are yielded one by one as their last frame
passes, so an hour of footage never lies in memory.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from storage import media
from storage.errors import InputRejected, outcome
from storage.ids import code_revision, content_id
from storage.schema import CLIPS, light, row
from tasks.analysis import Analysis, analyse, frame_interval
from tasks.clip_builder import ClipBuilder, ClipSpan
from tasks.config import Config
from tasks.experts import Experts
from tasks.probe import Source, probe_source

PARTS_OF_CLIPS = ("faces", "shots", "tracks", "preprocess", "audio")
"""Sections of the configuration that a clip depends on."""


def clips_version(config: Config, experts_version: str) -> str:
    """What, beside the bytes of the source, decides how its clips come out: part of the key of finished sources."""
    return content_id("clips", config.hash(*PARTS_OF_CLIPS), experts_version)


def build_clips(source: Source, dataset: str, config: Config, experts: Experts) -> Iterator[tuple[str, dict[str, Any]]]:
    """("clips", CLIPS row) for every clip and every track left out, then ("sources", SOURCES row).

    Never raises for the sake of the file: an input that cannot be used gives one CLIPS row that says why.
    """
    started = time.perf_counter()
    source_row, info = probe_source(source, dataset, config)
    base = _base_row(source_row, config, experts)
    counts = {"ok": 0, "rejected": 0, "failed": 0}
    verdicts: list[dict[str, Any]] = []
    if info is not None:
        try:
            for clip in _clips_of(source, info, base, config, experts):
                counts[clip["status"]] += 1
                verdicts += [{name: clip[name] for name in OUTCOME}] if clip["status"] != "ok" else []
                yield "clips", clip
        except Exception as error:  # noqa: BLE001 - whatever a file does, it costs itself alone
            source_row |= outcome(error, "decode")
            counts["failed"] += 1
            yield "clips", _left_out(base, outcome(error, "decode"))
    else:
        verdict = {name: source_row[name] for name in OUTCOME}
        counts[verdict["status"]] += 1
        yield "clips", _left_out(base, verdict)
    if source_row["status"] == "ok" and not counts["ok"]:
        source_row |= _none_passed(verdicts)
    source_row |= {"clips_ok": counts["ok"], "clips_rejected": counts["rejected"] + counts["failed"],
                   "seconds": time.perf_counter() - started}  # fmt: skip
    yield "sources", source_row


_MOST_HELD = 16
OUTCOME = ("status", "stage", "measure", "value", "threshold", "reason", "error_type")


def _none_passed(verdicts: list[dict[str, Any]]) -> dict[str, Any]:
    """The verdict on a source of which no clip was kept: that of its clip, or a summary of many."""
    if len(verdicts) == 1:
        return verdicts[0]
    stages = Counter(str(verdict["stage"]) for verdict in verdicts).most_common()
    where = ", ".join(f"{count} at {stage}" for stage, count in stages)
    return {
        "status": "rejected", "stage": "clips", "measure": "clips_ok", "value": 0.0, "threshold": 1.0,
        "reason": f"none of its {len(verdicts)} clips passed: {where}; each has its own row",
    }  # fmt: skip


def _base_row(source_row: dict[str, Any], config: Config, experts: Experts) -> dict[str, Any]:
    """The columns that all clips of a source share."""
    return {
        "dataset": source_row["dataset"], "source_id": source_row["source_id"], "source_uri": source_row["uri"],
        "split": source_row["split"], "speaker": source_row["speaker"], "licence": source_row["licence"],
        "consent": source_row["consent"], "emotion": source_row["emotion"], "intensity": source_row["intensity"],
        "config_hash": config.hash(), "code_revision": code_revision(),
        "clip_id": content_id("clip", source_row["source_id"], clips_version(config, experts.version)),
    }  # fmt: skip


def _left_out(base: dict[str, Any], verdict: dict[str, Any], **more: Any) -> dict[str, Any]:
    return row(CLIPS, **(base | verdict | more))


def _clips_of(
    source: Source, info: media.MediaInfo, base: dict[str, Any], config: Config, experts: Experts
) -> Iterator[dict[str, Any]]:
    analysis = analyse(source.uri, info, experts.faces, config, keep_landmarks=True)
    if not analysis.tracks:
        flashes = len(analysis.dropped)
        reason = "no face found in any frame" if not flashes else f"no face that stays: {flashes} for a moment only"
        error = InputRejected(
            "faces", "face_ratio", 0.0, config.preprocess.min_face_ratio, "",
            "give footage with a face, or lower faces.det_thresh", path=source.uri, reason=reason,
        )  # fmt: skip
        yield _left_out(base, outcome(error), num_frames=len(analysis.pts), face_ratio=0.0)
        return
    for dropped in analysis.dropped:
        error = InputRejected("tracks", dropped.measure, dropped.value, dropped.threshold, dropped.unit)
        yield _left_out(
            base, outcome(error),
            clip_id=content_id(base["clip_id"], "dropped", dropped.number), track_id=dropped.number,
            start_s=dropped.start_s, end_s=dropped.end_s, num_frames=dropped.frames,
        )  # fmt: skip
    yield from _cut(source, info, analysis, base, config, experts)


def _cut(
    source: Source, info: media.MediaInfo, analysis: Analysis, base: dict[str, Any], config: Config, experts: Experts
) -> Iterator[dict[str, Any]]:
    """The second pass: frames stream by, every clip collects its own."""
    fps = float(info.video.fps) if info.video is not None else 25.0
    waiting = sorted(spans(analysis, config), key=lambda span: (span.first, span.track.number))
    open_clips: list[ClipBuilder] = []
    made: list[dict[str, Any]] = []
    if not waiting:
        return
    start, stop = waiting[0].start_s, max(span.end_s for span in waiting)
    for index, _, frame in media.iter_frames(source.uri, start_s=start, end_s=stop):
        while waiting and waiting[0].first <= index:
            span = waiting.pop(0)
            open_clips.append(ClipBuilder(source, span, fps, base, config, experts))
        for clip in list(open_clips):
            clip.add(index, frame)
            if index + 1 >= clip.last:
                open_clips.remove(clip)
                made.append(clip.finish())
        # Clips are judged beside those seen at the same time, so they wait for each other, but never for long.
        if made and (not open_clips or len(made) >= _MOST_HELD):
            yield from without_listeners(made, config.preprocess.min_sync_share)
            made = []
    made += [clip.finish() for clip in open_clips]
    yield from without_listeners(made, config.preprocess.min_sync_share)


def without_listeners(clips: list[dict[str, Any]], min_share: float) -> list[dict[str, Any]]:
    """Rejects the clips of faces that listen: another face in view at the same time is far better in sync.

    A comparison within the footage, so it needs no threshold that fits the sync expert to this kind of footage.

    Args:
        min_share: least sync confidence, as a share of the best one of the clips that overlap in time.
    """
    judged = []
    for clip in clips:
        rivals = [
            other["sync_confidence"] for other in clips
            if other["status"] == "ok" and other["sync_confidence"] is not None
            and other["start_s"] < clip["end_s"] and clip["start_s"] < other["end_s"]
        ]  # fmt: skip
        own = clip["sync_confidence"]
        if clip["status"] == "ok" and own is not None and own < min_share * max(rivals):
            reason = "another face in view speaks here"
            error = InputRejected("sync", "sync_confidence", own, min_share * max(rivals), reason=reason)
            kept = {name: value for name, value in clip.items() if name in light(CLIPS).names}
            clip = row(CLIPS, **(kept | outcome(error)))
        judged.append(clip)
    return judged


def spans(analysis: Analysis, config: Config) -> list[ClipSpan]:
    """Tracks as clips: one longer than `max_clip_s` is cut into equal parts below it."""
    found = []
    for track in analysis.tracks:
        end_s = _end_of(analysis, track.last)
        parts = max(1, math.ceil((end_s - track.pts[0]) / config.preprocess.max_clip_s - 1e-9))
        edges = np.linspace(track.first, track.last, parts + 1).round().astype(int)
        for first, last in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            found.append(ClipSpan(track, first, last, float(analysis.pts[first]), _end_of(analysis, last)))
    return found


def _end_of(analysis: Analysis, last: int) -> float:
    """When frame `last - 1` ends."""
    if last < len(analysis.pts):
        return float(analysis.pts[last])
    return max(analysis.end_s, float(analysis.pts[last - 1]) + frame_interval(analysis.pts, 25.0) * 0.5)
