"""The experts of feeling learn, from drawn faces whose mouth and brows say what is felt."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.action_unit_reader import ActionUnitReader, load_action_units
from models.action_units import AUS
from models.emotion import FaceEmotion, MissingEmotion, image_features, load_face_emotion, look
from tasks.studio.controls import EMOTIONS, Controls, emotion_aus
from tasks.studio.render import Rendered, Scene, render
from tasks.training.action_units import evaluate_action_units, train_action_units
from tasks.training.align import train_align

pytest.importorskip("espeakng_loader", reason="the studio's voice is an extra")

from tasks.training.emotion import people_of, reading_loss
from tasks.training.emotion_faces import (
    MARGIN,
    SIDE,
    UNNAMED,
    Faces,
    Lot,
    _named,
    composed,
    expression_faces,
    join_faces,
    lower_only,
    still_faces,
    vary,
)
from tasks.training.emotion_metrics import evaluate_face_emotion
from tasks.training.expressions import IDENTITY_BASE, STATES
from tasks.training.stills import render_stills
from tests.tasks.training.drawn_expressions import write_person


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four people in every state, the last held out; of that one also a neutral twin."""
    path = tmp_path_factory.mktemp("expressions")
    for person in (4, 5, 6, 7):
        write_person(path, person)
    write_person(path, 7, other=True)
    return path


@pytest.fixture(scope="module")
def faces(folder: Path) -> Faces:
    return expression_faces(folder, SIDE, MARGIN, held_out=True)


def test_faces_of_the_held_out_come_with_their_twins(folder: Path, faces: Faces) -> None:
    assert set(faces.person) == {IDENTITY_BASE + 7}
    assert faces.pictures.shape == (22, SIDE + 2 * MARGIN, SIDE + 2 * MARGIN, 3)
    assert faces.mixed.sum() == 21, "the neutral picture and its twin are the same"
    known = expression_faces(folder, SIDE, MARGIN, held_out=False)
    assert not known.mixed.any()
    assert IDENTITY_BASE + 7 not in known.person
    both = join_faces([known, faces])
    assert len(both) == 88
    assert len(np.unique(both.clip)) == 88, "pictures of two sets share no clip"


def test_recogniser_and_judge_learn_from_different_people(folder: Path) -> None:
    known = expression_faces(folder, SIDE, MARGIN, held_out=False)
    ours, theirs = (set(people_of(known, kind).person) for kind in ("face", "judge"))
    assert ours & theirs == set()
    assert ours | theirs == set(known.person)


def test_only_what_dubbing_repaints_is_left_or_exchanged() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 255, (2, SIDE, SIDE, 3), dtype=np.uint8)
    seen = lower_only(first)
    assert (seen[: SIDE // 3] == 127).all()
    inside = (SIDE * 3 // 4, SIDE // 2)
    np.testing.assert_array_equal(seen[inside], first[inside])
    mixed = composed(first, second)
    np.testing.assert_array_equal(mixed[: SIDE // 3], second[: SIDE // 3])
    np.testing.assert_array_equal(mixed[inside], first[inside])


def test_varied_faces_keep_their_size_and_a_mirrored_one_is_turned() -> None:
    face = np.zeros((SIDE + 2 * MARGIN, SIDE + 2 * MARGIN, 3), np.uint8)
    face[:, : SIDE // 2] = 200
    for mirror in (False, True):
        seen = vary(face, MARGIN, np.random.default_rng(1), mirror)
        assert seen.shape == (SIDE, SIDE, 3)
        assert (seen[:, : SIDE // 4].mean() > seen[:, -SIDE // 4 :].mean()) != mirror


def test_reading_loss_asks_less_of_slight_expressions() -> None:
    logits, strength = torch.zeros(1, 8), torch.tensor([1.0])
    slight = reading_loss(logits, strength, torch.tensor([1]), torch.tensor([1]))
    clear = reading_loss(logits, torch.tensor([3.0]), torch.tensor([1]), torch.tensor([3]))
    assert slight < clear


def test_accuracies_are_those_of_a_recogniser_that_knows(faces: Faces, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that looks the answer up is right; one that turns the intensities round orders none."""
    logs = np.full((22, 8), -9.0, np.float32)
    logs[np.arange(22), faces.emotion] = 0
    monkeypatch.setattr(
        "tasks.training.emotion_metrics.read_pictures",
        lambda model, pictures: (logs[-len(pictures) :], -faces.intensity),
    )
    measured = evaluate_face_emotion(FaceEmotion(), faces)
    assert measured["accuracy"] == measured["accuracy_3"] == measured["lower_accuracy"] == 1
    assert measured["rest_neutral_accuracy"] == 1
    assert measured["intensity_order"] == 0
    assert measured["people"] == 1


def test_action_units_are_learned_and_saved(folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    out = tmp_path / "action_units"
    before = evaluate_action_units(ActionUnitReader(), expression_faces(folder, SIDE, MARGIN, held_out=True))
    measured = train_action_units(folder, out, steps=60, batch_size=16)
    assert measured["correlation"] > before["correlation"] + 0.2
    reader = load_action_units(out)
    units = reader.read(torch.randint(0, 255, (3, 3, 128, 128), dtype=torch.uint8))
    assert units.shape == (3, len(AUS))
    assert units.min() >= 0
    assert units.max() <= 1
    with pytest.raises(MissingEmotion):
        load_action_units(tmp_path / "nothing")


def test_texts_and_pictures_of_an_emotion_are_brought_together(folder: Path, tmp_path: Path) -> None:
    """The recogniser is untrained: its features are enough for drawn faces."""
    torch.manual_seed(0)
    FaceEmotion().save_pretrained(tmp_path / "emotion" / "face")
    measured = train_align(
        tmp_path / "space", folder, steps=80, batch_size=48, emotion=tmp_path / "emotion", pack=None, texts=300
    )
    assert measured["r_at_1"] > 0.4, "chance is 0.125"
    assert (tmp_path / "space" / "config.json").is_file()


def test_image_features_are_two_unit_vectors() -> None:
    identity = torch.nn.functional.normalize(torch.randn(2, 512), dim=-1)
    features = image_features(identity, torch.rand(2, 3, 128, 128), FaceEmotion())
    assert features.shape == (2, 512 + 128)
    torch.testing.assert_close(features[:, 512:].norm(dim=-1), torch.ones(2))


def test_the_judge_is_another_network_than_the_recogniser(tmp_path: Path) -> None:
    for kind in ("face", "judge"):
        FaceEmotion().save_pretrained(tmp_path / kind)
    crops = torch.rand(1, 3, 64, 64)
    first, second = (load_face_emotion(tmp_path, kind)(crops)[0] for kind in ("face", "judge"))
    assert not torch.equal(first, second)


def test_the_controls_of_stills_are_drawn_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rendered: list[Controls] = []

    def watched(scene: Scene, controls: Controls, **settings: Any) -> Rendered:
        rendered.append(controls)
        return render(scene, controls, **settings)

    monkeypatch.setattr("tasks.training.stills.render", watched)
    list(render_stills(tmp_path, identities=1, per_identity=3, size=40))
    faces = still_faces(tmp_path, SIDE, MARGIN)
    drawn = Controls.concat(rendered)
    np.testing.assert_array_equal(faces.aus, drawn.aus)
    np.testing.assert_array_equal(faces.articulation, drawn.articulation)
    assert set(faces.emotion) <= set(range(-1, 8))


def test_expressions_without_a_name_teach_no_emotion() -> None:
    logits, strength = torch.randn(3, 8), torch.randn(3)
    unnamed = torch.full((3,), -1)
    assert reading_loss(logits, strength, unnamed, torch.zeros(3)) == 0


def test_a_face_between_two_emotions_is_left_unnamed() -> None:
    names = [_named(emotion_aus(emotion, level)) for emotion, level in STATES]
    assert names == [(EMOTIONS.index(emotion), level) for emotion, level in STATES]
    assert _named((emotion_aus("happy", 2) + emotion_aus("angry", 2)) / 2)[0] == UNNAMED


def test_frames_of_a_long_clip_are_drawn_less_often_each(faces: Faces) -> None:
    clip = np.array([0] * 16 + [1, 2, 3, 4, 5, 6])
    lot = Lot(replace(faces, clip=clip), np.arange(22))
    rng = np.random.default_rng(0)
    drawn = np.array([lot.draw(rng) for _ in range(2000)])
    assert np.mean(drawn < 16) == pytest.approx(0.4, abs=0.05)


def test_only_the_window_is_looked_at() -> None:
    crops = torch.rand(1, 3, 50, 50)
    seen = look(crops, (0.2, 0.4, 0.5), 25)
    torch.testing.assert_close(seen, crops[:, :, 20:45, 10:35])
    recogniser = FaceEmotion(window=(0.2, 0.2, 0.6)).eval()
    other = torch.rand(1, 3, 50, 50)
    other[:, :, 10:40, 10:40] = crops[:, :, 10:40, 10:40]
    torch.testing.assert_close(recogniser.features(crops), recogniser.features(other))
