"""106 landmarks from a 192 x 192 crop: heat maps read by their mean, corrected by a global term.

A plain regression from pooled features (as in insightface's 2d106det) needs long training to become fine; the mean of
a soft heat map ("integral regression", Sun et al. 2018) is fine from the start, but cannot leave the crop and shrinks
towards its middle. The sum of both keeps what each does well.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.facepack.blocks import Residual, conv_bn

POINTS = 106
INPUT_SIZE = 192
CROP_SCALE = 1.5  # insightface crops a square of 1.5 x the box's longer side round its middle
INPUT_MEAN, INPUT_STD = 127.5, 128.0


class LandmarkNet(nn.Module):
    """Crop [B,3,192,192] float RGB, (value - 127.5) / 128 -> [B,212]: x0,y0,x1,y1,... in -1..1 over the crop."""

    def __init__(self, widths: tuple[int, int, int, int, int] = (16, 24, 48, 80, 112), neck: int = 64) -> None:
        super().__init__()
        stem, early, fine, middle, coarse = widths
        self.stem = nn.Sequential(conv_bn(3, stem, stride=2), conv_bn(stem, early, stride=2), Residual(early))
        self.fine = nn.Sequential(conv_bn(early, fine, stride=2), Residual(fine))
        self.middle = nn.Sequential(conv_bn(fine, middle, stride=2), Residual(middle))
        self.coarse = nn.Sequential(conv_bn(middle, coarse, stride=2), Residual(coarse))
        self.lateral = nn.ModuleList(conv_bn(width, neck, kernel=1) for width in (fine, middle, coarse))
        self.mix = nn.Sequential(conv_bn(neck, neck), conv_bn(neck, neck))
        self.heat = nn.Conv2d(neck, POINTS, 1)
        self.squeeze = conv_bn(coarse, 16, kernel=1)
        self.shift = nn.Linear(16 * (INPUT_SIZE // 32) ** 2, POINTS * 2)
        nn.init.normal_(self.shift.weight, std=1e-3)
        nn.init.zeros_(self.shift.bias)
        cells = INPUT_SIZE // 8
        # Cell i of the heat map looks at pixel 8 i (odd kernels, stride 2, padding 1), which is 8 i / 96 - 1 in crop
        # units.
        place = torch.arange(cells, dtype=torch.float32) * 8 / (INPUT_SIZE / 2) - 1
        y, x = torch.meshgrid(place, place, indexing="ij")
        self.register_buffer("place", torch.stack([x.reshape(-1), y.reshape(-1)], -1), persistent=False)

    def read(self, crop: Tensor) -> tuple[Tensor, Tensor]:
        """Points [B,212] as `forward` gives them, and the heat maps' logits [B,106,576] over 24 x 24 cells."""
        fine = self.fine(self.stem(crop))
        middle = self.middle(fine)
        coarse = self.coarse(middle)
        neck = self.lateral[1](middle) + F.interpolate(self.lateral[2](coarse), scale_factor=2.0, mode="nearest")
        neck = self.mix(self.lateral[0](fine) + F.interpolate(neck, scale_factor=2.0, mode="nearest"))
        # Softmax and mean in float32: a mean over 576 cells in bf16 is coarser than a pixel.
        logits = self.heat(neck).float().flatten(2)
        mean = logits.softmax(-1) @ self.place
        shift = self.shift(self.squeeze(coarse).flatten(1)).float()
        return mean.flatten(1) + shift, logits

    def forward(self, crop: Tensor) -> Tensor:
        return self.read(crop)[0]


def heat_loss(logits: Tensor, points: Tensor, spread: float = 0.6) -> Tensor:
    """Cross-entropy [B,106] of heat maps [B,106,576] against Gaussians round the true points [B,106,2] (-1..1).

    ``spread`` is in cells. It shows each map its cell at once, where the mean alone pulls on all cells and takes long.
    Points outside the crop are drawn at its edge.
    """
    cells = INPUT_SIZE // 8
    at = ((points + 1) * (INPUT_SIZE / 16)).clamp(0, cells - 1)
    steps = torch.arange(cells, device=points.device, dtype=points.dtype)
    along = torch.softmax(-((steps - at[..., None]) ** 2) / (2 * spread**2), -1)  # [B,106,2,24]
    target = (along[..., 1, :, None] * along[..., 0, None, :]).flatten(2)
    return -(target * logits.log_softmax(-1)).sum(-1)


def wing_loss(error: Tensor, width: float = 0.10, sharpness: float = 0.02) -> Tensor:
    """Wing loss (Feng et al., CVPR 2018) of an error of any shape: logarithmic below ``width``, linear above.

    It keeps pulling at errors that a squared loss would already call zero, which is what fine lip points need.
    """
    size = error.abs()
    offset = width - width * torch.log1p(torch.tensor(width / sharpness))
    return torch.where(size < width, width * torch.log1p(size / sharpness), size - offset)
