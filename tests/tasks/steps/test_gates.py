"""Gates: thresholds on both sides, the film's sound settled by its clips together, listeners told from speakers."""

from typing import Any

import numpy as np
import pytest

from tasks.config import Config, load_config
from tasks.sources import Source
from tasks.steps.gates import judge
from tasks.steps.settling import corrections
from tasks.steps.step import Clip

LIMITS = load_config()
FINE: dict[str, Any] = {
    "start_s": 0.0, "end_s": 4.0, "face_px": 100.0, "face_ratio": 1.0, "yaw": 0.0, "blur": 100.0, "exposure": 0.5,
    "face_inside": 1.0, "occlusion": 0.0,
}  # fmt: skip
CENTRE = 15


def clip(number: int = 0, **known: Any) -> Clip:
    return Clip(number, Source("film.mp4"), {}, FINE | known)


def heard(number: int, offset: int, seconds: float = 3.0, fits: float = 0.6, start_s: float = 0.0) -> Clip:
    """A clip of 100 frames whose lips fit the sound at one offset for so many seconds."""
    table = np.full((100, 31), 1.0, np.float32)
    table[: round(seconds * 25), CENTRE + offset] = 1 - fits
    mass = np.maximum(1 - table - 0.15, 0).sum(axis=0) / 25
    return clip(
        number, start_s=start_s, end_s=start_s + 4.0, pts=start_s + np.arange(100) / 25, sync_confidence=0.4,
        sync_offset=offset, sync_distance=0.4, sync_sure=True, sync_margin=0.4, sync_heard=1.0, sync_windows=100.0,
        sync_between=0.0, sync_unrelated=1.0, sync_curve=table.mean(axis=0), sync_mass=mass.astype(np.float32),
        sync_table=table.reshape(-1), lips_start_s=start_s, lips_lead=0, lips_size=1,
        motion=np.full(100, 2.0, np.float32), voice_spans=np.array([start_s + 0.2, start_s + 3.8]),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("step", "column", "bad", "measure"),
    [
        ("tracks", "end_s", 0.3, "clip_s"), ("tracks", "face_px", 20.0, "face_px"),
        ("tracks", "face_ratio", 0.5, "face_ratio"), ("crops", "yaw", 1.4, "yaw_deg"), ("crops", "blur", 2.0, "blur"),
        ("crops", "exposure", 0.02, "exposure"), ("crops", "exposure", 0.99, "exposure"),
        ("crops", "face_inside", 0.5, "face_inside"), ("crops", "occlusion", 0.9, "occlusion"),
    ],
)  # fmt: skip
def test_a_measure_beyond_its_threshold_names_both(step: str, column: str, bad: float, measure: str) -> None:
    judged = judge(step, [clip(0), clip(1, **{column: bad})], LIMITS)
    assert list(judged.refused) == [1]
    error = judged.refused[1]
    assert error.measure == measure
    assert error.value is not None
    assert error.threshold is not None
    assert error.remedy


def test_what_a_pack_did_not_measure_refuses_nobody() -> None:
    assert not judge("crops", [clip(occlusion=None)], LIMITS).refused


def test_clips_of_one_film_share_its_offset() -> None:
    clips = [heard(0, 4), heard(1, 4, start_s=4.0), clip(2, sync_confidence=None, sync_sure=None)]
    settled = corrections(clips)
    assert [settled[number]["sync_correction"] for number in (0, 1)] == [4, 4]
    assert all(found["sync_residual"] == 0 for found in settled.values())


def config(**limits: Any) -> Config:
    return LIMITS.with_({f"preprocess.{name}": value for name, value in limits.items()})


def test_a_listener_beside_a_speaker_is_refused() -> None:
    listener = heard(1, 0, seconds=0.1)
    listener.known["sync_sure"] = False
    judged = judge("sync", [heard(0, 0), listener], LIMITS)
    assert list(judged.refused) == [1]
    assert "another face in view" in judged.refused[1].reason
    assert judged.decided[0]["speaking_share"] > 0.75
    assert judged.decided[0]["speaking"].shape == (100,)
    assert not judge("sync", [heard(0, 0), listener], config(min_speaking_share=0.0)).refused


def test_lips_that_fit_another_offset_than_the_film_are_refused_unless_they_are_surer() -> None:
    firm = judge("sync", [heard(0, 0), heard(1, 8, start_s=4.0)], LIMITS)
    assert firm.decided[1]["sync_correction"] == 8
    weak = heard(1, 8, seconds=0.5, start_s=4.0)
    judged = judge("sync", [heard(0, 0), weak], LIMITS)
    assert judged.decided[1]["sync_correction"] == 0
    assert judged.refused[1].measure == "sync_residual"
