"""New videos from frames and sound."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from storage import media
from storage.errors import UsageError
from storage.media_write import exact_rate
from tests.storage.footage import clicks, first_click, index_in, picture


@pytest.mark.parametrize(
    ("fps", "exact"),
    [
        (25, Fraction(25)), (29.97, Fraction(30000, 1001)), (23.976, Fraction(24000, 1001)), (12.5, Fraction(25, 2)),
        (30.0, Fraction(30)), (Fraction(2997, 100), Fraction(2997, 100)), (59.94, Fraction(60000, 1001)),
    ],
)  # fmt: skip
def test_rates_are_exact(fps: float | Fraction, exact: Fraction) -> None:
    assert exact_rate(fps) == exact


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("fps", [25, 29.97])
def test_frames_and_sound_come_back(tmp_path: Path, suffix: str, fps: float) -> None:
    path = media.write_video(
        tmp_path / f"a{suffix}", (picture(i) for i in range(30)), fps, clicks(1, [0.5], 16000), metadata={"title": "A"}
    )
    info = media.probe(path)
    assert info.video is not None
    assert info.video.frames == 30
    assert info.video.fps == exact_rate(fps)
    assert (info.video.color_space, info.video.color_range or 1) == (1, 1)
    assert {name.lower(): value for name, value in info.metadata.items()}["title"] == "A"
    tolerance = 6e-4 if suffix == ".mkv" else 1e-6  # Matroska counts in milliseconds
    for index, pts, rgb in media.iter_frames(path):
        assert index_in(rgb) == index
        assert pts == pytest.approx(index / float(exact_rate(fps)), abs=tolerance)
        assert np.abs(rgb.astype(int) - picture(index)).mean() < 3
    assert first_click(media.read_audio(path, 48000), 48000) == pytest.approx(0.5, abs=0.002)


def test_given_times(tmp_path: Path) -> None:
    times = [0.0, 0.04, 0.5, 0.51, 2.0]
    path = media.write_video(tmp_path / "a.mp4", [picture(i) for i in range(5)], 25, pts=times)
    assert [pts for _, pts, _ in media.iter_frames(path)] == pytest.approx(times, abs=1e-4)


def test_odd_sizes_and_stereo_and_files_as_sound(tmp_path: Path) -> None:
    stereo = np.stack([clicks(1, [0.2]), clicks(1, [0.6])])
    path = media.write_video(tmp_path / "a.mp4", [picture(i, 67, 33) for i in range(25)], 25, stereo, 48000)
    info = media.probe(path)
    assert info.video is not None
    assert (info.video.width, info.video.height, info.audio[0].channels) == (67, 33, 2)
    again = media.write_video(tmp_path / "b.mp4", [picture(i) for i in range(25)], 25, path)
    sides = np.concatenate(list(media.iter_audio(again, 48000, channels=2)), axis=1)
    assert [first_click(side, 48000) for side in sides] == pytest.approx([0.2, 0.6], abs=0.002)


def test_refusals_leave_nothing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.webm"):
        media.write_video(tmp_path / "a.webm", [picture(0)], 25)
    with pytest.raises(ValueError, match="no frames"):
        media.write_video(tmp_path / "a.mp4", [], 25)
    with pytest.raises(ValueError, match="frame 1"):
        media.write_video(tmp_path / "a.mp4", [picture(0), picture(1, 80, 64)], 25)
    with pytest.raises(ValueError, match="shape"):
        media.write_video(tmp_path / "a.mp4", [picture(0)], 25, np.zeros((3, 100), np.float32))
    assert list(tmp_path.iterdir()) == []
