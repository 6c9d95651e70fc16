"""A face recogniser: 112 x 112 aligned face -> 512 numbers whose direction says who it is."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.facepack.blocks import Residual, conv_bn

INPUT_SIZE = 112
EMBEDDING = 512  # the width that insightface's packs have, so that packs can be exchanged
INPUT_MEAN, INPUT_STD = 127.5, 127.5


class FaceEmbedder(nn.Module):
    """Face [B,3,112,112] float RGB, (value - 127.5) / 127.5, aligned to ArcFace's template -> embedding [B,512].

    The last map is read by a depthwise 7 x 7 convolution (MobileFaceNet, Chen et al. 2018): each place of an aligned
    face has its own weight, which global pooling would throw away.
    """

    def __init__(self, widths: tuple[int, int, int, int] = (32, 64, 96, 160), embedding: int = EMBEDDING) -> None:
        super().__init__()
        stem, fine, middle, coarse = widths
        self.body = nn.Sequential(
            conv_bn(3, stem, stride=2),
            conv_bn(stem, fine, stride=2),
            Residual(fine),
            conv_bn(fine, middle, stride=2),
            Residual(middle),
            conv_bn(middle, coarse, stride=2),
            Residual(coarse),
        )
        self.read = nn.Sequential(
            nn.Conv2d(coarse, coarse, INPUT_SIZE // 16, groups=coarse, bias=False), nn.BatchNorm2d(coarse)
        )
        self.project = nn.Linear(coarse, embedding, bias=False)
        self.norm = nn.BatchNorm1d(embedding)

    def forward(self, face: Tensor) -> Tensor:
        return self.norm(self.project(self.read(self.body(face)).flatten(1)).float())


class CosineMargin(nn.Module):
    """CosFace (Wang et al., CVPR 2018): cross-entropy over cosines, the right one made harder by ``margin``."""

    def __init__(self, identities: int, embedding: int = EMBEDDING, scale: float = 32.0, margin: float = 0.30) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(identities, embedding) / math.sqrt(embedding))
        self.scale, self.margin = scale, margin

    def forward(self, embedding: Tensor, identity: Tensor, margin: float | None = None) -> Tensor:
        """Embedding [B,D], identity [B] long -> scalar loss; ``margin`` overrides the module's (warm-up)."""
        cosine = F.linear(F.normalize(embedding), F.normalize(self.weight))
        taken = self.margin if margin is None else margin
        cosine = cosine - taken * F.one_hot(identity, cosine.shape[1])
        return F.cross_entropy(self.scale * cosine, identity)
