"""Clips of a source: long tracks are cut into equal parts, and listeners are told from speakers."""

import numpy as np
import pytest

from storage.schema import CLIPS, row
from tasks.analysis import Analysis
from tasks.clips import spans, without_listeners
from tasks.config import load_config
from tasks.shots import shots_between
from tests.tasks.test_speakers import burst, tracks_with_motion


def clip(confidence: float | None, start_s: float = 0.0, end_s: float = 2.0, status: str = "ok") -> dict:
    crops = [b"jpeg"] if status == "ok" else None
    return row(CLIPS, status=status, sync_confidence=confidence, start_s=start_s, end_s=end_s, crops=crops)


def statuses(*clips: dict) -> list[str]:
    return [judged["status"] for judged in without_listeners(list(clips), 0.5)]


def test_a_listener_beside_a_speaker_is_rejected_with_both_numbers() -> None:
    speaker, listener = without_listeners([clip(3.8), clip(0.4)], 0.5)
    assert speaker["status"] == "ok"
    assert speaker["crops"] == [b"jpeg"]
    assert (listener["status"], listener["stage"], listener["value"]) == ("rejected", "sync", 0.4)
    assert listener["threshold"] == pytest.approx(1.9)
    assert listener["crops"] is None
    assert "speaks" in listener["reason"]


def test_a_face_alone_is_not_judged_by_another_scene() -> None:
    assert statuses(clip(0.4), clip(3.8, 2.0, 4.0)) == ["ok", "ok"]
    assert statuses(clip(0.4)) == ["ok"]


def test_two_who_are_both_in_sync_stay_and_what_was_not_measured_too() -> None:
    assert statuses(clip(3.8), clip(3.0)) == ["ok", "ok"]
    assert statuses(clip(None), clip(3.0)) == ["ok", "ok"]
    assert statuses(clip(0.4), clip(3.8, status="rejected")) == ["ok", "rejected"]


def test_a_long_track_is_cut_into_equal_parts_that_share_no_frame() -> None:
    (track,) = tracks_with_motion(burst(0, 200))
    pts = np.arange(200) / 25
    analysis = Analysis(pts, 8.0, shots_between([], pts, 8.0), [track], [], 200)
    (whole,) = spans(analysis, load_config())
    assert (whole.first, whole.last, whole.end_s) == (0, 200, 8.0)
    parts = spans(analysis, load_config(overrides={"preprocess.max_clip_s": 3.0}))
    assert [(part.first, part.last) for part in parts] == [(0, 67), (67, 133), (133, 200)]
    assert all(part.end_s - part.start_s <= 3.0 for part in parts)
    assert parts[0].end_s == parts[1].start_s
