"""Frame interpolation: the frame between two, by warping both along a learned flow and repairing what that leaves.

The model renders every second frame where motion allows; this network fills in the rest. It is a small intermediate
flow network (RIFE, Huang et al. 2022, arXiv:2011.06294): coarse to fine, each level corrects flow and blend mask. In a
dub more than the two neighbours is known of the frame between them: its picture outside the repainted region and its
sound. The first tells where the head is, the second what the mouth does; both go in.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

# diffusers looks for its base classes in the module that a pipeline's component comes from
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from models.autoencoder import to_frames, to_images
from models.blending import compose
from models.conditions import zeroed

PACKS = Path(__file__).parent / "packs"
FLOWS = 4
"""Two flows of two channels: where the middle frame's pixels lie in the first and in the second frame."""
CHANGES = FLOWS + 1 + 3
"""What a level adds to: flows, logit of the blend mask, residual."""
CUE = (3, 2, 6)
"""Shape of the sound's cue: three moments (first, middle, second frame), each and 20 ms after it, six articulators."""


class MissingInterpolator(FileNotFoundError):
    """The interpolator is not where it was looked for; `remedy` says what to do about it."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


def warp(images: Tensor, flow: Tensor) -> Tensor:
    """Images [B,C,H,W] read at each pixel's place plus `flow` [B,2,H,W] (x, y in pixels), borders continued."""
    height, width = images.shape[-2:]
    ys = torch.arange(height, device=images.device, dtype=torch.float32)
    xs = torch.arange(width, device=images.device, dtype=torch.float32)
    x = (xs[None, None] + flow[:, 0].float()) * (2 / max(width - 1, 1)) - 1
    y = (ys[None, :, None] + flow[:, 1].float()) * (2 / max(height - 1, 1)) - 1
    grid = torch.stack([x, y], dim=-1)
    return F.grid_sample(images.float(), grid, padding_mode="border", align_corners=True).to(images.dtype)


class FlowLevel(nn.Module):
    """One level: at a `scale`-th of the size, what to add to flows (4), mask logit (1) and residual (3); zero at the
    start. The cue [B,D] scales and shifts its channels (FiLM)."""

    def __init__(self, inner: int, channels: int, layers: int, scale: int, cue: int) -> None:
        super().__init__()
        self.scale = scale
        self.enter = nn.Sequential(
            nn.Conv2d(inner, channels // 2, 3, stride=2, padding=1), nn.PReLU(channels // 2),
            nn.Conv2d(channels // 2, channels, 3, padding=1), nn.PReLU(channels),
        )  # fmt: skip
        self.film = zeroed(nn.Linear(cue, 2 * channels))
        self.body = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(layers))
        self.act = nn.PReLU(channels)
        self.out = zeroed(nn.Conv2d(channels, 4 * CHANGES, 3, padding=1))

    def forward(self, x: Tensor, flow: Tensor, cue: Tensor) -> Tensor:
        size = x.shape[-2:]
        x = torch.cat([x, flow / self.scale], dim=1)
        if self.scale > 1:
            x = F.avg_pool2d(x, self.scale)
        x = self.enter(x)
        stretch, shift = self.film(cue)[..., None, None].chunk(2, dim=1)
        x = x * (1 + stretch) + shift
        for conv in self.body:
            x = x + self.act(conv(x))
        x = F.pixel_shuffle(self.out(x), 2)  # the entrance halved the size
        if self.scale > 1:
            x = F.interpolate(x, size=size, mode="bilinear", align_corners=False)
        # flows were found in pixels of this level
        return torch.cat([x[:, :FLOWS] * self.scale, x[:, FLOWS:]], dim=1)


class FrameInterpolator(ModelMixin, ConfigMixin):
    """The frame in the middle of two; less than 0.3 million parameters. Untrained it is the mean of the two.

    Forward: first and second frame float [B,3,H,W] in [-1,1] to the middle one [B,3,H,W]; H and W are multiples of
    twice the largest scale. Optional: `surround` [B,3,H,W], the middle frame where it is known, with `mask` [B,1,H,W],
    1 where it is not; `cue` float [B,3,2,6], the articulators that are heard (`CUE`).

    Args:
        channels: inside each level, even.
        layers: convolutions of each level's body.
        scales: of the levels, from coarse to fine.
        cue_channels: width of what the levels hear.
        crop_size: side of the crops it was trained on, pixels.
    """

    @register_to_config
    def __init__(
        self,
        channels: Sequence[int] = (56, 48, 32),
        layers: int = 3,
        scales: Sequence[int] = (4, 2, 1),
        cue_channels: int = 32,
        crop_size: int = 128,
    ) -> None:
        super().__init__()
        # one more input than the cue has: whether there is any
        self.listen = nn.Sequential(nn.Linear(int(np.prod(CUE)) + 1, cue_channels), nn.PReLU(cue_channels))
        # both frames, both warped, surround, where it is unknown, blend mask, flows
        inner = 15 + 1 + 1 + FLOWS
        self.levels = nn.ModuleList(
            FlowLevel(inner, width, layers, scale, cue_channels) for width, scale in zip(channels, scales, strict=True)
        )

    def forward(
        self,
        first: Tensor,
        second: Tensor,
        surround: Tensor | None = None,
        mask: Tensor | None = None,
        cue: Tensor | None = None,
    ) -> Tensor:
        flow, share, residual = self.estimate(first, second, surround, mask, cue)
        return blend(first, second, flow, share, residual)

    def estimate(
        self,
        first: Tensor,
        second: Tensor,
        surround: Tensor | None = None,
        mask: Tensor | None = None,
        cue: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Flows [B,4,H,W] in pixels, share of the first frame [B,1,H,W], residual [B,3,H,W]; arguments as forward."""
        count, size = len(first), first.shape[-2:]
        unknown = first.new_ones(count, 1, *size) if mask is None else mask
        seen = torch.zeros_like(first) if surround is None else surround * (1 - unknown)
        heard = self._heard(cue, first)
        changes = first.new_zeros(count, CHANGES, *size)
        warped = (first, second)
        for index, level in enumerate(self.levels):
            flow, logit = changes[:, :FLOWS], changes[:, FLOWS : FLOWS + 1]
            if index:
                warped = (warp(first, flow[:, :2]), warp(second, flow[:, 2:]))
            changes = changes + level(torch.cat([first, second, *warped, seen, unknown, logit], dim=1), flow, heard)
        return changes[:, :FLOWS], torch.sigmoid(changes[:, FLOWS : FLOWS + 1]), changes[:, FLOWS + 1 :]

    def _heard(self, cue: Tensor | None, like: Tensor) -> Tensor:
        if cue is None:
            cue = like.new_zeros(len(like), int(np.prod(CUE)) + 1)
        else:
            cue = F.pad(cue.to(like).flatten(1), (0, 1), value=1.0)
        heard: Tensor = self.listen(cue)
        return heard


def blend(first: Tensor, second: Tensor, flow: Tensor, share: Tensor, residual: Tensor) -> Tensor:
    """Both frames [B,3,H,W] read along their flows [B,4,H,W] and mixed by `share` [B,1,H,W], with the residual."""
    return warp(first, flow[:, :2]) * share + warp(second, flow[:, 2:]) * (1 - share) + residual


def load_interpolator(source: str | Path = "studio") -> FrameInterpolator:
    """Load in float32 on the CPU, ready for inference.

    Args:
        source: the name of a shipped pack ("studio"), or a folder written by `save_pretrained`.
    Raises:
        MissingInterpolator: nothing of that name or path exists.
    """
    folder = weights_file(source).parent
    model = FrameInterpolator.from_pretrained(
        str(folder), use_safetensors=True, local_files_only=True, low_cpu_mem_usage=False
    )
    return model.float().eval().requires_grad_(False)


def weights_file(source: str | Path = "studio") -> Path:
    """Where the weights of `load_interpolator` lie; arguments and errors as there."""
    folder = Path(source) if Path(source).is_dir() else PACKS / str(source) / "interpolator"
    file = folder / "diffusion_pytorch_model.safetensors"
    if not file.is_file() or not (folder / "config.json").is_file():
        raise MissingInterpolator(
            f"no frame interpolator at {source}",
            "name the pack 'studio', or a folder that `dubwright train --stage interpolator` wrote",
        )
    return file


def work_box(mask: NDArray[np.floating], multiple: int = 8, margin: int = 4) -> tuple[slice, slice]:
    """Rows and columns round what a mask [S,S] repaints, `margin` pixels wider, on a grid of `multiple` pixels.

    All of the crop where the mask is empty.
    """
    size, found = mask.shape[0], np.argwhere(mask > 0)
    low, high = (found.min(0), found.max(0) + 1) if len(found) else (np.zeros(2, int), np.full(2, size))
    low = np.maximum((low - margin) // multiple * multiple, 0)
    high = np.minimum(-(-(high + margin) // multiple) * multiple, size)
    return slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1]))


@torch.no_grad()
def interpolate(
    model: FrameInterpolator,
    first: NDArray[np.uint8],
    second: NDArray[np.uint8],
    middle: NDArray[np.uint8],
    mask: NDArray[np.floating],
    cue: NDArray[np.floating] | Tensor | None = None,
    batch_size: int = 16,
) -> NDArray[np.uint8]:
    """The middle frames of pairs of aligned crops.

    Crops of another size than the network was trained on are shrunk (or enlarged) for finding the flow; the pixels are
    moved at their own size.

    Args:
        first, second: uint8 RGB [B,S,S,3], repainted.
        middle: uint8 [B,S,S,3], not repainted; it comes back untouched where `mask` is 0.
        mask: float [S,S], 1 where to paint.
        cue: float [B,3,2,6], see `CUE`; None: nothing is heard.
    Returns:
        uint8 [B,S,S,3].
    Raises:
        ValueError: a size of crops that is no multiple of 8.
    """
    size, base = mask.shape[0], int(model.config.crop_size)
    if size % 8:
        raise ValueError(f"crops of {size} pixels: the side must be a multiple of 8")
    small = mask if size == base else _resized(torch.from_numpy(np.asarray(mask, np.float32))[None, None], base)[0, 0]
    rows, columns = work_box(np.asarray(small))
    scale = size / base
    own = tuple(slice(round(part.start * scale), round(part.stop * scale)) for part in (rows, columns))
    heard = None if cue is None else torch.as_tensor(cue, dtype=torch.float32)
    painted = middle.copy()
    for start in range(0, len(first), batch_size):
        part = slice(start, start + batch_size)
        images = [to_images(frames[part]).to(model.device, model.dtype) for frames in (first, second, middle)]
        unknown = torch.from_numpy(np.asarray(mask, np.float32)).to(images[0])[None, None]
        unknown = (unknown > 0).to(images[0]).expand(len(images[0]), -1, -1, -1)
        shrunk = [x if size == base else _resized(x, base) for x in (*images, unknown)]
        a, b, seen, where = (x[..., rows, columns] for x in shrunk)
        flow, share, residual = model.estimate(
            a, b, seen, (where > 0).to(a), None if heard is None else heard[part].to(model.device)
        )
        a, b = (x[..., own[0], own[1]] for x in images[:2])
        if size != base:
            flow, share, residual = (
                F.interpolate(x, size=a.shape[-2:], mode="bilinear", align_corners=False)
                for x in (flow * scale, share, residual)
            )
        painted[part, own[0], own[1]] = to_frames(blend(a, b, flow, share, residual))
    return compose(middle, painted, mask)


def _resized(x: Tensor, size: int) -> Tensor:
    return F.interpolate(x, size=(size, size), mode="bilinear", antialias=True, align_corners=False)
