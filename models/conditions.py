"""What steers the denoiser beside the picture: where to paint (mask), who it is (identity), what is said (audio).

Each is a diffusers model that saves itself. Each can be left out; the branches that are added to a pretrained denoiser
(mask, identity) start at zero, so that at step 0 it computes exactly what it did without them.
"""

from __future__ import annotations

from itertools import pairwise

import torch

# diffusers looks for its base classes in the module that a pipeline's component comes from
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn
from torch.nn import functional as F


def zeroed(module: nn.Module) -> nn.Module:
    """`module` with all its parameters set to zero: how every added branch ends."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module


class ContextReader(nn.Module):
    """Lets the context of the U-Net's cross-attention read further tokens, by an attention whose output starts at zero.

    Tokens that were appended to the context would change every softmax over it, however small they are; read into it,
    they change nothing until training has something to say.

    Forward: context [B,N,width], tokens [B,T,width] to what is to be added to the context, [B,N,width].
    """

    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.norm_tokens = nn.LayerNorm(width)
        self.norm_context = nn.LayerNorm(width)
        self.attention = Attention(width, cross_attention_dim=width, heads=heads, dim_head=width // heads)
        zeroed(self.attention.to_out[0])

    def forward(self, context: Tensor, tokens: Tensor) -> Tensor:
        return self.attention(self.norm_context(context), self.norm_tokens(tokens))


class MaskEncoder(ModelMixin, ConfigMixin):
    """Says *where* to generate: the mask at full resolution becomes features added after the denoiser's `conv_in`.

    Forward: mask float [B,in_channels,S,S] in 0..1 to [B,out_channels,S/8,S/8], zero at the start of training.
    """

    @register_to_config
    def __init__(self, in_channels: int = 1, channels: tuple[int, ...] = (8, 16, 32), out_channels: int = 64) -> None:
        super().__init__()
        widths = (in_channels, *channels)
        self.down = nn.ModuleList(nn.Conv2d(inner, outer, 3, stride=2, padding=1) for inner, outer in pairwise(widths))
        self.out = zeroed(nn.Conv2d(widths[-1], out_channels, 3, padding=1))

    def forward(self, mask: Tensor) -> Tensor:
        x = mask
        for conv in self.down:
            x = F.silu(conv(x))
        return self.out(x)


class AudioProjection(ModelMixin, ConfigMixin):
    """Speech features round one frame as context tokens for cross-attention, and pooled for the time embedding.

    The pooled vector goes through the denoiser's own `class_embed_type="simple_projection"`: it modulates every
    residual block, which learns in far fewer steps than cross-attention alone.

    Forward: tokens [B,N,in_dim] to (tokens [B,N,out_dim], pooled [B,pooled_dim]). N is fixed (`num_tokens`): the
    pooled vector reads the window in its order.
    """

    @register_to_config
    def __init__(self, in_dim: int = 192, out_dim: int = 192, num_tokens: int = 10, pooled_dim: int = 256) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(in_dim)
        self.token = nn.Linear(in_dim, out_dim)
        self.position = nn.Parameter(torch.randn(num_tokens, out_dim) * 0.02)
        window = num_tokens * in_dim
        self.pool = nn.Sequential(nn.Linear(window, pooled_dim), nn.SiLU(), nn.Linear(pooled_dim, pooled_dim))

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        if tokens.shape[1] != self.config.num_tokens:
            raise ValueError(f"expected {self.config.num_tokens} audio tokens a frame, got {tokens.shape[1]}")
        tokens = self.norm(tokens)
        return self.token(tokens) + self.position, self.pool(tokens.flatten(1))


class IdentityProjection(ModelMixin, ConfigMixin):
    """A face embedding becomes identity tokens, which the context attends to.

    The attention's output starts at zero and is added to the context, so the denoiser's cross-attention sees the same
    context as before until training has something to say (a gated residual, as Flamingo's cross-attention layers).

    Forward: context [B,N,width], embedding [B,embedding_dim] (unit length) to what is to be added, [B,N,width].
    """

    @register_to_config
    def __init__(self, embedding_dim: int = 512, width: int = 192, num_tokens: int = 4, heads: int = 4) -> None:
        super().__init__()
        self.tokens = nn.Linear(embedding_dim, num_tokens * width)
        self.norm_tokens = nn.LayerNorm(width)
        self.norm_context = nn.LayerNorm(width)
        self.attention = Attention(width, cross_attention_dim=width, heads=heads, dim_head=width // heads)
        zeroed(self.attention.to_out[0])

    def forward(self, context: Tensor, embedding: Tensor) -> Tensor:
        # unit embeddings have entries of about 1/sqrt(D): bring them to unit variance
        tokens = self.tokens(embedding * embedding.shape[-1] ** 0.5).unflatten(-1, (self.config.num_tokens, -1))
        return self.attention(self.norm_context(context), self.norm_tokens(tokens))
