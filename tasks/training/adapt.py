"""Stage "adapt": our branches on top of a base that somebody else trained (LatentSync, MuseTalk), and the base itself
by low-rank adapters.

The base's own weights never change. What is trained are the branches that start at zero (emotion, identity, action
units, mask, fusion) and, with a rank above 0, adapters in the attention of its U-Nets (`models.lora`); temporal layers
stay. Average, optimiser and checkpoints hold only that. The model that is saved at the end is an ordinary pipeline with
the adapters merged into its weights; they also lie beside it by themselves, in ``lora/``, a file of a few megabytes.

The base is called as it is when it renders. Where its normalisation sees a whole window, training is on windows of
that length. A direct base is judged by the latents that its one evaluation gives, by their absolute error, as MuseTalk
was trained: their squared error would teach it the blurred mean. Only the reference differs: such bases are given each
frame itself when they render, but another frame here (`tasks.training.batches`), since the frame itself would give the
answer away.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models.conventions import Conventions
from models.lora import add_lora, has_lora, merged, save_adapter
from models.pipeline import DubPipeline
from storage.errors import UsageError
from tasks.training.batches import LatentBatch
from tasks.training.image import ImageTraining
from tasks.training.objectives import latent_loss
from tasks.training.schedule import Draws

BRANCHES = (
    "mask_encoder.", "identity_projection.", "emotion_space.", "emotion_control.", "action_unit_encoder.",
    "level_fusion.",
)  # fmt: skip
"""What this stage trains besides adapters."""
PARTS = ("emotion", "identity", "action_units")
"""The branches that it adds where none are asked for."""
FOLDER = "lora"
"""Of the adapters beside the saved pipeline: a file for each U-Net, in a folder of its name."""


class AdaptTraining(ImageTraining):
    """`ImageTraining` of branches and adapters on a base that stays.

    Raises:
        UsageError: there is nothing to train, no layer to adapt, or a base that sees windows and a run without.
    """

    def _freeze(self) -> None:
        run, denoiser = self.run, self.denoiser
        if denoiser.base.norm_over_window and run.window < 2:
            raise UsageError("this base is trained on windows of frames", "set the run's window to the pipeline's")
        super()._freeze()
        fixed = {name for name, weight in denoiser.named_parameters() if not weight.requires_grad}
        if run.lora_rank:
            try:
                for number, unet in enumerate((denoiser.unet, *denoiser.later_unets)):
                    add_lora(unet, run.lora_rank, run.lora_alpha, run.lora_targets, run.seed + number)
            except ValueError as error:
                raise UsageError(str(error), "see train.lora_targets in `dubwright config`") from error
        for name, weight in denoiser.named_parameters():
            weight.requires_grad_(".lora_" in name or (name.startswith(BRANCHES) and name not in fixed))
        if not self.trained:
            raise UsageError("nothing is trained", "set train.lora_rank above 0, or name branches in train.parts")

    @property
    def averaged(self) -> dict[str, nn.Parameter]:
        """Only what is trained: the average of the rest is the rest."""
        return {name: weight for name, weight in super().averaged.items() if weight.requires_grad}

    def _share_of_rate(self, name: str) -> float:
        return self.run.lora_rate if ".lora_" in name else self.run.branch_rate

    def batch(self) -> tuple[LatentBatch, Draws, Tensor | None]:
        """As `ImageTraining.batch`; all timesteps are 0 where the base is direct."""
        batch, draws, texts = super().batch()
        if self.denoiser.base.direct:
            draws.timesteps.zero_()
        return batch, draws, texts

    def _denoised(self, batch: LatentBatch, draws: Draws, texts: Tensor | None) -> tuple[Tensor, Tensor]:
        if not self.denoiser.base.direct:
            return super()._denoised(batch, draws, texts)
        with torch.autocast(self.device.type, self._dtype, enabled=self._dtype != torch.float32):
            made = self.network(draws.noise, draws.timesteps, self.conditions(batch, draws, texts))
        return latent_loss(made, batch, self.run), made.float()

    def _weights(self) -> dict[str, Tensor]:
        return {name: weight.detach() for name, weight in self.averaged.items()}

    def _finished(self, part: Any) -> Any:
        return merged(part) if has_lora(part) else super()._finished(part)

    def save_pipeline(self, folder: str | Path, dtype: torch.dtype = torch.float16) -> None:
        """Write the pipeline with the averaged weights, adapters merged, and the adapters alone in ``lora/``."""
        super().save_pipeline(folder, dtype)
        with self.with_averaged_weights():
            for name, part in self.pipeline.components.items():
                if has_lora(part):
                    save_adapter(part, Path(folder) / FOLDER / name, dtype)


def settings_of(pipeline: DubPipeline, settings: dict[str, Any]) -> dict[str, Any]:
    """How a run of this stage differs from `settings` (of `ImageRun`) because of the base.

    Windows where the base sees them; then `batch_size` counts frames, and a batch holds as many windows as they fill,
    at least one. A whole face only where there is an emotion to show, and always in its own surroundings: public bases
    have learned neither. Of these noise is drawn evenly, as they were trained.
    """
    window = int(pipeline.config.window) if pipeline.denoiser.sees_windows else 1
    changes: dict[str, Any] = {"window": window, "batch_size": max(1, settings["batch_size"] // window)}
    if not pipeline.config.whole_face:
        changes["whole_face"] = 0.0
    if pipeline.base.kind != Conventions().kind:
        changes |= {"exchange": 0.0, "noise_bias": 1.0, "terminal": 0.0}
    return changes
