"""ONNX files that insightface recognises by their shapes, small because their weights are stored as float16.

insightface decides what a file is from its graph alone (`insightface/model_zoo/model_zoo.py`): five or more outputs
make a detector (nine: strides 8, 16, 32 with five points, two anchors a cell; order scores, boxes, points), a 192 x
192 input makes a landmark model, another square input of at least 112 a recogniser. It also reads the names of the
first nodes: a `Sub` and a `Mul` among them would tell it that the graph normalises its own input.
"""

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from models.facepack.detector import STRIDES, FaceDetector
from models.facepack.embedder import EMBEDDING, FaceEmbedder
from models.facepack.embedder import INPUT_SIZE as FACE_SIZE
from models.facepack.landmarker import INPUT_SIZE as CROP_SIZE
from models.facepack.landmarker import POINTS, LandmarkNet

PACK_FILES = {
    "detection": "det_studio.onnx",
    "landmark_2d_106": "lmk_studio.onnx",
    "recognition": "rec_studio.onnx",
}
OPSET = 18
HALF_FROM = 256  # tensors of fewer values stay float32: halving them saves nothing


class _DetectorOutputs(nn.Module):
    """The detector as insightface wants it: all scores (sigmoid), all boxes, all points, by stride; batch of one."""

    def __init__(self, detector: FaceDetector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        scores, boxes, points = zip(*self.detector.levels(image), strict=True)
        return (*(score[0].sigmoid() for score in scores), *(box[0] for box in boxes), *(point[0] for point in points))


def _store_half(model: onnx.ModelProto) -> None:
    """Keep large float32 weights as float16 with a Cast in front; onnxruntime folds the Cast away when it loads."""
    casts: list[onnx.NodeProto] = []
    kept: list[onnx.TensorProto] = []
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if tensor.data_type != TensorProto.FLOAT or array.size < HALF_FROM:
            kept.append(tensor)
            continue
        name = f"{tensor.name}_half"
        kept.append(numpy_helper.from_array(array.astype(np.float16), name))
        casts.append(helper.make_node("Cast", [name], [tensor.name], name=f"widen_{len(casts)}", to=TensorProto.FLOAT))
    nodes = list(model.graph.node)
    del model.graph.initializer[:], model.graph.node[:]
    model.graph.initializer.extend(kept)
    model.graph.node.extend(casts + nodes)


def _write(net: nn.Module, example: Tensor, path: Path, outputs: list[str], dynamic: bool) -> Path:
    axes = {"input": {2: "height", 3: "width"}} if dynamic else {}
    aside = path.with_suffix(".tmp")
    path.parent.mkdir(parents=True, exist_ok=True)
    with torch.no_grad():
        torch.onnx.export(
            net.eval(),
            (example,),
            str(aside),
            input_names=["input"],
            output_names=outputs,
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
        )
    model = onnx.load(str(aside))
    _store_half(model)
    for index, node in enumerate(model.graph.node):
        node.name = f"node_{index}"
    onnx.checker.check_model(model)
    onnx.save(model, str(aside))
    aside.replace(path)
    return path


def export_detector(detector: FaceDetector, path: Path) -> Path:
    """Write the detector with free height and width (multiples of 32): nine outputs, boxes and points in strides."""
    names = [f"{kind}_{stride}" for kind in ("score", "bbox", "kps") for stride in STRIDES]
    return _write(_DetectorOutputs(detector), torch.zeros(1, 3, 320, 320), path, names, dynamic=True)


def export_landmarker(net: LandmarkNet, path: Path) -> Path:
    """Write the landmark net: input [1,3,192,192], output [1,212]."""
    return _write(net, torch.zeros(1, 3, CROP_SIZE, CROP_SIZE), path, [f"landmarks_{POINTS}"], dynamic=False)


def export_embedder(net: FaceEmbedder, path: Path) -> Path:
    """Write the recogniser: input [1,3,112,112], output [1,512]."""
    return _write(net, torch.zeros(1, 3, FACE_SIZE, FACE_SIZE), path, [f"embedding_{EMBEDDING}"], dynamic=False)
