"""Go on training from a shipped ONNX file: its folded weights, unfolded again.

The export folds every batch norm into the convolution before it, so the file has one kernel and one bias where the
network has kernel, mean, variance, scale and shift. Any mean and variance will do as long as scale and shift undo them;
those that the layer really sees on training pictures are the ones with which training goes on smoothly.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from onnx import numpy_helper
from torch import Tensor, nn

from models.data_only import check_onnx

BatchNorm = nn.BatchNorm2d | nn.BatchNorm1d


@dataclass
class _Stored:
    """One layer of the file: kernel, bias, and the batch norm after it where the export could not fold it."""

    kernel: Tensor
    bias: Tensor | None
    norm: list[Tensor] | None = None


def _weights_in_order(path: Path) -> list[_Stored]:
    """The file's convolutions and matrix products with stored weights, in the order in which they are computed."""
    graph = check_onnx(path).graph
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type in ("Cast", "Identity") and node.input[0] in stored:  # half weights; biases that are equal
            stored[node.output[0]] = stored[node.input[0]].astype("float32")
    found = []
    for node in graph.node:
        if node.op_type in ("Conv", "Gemm", "MatMul") and node.input[1] in stored:
            kernel = torch.from_numpy(stored[node.input[1]].copy()).float()
            bias = torch.from_numpy(stored[node.input[2]].copy()).float() if len(node.input) > 2 else None
            found.append(_Stored(kernel, bias))
        elif node.op_type == "BatchNormalization":
            found[-1].norm = [torch.from_numpy(stored[name].copy()).float() for name in node.input[1:5]]
    return found


def load_folded(net: nn.Module, path: Path, pictures: Tensor) -> None:
    """Give ``net`` (as exported to ``path``) the file's weights; afterwards it answers, in eval mode, as the file does.

    ``pictures`` [B,3,H,W], preprocessed training pictures, tell the statistics of the batch norms. Raises ValueError if
    the file's layers are not the network's.
    """
    layers: list[tuple[nn.Conv2d | nn.Linear, BatchNorm | None]] = []

    def visit(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if isinstance(module, nn.Conv2d | nn.Linear):
            layers.append((module, None))
        elif isinstance(module, BatchNorm):
            layers[-1] = (layers[-1][0], module)

    hooks = [module.register_forward_hook(visit) for module in net.modules()]
    net.eval()
    with torch.no_grad():
        net(pictures[:1])
    for hook in hooks:
        hook.remove()
    weights = _weights_in_order(path)
    if len(weights) != len(layers):
        raise ValueError(
            f"{path} has {len(weights)} layers with weights, the network has {len(layers)}: another network"
        )
    with torch.no_grad():
        folded = []
        for (layer, norm), found in zip(layers, weights, strict=True):
            kernel = found.kernel if found.kernel.shape == layer.weight.shape else found.kernel.T
            if kernel.shape != layer.weight.shape:
                raise ValueError(f"{path}: {list(found.kernel.shape)} where the network has {list(layer.weight.shape)}")
            layer.weight.copy_(kernel)
            if norm is None:
                if layer.bias is not None and found.bias is not None:
                    layer.bias.copy_(found.bias)
            elif found.norm is not None:
                _fill(norm, *found.norm)
            else:
                zeros = torch.zeros_like(norm.bias)
                ones = torch.ones_like(zeros)
                _fill(norm, ones, zeros if found.bias is None else found.bias, zeros, ones - norm.eps)
                folded.append(norm)
        _take_statistics(net, folded, pictures)


def _take_statistics(net: nn.Module, norms: list[BatchNorm], pictures: Tensor) -> None:
    """Give each norm the mean and variance it sees of ``pictures``, with a scale and shift that undo them."""
    seen: dict[nn.Module, tuple[Tensor, Tensor]] = {}

    def look(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        values = inputs[0].float().transpose(0, 1).flatten(1)
        seen[module] = values.mean(1), values.var(1, unbiased=False) + 1e-3

    hooks = [norm.register_forward_pre_hook(look) for norm in norms]
    net(pictures)
    for hook in hooks:
        hook.remove()
    for norm in norms:
        mean, variance = seen[norm]
        _fill(norm, (variance + norm.eps).sqrt(), norm.bias + mean, mean, variance)


def _fill(norm: BatchNorm, scale: Tensor, shift: Tensor, mean: Tensor, variance: Tensor) -> None:
    values = {"weight": scale, "bias": shift, "running_mean": mean, "running_var": variance}
    norm.load_state_dict(values, strict=False)  # the count of batches stays as it is
