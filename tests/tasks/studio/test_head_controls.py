"""Controls: names, shapes and files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tasks.studio.controls import AUS, EMOTION_AUS, EMOTIONS, Controls, emotion_aus


def test_every_emotion_grows_with_its_intensity() -> None:
    assert tuple(EMOTION_AUS) == EMOTIONS
    for emotion in EMOTIONS[1:]:
        rows = [emotion_aus(emotion, intensity) for intensity in range(4)]
        assert rows[0].sum() == 0
        assert rows[1].sum() < rows[2].sum() < rows[3].sum()
        assert rows[3].max() <= 1.0
    with pytest.raises(ValueError, match="bored"):
        emotion_aus("bored", 1)
    with pytest.raises(ValueError, match="intensity 4"):
        emotion_aus("happy", 4)


def test_controls_slice_join_and_survive_a_file(tmp_path: Path) -> None:
    controls = Controls.neutral(5).set("AU12", 0.5).set("jaw", np.linspace(0, 1, 5)).set("yaw", 0.1)
    assert controls.aus[0, AUS.index("AU12L")] == controls.aus[0, AUS.index("AU12R")] == 0.5
    joined = Controls.concat([controls[:2], controls[2:]])
    np.savez(tmp_path / "controls.npz", **controls.to_arrays())
    with np.load(tmp_path / "controls.npz") as file:
        loaded = Controls.from_arrays(file)
    for copy in (joined, loaded):
        assert len(copy) == 5
        assert all(
            (a == b).all() for a, b in zip(copy.to_arrays().values(), controls.to_arrays().values(), strict=True)
        )


def test_controls_refuse_what_they_do_not_know() -> None:
    with pytest.raises(ValueError, match="AU99"):
        Controls.neutral(1).set("AU99", 1.0)
    with pytest.raises(ValueError, match="gaze"):
        Controls(np.zeros((2, 20)), np.zeros((2, 6)), np.zeros((2, 6)), np.zeros((3, 2)))
