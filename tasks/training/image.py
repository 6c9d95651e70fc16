"""Stage "image": the denoiser on single frames, with all its conditions. One plain step, used with and without Ray.

Everything that is random in a sample (which frame, noise, timestep, what is left out) is drawn from the seed, the
step's number and the sample's place in the batch of all workers. So the place in the data is the step's number, a
resumed run goes on exactly, and the same batch gives the same step however many workers share it.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch import distributed as dist

from models.denoiser import Conditions, Denoiser, build_ema, visual_channels
from models.emotion import image_features
from models.pipeline import DubPipeline, fast_dtype
from models.text import TextEncoder, load_text
from tasks.training.batches import LatentBatch, LatentFiles
from tasks.training.feelings import Feelings
from tasks.training.objectives import (
    clean_latents,
    clear_samples,
    decoded,
    denoising_loss,
    emotion_consistency,
)
from tasks.training.placement import in_our_alignment
from tasks.training.schedule import CONDITIONS, Draws, ImageRun, draw

__all__ = ["ImageRun", "ImageTraining", "draw"]


class ImageTraining:
    """The state of a run: weights, their average, optimiser, step.

    Args:
        pipeline: the model to train; its weights change in place. The autoencoder, the speech encoder and what the
            emotion space learned when text and picture were aligned stay as they are.
        files: latents, see `tasks.training.latents`.
        run: settings.
        device: where to train.
        network: the module whose forward is called, where it is not the bare denoiser (DDP's wrapper round it).
        rank: this worker's number; worker r takes samples r x batch_size and on of the batch of all workers.
    """

    def __init__(
        self,
        pipeline: DubPipeline,
        files: Sequence[Path],
        run: ImageRun,
        device: str | torch.device = "cpu",
        rank: int = 0,
    ) -> None:
        if not files:
            raise ValueError("no latents to train on")
        self.pipeline, self.run, self.rank = pipeline, run, rank
        settings = pipeline.config
        self.files = LatentFiles(
            files, settings.audio_context, settings.crop_size, run.whole_face, run.exchange, pipeline.base
        )
        self.device = torch.device(device)
        self.denoiser: Denoiser = pipeline.denoiser.to(self.device).train()
        self.network: nn.Module = self.denoiser
        self._freeze()
        if run.recompute:
            self.denoiser.recompute()
        self.ema = build_ema(self.averaged.values(), run.ema_decay)
        self.optimizer = torch.optim.AdamW(
            self._groups(), lr=run.rate, betas=(0.9, 0.99), weight_decay=run.weight_decay, fused=True
        )
        self.step = 0
        self._dtype = fast_dtype(self.device) if run.precision == "bf16" else torch.float32
        self._feelings: Feelings | None = None
        if self.denoiser.emotion_control is not None:
            self._feelings = Feelings(_text_encoder(pipeline), self.files.moods, self.files.captions, run.seed)
        for part in (pipeline.face_emotion, pipeline.vae):
            if part is not None:
                part.to(self.device).float().requires_grad_(False).eval()
        self._begin()

    def _begin(self) -> None:
        """What a stage needs besides; called when all else is ready."""

    @property
    def trained(self) -> list[nn.Parameter]:
        """The weights that this stage changes."""
        return [weight for weight in self.denoiser.parameters() if weight.requires_grad]

    @property
    def averaged(self) -> dict[str, nn.Parameter]:
        """The weights whose average is kept, by name: all, so that it does not depend on what a stage freezes."""
        return dict(self.denoiser.named_parameters())

    def _groups(self) -> list[dict[str, Any]]:
        """The trained weights, each with its share of the rate."""
        groups: dict[float, list[nn.Parameter]] = {}
        for name, weight in self.denoiser.named_parameters():
            if weight.requires_grad:
                groups.setdefault(self._share_of_rate(name), []).append(weight)
        return [{"params": weights, "share": share} for share, weights in groups.items()]

    def _share_of_rate(self, name: str) -> float:
        return 1.0 if name.startswith(("unet.", "later_unets.")) else self.run.branch_rate

    def _freeze(self) -> None:
        space = self.denoiser.emotion_space
        if space is not None:
            fixed: Iterable[nn.Parameter] = [*space.text.parameters(), *space.image.parameters(), space.log_scale]
            for weight in fixed:
                weight.requires_grad_(False)

    def batch(self) -> tuple[LatentBatch, Draws, Tensor | None]:
        """This worker's samples of the present step, their chances and their emotion texts [B,Dt] (None for a model
        without the branch); always the same for the same step.
        """
        run = self.run
        first = self.rank * run.batch_size
        rngs = [np.random.default_rng([run.seed, self.step, first + place]) for place in range(run.batch_size)]
        batch = self.files.draw(rngs, run.window)
        steps = self.pipeline.scheduler.config.num_train_timesteps
        draws = draw(rngs, tuple(batch.latents.shape[1:]), steps, run).of_windows(run.window)
        texts = None
        if self._feelings is not None:
            clips = batch.clip[:: run.window].tolist()
            said = [self._feelings.draw(clip, rng) for clip, rng in zip(clips, rngs, strict=True)]
            texts = torch.stack(said).repeat_interleave(run.window, 0).to(self.device)
        return batch.to(self.device), draws.to(self.device), texts

    def train_step(self) -> dict[str, float]:
        """One optimiser step: {"step", "loss", "grad_norm", "learning_rate"} and the parts of the loss."""
        rate = self.run.learning_rate(self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["share"]
        loss, parts = self.losses(*self.batch())
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.trained, self.run.max_grad_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.ema.step(self.averaged.values())
        self.step += 1
        mean = _over_workers(loss.detach())
        return {"step": self.step, "loss": mean, "grad_norm": float(norm), "learning_rate": rate} | parts

    def losses(self, batch: LatentBatch, draws: Draws, texts: Tensor | None) -> tuple[Tensor, dict[str, float]]:
        """The loss of one batch, and its parts by name where there are several."""
        run = self.run
        loss, clean = self._denoised(batch, draws, texts)
        if not run.emotion_weight or self._feelings is None:
            return loss, {}
        parts = {"denoising": loss.item()}
        rows = clear_samples(self.pipeline.scheduler, draws.timesteps, run.emotion_samples)
        felt = rows.new_zeros(())
        if len(rows):
            frames = in_our_alignment(decoded(self.pipeline.vae, clean, batch, rows), self.pipeline.base.alignment)
            felt = emotion_consistency(self.pipeline.face_emotion, frames, batch.emotion[rows], batch.intensity[rows])
            loss = loss + run.emotion_weight * felt
        return loss, parts | {"emotion": float(felt.detach())}

    def _denoised(self, batch: LatentBatch, draws: Draws, texts: Tensor | None) -> tuple[Tensor, Tensor]:
        """The denoising loss of a batch, and the clean latents [B,4,h,w] that the network sees in the noisy ones."""
        scheduler, timesteps = self.pipeline.scheduler, draws.timesteps
        noisy = scheduler.add_noise(batch.latents, draws.noise, timesteps)
        with torch.autocast(self.device.type, self._dtype, enabled=self._dtype != torch.float32):
            prediction = self.network(noisy, timesteps, self.conditions(batch, draws, texts))
        loss = denoising_loss(prediction, scheduler, batch, draws, self.run)
        return loss, clean_latents(prediction, noisy, scheduler, timesteps)

    def conditions(self, batch: LatentBatch, draws: Draws, texts: Tensor | None) -> Conditions:
        """What steers the batch, with what chance left out."""
        keep = dict(zip(CONDITIONS, draws.keep, strict=True))
        conditions = Conditions(
            visual_channels(batch.mask, batch.masked, batch.reference), batch.mask, batch.audio_tokens, batch.identity,
            keep_audio=keep["audio"], keep_identity=keep["identity"] * batch.has_identity,
            window=self.run.window if self.run.window > 1 else None,
        )  # fmt: skip
        if texts is not None:
            conditions.emotion, conditions.keep_emotion = texts, keep["emotion"]
            conditions.emotion_image = self._person(batch)
        if self.denoiser.action_unit_encoder is not None:
            conditions.action_units = batch.action_units
            conditions.keep_action_units = keep["action_units"] * batch.has_action_units
        return conditions

    @torch.no_grad()
    def _person(self, batch: LatentBatch) -> Tensor | None:
        """Image features of who is to feel, as the pipeline takes them of its reference."""
        recogniser, wanted = self.pipeline.face_emotion, self.pipeline.emotion_space.config.image_dim
        if recogniser is None:
            return batch.identity if batch.identity.shape[-1] == wanted else None
        return image_features(batch.identity, batch.face.float() / 255, recogniser)

    def state_dict(self) -> dict[str, Any]:
        """Everything a resumed run needs to go on as if it had not stopped; plain tensors and numbers."""
        return {
            "step": self.step,
            "denoiser": self._weights(),
            "ema": self.ema.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "torch_rng": torch.get_rng_state(),
            "run": asdict(self.run),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict`."""
        self.step = int(state["step"])
        self.denoiser.load_state_dict(self.denoiser.state_dict() | state["denoiser"])
        self.ema.load_state_dict(state["ema"])
        self.ema.to(self.device)
        self.optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["torch_rng"])

    def _weights(self) -> dict[str, Tensor]:
        """What a checkpoint keeps of the denoiser; the rest is as it was at the start."""
        return self.denoiser.state_dict()

    @contextlib.contextmanager
    def with_averaged_weights(self) -> Iterator[None]:
        """Inside, the denoiser has its averaged weights."""
        weights = list(self.averaged.values())
        self.ema.store(weights)
        self.ema.copy_to(weights)
        try:
            yield
        finally:
            self.ema.restore(weights)

    def save_pipeline(self, folder: str | Path, dtype: torch.dtype = torch.float16) -> None:
        """Write the pipeline with the averaged weights (safetensors); the training weights stay untouched."""
        with self.with_averaged_weights():
            parts = {name: self._finished(part) for name, part in self.pipeline.components.items()}
        for part in parts.values():
            if isinstance(part, nn.Module):
                part.to("cpu", dtype).eval()
        type(self.pipeline)(**parts, **self.pipeline.settings).save_pretrained(str(folder))

    def _finished(self, part: Any) -> Any:
        """A copy of a component of the pipeline, as it is to be saved."""
        return copy.deepcopy(part)


def _text_encoder(pipeline: DubPipeline) -> TextEncoder:
    """What reads the emotion texts of a pipeline."""
    if pipeline.text_encoder is not None and pipeline.tokenizer is not None:
        return TextEncoder(pipeline.tokenizer, pipeline.text_encoder)
    return load_text("studio")


def _over_workers(loss: Tensor) -> float:
    """The mean of a loss over all workers: that of the whole batch."""
    if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
        loss = loss.clone()
        dist.all_reduce(loss)
        loss /= dist.get_world_size()
    return float(loss)
