"""Stage "video": temporal attention on windows of frames; what a single frame does stays as it is.

Beside the denoising loss, decoded windows are compared with the true ones: as pictures, by what the action-unit reader
sees in them and how that moves (in place of LPIPS and of LatentSync's VideoMAE features, of which the studio pack has
no copies), and, where an expert for the loss is given, by the sync expert's representation of the mouth's movement.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from models.action_unit_reader import ActionUnitReader, load_action_units
from models.losses import reconstruction_loss
from models.sync import SyncExpert, load_sync_expert, mouth_region
from tasks.training.batches import LatentBatch
from tasks.training.image import ImageTraining
from tasks.training.objectives import clear_samples, decoded, emotion_consistency
from tasks.training.schedule import Draws

TEMPORAL = ("motion_adapter.", "level_fusion.motion.", "level_fusion.moved.")
"""The weights that this stage changes: those through which frames see each other."""


class VideoTraining(ImageTraining):
    """`ImageTraining` on windows of `run.window` frames, of the temporal layers alone.

    Raises:
        ValueError: the pipeline has no temporal layers, or the run no window.
    """

    def _begin(self) -> None:
        self.reader: ActionUnitReader = load_action_units().to(self.device)
        self.expert: SyncExpert | None = None
        if self.run.sync_expert:
            self.expert = load_sync_expert(self.run.sync_expert).to(self.device).requires_grad_(False)

    def _freeze(self) -> None:
        if self.denoiser.motion_adapter is None or self.run.window < 2:
            raise ValueError("the stage `video` trains temporal layers on windows: add the part and set the window")
        super()._freeze()
        for name, weight in self.denoiser.named_parameters():
            weight.requires_grad_(name.startswith(TEMPORAL))

    def losses(self, batch: LatentBatch, draws: Draws, texts: Tensor | None) -> tuple[Tensor, dict[str, float]]:
        """The denoising loss, and on one decoded window those of picture, movement and emotion."""
        run = self.run
        loss, clean = self._denoised(batch, draws, texts)
        parts = {"denoising": loss.item()}
        # whole windows: they share their timestep
        rows = clear_samples(self.pipeline.scheduler, draws.timesteps, run.window)
        if not len(rows):
            return loss, parts
        made = decoded(self.pipeline.vae, clean, batch, rows)
        with torch.no_grad():
            true = decoded(self.pipeline.vae, batch.latents, batch, rows)
        extra = self._seen(made, true, batch.mask[rows])
        if self._feelings is not None and run.emotion_weight:
            felt = emotion_consistency(self.pipeline.face_emotion, made, batch.emotion[rows], batch.intensity[rows])
            extra["emotion"] = (run.emotion_weight, felt)
        for name, (weight, value) in extra.items():
            loss = loss + weight * value
            parts[name] = float(value.detach())
        return loss, parts

    def _seen(self, made: Tensor, true: Tensor, mask: Tensor) -> dict[str, tuple[float, Tensor]]:
        """Name → (weight, loss) of a window [F,3,S,S] in 0..1 against the true one."""
        run = self.run
        level, edges = reconstruction_loss(made * 2 - 1, true * 2 - 1, mask + 0.05)
        ours, theirs = self.reader.features(made), self.reader.features(true)
        apart = F.mse_loss(ours, theirs) / theirs.var().clamp(min=1e-6)
        moves = F.mse_loss(ours.diff(dim=0), theirs.diff(dim=0)) / theirs.diff(dim=0).var().clamp(min=1e-6)
        found = {
            "perceptual": (run.perceptual_weight, level + edges + 0.1 * apart),
            "temporal": (run.temporal_weight, moves),
        }
        if self.expert is not None and len(made) == run.window == 16:
            first, second = (self.expert.embed_frames(mouth_region(frames)[None]) for frames in (made, true))
            found["sync"] = (run.sync_weight, 1 - (first * second).sum(-1).mean())
        return found
