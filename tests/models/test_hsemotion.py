"""HSEmotion files: read as data, classes in our order, the same interface as the studio's recogniser."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from models.checkpoints import MissingCheckpoint, UnusableCheckpoint, WrongCheckpoint, catalogue
from models.emotion import EMOTIONS, FaceEmotion, image_features
from models.hsemotion import DEVIATION, FROM_AFFECTNET, MEAN, HSEmotion, load_face_reader, load_hsemotion
from tasks.emotion import face_emotion

PUBLISHED_ORDER = ("Anger", "Contempt", "Disgust", "Fear", "Happiness", "Neutral", "Sadness", "Surprise")

Made = Callable[..., Path]


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """Writes a tiny network in HSEmotion's form: the mean colour of the picture, then a fully connected layer."""

    def write(
        side: int | None = 224, classes: int = 8, gemm: bool = True, batch: int | str = "batch", domain: str = ""
    ) -> Path:
        weight = np.zeros((classes, 3), np.float32)
        weight[np.arange(3), np.arange(3)] = 5.0  # red is anger, green contempt, blue disgust
        bias = np.arange(classes, dtype=np.float32) / 10
        size = side or "side"
        if gemm:
            stored = [weight]
            head = [helper.make_node("Gemm", ["seen", "weight", "bias"], ["output"], transB=1)]
        else:
            stored = [weight.T.copy()]
            head = [helper.make_node("MatMul", ["seen", "weight"], ["sum"]),
                    helper.make_node("Add", ["sum", "bias"], ["output"])]  # fmt: skip
        nodes = [
            helper.make_node("GlobalAveragePool", ["input"], ["mean"], domain=domain),
            helper.make_node("Flatten", ["mean"], ["seen"]),
            *head,
        ]
        graph = helper.make_graph(
            nodes, "tiny", [helper.make_tensor_value_info("input", TensorProto.FLOAT, [batch, 3, size, size])],
            [helper.make_tensor_value_info("output", TensorProto.FLOAT, [batch, classes])],
            [numpy_helper.from_array(stored[0], "weight"), numpy_helper.from_array(bias, "bias")],
        )  # fmt: skip
        opsets = [helper.make_opsetid("", 17), *([helper.make_opsetid(domain, 1)] if domain else [])]
        path = tmp_path / "tiny.onnx"
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), str(path))
        return path

    return write


def crops(*colours: tuple[float, float, float], size: int = 128) -> torch.Tensor:
    """Pictures of one colour each, float [B,3,S,S]."""
    return torch.tensor(colours)[:, :, None, None].expand(-1, -1, size, size).contiguous()


@pytest.mark.parametrize("side", [224, 260, None])
@pytest.mark.parametrize("gemm", [True, False])
def test_pictures_are_normalised_as_imagenet_is_and_classes_come_in_our_order(
    made: Made, side: int | None, gemm: bool
) -> None:
    recogniser = load_hsemotion(made(side, gemm=gemm))
    assert recogniser.side == (side or 224)
    seen = crops((0.9, 0.1, 0.2), (0.2, 0.2, 0.9))
    means = (seen[:, :, 0, 0] - torch.tensor(MEAN)) / torch.tensor(DEVIATION)
    assert torch.allclose(recogniser.features(seen), means, atol=1e-3)
    theirs = torch.zeros(2, 8)
    theirs[:, :3] = 5 * means
    theirs += torch.arange(8) / 10
    logits, intensity = recogniser(seen)
    assert torch.allclose(logits, theirs[:, FROM_AFFECTNET], atol=1e-2)
    assert [EMOTIONS[int(row.argmax())] for row in logits] == ["angry", "disgusted"]
    assert torch.allclose(intensity, 3 * (1 - logits.softmax(-1)[:, 0]))


def test_the_published_order_maps_onto_ours() -> None:
    told = {"neutral": "Neutral", "happy": "Happiness", "sad": "Sadness", "angry": "Anger", "surprised": "Surprise",
            "fearful": "Fear", "disgusted": "Disgust", "contempt": "Contempt"}  # fmt: skip
    assert [PUBLISHED_ORDER[index] for index in FROM_AFFECTNET] == [told[emotion] for emotion in EMOTIONS]


def test_the_tasks_take_it_where_they_take_the_studios(made: Made) -> None:
    recogniser = load_hsemotion(made())
    red = np.zeros((96, 96, 3), np.uint8)
    red[..., 0] = 255
    feeling = face_emotion([red] * 5, recogniser)
    assert feeling.emotion == "angry" and feeling.intensity == 3
    both = image_features(torch.zeros(2, 512), crops((1, 0, 0), (0, 1, 0)), recogniser)
    assert both.shape == (2, 512 + recogniser.config["width"])
    assert torch.allclose(both[:, 512:].norm(dim=-1), torch.ones(2))


def test_only_the_face_within_the_crop_is_read(made: Made) -> None:
    recogniser = load_hsemotion(made())
    inside = crops((0.9, 0.1, 0.2))
    framed = inside.clone()
    framed[..., :4, :] = framed[..., :12] = framed[..., 116:] = 0
    assert torch.allclose(recogniser(inside)[0], recogniser(framed)[0], atol=1e-2)


def test_valence_and_arousal_are_left_out_and_a_batch_of_one_is_no_limit(made: Made) -> None:
    several = crops((0.9, 0.1, 0.2), (0.2, 0.2, 0.9), (0.1, 0.8, 0.1))
    wanted = load_hsemotion(made())(several)[0]
    assert torch.allclose(load_hsemotion(made(classes=10))(several)[0], wanted, atol=1e-5)
    assert torch.allclose(load_hsemotion(made(batch=1))(several)[0], wanted, atol=1e-5)


def test_a_loss_cannot_look_through_it_unnoticed(made: Made) -> None:
    recogniser = load_hsemotion(made())
    wanted = crops((0.5, 0.5, 0.5)).requires_grad_()
    with pytest.raises(ValueError, match="no gradient"):
        recogniser(wanted)
    with torch.no_grad():
        assert recogniser(wanted)[0].shape == (1, 8)


def test_what_is_not_a_whole_network_of_eight_classes_is_refused(made: Made, tmp_path: Path) -> None:
    with pytest.raises(UnusableCheckpoint, match="7 classes"):
        load_hsemotion(made(classes=7))
    whole = made().read_bytes()
    for name, content in (
        ("cut.onnx", whole[: len(whole) // 2]), ("empty.onnx", b""), ("text.onnx", b"not found" * 40),
        ("pickle.onnx", pickle.dumps({"code": print})),
    ):  # fmt: skip
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UnusableCheckpoint) as caught:
            load_hsemotion(tmp_path / name)
        assert "Fetch" in caught.value.remedy
    with pytest.raises(MissingCheckpoint):
        load_hsemotion(tmp_path / "nothing.onnx")


def test_operators_and_weights_from_elsewhere_are_refused(made: Made) -> None:
    with pytest.raises(UnusableCheckpoint, match=r"operators from elsewhere: com\.example"):
        load_hsemotion(made(domain="com.example"))
    path = made()
    graph = onnx.load(str(path))
    onnx.save(graph, str(path), save_as_external_data=True, location="beside.bin", size_threshold=0)
    with pytest.raises(UnusableCheckpoint, match="another file"):
        load_hsemotion(path)
    assert isinstance(load_hsemotion(made()), HSEmotion)


def test_one_door_leads_to_the_studios_recogniser_and_to_the_public_ones(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # where else the files are looked for
    assert isinstance(load_face_reader("studio", tmp_path), FaceEmotion)
    assert isinstance(load_face_reader(str(made()), tmp_path, "judge"), HSEmotion)
    for kind, file in (("face", "enet_b0_8_best_vgaf.onnx"), ("judge", "enet_b2_8.onnx")):
        with pytest.raises(MissingCheckpoint, match=file):
            load_face_reader("hsemotion", tmp_path, kind)
    place = tmp_path / catalogue()["hsemotion"].place / "enet_b0_8_best_vgaf.onnx"
    place.parent.mkdir(parents=True)
    made().rename(place)
    with pytest.raises(WrongCheckpoint):
        load_face_reader("hsemotion", tmp_path)
