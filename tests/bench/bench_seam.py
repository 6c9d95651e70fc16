"""Pasting back, measured: seam, flicker, what lies outside, and what it costs; on the studio's library and real media.

`make bench` runs all. A line a film: seam is the energy across the edge of the pasted face over the original's there.
"""

from __future__ import annotations

import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from models import landmarks106
from models.faces import PACKS
from storage import media
from tasks import crops
from tasks.config import load_config
from tasks.config_sections import Render
from tasks.dub import dub_video
from tasks.dubber import load_dubber
from tasks.pasting import Paster
from tests.conftest import LIBRARY

REAL = {
    "face_recognition__short_hamilton_clip.mp4": "latentsync__demo3_audio.wav",
    "latentsync__demo1_video.mp4": "latentsync__demo1_audio.wav",
}


def told(line: str) -> None:
    print(f"\n{line}")  # noqa: T201 - a bench is read


def dubbed(video: Path, track: Path, seconds: float, pack: str, folder: Path) -> None:
    """Dubs the first seconds of a film and holds its measures against the promise."""
    config = load_config(root=folder / "root", overrides={"runtime.in_process": True, "faces.pack": pack})
    models = load_dubber(PACKS / "studio" / "champion", config, model_id="studio")
    frames = [frame for _, _, frame in media.iter_frames(video, end_s=seconds)]
    fps = media.probe(video).video
    assert fps is not None
    source = media.write_video(folder / "source.mp4", frames, fps.fps, crf=12)
    sound = media.write_audio(folder / "track.wav", media.read_audio(track, 16000, 0.0, seconds))
    row = dub_video(source, sound, folder / "out.mp4", config, models)
    told(
        f"{video.name}: seam {row['seam']:.2f}, flicker {row['flicker']:.2f}, outside {row['outside_psnr_db']:.1f} dB, "
        f"sync {row['sync_confidence_before']:.2f} -> {row['sync_confidence_after']:.2f}, review: {row['review']}"
    )
    assert row["seam"] <= 1.10
    assert row["outside_psnr_db"] >= 40


@pytest.mark.parametrize("name", ["welcome", "news", "dialogue", "return"])
def test_studio_films_come_out_without_a_seam(name: str, tmp_path: Path) -> None:
    dubbed(LIBRARY / f"{name}.mp4", LIBRARY / f"{name}.dub.wav", 6.0, "studio", tmp_path)


@pytest.mark.parametrize("name", REAL)
def test_real_films_come_out_without_a_seam(name: str, shared_dir: Path, tmp_path: Path) -> None:
    pack = str(shared_dir / "weights" / "scrfd_2.5g_bnkps.onnx")
    dubbed(shared_dir / "media" / "video" / name, shared_dir / "media" / "audio" / REAL[name], 5.0, pack, tmp_path)


@pytest.mark.parametrize("side", [120, 480])
def test_what_pasting_costs(side: int) -> None:
    cv2.setNumThreads(1)
    rng = np.random.default_rng(0)
    frame = cv2.GaussianBlur(rng.integers(0, 256, (2 * side, 2 * side, 3), dtype=np.uint8), (0, 0), side / 20)
    matrix = np.array([[128 / side, 0, -0.5 * 128], [0, 128 / side, -0.5 * 128]])
    landmarks = landmarks106.MEAN_SHAPE * 0.31 * 128 + np.array([0.5, 0.40]) * 128
    outline = crops.transform_points(crops.invert(matrix), landmarks[list(landmarks106.CONTOUR)])
    original = crops.warp(frame, matrix)
    made = np.ascontiguousarray(original[:, ::-1])
    costs = {}
    for words, settings in (("all of it", Render()), ("bare", Render(detail=0, grain=0, keep_occluders=False))):
        paster = Paster(128, "studio", settings)
        times = []
        for index in range(20):
            began = time.process_time()
            paster.paste(frame.copy(), made, original, matrix, outline, 1.0, (0, index))
            times.append(time.process_time() - began)
        costs[words] = 1000 * float(np.median(times))
    told(f"pasting a face of {side} px: " + ", ".join(f"{words} {ms:.1f} ms" for words, ms in costs.items()))
