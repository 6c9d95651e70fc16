"""The sync expert's training: mouths are cut where they are, and the loss rewards the right time."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

pytest.importorskip("espeakng_loader", reason="the studio's voice is an extra")

from models.sync import MOUTH, SyncExpert, load_sync_expert
from storage import media
from tasks.crops import CROP_SIZE, TEMPLATE
from tasks.training.expert_loop import Budget
from tasks.training.mouths import MARGIN, TalkingMouth, cut_mouths, load_mouths, show
from tasks.training.sync import evaluate_sync, speaking, sync_loss, train_sight, train_sync


def _drawn(seed: int, frames: int = 110) -> TalkingMouth:
    """A drawn mouth that opens with the loudness of bursts of noise."""
    rng = np.random.default_rng(seed)
    opening = np.clip(np.convolve(rng.normal(0, 1.2, frames), np.ones(3) / 2, mode="same"), 0, 1)
    pictures = np.full((frames, 80, 108, 3), 150 + int(rng.integers(40)), np.uint8)
    for picture, share in zip(pictures, opening, strict=True):
        cv2.ellipse(picture, (54, 42), (18, 2 + int(14 * share)), 0, 0, 360, (60, 20, 30), -1)
    envelope = np.interp(np.arange(frames * 640) / 640, np.arange(frames), opening)
    audio = (rng.normal(0, 0.3, frames * 640) * envelope * 12000).astype(np.int16)
    cues = np.repeat(opening[:, None], 7, axis=1).astype(np.float16)
    return TalkingMouth(pictures, audio, cues, seed, "train")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three drawn clips as files in the corpus's format; the face moves about, so that cutting matters."""
    folder = tmp_path_factory.mktemp("corpus")
    rows = []
    for number, split in enumerate(("train", "train", "test")):
        clip = _drawn(number, 60)
        shift = np.stack([10 + 8 * np.sin(np.arange(60) / 9), 6 + 4 * np.cos(np.arange(60) / 7)], axis=-1)
        frames = np.full((60, 160, 160, 3), 90, np.uint8)
        for frame, picture, (x, y) in zip(frames, clip.frames, shift, strict=True):
            place = np.array([[1, 0, x + MOUTH[2] - MARGIN], [0, 1, y + MOUTH[0] - MARGIN]])
            cv2.warpAffine(picture, place, (160, 160), dst=frame, borderMode=cv2.BORDER_TRANSPARENT)
        kps = np.zeros((60, 5, 2), np.float32)
        kps[:, :3] = TEMPLATE * CROP_SIZE + shift[:, None]
        name = f"c{number}"
        media.write_video(folder / f"{name}.mp4", frames, 25, None, crf=4)
        media.write_audio(folder / f"{name}.wav", clip.audio.astype(np.float32) / 32768, 16000)
        row = {"clip": name, "video": f"{name}.mp4", "audio": f"{name}.wav", "truth": f"{name}.npz"}
        row |= {"identity_seed": number, "split": split}
        arrays = {"kps": kps, "mouth_opening": clip.cues[:, 0], "articulation": clip.cues[:, 1:]}
        symbols, times = np.array(["a"]), np.array([[0.0, 1.0]])
        meta = np.array(json.dumps(row))
        np.savez(folder / row["truth"], meta=meta, phoneme_symbols=symbols, phoneme_times=times, **arrays)
        rows.append(row)
    (folder / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_mouths_are_cut_where_they_are(corpus: Path, tmp_path: Path) -> None:
    clips = load_mouths(corpus, tmp_path, ("train",))
    assert [clip.identity for clip in clips] == [0, 1]
    for clip in clips:
        truth = _drawn(clip.identity, 60)
        assert clip.frames.shape == truth.frames.shape
        inner = np.s_[:, 20:60, 30:78]
        error = np.abs(clip.frames[inner].astype(int) - truth.frames[inner].astype(int)).mean()
        assert error < 6
        assert len(clip.audio) == pytest.approx(60 * 640, abs=640)
    again = load_mouths(corpus, tmp_path, ("train",))
    assert np.array_equal(again[0].frames, clips[0].frames)


def test_other_frame_rates_are_cut_at_25(tmp_path: Path) -> None:
    frames = np.zeros((30, 64, 64, 3), np.uint8)
    frames[:] = np.arange(30, dtype=np.uint8)[:, None, None, None] * 8
    media.write_video(tmp_path / "v.mp4", frames, 50, None, crf=4)
    mouths, index = cut_mouths(tmp_path / "v.mp4", np.tile((TEMPLATE * 64)[None], (30, 1, 1)).astype(np.float32))
    assert len(mouths) == 15
    assert index.tolist() == list(range(0, 30, 2))


def test_plain_show_is_the_middle_and_varied_show_is_not() -> None:
    clip = _drawn(0, 20)
    plain = show(clip.frames, None)
    assert plain.shape == (20, 3, 56, 84)
    np.testing.assert_allclose((plain[3].transpose(1, 2, 0) + 1) * 127.5, clip.frames[3, 12:68, 12:96], atol=1e-3)
    one, other = (show(clip.frames, np.random.default_rng(s)) for s in (1, 2))
    assert np.abs(one - other).mean() > 0.01
    assert np.array_equal(one, show(clip.frames, np.random.default_rng(1)))


def test_loss_rewards_the_right_time() -> None:
    torch.manual_seed(0)
    audio = torch.nn.functional.normalize(torch.randn(3, 25, 64), dim=-1)
    active = torch.ones(3, 25, dtype=torch.bool)
    right = sync_loss(audio, audio, active, torch.tensor(0.07))
    late = sync_loss(audio.roll(5, dims=1), audio, active, torch.tensor(0.07))
    assert right < 0.5 < 2 < late


def test_silent_windows_do_not_speak() -> None:
    mel = torch.full((1, 80, 160), -0.34)
    mel[:, :, 100:] = 0.8
    assert not speaking(mel)[0, 0]
    assert speaking(mel)[0, -1]


@pytest.mark.slow
def test_training_finds_the_offset_of_mouths_it_never_saw() -> None:
    torch.manual_seed(0)
    expert = SyncExpert()
    metrics = train_sight(expert, [_drawn(seed) for seed in range(12)], Budget(steps=45), batch_size=5)
    assert metrics["contrast"] < 3.8
    measured = evaluate_sync(expert.eval(), [_drawn(seed) for seed in range(100, 104)])
    assert measured["window_pairs"] > 0.75
    assert measured["confidence"] > measured["confidence_shuffled"]


@pytest.mark.slow
def test_whole_command_saves_what_loads(corpus: Path, tmp_path: Path) -> None:
    metrics = train_sync(corpus, tmp_path / "sync", tmp_path / "cache", steps=2, hours=0.01)
    assert metrics["windows"] > 0
    assert load_sync_expert(tmp_path / "sync").embed_audio(torch.zeros(1, 80, 64)).shape == (1, 128)


def test_too_few_clips_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        train_sight(SyncExpert(), [_drawn(0)], Budget(steps=1))
