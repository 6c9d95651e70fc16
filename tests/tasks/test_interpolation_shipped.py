"""The shipped interpolator on rendered faces, and in a dub: every frame in its place, at its time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.interpolator import FrameInterpolator, MissingInterpolator, interpolate, load_interpolator, weights_file
from models.speech import load_speech_encoder
from storage import media
from storage.errors import ConfigError
from tasks.animate import animate_image
from tasks.config import Config, load_config
from tasks.crops import crop_matrix, smooth_matrices, transform_points, warp
from tasks.dub import dub_video
from tasks.dubber import Dubber, render_key
from tasks.interpolation import configured_interpolator
from tasks.masks import dub_mask
from tasks.voice import VoiceTrack
from tests.tasks.conftest import FRAMES

COUNT, SIZE = 48, 128


def shipped() -> bool:
    try:
        return weights_file().is_file()
    except MissingInterpolator:
        return False


pytestmark = pytest.mark.skipif(not shipped(), reason="no interpolator is shipped")


@pytest.fixture(scope="module")
def model() -> FrameInterpolator:
    return load_interpolator()


@pytest.fixture(scope="module")
def face(episode: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Aligned crops of a speaking face [T,S,S,3], what is heard [T,2,6], where the mouth is, bool [T,S,S]."""
    with np.load(episode.with_suffix(".npz")) as truth:
        kps, pts = truth["kps"][0, :COUNT], truth["pts"][:COUNT]
    matrices = smooth_matrices(np.stack([crop_matrix(points) for points in kps]), pts)
    frames = [warp(frame, matrix) for (_, _, frame), matrix in zip(media.iter_frames(episode), matrices, strict=False)]
    corners = np.stack([transform_points(m, points)[3:5] for m, points in zip(matrices, kps, strict=True)])
    half = np.linalg.norm(corners[:, 1] - corners[:, 0], axis=-1)[:, None, None] / 2
    y, x = np.mgrid[:SIZE, :SIZE]
    middle = corners.mean(axis=1)[..., None, None]
    mouth = (np.abs(x - middle[:, 0]) < 1.1 * half) & (np.abs(y - middle[:, 1]) < 0.9 * half)
    heard = VoiceTrack(episode, load_speech_encoder("studio")).articulators(pts)
    assert heard is not None
    return np.stack(frames), heard, mouth


def psnr(made: np.ndarray, real: np.ndarray, where: np.ndarray) -> float:
    """Mean over frames, dB."""
    errors = [np.square(a[w].astype(float) - b[w]).mean() for a, b, w in zip(made, real, where, strict=True)]
    return float(np.mean([10 * np.log10(255**2 / max(error, 1e-2)) for error in errors]))


def test_it_is_small(model: FrameInterpolator) -> None:
    assert weights_file().stat().st_size < 0.55 * 2**20
    assert sum(parameter.numel() for parameter in model.parameters()) < 0.3e6


def test_it_beats_the_mean_of_the_neighbours_round_the_mouth(
    model: FrameInterpolator, face: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    frames, heard, mouth = face
    cue = np.stack([heard[:-2], heard[1:-1], heard[2:]], axis=1)
    made = interpolate(model, frames[:-2], frames[2:], frames[1:-1], dub_mask(SIZE), cue)
    mean = (frames[:-2].astype(np.float32) + frames[2:]) / 2
    gain = psnr(made, frames[1:-1], mouth[1:-1]) - psnr(mean, frames[1:-1], mouth[1:-1])
    assert gain > 2
    unheard = interpolate(model, frames[:-2], frames[2:], frames[1:-1], dub_mask(SIZE))
    assert psnr(unheard, frames[1:-1], mouth[1:-1]) > psnr(mean, frames[1:-1], mouth[1:-1]) - 0.1


def test_between_equal_frames_lies_the_same_frame(
    model: FrameInterpolator, face: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    frames, heard, _ = face
    cue = np.repeat(heard[:, None], 3, axis=1)
    made = interpolate(model, frames, frames, frames, dub_mask(SIZE), cue)
    assert np.abs(made.astype(int) - frames).mean(axis=(1, 2, 3)).max() < 0.5
    assert np.percentile(np.abs(made.astype(int) - frames), 99.9) <= 12


def test_a_dub_with_frames_filled_in_keeps_every_frame_at_its_time(
    talking: Path, track: Path, tmp_path: Path, config: Config, dubber: Dubber, model: FrameInterpolator
) -> None:
    whole = dub_video(talking, track, tmp_path / "whole.mp4", config, dubber)
    faster = config.with_({"render.interpolate": True})
    row = dub_video(talking, track, tmp_path / "out.mp4", faster, replace(dubber, interpolator=model))
    assert (row["status"], row["frames"]) == ("ok", FRAMES)
    assert row["windows"] < whole["windows"]
    assert row["outside_psnr_db"] >= 40
    assert np.allclose(media.frame_times(tmp_path / "out.mp4"), media.frame_times(talking))
    pairs = list(zip(media.iter_frames(tmp_path / "whole.mp4"), media.iter_frames(tmp_path / "out.mp4"), strict=True))
    assert np.median([np.abs(a.astype(int) - b).mean() for (_, _, a), (_, _, b) in pairs]) < 3
    assert row["render_id"] != whole["render_id"]


def test_a_portrait_speaks_as_long_as_its_track(
    library: Path, track: Path, tmp_path: Path, config: Config, dubber: Dubber, model: FrameInterpolator
) -> None:
    faster = config.with_({"render.interpolate": True})
    row = animate_image(
        library / "portrait.png", track, tmp_path / "out.mp4", faster, replace(dubber, interpolator=model)
    )
    assert (row["status"], row["frames"]) == ("ok", FRAMES)
    assert len(media.frame_times(tmp_path / "out.mp4")) == FRAMES


def test_it_is_loaded_only_where_it_is_asked_for(tmp_path: Path) -> None:
    config = load_config()
    assert configured_interpolator(config) is None
    asked = config.with_({"render.interpolate": True})
    assert isinstance(configured_interpolator(asked), FrameInterpolator)
    assert render_key("a", "b", config, "m") != render_key("a", "b", asked, "m")
    with pytest.raises(ConfigError, match="no frame interpolator"):
        configured_interpolator(asked.with_({"render.interpolator": str(tmp_path)}))
