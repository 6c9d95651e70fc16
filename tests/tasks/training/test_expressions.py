"""The expressions corpus: the same person in every state, with truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tasks.crops import TEMPLATE
from tasks.studio.controls import AUS, EMOTIONS
from tasks.training.expressions import (
    STATES,
    is_held_out,
    read_expressions,
    render_person,
    sample_expressions,
)


def test_every_state_is_planned_and_the_face_speaks() -> None:
    controls, states = sample_expressions(np.random.default_rng(0), takes=4)
    assert sorted(states.tolist()) == sorted(list(range(22)) * 4)
    smile = controls.aus[:, AUS.index("AU12L")]
    happiest = states == STATES.index(("happy", 3))
    assert smile[happiest].mean() > 0.5 > smile[states == 0].max()
    assert controls.articulation[:, 0].std() > 0.1, "jaws differ from frame to frame"


def test_other_states_keep_pose_and_lips() -> None:
    first, _ = sample_expressions(np.random.default_rng(3))
    second, states = sample_expressions(np.random.default_rng(3), instead=[0] * len(STATES))
    assert set(states.tolist()) == {0}
    np.testing.assert_array_equal(first.pose, second.pose)
    np.testing.assert_array_equal(first.articulation, second.articulation)
    assert np.abs(first.aus - second.aus).max() > 0.5


def test_one_file_a_person_with_truth_in_crop_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = [STATES.index(state) for state in (("neutral", 0), ("happy", 3))]
    monkeypatch.setattr("tasks.training.expressions.STATES", tuple(STATES[i] for i in chosen))
    for person, other in ((6, False), (7, False), (7, True)):
        name = f"{'other' if other else 'person'}-{person:06d}.npz"
        path = render_person(tmp_path / name, person, 1, size=48, other=other)
        written = path.stat().st_mtime_ns
        assert render_person(path, person, 1, size=48).stat().st_mtime_ns == written, "what is there is kept"
    found = read_expressions(tmp_path)
    assert len(found) == 4
    assert found.crops.shape == (4, 128, 128, 3)
    assert [EMOTIONS[i] for i in found.emotion] == ["neutral", "happy"] * 2
    np.testing.assert_allclose(found.kps[:, :2].mean((0, 1)), TEMPLATE[:2].mean(0) * 128, atol=3)
    train, test = found.split()
    assert len(train) == len(test) == 2
    assert set(train.identity) & set(test.identity) == set()
    assert is_held_out(7)
    others = read_expressions(tmp_path, [7], other=True)
    assert set(others.emotion.tolist()) == {0}, "the rest of a held-out face stays neutral"
    with pytest.raises(FileNotFoundError):
        read_expressions(tmp_path / "nothing")
