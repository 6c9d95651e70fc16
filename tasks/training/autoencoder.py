"""Stage "autoencoder": the latent space, learned from crops.

Wholly convolutional, so most steps look at parts of a crop round the mouth, where detail counts; the last steps look at
whole crops, because group normalisation sees how much picture there is.
"""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from models.autoencoder import AutoencoderKL, build_autoencoder, to_images
from models.losses import kl_divergence, psnr, reconstruction_loss, weighted_mean
from models.pipeline import fast_dtype
from models.saving import save_model
from tasks.masks import EYES, LIPS, dub_mask, label_mask
from tasks.training.data import Rows, read_clips
from tasks.training.expert_loop import AveragedWeights, Budget, learning_rate
from tasks.training.expressions import read_expressions

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AutoencoderRun:
    """Settings of the stage.

    batch: whole crops' worth of picture in a step; patch: side of the parts, pixels; whole_from: share of the budget
    after which whole crops are shown; lips, eyes, region: extra weight of these and of the repainted region; edges,
    colour, kl: weights of the losses (colour: of means over 8 x 8 pixels, without which skin and lips turn grey);
    noise: deviation of the noise added to the latents, in their own deviations (the decoder must forgive what the
    denoiser leaves); decoder_only: leave the encoder as it is, so that latents and the denoisers trained on them stay
    good.
    """

    batch: int = 3
    patch: int = 64
    whole_from: float = 0.8
    rate: float = 2.5e-3
    lips: float = 6.0
    eyes: float = 3.0
    region: float = 1.0
    edges: float = 1.5
    colour: float = 1.0
    kl: float = 1e-5
    noise: float = 0.04
    every: int = 4
    decoder_only: bool = False
    seed: int = 0


@dataclass
class Pictures:
    """Crops in memory: frames uint8 [N,S,S,3], labels uint8 [N,S,S]."""

    frames: NDArray[np.uint8]
    labels: NDArray[np.uint8]


def collect(source: Rows, split: str | None, every: int, limit: int | None = None) -> Pictures:
    """Every n-th frame of the clips of a split.

    Raises:
        ValueError: there is none.
    """
    clips = list(read_clips(source, split, every, limit))
    if not clips:
        raise ValueError(f"no usable clips in split {split!r}")
    return Pictures(np.concatenate([clip.frames for clip in clips]), np.concatenate([clip.labels for clip in clips]))


def with_expressions(pictures: Pictures, folder: Path | None) -> Pictures:
    """Pictures and those of the people of `tasks.training.expressions` that are not held out.

    A talking corpus shows few people: an autoencoder that saw no others draws the lips of new people 5 dB worse.
    """
    if folder is None:
        return pictures
    shown, _ = read_expressions(folder).split()
    labels = np.stack([label_mask(points, shown.crops.shape[1]) for points in shown.landmarks])
    return Pictures(np.concatenate([pictures.frames, shown.crops]), np.concatenate([pictures.labels, labels]))


def sample_batch(
    pictures: Pictures, run: AutoencoderRun, whole: bool, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Images [B,3,P,P] in [-1,1] and weights [B,1,P,P]; parts lie round the mouth more often than not."""
    size = pictures.frames.shape[1]
    patch = size if whole else min(run.patch, size)
    count = run.batch * (size // patch) ** 2
    region = run.region * (dub_mask(size) > 0.5)
    images, weights = [], []
    for _ in range(count):
        index = int(rng.integers(len(pictures.frames)))
        frame, labels = pictures.frames[index], pictures.labels[index]
        weight = 1 + region + run.lips * (labels == LIPS) + run.eyes * (labels == EYES)
        x = y = 0
        if not whole:
            at = rng.normal((0.5, 0.74), 0.10) if rng.random() < 0.6 else rng.uniform(0.2, 0.8, 2)
            # whole latent cells, so that a part meets the same grid as the crop does
            x, y = (int(np.clip(round((value * size - patch / 2) / 8) * 8, 0, size - patch)) for value in at)
        frame, weight = frame[y : y + patch, x : x + patch], weight[y : y + patch, x : x + patch]
        if rng.random() < 0.5:
            frame, weight = frame[:, ::-1], weight[:, ::-1]
        images.append(frame)
        weights.append(weight)
    batch = to_images(np.stack(images))
    gain = torch.from_numpy(rng.uniform(0.85, 1.15, (count, 3, 1, 1)).astype(np.float32))
    shift = torch.from_numpy(rng.uniform(-0.1, 0.1, (count, 1, 1, 1)).astype(np.float32))
    return (batch * gain + shift).clamp(-1, 1), torch.from_numpy(np.stack(weights).astype(np.float32))[:, None]


def step_loss(
    vae: AutoencoderKL, images: Tensor, weight: Tensor, run: AutoencoderRun, dtype: torch.dtype
) -> dict[str, Tensor]:
    """The losses of one batch; "loss" is what is minimised."""
    with torch.autocast(images.device.type, dtype, enabled=dtype != torch.float32):
        posterior = vae.encode(images).latent_dist
        mean = posterior.mean.float()
        latents = posterior.sample().float()
        latents = latents + run.noise * mean.detach().std() * torch.randn_like(latents)
        restored = vae.decode(latents).sample
    level, edges = reconstruction_loss(restored, images, weight)
    colour = weighted_mean(F.avg_pool2d(restored.float() - images, 8).abs(), F.avg_pool2d(weight, 8))
    kl = kl_divergence(mean, posterior.logvar.float())
    loss = level + run.edges * edges + run.colour * colour + run.kl * kl
    return {"loss": loss, "level": level, "edges": edges, "colour": colour, "kl": kl}


@torch.no_grad()
def measure(vae: AutoencoderKL, pictures: Pictures, device: torch.device, limit: int = 96) -> dict[str, float]:
    """PSNR (dB) of whole crops: everywhere, in the repainted region, in the lips; deviation and mean of the latents."""
    pick = np.linspace(0, len(pictures.frames) - 1, min(limit, len(pictures.frames))).astype(int)
    size, values, latents = pictures.frames.shape[1], [], []
    region = torch.from_numpy(dub_mask(size))[None, None].to(device)
    for part in np.array_split(pick, -(-len(pick) // 16)):
        images = to_images(pictures.frames[part]).to(device)
        lips = torch.from_numpy((pictures.labels[part] == LIPS).astype(np.float32))[:, None].to(device)
        mean = vae.encode(images).latent_dist.mode()
        restored = vae.decode(mean).sample.clamp(-1, 1)
        values.append(torch.stack([psnr(restored, images, mask) for mask in (None, region, lips)], 1))
        latents.append(mean.float().cpu())
    whole, inside, lip = torch.cat(values).mean(0).tolist()
    z = torch.cat(latents)
    return {
        "psnr": whole,
        "psnr_region": inside,
        "psnr_lips": lip,
        "latent_std": float(z.std()),
        "latent_mean": float(z.mean()),
    }


def train_autoencoder(
    source: Rows,
    out: str | Path,
    *,
    profile: str = "studio",
    steps: int | None = None,
    minutes: float | None = None,
    device: str = "cpu",
    run: AutoencoderRun | None = None,
    init: str | Path | None = None,
    expressions: Path | None = None,
    report: Callable[[dict[str, Any]], None] | None = None,
    preview: Callable[[AutoencoderKL, int], None] | None = None,
    report_every: int = 100,
) -> dict[str, Any]:
    """Train the autoencoder and save it (safetensors) as `out`, scaled so that latents have mean 0 and deviation 1.

    Args:
        source: see `tasks.training.data.rows_of`; trained on split "train", measured on "val" (else "train").
        steps, minutes: the budget, whichever ends first.
        init: a saved autoencoder to go on from.
        expressions: a folder of `tasks.training.expressions`: more people to learn from.
        report: called with losses every `report_every` steps.
        preview: called with the averaged model and the step, as often; for a look at what it does.
    Returns:
        the last measures, and "steps", "seconds".
    """
    run = run or AutoencoderRun()
    torch.manual_seed(run.seed)
    rng = np.random.default_rng(run.seed)
    train = with_expressions(collect(source, "train", run.every), expressions)
    held = _held_out(source, train, run)
    vae = build_autoencoder(profile)
    if init is not None:
        vae = type(vae).from_pretrained(str(init), use_safetensors=True, local_files_only=True, low_cpu_mem_usage=False)
    place = torch.device(device)
    vae.to(place).train()
    average = AveragedWeights(vae, 0.995)
    if run.decoder_only:
        for part in (vae.encoder, vae.quant_conv):
            part.requires_grad_(False)
    learning = [parameter for parameter in vae.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=run.rate, betas=(0.9, 0.99), weight_decay=1e-4, fused=True)
    budget = Budget(steps, minutes)
    started, step, dtype = time.monotonic(), 0, fast_dtype(place)
    while (progress := budget.progress(step)) < 1:
        images, weight = sample_batch(train, run, progress >= run.whole_from, rng)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(progress, run.rate)
        losses = step_loss(vae, images.to(place), weight.to(place), run, dtype)
        losses["loss"].backward()
        torch.nn.utils.clip_grad_norm_(learning, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        average.update(vae)
        step += 1
        if preview and step % report_every == 0:
            preview(_averaged(vae, average), step)
        if report and step % report_every == 0:
            seconds = (time.monotonic() - started) / step
            report(
                {"step": step, "seconds_per_step": seconds}
                | {name: float(value.detach()) for name, value in losses.items()}
            )
    vae.load_state_dict(average.state)
    vae.eval()
    metrics = measure(vae, held, place)
    vae.register_to_config(
        scaling_factor=float(vae.config.scaling_factor if init else 1 / metrics["latent_std"]),
        shift_factor=float(vae.config.shift_factor or 0.0) if init else metrics["latent_mean"],
    )
    save_model(vae, out)
    return metrics | {"steps": step, "seconds": time.monotonic() - started, "run": asdict(run)}


def _averaged(vae: AutoencoderKL, average: AveragedWeights) -> AutoencoderKL:
    copied = copy.deepcopy(vae)
    copied.load_state_dict(average.state)
    return copied.eval()


def _held_out(source: Rows, train: Pictures, run: AutoencoderRun) -> Pictures:
    try:
        return collect(source, "val", run.every, limit=24)
    except ValueError:
        return train


def region_weights(labels: NDArray[np.uint8], size: int, lip_weight: float) -> Tensor:
    """Loss weights of latents [T,1,size,size] from labels [T,S,S]: 1, more towards the lips (area averaged)."""
    lips = torch.from_numpy((labels == LIPS).astype(np.float32))[:, None]
    return 1 + lip_weight * F.adaptive_avg_pool2d(lips, size)
