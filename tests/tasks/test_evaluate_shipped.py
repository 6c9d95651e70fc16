"""The metric table of the shipped model with the shipped experts, on two small clips."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from models.emotion import EMOTIONS
from models.faces import PACKS, FaceAnalyzer
from models.pipeline import add_parts, load_pipeline
from storage import media
from storage.schema import CLIPS, row
from tasks.config import Config, load_config
from tasks.crops import CROP_SIZE, crop_matrix, smooth_matrices, transform_points, warp
from tasks.evaluate import NO_BRANCH, PROTOCOL, evaluate
from tasks.evaluate_drift import LongTake, long_frames, measure_drift
from tasks.evaluate_grid import MARGIN, STRIP, control_grid, write_sheet
from tasks.evaluate_measures import change_within, speaking_region
from tasks.evaluate_render import has_emotion_branch, held_out
from tasks.masks import label_mask

CHAMPION = PACKS / "studio" / "champion"
pytestmark = pytest.mark.skipif(not CHAMPION.is_dir(), reason="no model is shipped")
COUNT = 32


def as_row(path: Path, speaker: str, emotion: str, analyzer: FaceAnalyzer) -> dict[str, Any]:
    """The first frames of a talking head as a CLIPS row, aligned on what the face pack finds."""
    frames = [frame for _, _, frame in media.iter_frames(path, end_s=COUNT / 25)][:COUNT]
    faces = [analyzer.detect(frame, embed=False)[0] for frame in frames]
    pts = np.arange(len(frames)) / 25
    matrices = smooth_matrices(np.stack([crop_matrix(face.kps) for face in faces]), pts)
    points = np.stack([transform_points(m, face.landmarks) for m, face in zip(matrices, faces, strict=True)])
    crops = [warp(frame, matrix) for frame, matrix in zip(frames, matrices, strict=True)]
    opening = np.linalg.norm(points[:, 62] - points[:, 60], axis=-1) / 40
    sound = media.read_audio(path, 16000, 0.0, COUNT / 25)
    return row(
        CLIPS, clip_id=path.stem, dataset="test", source_id=path.stem, speaker=speaker, split="val", status="ok",
        start_s=0.0, end_s=COUNT / 25, fps=25.0, num_frames=len(frames), crop_size=CROP_SIZE,
        crops=[cv2.imencode(".jpg", crop[..., ::-1])[1].tobytes() for crop in crops],
        masks=[cv2.imencode(".png", label_mask(shape, CROP_SIZE))[1].tobytes() for shape in points],
        landmarks=points.reshape(-1), pts=pts, audio=(sound * 32767).astype("<i2").tobytes(),
        identity=analyzer.embed(frames[0], faces[0].kps), emotion=emotion, intensity=2 * (emotion != "neutral"),
        mouth_opening=opening.astype(np.float32),
    )  # fmt: skip


@pytest.fixture(scope="module")
def config() -> Config:
    settings = {"evaluate.clips": 2, "evaluate.seconds": 0.64, "evaluate.steps": 2, "render.guidance_audio": 1.0}
    return load_config(overrides=settings | {"train.device": "cpu"})


@pytest.fixture(scope="module")
def dataset(library: Path) -> list[dict[str, Any]]:
    analyzer = FaceAnalyzer("studio")
    footage = library / "footage"
    return [
        as_row(footage / "person1_happy.mp4", "one", "happy", analyzer),
        as_row(footage / "person2_angry.mp4", "two", "angry", analyzer),
    ]


@pytest.fixture(scope="module")
def table(dataset: list[dict[str, Any]], config: Config) -> dict[str, Any]:
    return evaluate(CHAMPION, dataset, config)


def test_the_table_is_whole_and_every_number_has_its_protocol(table: dict[str, Any], config: Config) -> None:
    metrics = table["metrics"]
    assert table["clips"] == ["person1_happy", "person2_angry"]
    assert table["frames"] == 32
    for name in ("mouth_correlation", "lse_c", "lse_c_shuffled", "identity", "fid", "psnr_region", "flicker", "fps"):
        assert np.isfinite(metrics[name]), name
    for name in ("efid", "emotion_kept", "emotion_real"):
        assert metrics[name] >= 0, name
    assert set(metrics) - set(PROTOCOL) - {f"emotion_accuracy_{name}" for name in EMOTIONS} == set()
    said = "\n".join(table["protocol"])
    assert all(f"{name}: " in said for name in set(metrics) & set(PROTOCOL))
    if "emotion_accuracy" not in metrics:
        assert NO_BRANCH in said


def test_each_exchange_changes_the_picture_where_it_should(table: dict[str, Any]) -> None:
    metrics = table["metrics"]
    assert metrics["control_audio_change"] > 0
    assert 0.3 < metrics["control_audio_lips"] <= 1
    assert metrics["control_identity_change"] > metrics["control_audio_change"]
    assert -1 <= metrics["control_identity_new"] <= 1
    assert 0 <= metrics["control_identity_right"] <= 1
    assert metrics["faces_found"] > 0.9


def test_an_emotion_branch_is_asked_for_every_emotion(dataset: list[dict[str, Any]], config: Config) -> None:
    """A branch that was never trained changes nothing: it is measured all the same, and found at chance."""
    pipeline = load_pipeline(CHAMPION)
    if not has_emotion_branch(pipeline):
        pipeline = add_parts(pipeline, ("emotion",))
    quick = config.with_({"evaluate.seconds": 0.16, "evaluate.steps": 1})
    metrics = evaluate(pipeline, dataset[:1], quick)["metrics"]
    assert 0 <= metrics["emotion_accuracy"] <= 1
    shares = [metrics[f"emotion_accuracy_{emotion}"] for emotion in EMOTIONS]
    assert np.mean(shares) == pytest.approx(metrics["emotion_accuracy"])
    assert 0 <= metrics["emotion_order"] <= 1


def test_a_long_take_is_rendered_in_windows_and_drift_is_seen(dataset: list[dict[str, Any]], config: Config) -> None:
    pipeline, clip = load_pipeline(CHAMPION), held_out(dataset, config)[0]
    quick = config.with_({"evaluate.steps": 1, "render.window_frames": 8})
    windows = list(long_frames(pipeline, clip, silence(len(clip)), quick, seconds=0.8))
    assert [len(window) for window in windows] == [8, 8, 4]
    steady = measure_drift(iter(windows[:1] * 4), part_seconds=0.32)
    assert steady["drift_sharpness"] == pytest.approx(1)
    assert steady["drift_colour"] == pytest.approx(0, abs=1e-6)
    faded = [np.full_like(windows[0], 90), windows[0] // 2]
    assert measure_drift(faded, part_seconds=0.32)["drift_colour"] > 5
    with pytest.raises(ValueError, match="fewer"):
        LongTake().drift(1)


def silence(frames: int) -> torch.Tensor:
    """Speech features [T,192] at 50 Hz of nothing said."""
    return torch.zeros(2 * frames, 192)


def test_a_change_of_the_lips_lies_on_the_lips(dataset: list[dict[str, Any]], config: Config) -> None:
    clip = held_out(dataset, config)[0]
    region = speaking_region(clip.landmarks, CROP_SIZE)
    assert 0.02 < region.mean() < 0.4
    plain, other = clip.frames[:3], clip.frames[:3].copy()
    x, y = clip.landmarks[0, 52:72].mean(0).round().astype(int)
    other[:, y - 4 : y + 4, x - 4 : x + 4] = 0
    assert change_within(plain, other, region) == pytest.approx(1)
    other[:, :10] = 255
    assert change_within(plain, other, region) < 0.5
    assert change_within(plain, plain, region) is None


def test_one_picture_shows_what_each_condition_does(
    dataset: list[dict[str, Any]], config: Config, tmp_path: Path
) -> None:
    pipeline = load_pipeline(CHAMPION)
    clips = held_out(dataset, config)
    quick = config.with_({"evaluate.steps": 1})
    page = control_grid(pipeline, clips, [silence(len(clip)) for clip in clips], quick)
    columns = 4 + (len(EMOTIONS) if has_emotion_branch(pipeline) else 0)
    assert page.shape == (STRIP + 2 * (CROP_SIZE + MARGIN) + MARGIN, columns * (CROP_SIZE + MARGIN) + MARGIN, 3)
    first = page[STRIP : STRIP + CROP_SIZE, MARGIN : MARGIN + CROP_SIZE]
    assert np.array_equal(first, clips[0].frames[12])
    write_sheet(tmp_path / "grid.jpg", page)
    assert cv2.imread(str(tmp_path / "grid.jpg")).shape == page.shape
