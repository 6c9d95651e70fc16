"""HSEmotion (Savchenko, 2022): public emotion recognisers in ONNX, with the interface of `models.emotion.FaceEmotion`.

EfficientNets trained on AffectNet's eight classes; RGB of 224 px (B0) or 260 px (B2), normalised as ImageNet is. The
file is read as data: a graph of standard operators with its weights inside, nothing that points elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import torch
from diffusers.configuration_utils import FrozenDict
from google.protobuf.message import DecodeError
from onnx import numpy_helper
from torch import Tensor, nn
from torch.nn import functional as F

from models.checkpoints import MissingCheckpoint, UnusableCheckpoint, checkpoint_source
from models.emotion import EMOTIONS, FaceEmotion, load_face_emotion

AFFECTNET = ("angry", "contempt", "disgusted", "fearful", "happy", "neutral", "sad", "surprised")
"""The network's classes in its own order (Anger, Contempt, Disgust, Fear, Happiness, Neutral, Sadness, Surprise)."""
FROM_AFFECTNET = [AFFECTNET.index(emotion) for emotion in EMOTIONS]
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
FACE = (0.12, 0.05, 0.88, 0.98)
"""Left, top, right, bottom of the face in shares of an aligned crop, about as a face detector's box lies there."""
JUDGES = {"hsemotion": "hsemotion_b2"}
"""Of a checkpoint that labels clips: the one that judges what a model makes of them."""
OTHER_SIDE = 224
"""Input side in pixels where the file leaves it open."""
_REFUSED = tuple(
    getattr(onnxruntime.capi.onnxruntime_pybind11_state, name)
    for name in ("Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NotImplemented", "RuntimeException")
)
"""What onnxruntime raises of a graph that it cannot run; the classes share no base."""
_REFETCH = "Fetch the published file anew: `hsemotion` in models/checkpoints.yaml."


class HSEmotion(nn.Module):
    """Reads the emotion of an aligned crop with an HSEmotion network, on the CPU through onnxruntime.

    Not differentiable: crops that ask for a gradient are refused, so that no loss is silently without effect.

    Forward: crops float [B, 3, S, S] in 0..1 → (logits [B, 8] over EMOTIONS, intensity [B] in 0..3). The network knows
    no intensity: it is 3 × (1 − probability of neutral).
    """

    dtype = torch.float32
    device = torch.device("cpu")

    def __init__(self, graph: onnx.ModelProto, face: Sequence[float] = FACE, threads: int = 0) -> None:
        super().__init__()
        embedding, width = _embedding(graph)
        head = graph.graph.output[0].name
        if embedding not in {value.name for value in graph.graph.output}:
            graph.graph.output.append(onnx.ValueInfoProto(name=embedding))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads, 3
        self._session = onnxruntime.InferenceSession(
            graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        shape = self._session.get_inputs()[0].shape
        self.side = shape[-1] if isinstance(shape[-1], int) else OTHER_SIDE
        self._one_by_one = shape[0] == 1
        self._outputs = [head, embedding]
        self.config = FrozenDict(width=width, window=tuple(face), side=self.side)

    @torch.no_grad()
    def _run(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """(logits [B, 8 or more] in the network's order, embedding [B, width]), on the device of the crops."""
        size = crops.shape[-1]
        left, top, right, bottom = (round(share * size) for share in self.config["window"])
        seen = F.interpolate(
            crops[..., top:bottom, left:right].float(), size=(self.side, self.side), mode="bilinear",
            antialias=True, align_corners=False,
        )  # fmt: skip
        mean, deviation = seen.new_tensor(MEAN)[:, None, None], seen.new_tensor(DEVIATION)[:, None, None]
        pictures = ((seen - mean) / deviation).cpu()
        name = self._session.get_inputs()[0].name
        batches = pictures.split(1) if self._one_by_one else [pictures]
        found = [self._session.run(self._outputs, {name: batch.numpy()}) for batch in batches]
        logits, embedding = (torch.cat([torch.from_numpy(one[i]).flatten(1) for one in found]) for i in (0, 1))
        return logits.to(crops.device), embedding.to(crops.device)

    def features(self, crops: Tensor) -> Tensor:
        """crops float [B, 3, S, S] in 0..1 → expression features [B, width]: what the last layer sees.

        Raises ValueError for crops that need a gradient.
        """
        return self._refuse_gradient(crops)._run(crops)[1]

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        logits = self._refuse_gradient(crops)._run(crops)[0][:, FROM_AFFECTNET]
        return logits, 3 * (1 - logits.softmax(-1)[:, EMOTIONS.index("neutral")])

    def _refuse_gradient(self, crops: Tensor) -> HSEmotion:
        if crops.requires_grad and torch.is_grad_enabled():
            raise ValueError("an ONNX recogniser gives no gradient: use the studio's, or torch.no_grad()")
        return self


def load_hsemotion(path: str | Path, threads: int = 0) -> HSEmotion:
    """A recogniser from an ONNX file of HSEmotion (`models.checkpoints.find_checkpoint("hsemotion", root)`).

    Args:
        threads: of onnxruntime; 0: as many as there are cores.
    Raises:
        MissingCheckpoint: no such file.
        UnusableCheckpoint: not ONNX, cut off, with operators or data from elsewhere, or not of eight classes.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingCheckpoint(f"no emotion recogniser at {path}", "`hsemotion` in models/checkpoints.yaml names it.")
    try:
        graph = onnx.load(str(path), load_external_data=False)
        _check_is_data(path, graph)
        onnx.checker.check_model(graph)
        return HSEmotion(graph, threads=threads)
    except (DecodeError, onnx.checker.ValidationError, *_REFUSED) as error:
        reason = str(error).strip().splitlines()[0]
        raise UnusableCheckpoint(f"{path} is no usable ONNX file: {reason}", _REFETCH) from error
    except _NotThat as error:
        raise UnusableCheckpoint(f"{path}: {error}", _REFETCH) from error


def load_face_reader(source: str, root: str | Path, kind: str = "face") -> FaceEmotion | HSEmotion:
    """The face recogniser of any source: a key of checkpoints.yaml, an ONNX file, a shipped pack, or a folder.

    Args:
        root: the data root, below which checkpoints lie.
        kind: "face", or the "judge": of ``hsemotion`` the larger network, which looks at nothing else.
    Raises:
        MissingEmotion, MissingCheckpoint, WrongCheckpoint, UnusableCheckpoint: there is none that could serve.
    """
    place = checkpoint_source(JUDGES.get(source, source) if kind == "judge" else source, root)
    return load_hsemotion(place) if Path(place).suffix == ".onnx" else load_face_emotion(place, kind)


class _NotThat(ValueError):
    """The graph is not what an HSEmotion network looks like."""


def _check_is_data(path: Path, graph: onnx.ModelProto) -> None:
    domains = {entry.domain for entry in graph.opset_import} | {node.domain for node in graph.graph.node}
    if domains - {"", "ai.onnx"} or graph.functions:
        raise _NotThat(f"operators from elsewhere: {', '.join(sorted(domains - {'', 'ai.onnx'})) or 'functions'}")
    stored = [*graph.graph.initializer]
    stored += [attribute.t for node in graph.graph.node for attribute in node.attribute if attribute.HasField("t")]
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in stored):
        raise _NotThat("its weights lie in another file")


def _embedding(graph: onnx.ModelProto) -> tuple[str, int]:
    """(name, width) of what the last fully connected layer sees.

    Raises _NotThat where the graph does not end in such a layer of eight classes (and two more: valence and arousal).
    """
    weights: dict[str, Any] = {tensor.name: tensor for tensor in graph.graph.initializer}
    made_by = {name: node for node in graph.graph.node for name in node.output}
    if len(graph.graph.output) == 0 or graph.graph.output[0].name not in made_by:
        raise _NotThat("the graph gives no output")
    last = made_by[graph.graph.output[0].name]
    if last.op_type == "Add":  # MatMul and Add is how some exporters write a fully connected layer
        last = next((made_by[name] for name in last.input if name in made_by), last)
    if last.op_type not in ("Gemm", "MatMul") or last.input[1] not in weights:
        raise _NotThat("the graph does not end in a fully connected layer")
    shape = list(numpy_helper.to_array(weights[last.input[1]]).shape)
    transposed = any(attribute.name == "transB" and attribute.i for attribute in last.attribute)
    classes, width = shape if transposed else shape[::-1]
    if classes not in (len(AFFECTNET), len(AFFECTNET) + 2):
        raise _NotThat(f"{classes} classes, not AffectNet's eight")
    return str(last.input[0]), int(width)
