"""The pack's networks: insightface must take their files for what they are, and read from them what torch computes."""

from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
import torch
from insightface.app import FaceAnalysis

from models.facepack import (
    PACK_FILES,
    CosineMargin,
    FaceDetector,
    FaceEmbedder,
    LandmarkNet,
    export_detector,
    export_embedder,
    export_landmarker,
)
from models.facepack.detector import Detections, anchor_centres, decode_boxes, decode_points
from models.facepack.detector_loss import Faces, assign, detector_loss, pairwise_iou
from models.facepack.landmarker import heat_loss, wing_loss
from models.facepack.warm_start import load_folded


def _eager(detector: FaceDetector) -> FaceDetector:
    """A random detector that fires everywhere with different scores."""
    for head in detector.heads:
        torch.nn.init.normal_(head.score.weight, std=0.3)
        torch.nn.init.constant_(head.score.bias, 0.5)
    return detector.eval()


@pytest.fixture(scope="module")
def random_pack(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, FaceDetector, LandmarkNet, FaceEmbedder]:
    torch.manual_seed(3)
    folder = tmp_path_factory.mktemp("pack")
    nets = _eager(FaceDetector()), LandmarkNet().eval(), FaceEmbedder().eval()
    export_detector(nets[0], folder / PACK_FILES["detection"])
    export_landmarker(nets[1], folder / PACK_FILES["landmark_2d_106"])
    export_embedder(nets[2], folder / PACK_FILES["recognition"])
    return folder, *nets


def test_insightface_recognises_each_file_by_its_shape(random_pack) -> None:
    folder, *_ = random_pack
    app = FaceAnalysis(name=str(folder), providers=["CPUExecutionProvider"])
    assert set(app.models) == {"detection", "landmark_2d_106", "recognition"}
    assert (app.models["detection"].input_mean, app.models["detection"].input_std) == (127.5, 128.0)
    assert (app.models["landmark_2d_106"].input_mean, app.models["landmark_2d_106"].input_std) == (127.5, 128.0)
    assert (app.models["recognition"].input_mean, app.models["recognition"].input_std) == (127.5, 127.5)
    assert app.models["detection"].use_kps and app.models["detection"].static_input_size is None


def test_insightface_decodes_what_our_decoder_decodes(random_pack) -> None:
    folder, detector, *_ = random_pack
    app = FaceAnalysis(name=str(folder), allowed_modules=["detection"], providers=["CPUExecutionProvider"])
    frame = np.random.default_rng(0).integers(0, 256, (128, 160, 3), np.uint8)
    app.prepare(ctx_id=-1, det_thresh=0.0, det_size=(160, 128))
    scores, boxes, points = app.det_model.forward(frame[..., ::-1].copy(), -1.0)
    with torch.no_grad():
        pixels = (torch.from_numpy(frame).permute(2, 0, 1)[None].float() - 127.5) / 128
        raw = detector(pixels)
    centres, strides = anchor_centres(128, 160)
    assert np.allclose(np.concatenate(scores)[:, 0], raw.logits[0].sigmoid(), atol=5e-3)
    ours = decode_boxes(centres, strides, raw.distances[0])
    assert np.allclose(np.concatenate(boxes), ours, atol=0.5)
    assert np.allclose(np.concatenate(points), decode_points(centres, strides, raw.points[0]), atol=0.5)


@pytest.mark.parametrize("task", ["landmark_2d_106", "recognition"])
def test_half_precision_files_answer_like_the_network(random_pack, task: str) -> None:
    folder, _, landmarker, embedder = random_pack
    net, size = (landmarker, 192) if task == "landmark_2d_106" else (embedder, 112)
    torch.manual_seed(0)
    image = torch.randn(1, 3, size, size).clamp(-1, 1)
    session = onnxruntime.InferenceSession(str(folder / PACK_FILES[task]), providers=["CPUExecutionProvider"])
    answer = session.run(None, {"input": image.numpy()})[0]
    with torch.no_grad():
        expected = net(image).numpy()
    assert answer.shape == expected.shape
    assert np.abs(answer - expected).max() <= 0.01 * max(1.0, np.abs(expected).max())


@pytest.mark.parametrize("task", list(PACK_FILES))
def test_training_can_go_on_from_a_file(random_pack, task: str) -> None:
    """The unfolded network answers as the file does, and its batch norms hold what they see."""
    folder, detector, landmarker, embedder = random_pack
    old, new, size = {
        "detection": (detector, FaceDetector(), 64),
        "landmark_2d_106": (landmarker, LandmarkNet(), 192),
        "recognition": (embedder, FaceEmbedder(), 112),
    }[task]
    torch.manual_seed(1)
    pictures = torch.randn(8, 3, size, size)
    load_folded(new, folder / PACK_FILES[task], pictures)
    with torch.no_grad():
        was, now = old(pictures[:2]), new.eval()(pictures[:2])
        was, now = (answer if isinstance(answer, torch.Tensor) else answer.distances for answer in (was, now))
        assert torch.allclose(was, now, atol=0.01 * max(1.0, float(was.abs().max())))
    first = next(module for module in new.modules() if isinstance(module, torch.nn.BatchNorm2d))
    assert first.running_var.max() < 100 and not torch.equal(first.running_mean, torch.zeros_like(first.running_mean))


def test_the_weights_of_another_network_are_refused(random_pack) -> None:
    with pytest.raises(ValueError, match="another network"):
        load_folded(FaceEmbedder(), random_pack[0] / PACK_FILES["landmark_2d_106"], torch.zeros(2, 3, 112, 112))


def test_a_pack_is_small(random_pack) -> None:
    assert sum(file.stat().st_size for file in random_pack[0].glob("*.onnx")) < 8e6


def test_the_detector_takes_any_frame_shape(random_pack) -> None:
    session = onnxruntime.InferenceSession(str(random_pack[0] / PACK_FILES["detection"]))
    for height, width in ((32, 32), (192, 320), (320, 192)):
        outputs = session.run(None, {"input": np.zeros((1, 3, height, width), np.float32)})
        cells = [height // stride * (width // stride) * 2 for stride in (8, 16, 32)]
        assert [output.shape for output in outputs] == [(n, k) for k in (1, 4, 10) for n in cells]


def test_every_face_is_answered_by_an_anchor_of_its_size() -> None:
    centres, strides = anchor_centres(320, 320)
    sizes = torch.tensor([10.0, 24.0, 60.0, 130.0, 290.0])
    middles = torch.tensor([[20.0, 20.0], [60.0, 30.0], [200.0, 60.0], [90.0, 200.0], [170.0, 160.0]])
    boxes = torch.cat([middles - sizes[:, None] / 2, middles + sizes[:, None] / 2], 1)
    anchors, owner = assign(Faces(boxes, torch.zeros(5, 5, 2)), centres, strides)
    assert set(owner.tolist()) == {0, 1, 2, 3, 4}
    assert len(anchors) == len(set(anchors.tolist()))
    assert strides[anchors[owner == 0]].max() == 8
    assert strides[anchors[owner == 4]].min() == 32


def test_no_faces_no_anchors_and_a_finite_loss() -> None:
    centres, strides = anchor_centres(64, 64)
    count = len(centres)
    raw = Detections(torch.zeros(1, count), torch.ones(1, count, 4), torch.zeros(1, count, 5, 2))
    nothing = Faces(torch.zeros(0, 4), torch.zeros(0, 5, 2))
    loss, parts = detector_loss(raw, [nothing], centres, strides)
    assert torch.isfinite(loss) and parts["box"] == 0 and parts["score"] > 0


def test_the_loss_is_least_at_the_truth() -> None:
    centres, strides = anchor_centres(128, 128)
    box = torch.tensor([[30.0, 20.0, 90.0, 100.0]])
    points = torch.tensor([[[45.0, 50], [75, 50], [60, 65], [48, 80], [72, 80]]])
    faces = Faces(box, points)
    anchors, _ = assign(faces, centres, strides)
    corners = torch.cat([centres - box[:, :2], box[:, 2:] - centres], 1) / strides[:, None]
    offsets = (points - centres[:, None]) / strides[:, None, None]
    logits = torch.full((len(centres),), -12.0)
    logits[anchors] = 12.0
    right = Detections(logits[None], corners.clamp(min=0)[None], offsets[None])
    best, _ = detector_loss(right, [faces], centres, strides)
    assert best < 0.01
    for wrong in (
        Detections(-right.logits, right.distances, right.points),
        Detections(right.logits, right.distances * 1.3, right.points),
        Detections(right.logits, right.distances, right.points + 0.3),
    ):
        assert detector_loss(wrong, [faces], centres, strides)[0] > best + 0.05


def test_pairwise_iou_by_hand() -> None:
    a = torch.tensor([[0.0, 0, 10, 10], [20, 20, 30, 30]])
    b = torch.tensor([[5.0, 0, 15, 10]])
    assert torch.allclose(pairwise_iou(a, b), torch.tensor([[1 / 3], [0.0]]))


def test_wing_loss_is_continuous_and_grows() -> None:
    errors = torch.tensor([0.0, 0.01, 0.0999, 0.1001, 0.5])
    loss = wing_loss(errors)
    assert loss[0] == 0 and (loss.diff() > 0).all() and (loss[3] - loss[2]) < 1e-3
    assert torch.equal(wing_loss(-errors), loss)


def test_heat_maps_are_best_where_the_points_are() -> None:
    points = torch.tensor([[[0.0, 0.0], [0.5, -0.5]]])  # cells (12, 12) and (18, 6) of 24
    right = torch.full((1, 2, 24, 24), -8.0)
    right[0, 0, 12, 12], right[0, 1, 6, 18] = 8.0, 8.0
    swapped = right.transpose(2, 3).flatten(2)
    right = right.flatten(2)
    loss = heat_loss(right, points)
    assert loss.shape == (1, 2)
    assert loss[0, 1] < heat_loss(swapped, points)[0, 1]
    assert torch.allclose(heat_loss(swapped, points)[0, 0], loss[0, 0])


def test_landmarks_lie_within_the_crop_at_the_start() -> None:
    torch.manual_seed(0)
    out = LandmarkNet().eval()(torch.randn(2, 3, 192, 192))
    assert out.shape == (2, 212) and out.abs().max() < 1.5


def test_the_margin_makes_the_right_person_harder() -> None:
    torch.manual_seed(0)
    head = CosineMargin(7)
    embedding, identity = torch.randn(5, 512), torch.tensor([0, 1, 2, 3, 6])
    assert head(embedding, identity) > head(embedding, identity, margin=0.0)


def test_a_detector_learns_one_picture() -> None:
    """Forty steps on one picture must find its face: network, assignment, loss and decoding agree with one another."""
    torch.manual_seed(0)
    frame = np.full((128, 128, 3), 90, np.uint8)
    cv2.ellipse(frame, (60, 64), (26, 36), 0, 0, 360, (210, 160, 130), -1)
    box = torch.tensor([[34.0, 28.0, 86.0, 100.0]])
    points = torch.tensor([[[48.0, 52], [72, 52], [60, 66], [50, 82], [70, 82]]])
    for x, y in points[0].int().tolist():
        cv2.circle(frame, (x, y), 3, (20, 20, 20), -1)
    pixels = ((torch.from_numpy(frame).permute(2, 0, 1)[None].float() - 127.5) / 128).repeat(2, 1, 1, 1)
    net = FaceDetector().train()
    optimiser = torch.optim.AdamW(net.parameters(), 3e-3)
    centres, strides = anchor_centres(128, 128)
    for _ in range(40):
        loss, _ = detector_loss(net(pixels), [Faces(box, points)] * 2, centres, strides)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    raw = net(pixels)
    best = int(raw.logits[0].argmax())
    found = decode_boxes(centres, strides, raw.distances[0])[best]
    assert pairwise_iou(found[None], box)[0, 0] > 0.7
    assert (decode_points(centres, strides, raw.points[0])[best] - points[0]).abs().max() < 8
