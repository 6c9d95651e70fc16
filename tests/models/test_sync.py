"""The sync expert: windows agree with whole clips, and offsets are measured on the clock."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from models.faces import FaceAnalyzer
from models.speech import log_mel
from models.sync import (
    WINDOW,
    MissingSyncExpert,
    SyncExpert,
    distances,
    load_sync_expert,
    measure_sync,
    mouth_region,
    nominal_frames,
)
from storage import media
from tasks.crops import crop_matrix, smooth_matrices, warp


@pytest.fixture(scope="module")
def expert() -> SyncExpert:
    torch.manual_seed(0)
    return SyncExpert().eval()


def test_a_clip_gives_what_its_windows_give(expert: SyncExpert) -> None:
    mouths = torch.rand(1, 20, 3, 56, 84) * 2 - 1
    mel = torch.rand(1, 80, 80)
    with torch.no_grad():
        clip, sound = expert.embed_frames(mouths), expert.embed_sound(mel)
        window = expert.embed_video(mouths[:, 3 : 3 + WINDOW].transpose(1, 2))
        heard = expert.embed_audio(mel[:, :, 12:76])
    assert clip.shape == (1, 5, 128)
    assert sound.shape == (1, 5, 128)
    torch.testing.assert_close(clip[:, 3], window, atol=1e-5, rtol=0)
    torch.testing.assert_close(sound[:, 3], heard, atol=1e-5, rtol=0)
    torch.testing.assert_close(window.norm(dim=-1), torch.ones(1))


def test_distance_of_unrelated_is_ten() -> None:
    a, b = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    assert distances(a, a) == 0
    assert distances(a, b) == pytest.approx(10.0)


def test_mouth_region_carries_gradients_and_takes_any_size() -> None:
    crops = torch.rand(2, 3, 256, 256, requires_grad=True)
    mouths = mouth_region(crops)
    assert mouths.shape == (2, 3, 56, 84)
    assert mouths.min() >= -1.001
    assert mouths.max() <= 1.001
    mouths.sum().backward()
    assert crops.grad is not None
    assert crops.grad[:, :, 200, 128].abs().sum() > 0
    assert crops.grad[:, :, 20, 128].abs().sum() == 0


@pytest.mark.parametrize("fps", [25.0, 30.0, 24000 / 1001, 60.0])
def test_nominal_frames_follow_the_clock(fps: float) -> None:
    pts = 3.0 + np.arange(int(4 * fps)) / fps
    index = nominal_frames(pts)
    assert abs(len(index) - 100) <= 1
    times = 3.0 + np.arange(len(index)) / 25
    assert np.abs(pts[index] - times).max() <= 0.5 / fps + 1e-6
    if fps == 25.0:
        assert index.tolist() == list(range(100))


def test_short_or_silent_clips_are_refused(expert: SyncExpert) -> None:
    crops = np.zeros((20, 128, 128, 3), np.uint8)
    with pytest.raises(ValueError, match="16"):
        measure_sync(crops[:10], np.arange(10) / 25, np.ones((80, 100), np.float32), expert)
    with pytest.raises(ValueError, match="no sound"):
        measure_sync(crops, np.arange(20) / 25, np.full((80, 100), -0.34, np.float32), expert)


def test_missing_expert_names_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(MissingSyncExpert) as caught:
        load_sync_expert(tmp_path / "nothing")
    assert "sync" in caught.value.remedy


def test_save_and_load(expert: SyncExpert, tmp_path: Path) -> None:
    expert.save_pretrained(tmp_path)
    mel = torch.rand(1, 80, 64)
    torch.testing.assert_close(load_sync_expert(tmp_path).embed_audio(mel), expert.embed_audio(mel))


@pytest.mark.slow
def test_the_shipped_expert_finds_the_offset_of_people_it_never_saw(library: Path) -> None:
    """Detected faces of the shipped footage: in sync as it is, and 5 frames off when its clock is moved by 0.2 s."""
    analyzer = FaceAnalyzer("studio")
    expert = load_sync_expert("studio")
    clips = sorted((library / "footage").glob("*.mp4"))[::6]
    assert len(clips) >= 2
    for clip in clips:
        shown = [(pts, frame, analyzer.detect(frame, embed=False)) for _, pts, frame in media.iter_frames(clip)]
        seen = [(pts, frame, faces[0].kps) for pts, frame, faces in shown if faces]
        times = np.array([pts for pts, _, _ in seen])
        matrices = smooth_matrices(np.stack([crop_matrix(kps) for _, _, kps in seen]), times)
        crops = np.stack([warp(frame, matrix) for (_, frame, _), matrix in zip(seen, matrices, strict=True)])
        mel = log_mel(media.read_audio(clip))
        found = measure_sync(crops, times, mel, expert)
        assert abs(found.offset_frames) <= 1, clip.name
        assert found.confidence > 2, clip.name
        late = measure_sync(crops, times + 0.2, mel, expert)  # the picture comes late: the sound leads
        assert abs(late.offset_frames + 5) <= 1, clip.name
