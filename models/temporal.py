"""Temporal attention: AnimateDiff's motion modules beside the U-Net, and windows over long runs of frames.

The modules and their places are those of diffusers' `MotionAdapter` and `UNetMotionModel` (Guo et al. 2023,
arXiv:2307.04725), so public motion modules load; they run as hooks, so the U-Net stays a `UNet2DConditionModel`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from diffusers import MotionAdapter, UNet2DConditionModel
from torch import Tensor, nn

from models.conditions import zeroed
from models.hooks import Change, Hooks

MAX_FRAMES = 32


def build_motion_adapter(unet: UNet2DConditionModel, **overrides: Any) -> MotionAdapter:
    """Untrained motion modules that fit `unet`; their last projections are zero, so frames do not see each other yet.

    At SD 1.5's size keys and shapes are `MotionAdapter()`'s own. A U-Net of one layer a block (the studio's) takes
    them on its way up only, one a block, as LatentSync's decoder-only form: there the time of a step counts.

    Args:
        overrides: arguments of diffusers' MotionAdapter that replace what follows from `unet`.
    """
    config = unet.config
    small = config.layers_per_block == 1
    settings: dict[str, Any] = {
        "block_out_channels": tuple(config.block_out_channels),
        "motion_layers_per_block": 0 if small else config.layers_per_block,
        "motion_num_attention_heads": config.attention_head_dim,
        "motion_norm_num_groups": config.norm_num_groups,
        "motion_max_seq_length": MAX_FRAMES,
        "use_motion_mid_block": not small,
    }
    adapter = MotionAdapter(**(settings | overrides))
    for name, module in adapter.named_modules():
        if name.rpartition(".")[2] == "proj_out":
            zeroed(module)
    return adapter


def motion_hooks(
    unet: UNet2DConditionModel, adapter: MotionAdapter, frames: int, call: Callable[..., Tensor] | None = None
) -> Hooks:
    """The adapter's modules, for the layers of `unet` that they follow in `UNetMotionModel`: each block's attentions,
    or its residual blocks where it has no attention.

    Args:
        frames: length of a window; the batch is windows x frames.
        call: call(module, hidden) runs a module; None: as it is.
    """

    def change(module: nn.Module) -> Change:
        of_window = partial(module, num_frames=frames)
        return of_window if call is None else partial(call, of_window)

    pairs: Hooks = []
    blocks = [*zip(unet.down_blocks, adapter.down_blocks, strict=True)]
    if adapter.mid_block is not None:
        blocks.append((unet.mid_block, adapter.mid_block))
    blocks += zip(unet.up_blocks, adapter.up_blocks, strict=True)
    for block, added in blocks:
        layers = getattr(block, "attentions", None) or block.resnets
        pairs += [(layer, change(module)) for layer, module in zip(layers, added.motion_modules, strict=False)]
    return pairs


@contextmanager
def norms_over_window(unet: UNet2DConditionModel, adapter: MotionAdapter | None, frames: int) -> Iterator[None]:
    """While open, `unet` normalises as LatentSync's code does, which differs from diffusers' in both directions.

    The GroupNorms of the residual blocks and of the output take their statistics over all frames of a window together;
    those at the head of the adapter's modules over each frame alone. The transformers' stay as they are, each frame
    alone.

    Args:
        frames: length of a window; the batch is windows x frames.
    """

    def joined(module: nn.Module, inputs: Any) -> Tensor:
        return inputs[0].unflatten(0, (-1, frames)).transpose(1, 2)

    def parted(module: nn.Module, inputs: Any, output: Tensor | None = None) -> Tensor:
        return (inputs[0] if output is None else output).transpose(1, 2).flatten(0, 1)

    def joined_again(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        return joined(module, (output,))

    blocks = (*unet.down_blocks, unet.mid_block, *unet.up_blocks)
    over = [norm for block in blocks for resnet in block.resnets for norm in (resnet.norm1, resnet.norm2)]
    handles = []
    for norm in (*over, unet.conv_norm_out):
        handles += [norm.register_forward_pre_hook(joined), norm.register_forward_hook(parted)]
    for module in () if adapter is None else motion_modules(adapter):
        handles += [
            module.norm.register_forward_pre_hook(parted), module.norm.register_forward_hook(joined_again),
        ]  # fmt: skip
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def motion_modules(adapter: MotionAdapter) -> list[Any]:
    """All temporal transformers of an adapter."""
    blocks = (*adapter.down_blocks, *(() if adapter.mid_block is None else (adapter.mid_block,)), *adapter.up_blocks)
    return [module for block in blocks for module in block.motion_modules]


def context_windows(count: int, window: int, overlap: int) -> list[slice]:
    """Windows of `window` frames that cover `count` frames, neighbours sharing at least `overlap`.

    All have the same length (the last one starts earlier rather than being short); fewer frames than a window are one.

    Raises:
        ValueError: an overlap that is not smaller than the window.
    """
    if not 0 <= overlap < window:
        raise ValueError(f"an overlap of {overlap} frames does not fit a window of {window}")
    if count <= window:
        return [slice(0, count)]
    starts = [*range(0, count - window, window - overlap), count - window]
    return [slice(start, start + window) for start in starts]


def window_weights(windows: Sequence[slice], count: int) -> Tensor:
    """float [windows,count]: what each window says about each frame counts so much; over the windows they sum to 1.

    Weights fall linearly towards a window's ends, so a frame moves from one window to the next without a jump (the
    context scheduling of AnimateDiff's long videos).
    """
    weights = torch.zeros(len(windows), count)
    for row, window in zip(weights, windows, strict=True):
        place = torch.arange(1, window.stop - window.start + 1, dtype=torch.float32)
        row[window] = torch.minimum(place, place.flip(0))
    return weights / weights.sum(0)


def over_windows(predict: Callable[[slice], Tensor], windows: Sequence[slice], count: int) -> Tensor:
    """The blend of `predict(window)` [F,...] over windows that overlap, [count,...]; one window is taken as it is."""
    if len(windows) == 1:
        return predict(windows[0])
    weights = window_weights(windows, count)
    total: Tensor | None = None
    for weight, window in zip(weights, windows, strict=True):
        part = predict(window)
        if total is None:
            total = part.new_zeros(count, *part.shape[1:])
        share = weight[window].to(part.device, part.dtype).reshape(-1, *(1,) * (part.ndim - 1))
        total[window] += part * share
    assert total is not None  # there is at least one window
    return total
