"""The studio head: a seed is one person, the truth lies where the picture shows it, controls do what they say."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from models import landmarks106 as lm
from tasks.studio.controls import ARTICULATION, EMOTIONS, Controls, emotion_aus
from tasks.studio.identity import BEARDS, HAIR_STYLES, sample_identity
from tasks.studio.materials import EYE, LIPS, MOUTH_INSIDE, SKIN, TEETH, TONGUE
from tasks.studio.posing import build_rig
from tasks.studio.render import Rendered, render, sample_scene
from tasks.studio.rig import rig_rows
from tasks.studio.truth import Truth, truth

SIZE = (112, 112)
PERSON = sample_identity(503)


def frames(*changes: dict[str, float], seed: int = 503, size: tuple[int, int] = SIZE) -> Rendered:
    scene = sample_scene(sample_identity(seed), 4, framing=(0.9, 0.9))
    return render(scene, posed(*changes), size, compile_field=False)


def posed(*changes: dict[str, float]) -> Controls:
    controls = []
    for change in changes:
        controls.append(Controls.neutral(1))
        for name, value in change.items():
            controls[-1].set(name, value)
    return Controls.concat(controls)


def answers(*changes: dict[str, float]) -> Truth:
    """The truth alone, which needs no picture."""
    scene = sample_scene(PERSON, 4, framing=(0.9, 0.9))
    return truth(rig_rows(build_rig(PERSON, posed(*changes)), "cpu"), scene.camera, (400, 400))


def polygon(landmarks: np.ndarray, outline: tuple[int, ...], size: tuple[int, int]) -> np.ndarray:
    """The area inside an outline of landmarks, bool [H,W], counted at eight times the resolution."""
    width, height = size
    fine = np.zeros((height * 8, width * 8), np.uint8)
    cv2.fillPoly(fine, [np.round(landmarks[list(outline)] * 8 - 0.5).astype(np.int32)], 1)
    return cv2.resize(fine.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.5


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    return float((first & second).sum() / max((first | second).sum(), 1))


def test_a_seed_is_one_person_in_one_light() -> None:
    assert sample_identity(7) == sample_identity(7)
    assert sample_identity(7) != sample_identity(8)
    assert sample_scene(PERSON, 3) == sample_scene(PERSON, 3)
    first, again = frames({"jaw": 0.4}, size=(32, 32)), frames({"jaw": 0.4}, size=(32, 32))
    assert (first.frames == again.frames).all()
    assert (first.landmarks == again.landmarks).all()


def test_people_differ() -> None:
    people = [sample_identity(seed) for seed in range(300)]
    assert {person.hair_style for person in people} == set(HAIR_STYLES)
    assert {person.beard for person in people} == set(BEARDS)
    brightness = [person.skin[0] for person in people]
    assert min(brightness) < 0.2 < 0.6 < max(brightness)
    assert 0.05 < np.mean([person.glasses > 0 for person in people]) < 0.4
    assert all(80 <= person.voice_pitch <= 260 for person in people)


def test_landmarks_enclose_the_rendered_lips_and_eyes() -> None:
    size = (160, 160)
    rendered = frames({"jaw": 0.5}, {"AU12": 1.0, "AU25": 0.5, "yaw": 0.3}, size=size)
    for landmarks, materials in zip(rendered.landmarks, rendered.materials, strict=True):
        mouth = np.isin(materials, (LIPS, MOUTH_INSIDE, TEETH, TONGUE))
        assert overlap(mouth, polygon(landmarks, lm.LIPS_OUTER, size)) > 0.85
        eyes = polygon(landmarks, lm.LEFT_EYE, size) | polygon(landmarks, lm.RIGHT_EYE, size)
        assert (materials[polygon(landmarks, lm.LIPS_INNER, size)] != SKIN).mean() > 0.9
        assert overlap(materials == EYE, eyes) > 0.7


def test_rendered_shapes_and_box() -> None:
    rendered = frames({}, {"yaw": 1.3}, size=(72, 48))
    assert rendered.frames.shape == (2, 48, 72, 3)
    assert rendered.frames.dtype == rendered.alpha.dtype == rendered.materials.dtype == np.uint8
    assert rendered.landmarks.shape == (2, 106, 2)
    assert rendered.kps.shape == (2, 5, 2)
    assert rendered.visible.tolist() == [True, False]
    assert (rendered.alpha[0] > 250).mean() > 0.1
    x0, y0, x1, y1 = rendered.bbox[0]
    inside = rendered.landmarks[0]
    assert (inside >= [x0 - 0.5, y0 - 0.5]).all()
    assert (inside <= [x1 + 0.5, y1 + 0.5]).all()
    assert np.allclose(lm.kps_from(rendered.landmarks), rendered.kps, atol=1e-3)


def test_mouth_opening_follows_the_jaw() -> None:
    jaw = [{"jaw": float(value)} for value in np.linspace(0, 1, 6)]
    told = answers(*jaw)
    assert (np.diff(told.mouth_opening.numpy()) > 0.02).all()
    seen = lm.mouth_opening(told.landmarks.numpy())
    assert np.allclose(seen, told.mouth_opening.numpy(), atol=0.08)
    pressed = answers({"jaw": 1.0, "press": 1.0}).mouth_opening
    assert float(pressed) < 0.01


def test_visemes_have_their_own_lips() -> None:
    names = ("neutral", *ARTICULATION)
    shape = dict(zip(names, answers({}, *({name: 1.0} for name in ARTICULATION)).landmarks.numpy(), strict=True))

    def width(name: str) -> float:
        return float(shape[name][lm.MOUTH_RIGHT, 0] - shape[name][lm.MOUTH_LEFT, 0])

    def lip_heights(name: str) -> tuple[float, float]:
        upper = shape[name][lm.INNER_UPPER, 1] - shape[name][71, 1]
        return float(upper), float(shape[name][53, 1] - shape[name][lm.INNER_LOWER, 1])

    assert width("round") < 0.75 * width("neutral") < 0.9 * width("wide")
    assert lip_heights("press")[0] < 0.8 * lip_heights("neutral")[0]
    assert lip_heights("tuck")[1] < 0.7 * lip_heights("neutral")[1]
    assert float(lm.mouth_opening(shape["press"])) < 0.01 < float(lm.mouth_opening(shape["tongue"]))


@pytest.fixture(scope="module")
def spoken() -> Rendered:
    """The face at rest, then each articulation at its full."""
    return frames({}, *({name: 1.0} for name in ARTICULATION), size=(80, 80))


@pytest.mark.parametrize("index", range(len(ARTICULATION)), ids=ARTICULATION)
def test_articulation_moves_the_mouth_and_not_the_eyes(spoken: Rendered, index: int) -> None:
    change = np.abs(spoken.frames[1 + index].astype(float) - spoken.frames[0]).mean(-1)
    kps = spoken.kps[0]
    eyes = slice(int(kps[:2, 1].min() - 7), int(kps[:2, 1].max() + 4))
    mouth = slice(int(kps[3:, 1].min() - 6), int(kps[3:, 1].max() + 7))
    across = slice(int(kps[3, 0] - 2), int(kps[4, 0] + 2))
    assert change[mouth, across].mean() > 10 * change[eyes].mean()
    assert change[mouth, across].mean() > 2.0
    still = [*lm.LEFT_EYE, *lm.LEFT_BROW, *lm.RIGHT_EYE, *lm.RIGHT_BROW]
    assert np.abs(spoken.landmarks[1 + index, still] - spoken.landmarks[0, still]).max() < 0.4


def test_a_blink_shuts_the_eyes_and_nothing_else() -> None:
    blink = frames({}, {"AU43": 1.0}, size=(80, 80))
    eyes = [blink.landmarks[0, list(outline)] for outline in (lm.LEFT_EYE, lm.RIGHT_EYE)]
    change = np.abs(blink.frames[1].astype(float) - blink.frames[0]).max(-1)
    assert (blink.materials[1] == EYE).sum() < 0.1 * (blink.materials[0] == EYE).sum()
    between = slice(int(eyes[0][:, 0].max() + 3), int(eyes[1][:, 0].min() - 2))
    assert change[int(eyes[0][:, 1].min() - 12) : int(eyes[0][:, 1].max()), between].max() < 25


def test_the_open_mouth_is_dark_inside_wherever_the_head_turns() -> None:
    size = (160, 160)
    wide = {"jaw": 0.9, "wide": 0.6}
    rendered = frames(wide, wide | {"yaw": 0.55}, {"jaw": 0.6, "round": 0.9, "yaw": -0.5}, size=size)
    for picture, landmarks, materials in zip(rendered.frames, rendered.landmarks, rendered.materials, strict=True):
        hollow = polygon(landmarks, lm.LIPS_INNER, size) & ~np.isin(materials, (LIPS, TEETH, TONGUE))
        hollow = cv2.erode(hollow.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0  # a rim's pixel is half a lip's
        skin = np.median(picture[materials == SKIN].mean(-1))
        assert hollow.sum() > 30
        assert np.percentile(picture[hollow].mean(-1), 95) < 0.5 * skin


def test_action_units_move_their_features() -> None:
    names = ("AU1", "AU2", "AU4", "AU5", "AU12L", "AU15", "AU20", "AU43L")
    rest, *moved = answers({}, *({name: 1.0} for name in names)).landmarks.numpy()
    change = {name: (landmarks - rest) for name, landmarks in zip(names, moved, strict=True)}
    assert change["AU1"][50, 1] < change["AU1"][43, 1] - 2  # the inner ends of the brows go up
    assert change["AU2"][43, 1] < change["AU2"][50, 1] - 2  # the outer ends
    assert change["AU4"][50, 1] > 2 and change["AU4"][50, 0] > 1  # down and together
    assert change["AU5"][40, 1] < -1
    assert change["AU12L"][lm.MOUTH_RIGHT, 1] < -3  # the subject's left is image right
    assert abs(change["AU12L"][lm.MOUTH_LEFT, 1]) < 1
    assert (change["AU15"][[lm.MOUTH_LEFT, lm.MOUTH_RIGHT], 1] > 3).all()
    assert change["AU20"][lm.MOUTH_RIGHT, 0] > 2 and change["AU20"][lm.MOUTH_LEFT, 0] < -2
    closed = moved[names.index("AU43L")]
    assert closed[87, 1] - closed[94, 1] < 0.1 * (closed[33, 1] - closed[40, 1])


def test_pose_and_gaze_turn_the_stated_way() -> None:
    told = answers({}, {"yaw": 0.3}, {"pitch": 0.3}, {"roll": 0.3}, {"gaze_yaw": 0.4}, {"x": 0.2, "y": 0.1})
    rest, yaw, pitch, roll, gaze, moved = told.landmarks.numpy()

    def nose_against_eyes(shape: np.ndarray) -> np.ndarray:
        return shape[lm.NOSE_TIP] - (shape[34] + shape[88]) / 2

    assert nose_against_eyes(yaw)[0] > nose_against_eyes(rest)[0] + 5
    assert nose_against_eyes(pitch)[1] < nose_against_eyes(rest)[1] - 5
    assert roll[88, 1] > roll[34, 1] + 10  # clockwise: the eye at image right sinks
    assert gaze[38, 0] > rest[38, 0] + 2
    shift = (moved - rest).mean(0)
    assert shift[0] > 5 and shift[1] < -3


def test_emotions_differ_from_each_other_on_the_landmarks() -> None:
    controls = Controls.neutral(len(EMOTIONS))
    for i, emotion in enumerate(EMOTIONS):
        controls.aus[i] = emotion_aus(emotion, 3)
    scene = sample_scene(PERSON, 4, framing=(0.9, 0.9))
    shapes = truth(rig_rows(build_rig(PERSON, controls), "cpu"), scene.camera, (400, 400)).landmarks.numpy()
    for i in range(len(EMOTIONS)):
        for j in range(i):
            assert np.abs(shapes[i] - shapes[j]).max() > 6, (EMOTIONS[i], EMOTIONS[j])
