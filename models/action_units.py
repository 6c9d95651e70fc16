"""Action units: FACS intensities as tokens, and a residual encoder for what the single units do not explain.

After MF-ETalk (Electronics 2025, 14(13), 2684): action units disentangle an expression, but faces are not the sum of
their units (a smile with AU6 pulls the cheeks over the eyes); the residual encoder models these combinations.
"""

from __future__ import annotations

import torch

# diffusers looks for its base classes in the module that a pipeline's component comes from
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from models.conditions import ContextReader, zeroed

AUS = (
    "AU1", "AU2", "AU4", "AU5", "AU6", "AU7", "AU9", "AU10", "AU12L", "AU12R",
    "AU14L", "AU14R", "AU15", "AU17", "AU20", "AU23", "AU25", "AU26", "AU43L", "AU43R",
)  # fmt: skip
"""What is measured, in this order: intensities in 0..1; L and R are the subject's own left and right."""


class ActionUnitEncoder(ModelMixin, ConfigMixin):
    """Intensities of action units become one token each (a learned direction times the intensity), and further tokens
    of the residual encoder.

    Forward: intensities float [B,units] in 0..1 to (tokens [B,units+residual_tokens,width], pooled [B,pooled_dim] or
    None). The pooled vector is zero at the start, and so is what `read` adds to the context.

    Args:
        units: number of action units.
        width: of the U-Net's cross-attention.
        residual_tokens: tokens of the residual encoder.
        hidden: its width inside.
        pooled_dim: width of the U-Net's pooled vector, or None.
    """

    @register_to_config
    def __init__(
        self,
        units: int = len(AUS),
        width: int = 192,
        residual_tokens: int = 4,
        hidden: int = 128,
        pooled_dim: int | None = 256,
    ) -> None:
        super().__init__()
        self.directions = nn.Parameter(torch.randn(units, width))
        self.position = nn.Parameter(torch.randn(units + residual_tokens, width) * 0.02)
        self.combine = nn.Sequential(nn.Linear(units, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU())
        self.residual = nn.Linear(hidden, residual_tokens * width)
        self.reader = ContextReader(width)
        self.pool = nn.Linear(units + hidden, pooled_dim) if pooled_dim else None
        if self.pool is not None:
            zeroed(self.pool)

    def forward(self, action_units: Tensor) -> tuple[Tensor, Tensor | None]:
        if action_units.shape[-1] != self.config.units:
            raise ValueError(f"expected {self.config.units} action units a frame, got {action_units.shape[-1]}")
        single = action_units[..., None] * self.directions
        combined = self.combine(action_units)
        rest = self.residual(combined).unflatten(-1, (self.config.residual_tokens, -1))
        tokens = torch.cat([single, rest], dim=1) + self.position
        pooled = None if self.pool is None else self.pool(torch.cat([action_units, combined], dim=-1))
        return tokens, pooled

    def read(self, context: Tensor, tokens: Tensor) -> Tensor:
        """What is added to the context [B,N,W] of the U-Net's cross-attention, [B,N,W]; zero at the start."""
        return self.reader(context, tokens)
