"""The offset of a clip's sound: found where lips tell it, none where they do not, shared by the clips of a film."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from models.sync import FPS, SyncExpert, load_sync_expert
from models.syncnet import SyncNet
from storage import media
from tasks.config import load_config
from tasks.crops import crop_matrix, smooth_matrices, warp
from tasks.experts import load_faces
from tasks.lip_sync import (
    SyncFound,
    corrected_start,
    evidence_at,
    find_sync,
    reach_s,
    see_lips,
    shared_offset,
    with_shared,
)

RATE = 16_000
Clip = tuple[np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def expert() -> SyncExpert:
    return load_sync_expert("studio")


@pytest.fixture(scope="module")
def clip(episode: Path) -> Clip:
    """Crops, times and the whole sound of 1.4 s of a studio film."""
    faces = load_faces(load_config())
    shown = [(pts, frame) for _, pts, frame in media.iter_frames(episode, end_s=1.4)]
    kps = np.stack([faces.detect(frame, embed=False)[0].kps for _, frame in shown])
    pts = np.array([time for time, _ in shown])
    matrices = smooth_matrices(np.stack([crop_matrix(points) for points in kps]), pts)
    crops = np.stack([warp(frame, matrix) for (_, frame), matrix in zip(shown, matrices, strict=True)])
    return crops, pts, media.read_audio(episode)


def around(sound: np.ndarray, pts: np.ndarray, expert: SyncExpert | SyncNet, late: int) -> tuple[np.ndarray, float]:
    """The sound round a clip, as if it lagged by `late` frames, and when it starts."""
    reach = reach_s(expert, 15)
    start_s = float(pts[0]) - reach
    first, count = round((start_s - late / FPS) * RATE), round((float(pts[-1]) + 0.04 + reach - start_s) * RATE)
    padded = np.pad(sound, (3 * RATE, 3 * RATE))
    return padded[first + 3 * RATE : first + 3 * RATE + count], start_s


@pytest.mark.parametrize("late", [-9, 0, 4])
def test_a_shift_is_found_and_gone_after_correction(clip: Clip, expert: SyncExpert, late: int) -> None:
    crops, pts, sound = clip
    lips = see_lips(crops, pts, expert)
    heard, start_s = around(sound, pts, expert, late)
    found = find_sync(lips, pts, heard, start_s, expert)
    assert found.sure
    assert abs(found.offset_frames - late) <= 1
    assert corrected_start(1.0, found.offset_frames) == pytest.approx(1.0 + found.offset_frames / 25)
    heard, start_s = around(sound, pts, expert, late - found.offset_frames)
    again = find_sync(lips, pts, heard, start_s, expert)
    assert again.sure and abs(again.offset_frames) <= 1
    assert found.evidence.shape == (len(pts),)
    assert found.evidence.mean() > 0.2 > evidence_at(found, lips, pts, found.offset_frames - 12).mean()


def test_other_frame_rates_and_late_starts_are_on_the_same_clock(clip: Clip, expert: SyncExpert) -> None:
    crops, pts, sound = clip
    late_by = 7.31
    keep = np.flatnonzero(np.arange(len(pts)) % 6 != 5)  # 20.8 frames a second, unevenly
    lips = see_lips(crops[keep], pts[keep] + late_by, expert)
    heard, start_s = around(sound, pts, expert, 3)
    found = find_sync(lips, pts[keep] + late_by, heard, start_s + late_by, expert)
    assert found.sure and abs(found.offset_frames - 3) <= 1


def test_silence_and_strange_sound_have_no_offset(clip: Clip, expert: SyncExpert) -> None:
    crops, pts, sound = clip
    lips = see_lips(crops, pts, expert)
    hum = 0.1 * np.sin(2 * np.pi * 110 * np.arange(len(sound)) / RATE)
    for other in (np.zeros_like(sound), hum.astype(np.float32)):
        heard, start_s = around(other, pts, expert, 0)
        found = find_sync(lips, pts, heard, start_s, expert)
        assert not found.sure
        assert found.offset_frames == 0
        assert found.confidence < 1.5


def test_the_shortest_clips_are_measured(clip: Clip, expert: SyncExpert) -> None:
    crops, pts, sound = clip
    for count in (1, 15):
        part = slice(10, 10 + count)
        lips = see_lips(crops[part], pts[part], expert)
        heard, start_s = around(sound, pts[part], expert, 0)
        found = find_sync(lips, pts[part], heard, start_s, expert)
        assert np.isfinite(found.curve).all()
        assert abs(found.offset_frames) <= 1
        assert found.evidence.shape == (count,)
    with pytest.raises(ValueError, match="no frames"):
        see_lips(crops[:0], pts[:0], expert)


def test_syncnet_serves_too(clip: Clip) -> None:
    torch.manual_seed(0)
    net = SyncNet((4, 6, 8, 6, 6, 8), (3, 4, 4, 4, 4, 8), 8, 16).eval()
    crops, pts, sound = clip
    part = slice(0, 12)
    lips = see_lips(crops[part], pts[part], net)
    heard, start_s = around(sound, pts[part], net, 0)
    found = find_sync(lips, pts[part], heard, start_s, net, 6)
    assert found.curve.shape == (13,)
    assert found.table.shape == (12, 13)
    assert np.isfinite(found.curve).all()


def result(offset: int, depth: float, windows: float = 50.0, heard: float = 1.0) -> SyncFound:
    """A clip whose lips agree with the sound at `offset`, `depth` of the way from unrelated to the same."""
    table = np.full((int(windows), 31), 10.0, np.float32)
    table[:, 15 + offset] -= 10 * depth
    curve = table.mean(axis=0)
    mass = windows / 25 * np.maximum(1 - curve / 10 - 0.15, 0)
    sure = depth >= 0.3
    return SyncFound(
        offset if sure else 0, sure, 10 * depth, 10 - 10 * depth, 10 * depth, 0.0, curve, heard,
        np.zeros(int(windows), np.float32), windows, mass.astype(np.float32), table, 10.0,
    )  # fmt: skip


def test_clips_of_a_film_share_its_offset() -> None:
    clips = [result(6, 0.4), result(-3, 0.1, 15), result(0, 0.0), result(6, 0.35)]
    assert shared_offset(clips) == (6, True)
    assert with_shared(clips) == [6, 6, 6, 6]


def test_a_clip_that_is_sure_keeps_its_own_and_nobody_invents_one() -> None:
    assert with_shared([result(6, 0.4, 100), result(-4, 0.45, 60), result(6, 0.4)]) == [6, -4, 6]
    assert shared_offset([result(4, 0.05), result(-2, 0.08)]) == (0, False)
    assert shared_offset([]) == (0, False)
    assert with_shared([result(4, 0.05), result(-2, 0.08)]) == [0, 0]
    assert shared_offset([result(5, 0.4, heard=0.0)]) == (0, False)
