"""An SCRFD-style face detector: three strides, two anchors a cell, score + box + five points.

Layout of the outputs and of the decoding follows insightface's SCRFD (Guo et al., "Sample and Computation
Redistribution for Efficient Face Detection", 2021): the cell (i, j) of stride s stands at pixel (s*j, s*i), boxes are
distances to the four sides and points are offsets, both in units of the stride.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.facepack.blocks import Residual, conv_bn

STRIDES = (8, 16, 32)
ANCHORS = 2
INPUT_MEAN, INPUT_STD = 127.5, 128.0  # what insightface subtracts and divides by before it runs a detector


@dataclass
class Detections:
    """Raw predictions for all N anchors of a batch, levels in the order of `STRIDES`.

    logits [B,N], distances [B,N,4] (left, top, right, bottom, >= 0) and points [B,N,5,2], the last two in strides.
    """

    logits: Tensor
    distances: Tensor
    points: Tensor


def anchor_centres(height: int, width: int) -> tuple[Tensor, Tensor]:
    """Pixel positions [N,2] (x, y) and strides [N] of all anchors of an H x W input (both multiples of 32)."""
    centres, strides = [], []
    for stride in STRIDES:
        rows, columns = height // stride, width // stride
        y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
        grid = torch.stack([x, y], -1).reshape(-1, 1, 2).expand(-1, ANCHORS, -1).reshape(-1, 2) * stride
        centres.append(grid.float())
        strides.append(torch.full((len(grid),), float(stride)))
    return torch.cat(centres), torch.cat(strides)


def decode_boxes(centres: Tensor, strides: Tensor, distances: Tensor) -> Tensor:
    """Distances [...,N,4] in strides -> boxes [...,N,4] x0,y0,x1,y1 in pixels."""
    reach = distances * strides[:, None]
    return torch.cat([centres - reach[..., :2], centres + reach[..., 2:]], -1)


def decode_points(centres: Tensor, strides: Tensor, points: Tensor) -> Tensor:
    """Offsets [...,N,5,2] in strides -> points [...,N,5,2] in pixels."""
    return centres[:, None] + points * strides[:, None, None]


class Context(nn.Module):
    """Adds what lies further away: two chained 5 x 5 maximum pools and a 1 x 1 convolution (YOLO's SPPF)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(5, 1, 2)
        self.join = conv_bn(width * 3, width, kernel=1)

    def forward(self, x: Tensor) -> Tensor:
        near = self.pool(x)
        return self.join(torch.cat([x, near, self.pool(near)], 1))


class Head(nn.Module):
    """Two convolutions and one prediction layer for one stride; the scores start at 1 % (Lin et al. 2017)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv_bn(width, width), conv_bn(width, width))
        self.score = nn.Conv2d(width, ANCHORS, 3, padding=1)
        self.box = nn.Conv2d(width, ANCHORS * 4, 3, padding=1)
        self.points = nn.Conv2d(width, ANCHORS * 10, 3, padding=1)
        nn.init.normal_(self.score.weight, std=0.01)
        for layer, start in ((self.score, -4.6), (self.box, 2.0)):
            assert layer.bias is not None
            nn.init.constant_(layer.bias, start)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[B,C,h,w] -> logits [B,h*w*2,1], distances [B,h*w*2,4], points [B,h*w*2,10]."""
        batch = x.shape[0]
        x = self.stem(x)
        score = self.score(x).permute(0, 2, 3, 1).reshape(batch, -1, 1)
        box = F.softplus(self.box(x)).permute(0, 2, 3, 1).reshape(batch, -1, 4)
        points = self.points(x).permute(0, 2, 3, 1).reshape(batch, -1, 10)
        return score, box, points


class FaceDetector(nn.Module):
    """Image [B,3,H,W] float RGB, (value - 127.5) / 128, H and W multiples of 32 -> `Detections`."""

    def __init__(self, widths: tuple[int, int, int, int, int] = (16, 24, 40, 72, 104), neck: int = 40) -> None:
        super().__init__()
        stem, early, fine, middle, coarse = widths
        self.stem = nn.Sequential(conv_bn(3, stem, stride=2), conv_bn(stem, early, stride=2))
        self.fine = nn.Sequential(conv_bn(early, fine, stride=2), Residual(fine))
        self.middle = nn.Sequential(conv_bn(fine, middle, stride=2), Residual(middle))
        self.coarse = nn.Sequential(conv_bn(middle, coarse, stride=2), Residual(coarse), Context(coarse))
        self.lateral = nn.ModuleList(conv_bn(width, neck, kernel=1) for width in (fine, middle, coarse))
        self.smooth = nn.ModuleList(conv_bn(neck, neck) for _ in range(2))
        self.heads = nn.ModuleList(Head(neck) for _ in STRIDES)

    def levels(self, image: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Predictions of each stride, finest first: see `Head.forward`."""
        fine = self.fine(self.stem(image))
        middle = self.middle(fine)
        coarse = self.lateral[2](self.coarse(middle))
        middle = self.lateral[1](middle) + F.interpolate(coarse, scale_factor=2.0, mode="nearest")
        fine = self.lateral[0](fine) + F.interpolate(middle, scale_factor=2.0, mode="nearest")
        maps = (self.smooth[0](fine), self.smooth[1](middle), coarse)
        return [head(features) for head, features in zip(self.heads, maps, strict=True)]

    def forward(self, image: Tensor) -> Detections:
        logits, boxes, points = (torch.cat(parts, 1) for parts in zip(*self.levels(image), strict=True))
        return Detections(logits[..., 0], boxes, points.reshape(*points.shape[:2], 5, 2))
