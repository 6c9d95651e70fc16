"""Fingerprints of clips: what survives copying, what tells takes apart, which copy stays, and how the work grows."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from storage import media
from tasks.duplicates import MOST_SHIFT_S, find_duplicates, fingerprint, likeness, read_fingerprint

RATE = 16_000
FPS = 25.0


class Scene:
    """A face-like pattern whose parts and place move smoothly, with a sound of gliding tones; drawn from a seed."""

    def __init__(self, seed: int, seconds: float = 2.0, face: int = 0) -> None:
        rng, own = np.random.default_rng([seed, 1]), np.random.default_rng([face, 2])
        count = round(seconds * FPS)
        self.pts = np.arange(count) / FPS
        waves = rng.uniform(0.5, 2.5, (40, 1)) * self.pts * 2 * np.pi + rng.uniform(0, 6.3, (40, 1))
        moves = np.sin(waves) * rng.uniform(0.3, 1.0, (40, 1))
        still = cv2.resize(own.uniform(40, 210, (6, 6)).astype(np.float32), (64, 64), interpolation=cv2.INTER_CUBIC)
        change = [
            cv2.resize(16 * moves[:36, t].reshape(6, 6), (64, 64), interpolation=cv2.INTER_CUBIC) for t in range(count)
        ]
        grey = np.clip(still + np.stack(change), 0, 255)
        self.crops = np.repeat(grey[..., None], 3, axis=3).astype(np.uint8)
        middle = np.stack([160 + 9 * moves[36], 120 + 6 * moves[37]], axis=-1)
        points = np.array([[-20, -12], [20, -12], [0, 8], [-14, 26], [14, 26]], np.float64)
        self.kps = (points * (1 + 0.05 * moves[38][:, None, None]) + middle[:, None]).astype(np.float32)
        time_s = np.arange(round(seconds * RATE)) / RATE
        glide = 300 + 200 * np.interp(time_s, self.pts, moves[39])
        gate = np.interp(time_s, self.pts, 0.5 + 0.5 * moves[35])
        tone = sum(np.sin(k * 2 * np.pi * np.cumsum(glide) / RATE) / k for k in range(1, 12))
        self.audio = (0.05 * gate * tone + 0.002 * rng.standard_normal(len(time_s))).astype(np.float32)

    def print(self) -> bytes:
        return fingerprint(self.crops, self.pts, self.kps, self.audio)


def alike(one: bytes, other: bytes) -> float:
    return likeness(read_fingerprint(one), read_fingerprint(other))


def test_a_fingerprint_reads_back_and_is_small() -> None:
    data = Scene(0).print()
    read = read_fingerprint(data)
    assert read.sound.shape == (50, 32) and read.cells.shape == (25, 36) and read.path.shape == (25, 4)
    assert read.seconds == pytest.approx(2.0)
    assert read.heard.any() and np.linalg.norm(read.face) == pytest.approx(1, abs=1e-3)
    assert len(data) < 1600
    assert alike(data, data) == pytest.approx(1, abs=1e-3)
    for broken in (b"", b"DWF1", data[:-1], b"XXXX" + data[4:]):
        with pytest.raises(ValueError, match="fingerprint"):
            read_fingerprint(broken)
    with pytest.raises(ValueError, match="without frames"):
        fingerprint([], np.zeros(0), np.zeros((0, 5, 2)), np.zeros(0))


def test_copies_are_alike() -> None:
    scene, original = Scene(1), Scene(1).print()
    brighter = np.clip(scene.crops * 1.2 + 10.0, 0, 255).astype(np.uint8)
    smaller = np.stack([cv2.resize(crop, (48, 48), interpolation=cv2.INTER_AREA) for crop in scene.crops])
    noisy = np.clip(scene.crops + np.random.default_rng(0).normal(0, 4, scene.crops.shape), 0, 255).astype(np.uint8)
    every = np.arange(60) / 30
    near = np.minimum((every * FPS + 0.5).astype(int), 49)
    copies = {
        "brighter": fingerprint(brighter, scene.pts, scene.kps, scene.audio),
        "smaller": fingerprint(smaller, scene.pts, scene.kps * 0.5, scene.audio),
        "noisy": fingerprint(noisy, scene.pts, scene.kps + 0.3, scene.audio),
        "30 fps": fingerprint(scene.crops[near], every, scene.kps[near], scene.audio),
        "quiet": fingerprint(scene.crops, scene.pts + 7, scene.kps, scene.audio * 0.1),
        "late": fingerprint(scene.crops[3:], scene.pts[3:], scene.kps[3:], scene.audio[3 * RATE // 25 :]),
    }
    for name, copy in copies.items():
        assert alike(original, copy) > 0.5, name
        assert alike(copy, original) == pytest.approx(alike(original, copy), abs=0.02), name


def test_takes_moments_and_dubs_are_not() -> None:
    one, other = Scene(2), Scene(3)  # one face, other words and movements
    assert alike(one.print(), other.print()) == 0
    same_words = fingerprint(other.crops, other.pts, other.kps, one.audio)
    assert alike(one.print(), same_words) == 0
    dubbed = fingerprint(one.crops, one.pts, one.kps, other.audio)
    assert alike(one.print(), dubbed) == 0
    muted = fingerprint(one.crops, one.pts, one.kps, np.zeros(0))
    assert alike(one.print(), muted) == 0
    assert alike(muted, fingerprint(one.crops, one.pts, one.kps, np.zeros(32_000))) > 0.9
    assert alike(muted, fingerprint(other.crops, other.pts, other.kps, np.zeros(0))) == 0
    half = slice(0, 25)
    assert alike(one.print(), fingerprint(one.crops[half], one.pts[half], one.kps[half], one.audio[:RATE])) == 0
    assert MOST_SHIFT_S < 0.5


def rows(count: int, copies: int = 2) -> list[dict[str, Any]]:
    made = []
    for seed in range(count):
        scene = Scene(seed, face=seed % 3)
        for copy in range(copies):
            crops = np.clip(scene.crops * (1 + 0.1 * copy), 0, 255).astype(np.uint8)
            made.append({
                "clip_id": f"{(seed * 7 + copy * 5) % 97:02d}-{seed}-{copy}", "face_px": 80.0 + 20 * copy, "blur": 50.0,
                "fingerprint": fingerprint(crops, scene.pts, scene.kps, scene.audio * (1 - 0.4 * copy)),
            })  # fmt: skip
    return made


def test_the_larger_face_stays_whatever_the_order() -> None:
    made = rows(8, 3)
    found = find_duplicates(made)
    assert set(found) == {row["clip_id"] for row in made if not row["clip_id"].endswith("-2")}
    assert all(kept.split("-")[1:] == [clip_id.split("-")[1], "2"] for clip_id, (kept, _) in found.items())
    assert all(0.5 < alikeness <= 1 for _, alikeness in found.values())
    for seed in range(3):
        shuffled = list(made)
        random.Random(seed).shuffle(shuffled)
        assert find_duplicates(shuffled) == found


def test_names_decide_only_between_equals() -> None:
    data = Scene(5).print()
    same = [{"clip_id": name, "fingerprint": data, "face_px": 90.0, "blur": 1.0} for name in ("b", "a", "c")]
    assert find_duplicates(same) == {"b": ("a", 1.0), "c": ("a", 1.0)}
    assert find_duplicates([{"clip_id": "x", "fingerprint": None}, {"clip_id": "y"}]) == {}
    assert find_duplicates([]) == {}


def test_the_work_grows_with_the_clips_and_not_with_their_square() -> None:
    """Clips of one face that all begin with the same sound, so that all share hashes: the worst case."""
    made = rows(6, 1)
    spent = []
    for count in (300, 1200):
        many = [dict(made[i % 6], clip_id=f"{i:05d}", fingerprint=made[i % 6]["fingerprint"]) for i in range(count)]
        began = time.process_time()
        assert len(find_duplicates(many)) == count - 6
        spent.append(time.process_time() - began)
    assert spent[1] < 8 * spent[0]  # four times as many: sixteen times the pairs


def test_real_footage_at_another_quality(library: Path, tmp_path: Path) -> None:
    """A second of a shipped film and its copy through a poor encoder at another level."""
    frames = np.stack([frame for _, _, frame in media.iter_frames(library / "welcome.mp4", end_s=1.6)])
    audio = media.read_audio(library / "welcome.mp4", RATE, 0.0, 1.6)
    assert len(frames) >= 35
    copy = tmp_path / "copy.mp4"
    media.write_video(copy, list(frames), FPS, audio * 0.4, crf=34, preset="veryfast", threads=1)
    again = np.stack([frame for _, _, frame in media.iter_frames(copy)])
    pts, kps = (
        np.arange(len(frames)) / FPS,
        np.tile(np.array([[0, 0], [9, 0], [5, 5], [1, 9], [8, 9]]), (len(frames), 1, 1)),
    )
    here = fingerprint(frames, pts, kps, audio)
    there = fingerprint(again[: len(frames)], pts, kps, media.read_audio(copy, RATE)[: len(audio)])
    assert alike(here, there) > 0.7
