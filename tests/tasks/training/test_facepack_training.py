"""Training of the face pack: truth survives every change of the picture, and a few steps give a pack that insightface
loads.
"""

import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from models.facepack import PACK_FILES
from models.faces import FaceAnalyzer
from tasks.training.backdrops import KINDS, backdrop, scramble
from tasks.training.composites import move, move_box, paste, scene, similarity
from tasks.training.detector import detector_batch, train_detector
from tasks.training.expert_loop import AveragedWeights, Budget, learning_rate, train_expert
from tasks.training.face_metrics import measure_face_pack, verification
from tasks.training.landmarks import landmark_batch, landmark_crop, point_weights, train_landmarks
from tasks.training.photometric import degrade, recolour
from tasks.training.recogniser import TEMPLATE, similarity_fit, train_recogniser
from tasks.training.stills import IDENTITY_BASE, Stills, read_stills, render_stills, sample_controls

PEOPLE, FRAMES, SIZE = 10, 2, 96


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("stills")
    assert len(list(render_stills(out, PEOPLE, FRAMES, SIZE, seed=1))) == PEOPLE
    return out


@pytest.fixture(scope="module")
def stills(folder: Path) -> Stills:
    return read_stills(folder)


def test_stills_hold_what_was_rendered(stills: Stills) -> None:
    assert stills.frames.shape == (PEOPLE * FRAMES, SIZE, SIZE, 3) and stills.frames.dtype == np.uint8
    assert stills.alpha.shape == (PEOPLE * FRAMES, SIZE, SIZE)
    assert stills.landmarks.shape == (PEOPLE * FRAMES, 106, 2) and stills.kps.shape == (PEOPLE * FRAMES, 5, 2)
    assert (stills.bbox[:, 2:] > stills.bbox[:, :2]).all()
    assert sorted(set(stills.identity.tolist())) == list(range(IDENTITY_BASE, IDENTITY_BASE + PEOPLE))
    inside = stills.kps.round().astype(int).clip(0, SIZE - 1)
    assert all(stills.alpha[row][y, x] > 128 for row in range(len(stills)) for x, y in inside[row])


def test_rendering_goes_on_where_it_stopped(folder: Path) -> None:
    before = {file.name: (file.stat().st_mtime_ns, file.read_bytes()) for file in folder.iterdir()}
    victim = folder / "person-000003.npz"
    content = victim.read_bytes()
    victim.unlink()
    list(render_stills(folder, PEOPLE, FRAMES, SIZE, seed=1))
    after = {file.name: file.stat().st_mtime_ns for file in folder.iterdir()}
    assert set(after) == set(before)
    assert all(after[name] == before[name][0] for name in after if name != victim.name)
    assert victim.read_bytes() == content


def test_held_out_people_are_not_trained_on(stills: Stills) -> None:
    train, held = stills.split()
    assert set(held.identity.tolist()) == {IDENTITY_BASE + 9} and IDENTITY_BASE + 9 not in train.identity
    assert len(train) + len(held) == len(stills)


def test_no_stills_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no studio stills"):
        read_stills(tmp_path)


def test_controls_are_varied_and_in_range() -> None:
    controls = sample_controls(np.random.default_rng(0), 300)
    assert controls.aus.min() >= 0 and controls.aus.max() <= 1
    assert controls.articulation.min() >= 0 and controls.articulation.max() <= 1
    jaw = controls.articulation[:, 0]
    assert 0.15 < (jaw == 0).mean() < 0.45 and jaw.max() > 0.9
    assert controls.pose[:, 0].std() > 0.2 and np.abs(controls.pose[:, 0]).max() <= 0.66


@pytest.mark.parametrize("scale", [0.3, 0.62, 1.0, 1.7])
def test_pasting_keeps_marks_where_the_matrix_says(scale: float) -> None:
    frame = np.zeros((120, 120, 3), np.uint8)
    spots = np.array([[40.0, 50.0], [84.0, 61.0], [60.0, 92.0]])
    for x, y in spots.astype(int):
        cv2.circle(frame, (int(x), int(y)), 7, (255, 255, 255), -1)
    for spot in spots:
        single = np.zeros_like(frame)
        cv2.circle(single, (int(spot[0]), int(spot[1])), 7, (255, 255, 255), -1)
        matrix = similarity(scale, 0.3, np.array([60, 60]), np.array([130, 120]))
        canvas = paste(np.zeros((260, 260, 3), np.uint8), single, np.full((120, 120), 255, np.uint8), matrix)
        weight = canvas[..., 0].astype(float)
        y, x = (np.indices(weight.shape) * weight).sum((1, 2)) / weight.sum()
        assert np.abs(np.array([x, y]) - move(spot, matrix)).max() < 0.35


def test_a_turned_box_stays_round_the_head() -> None:
    box = np.array([20.0, 30.0, 80.0, 110.0], np.float32)
    quarter = similarity(1.0, np.pi / 2, np.array([50, 70]), np.array([50, 70]))
    assert np.allclose(move_box(box, quarter), [10, 40, 90, 100], atol=1e-3)


def test_scenes_have_true_boxes_and_some_have_none(stills: Stills) -> None:
    rng = np.random.default_rng(2)
    counts = []
    for _ in range(60):
        image, boxes, points = scene(rng, stills, 160)
        assert image.shape == (160, 160, 3) and image.dtype == np.uint8
        assert boxes.shape == (len(boxes), 4) and points.shape == (len(boxes), 5, 2)
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2
        assert ((centres > 0) & (centres < 160)).all()
        for box, kps in zip(boxes, points, strict=True):
            grown = (box[2:] - box[:2]) * 0.2
            assert ((kps > box[:2] - grown) & (kps < box[2:] + grown)).all()
        counts.append(len(boxes))
    assert 0.08 < np.mean(np.array(counts) == 0) < 0.45 and max(counts) >= 2


@pytest.mark.parametrize("kind", range(len(KINDS)))
def test_backdrops_fill_any_shape(kind: int) -> None:
    for height, width in ((33, 70), (200, 90)):
        image = KINDS[kind](np.random.default_rng(kind), height, width)
        assert image.shape == (height, width, 3) and image.dtype == np.uint8


def test_randomness_follows_the_seed(stills: Stills) -> None:
    first, second = (scene(np.random.default_rng(9), stills, 96)[0] for _ in range(2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, scene(np.random.default_rng(10), stills, 96)[0])


def test_scrambling_keeps_colours_and_loses_the_face(stills: Stills) -> None:
    image = stills.frames[0]
    tiles = scramble(np.random.default_rng(0), image, 3)
    assert tiles.shape == (96, 96, 3)
    assert np.allclose(tiles.mean((0, 1)), image.mean((0, 1)), atol=1)
    assert np.abs(tiles.astype(int) - image).mean() > 5


def test_picture_changes_keep_shape(stills: Stills) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        image = degrade(rng, recolour(rng, stills.frames[0]))
        assert image.shape == (SIZE, SIZE, 3) and image.dtype == np.uint8


def test_landmark_crops_carry_their_truth(stills: Stills) -> None:
    """Bright dots painted at true landmarks must be found at the crop's stated positions."""
    rng = np.random.default_rng(4)
    offsets = []
    for _ in range(12):
        frame = np.zeros((SIZE, SIZE, 3), np.uint8)
        nose = stills.landmarks[0][86]
        cv2.circle(frame, (round(float(nose[0])), round(float(nose[1]))), 5, (255, 255, 255), -1)
        whole = np.full((SIZE, SIZE), 255, np.uint8)
        crop, truth = landmark_crop(rng, frame, whole, stills.landmarks[0], stills.bbox[0])
        bright = (crop[..., 1].astype(float) - np.median(crop)).clip(40) - 40
        if bright.sum() < 1000:
            continue
        y, x = (np.indices(bright.shape) * bright).sum((1, 2)) / bright.sum()
        offsets.append(np.abs(np.array([x, y]) - (truth[86] + 1) * 96).max())
    assert len(offsets) >= 6 and np.median(offsets) < 4


def test_lips_weigh_most() -> None:
    weights = point_weights()[:, 0]
    assert weights.mean() == pytest.approx(1) and weights[60] == weights[62] > 2 * weights[80] > weights[0]


def test_alignment_is_the_least_squares_similarity() -> None:
    rng = np.random.default_rng(0)
    true = similarity(1.7, 0.4, np.array([10, 20]), np.array([50, 60]))
    source = rng.normal(50, 20, (5, 2))
    assert np.allclose(similarity_fit(source, move(source, true)), true, atol=1e-4)
    noisy = similarity_fit(source, TEMPLATE)
    nudged = noisy + np.array([[0, 0, 0.3], [0, 0, 0]])
    error = [np.square(move(source, matrix) - TEMPLATE).sum() for matrix in (noisy, nudged)]
    assert error[0] < error[1]


def test_budgets_end() -> None:
    assert Budget(steps=10).progress(5) == 0.5
    assert Budget(steps=10, minutes=1.0, started=time.monotonic() - 61).progress(0) == 1.0
    with pytest.raises(ValueError, match="steps or minutes"):
        Budget()
    assert learning_rate(0.0, 1.0) < learning_rate(0.04, 1.0) == pytest.approx(1.0)
    assert learning_rate(1.0, 1.0) == pytest.approx(0.01)


def test_the_loop_learns_and_reports() -> None:
    torch.manual_seed(0)
    net = torch.nn.Linear(4, 1)
    data = torch.randn(64, 4)
    target = data @ torch.tensor([[1.0], [-2.0], [0.5], [0.0]])
    seen: list[float] = []

    def loss_of_batch(progress: float) -> tuple[torch.Tensor, dict[str, float]]:
        return (net(data) - target).square().mean(), {}

    metrics = train_expert(
        net, loss_of_batch, Budget(steps=300), 0.05, report=lambda step, progress, parts: seen.append(parts["loss"])
    )
    assert metrics["steps"] == 300 and len(seen) == 6 and seen[-1] < 0.1 * seen[0]
    assert not net.training
    with pytest.raises(FloatingPointError):
        train_expert(net, lambda progress: (net(data).sum() * float("nan"), {}), Budget(steps=2))


def test_averages_of_a_still_module_are_the_module() -> None:
    module = torch.nn.BatchNorm1d(3)
    averaged = AveragedWeights(module)
    averaged.update(module)
    assert all(torch.equal(averaged.state[name], value) for name, value in module.state_dict().items())


def test_batches_are_what_insightface_feeds(stills: Stills) -> None:
    rng = np.random.default_rng(0)
    images, faces = detector_batch(rng, [stills], 3, 64, "cpu")
    crops, truth = landmark_batch(rng, [stills], 3, "cpu")
    assert images.shape == (3, 3, 64, 64) and len(faces) == 3 and images.abs().max() <= 1
    assert crops.shape == (3, 3, 192, 192) and truth.shape == (3, 106, 2) and truth.dtype == torch.float32


def test_a_few_steps_give_a_pack_that_loads(folder: Path, stills: Stills, tmp_path: Path) -> None:
    assert train_detector(folder, tmp_path, steps=2, batch=2)["steps"] == 2
    assert train_landmarks(folder, tmp_path, steps=2, batch=2)["steps"] == 2
    assert train_recogniser(folder, tmp_path, steps=2, batch=4)["identities"] == 9
    init = {task: tmp_path / file for task, file in PACK_FILES.items()}
    assert train_landmarks(folder, tmp_path, steps=1, batch=2, init=init["landmark_2d_106"])["steps"] == 1
    assert train_recogniser([folder], tmp_path, steps=1, batch=4, init=init["recognition"])["steps"] == 1
    assert {file.name for file in tmp_path.iterdir()} == set(PACK_FILES.values())
    analyzer = FaceAnalyzer(tmp_path)
    assert analyzer.gives == {"landmarks", "embedding"}
    metrics = measure_face_pack(analyzer, stills.split()[1], empty=2)
    assert metrics["faces"] == FRAMES and 0 <= metrics["recall"] <= 1


def test_the_shipped_pack_knows_held_out_people(stills: Stills) -> None:
    metrics = measure_face_pack(FaceAnalyzer("studio"), stills.split()[1], empty=20)
    assert metrics["recall"] == 1 and metrics["false_positives"] <= 0.05
    assert metrics["landmark_error"] < 0.1


def test_verification_counts_pairs() -> None:
    embeddings = np.eye(3, dtype=np.float32)[[0, 0, 1, 1, 2]]
    result = verification(embeddings, np.array([0, 0, 1, 1, 2]))
    assert result["true_accepts_at_1pct"] == 1 and result["genuine_pairs"] == 2 and result["impostor_pairs"] == 8


def test_backdrop_mix_has_no_fixed_kind() -> None:
    rng = np.random.default_rng(0)
    means = {round(float(backdrop(rng, 32, 32).mean())) for _ in range(20)}
    assert len(means) > 10
