"""Trains the frame interpolator: of three neighbouring crops of a speaking face the middle one, from the outer two.

What is known when dubbing is known here too: the middle crop outside the repainted region, and what is heard. Crops
are shown as a detector, other cameras and the diffusion model (softer, a little noisy) would give them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.autoencoder import to_images
from models.interpolator import FrameInterpolator, load_interpolator, work_box
from models.losses import psnr, reconstruction_loss
from models.sampling import fast_dtype
from models.saving import save_model
from models.speech import SpeechEncoder, WhisperEncoder, encode_speech, load_speech_encoder
from storage.errors import NotFound
from tasks.interpolation import articulators
from tasks.masks import LIPS, dub_mask
from tasks.training.data import Rows, TrainingClip, read_clips
from tasks.training.expert_loop import Budget, placed, train_expert

MINUTES = 15.0
"""Where neither steps nor minutes are given. The shipped network took 1290 steps, about four minutes of a core."""


@dataclass(frozen=True)
class InterpolatorRun:
    """Settings of the stage.

    batch: triplets in a step; lips: extra weight of where the lips are in any of the three; edges: weight of the
    gradients' loss; deaf: share of batches without sound; still: share of triplets of three times one frame; steady:
    share drawn whatever moves, the others where lips do.
    """

    batch: int = 8
    rate: float = 2e-3
    lips: float = 6.0
    edges: float = 1.0
    deaf: float = 0.1
    still: float = 0.04
    steady: float = 0.3
    seed: int = 0


@dataclass(frozen=True)
class Takes:
    """Clips one after the other, cut to what the network sees (`work_box` of the dub mask).

    frames uint8 [N,H,W,3]; lips bool [N,H,W]; cues float32 [N,2,6]; starts: int [M], frames whose next two are of the
    same clip; change float [M]: how much the lips differ between the outer two, levels of 255; mask float32 [H,W];
    size: side of the whole crops, pixels.
    """

    frames: NDArray[np.uint8]
    lips: NDArray[np.bool_]
    cues: NDArray[np.float32]
    starts: NDArray[np.int64]
    change: NDArray[np.float64]
    mask: NDArray[np.float32]
    size: int = 128


def collect(source: Rows, split: str | None, encoder: SpeechEncoder | WhisperEncoder) -> Takes:
    """The clips of a split.

    Raises:
        NotFound: there is none with three frames.
    """
    frames, lips, cues, lengths, mask, size = [], [], [], [], np.zeros((0, 0), np.float32), 0
    for clip in read_clips(source, split):
        if len(clip) < 3:
            continue
        size = clip.frames.shape[1]
        mask = dub_mask(size)
        box = work_box(mask)
        frames.append(clip.frames[:, *box])
        lips.append(clip.labels[:, *box] == LIPS)
        cues.append(cues_of(clip, encoder))
        mask = mask[box]
        lengths.append(len(clip))
    if not lengths:
        raise NotFound(f"no usable clips in split {split!r}", "render a corpus with `dubwright studio render DIR`")
    return takes(np.concatenate(frames), np.concatenate(lips), np.concatenate(cues), lengths, mask, size)


def cues_of(clip: TrainingClip, encoder: SpeechEncoder | WhisperEncoder) -> NDArray[np.float32]:
    """What is heard at each frame of a clip: float32 [T,2,6].

    Raises:
        ValueError: the encoder does not tell articulators.
    """
    heard = articulators(encoder, encode_speech(encoder, clip.audio), clip.pts)
    if heard is None:
        raise ValueError("the interpolator learns from a speech encoder that tells articulators: the studio's")
    return heard


def takes(
    frames: NDArray[np.uint8],
    lips: NDArray[np.bool_],
    cues: NDArray[np.float32],
    lengths: list[int],
    mask: NDArray[np.float32],
    size: int = 128,
) -> Takes:
    """Clips of `lengths` frames, one after the other, with their triplets."""
    ends = np.cumsum(lengths)
    starts = np.concatenate([np.arange(end - count, end - 2) for end, count in zip(ends, lengths, strict=True)])
    change = []
    for start in starts:
        where = lips[start] | lips[start + 2]
        apart = frames[start + 2][where].astype(np.float32) - frames[start][where]
        change.append(float(np.abs(apart).mean()) if where.any() else 0.0)
    return Takes(frames, lips, cues, starts, np.array(change), mask, size)


def sample_batch(data: Takes, run: InterpolatorRun, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Triplets [B,3,3,H,W] in [-1,1], weights [B,1,H,W], cues [B,3,2,6]."""
    count = len(data.starts)
    chance = run.steady / count + (1 - run.steady) * data.change / max(float(data.change.sum()), 1e-9)
    chosen = data.starts[rng.choice(count, run.batch, p=chance / chance.sum())]
    moments = [np.full(3, start) if rng.random() < run.still else start + np.arange(3) for start in chosen]
    triplets, weights = zip(*(_seen(data, three, rng, run.lips) for three in moments), strict=True)
    cues = np.stack([data.cues[three] for three in moments])
    images = to_images(np.stack(triplets))
    gain = torch.from_numpy(rng.uniform(0.8, 1.2, (run.batch, 1, 3, 1, 1)).astype(np.float32))
    shift = torch.from_numpy(rng.uniform(-0.15, 0.15, (run.batch, 1, 1, 1, 1)).astype(np.float32))
    images = (images * gain + shift).clamp(-1, 1)
    return images, torch.from_numpy(np.stack(weights).astype(np.float32))[:, None], torch.from_numpy(cues)


def _seen(
    data: Takes, moments: NDArray[np.int64], rng: np.random.Generator, lip_weight: float
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Frames [3,H,W,3] as another camera and a trembling detector see them, and the weight of their pixels [H,W]."""
    height, width = data.mask.shape
    turn, size = rng.normal(0, 0.03), float(np.exp(rng.normal(0, 0.04)))
    shift, tremble = rng.normal(0, 1.5, 2), rng.uniform(0, 0.3) * (moments[0] != moments[1])
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    blur = rng.uniform(0.3, 0.9) if rng.random() < 0.3 else 0.0
    rotation = size * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    rotation[0] *= mirror
    centre = np.array([width, height]) / 2 - 0.5
    shown, lips = [], np.zeros((height, width), bool)
    for number in moments:
        target = centre + shift + rng.normal(0, 1, 2) * tremble
        matrix = np.concatenate([rotation, (target - rotation @ centre)[:, None]], axis=1)
        frame = cv2.warpAffine(data.frames[number], matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
        shown.append(cv2.GaussianBlur(frame, (0, 0), blur) if blur else frame)
        lips |= cv2.warpAffine(data.lips[number].astype(np.uint8), matrix, (width, height)) > 0
    weight = (data.mask > 0) * (1 + lip_weight * lips)
    return np.asarray(np.stack(shown), np.uint8), np.asarray(weight, np.float32)


def step_loss(
    model: FrameInterpolator, images: Tensor, weight: Tensor, cue: Tensor, mask: Tensor, run: InterpolatorRun
) -> dict[str, Tensor]:
    """The losses of a batch of triplets; "loss" is what is minimised."""
    first, middle, second = images.unbind(1)
    heard = cue if torch.rand(()) >= run.deaf else None
    with torch.autocast(images.device.type, fast_dtype(images.device)):
        made = model(first, second, middle, mask.expand(len(first), 1, -1, -1), heard)
    level, edges = reconstruction_loss(made, middle, weight)
    return {"loss": level + run.edges * edges, "level": level, "edges": edges}


@torch.no_grad()
def measure(model: FrameInterpolator, data: Takes, batch: int = 32, every: int = 1) -> dict[str, float]:
    """PSNR in dB of the middle frame, means over triplets: the interpolated one and the mean of its neighbours.

    lips: hull of the outer lip in the middle frame by the truth of its landmarks; mouth: that, 4 pixels wider; region:
    all that is repainted. gain_…: over the mean. psnr_lips_deaf: without the sound. gain_lips_moving: where the lips of
    the neighbours differ by more than in the median triplet.
    """
    mask = torch.from_numpy((data.mask > 0).astype(np.float32))[None, None].to(model.device)
    starts = data.starts[::every]
    parts: dict[str, list[Tensor]] = {}
    for at in (starts[i : i + batch] for i in range(0, len(starts), batch)):
        first, middle, second = (to_images(data.frames[at + i]).to(model.device) for i in range(3))
        cue = torch.from_numpy(np.stack([data.cues[at + i] for i in range(3)], axis=1)).to(model.device)
        lips = torch.from_numpy(data.lips[at + 1].astype(np.float32))[:, None].to(model.device)
        wider = torch.nn.functional.max_pool2d(lips, 9, stride=1, padding=4)
        where = mask.expand(len(at), 1, -1, -1)
        made = {"": model(first, second, middle, where, cue), "_deaf": model(first, second, middle, where)}
        made["_mean"] = (first + second) / 2
        for region, weight in (("lips", lips), ("mouth", wider), ("region", where)):
            for name, image in made.items():
                parts.setdefault(f"psnr_{region}{name}", []).append(psnr(image.clamp(-1, 1), middle, weight).cpu())
    found = {name: torch.cat(values) for name, values in parts.items()}
    moving = torch.from_numpy(data.change[::every] > np.median(data.change[::every]))
    gain = found["psnr_lips"] - found["psnr_lips_mean"]
    measured = {name: float(values.mean()) for name, values in found.items() if not name.endswith("h_deaf")}
    gains = {f"gain_{r}": measured[f"psnr_{r}"] - measured[f"psnr_{r}_mean"] for r in ("lips", "mouth", "region")}
    return measured | gains | {"gain_lips_moving": float(gain[moving].mean()), "triplets": float(len(starts))}


def train_interpolator(
    source: Rows,
    out: str | Path,
    *,
    steps: int | None = None,
    minutes: float | None = None,
    device: str = "cpu",
    seed: int = 0,
    run: InterpolatorRun | None = None,
    speech: str = "studio",
    report: Callable[[dict[str, float]], None] | None = None,
) -> dict[str, float]:
    """Train on the split "train" for `steps` or `minutes` and save (safetensors, float16) as `out`.

    Args:
        source: see `tasks.training.data.rows_of`.
        speech: the speech encoder whose articulators are heard.
        report: called with running means of the losses now and then.
    Returns:
        `measure` on the people of "test" (where there are none: of "val"), "steps", "seconds", "loss".
    """
    run = run or InterpolatorRun(seed=seed)
    encoder = load_speech_encoder(speech)
    return fit(
        collect(source, "train", encoder), _held_out(source, encoder), out, run,
        Budget(steps, MINUTES if steps is None and minutes is None else minutes), device, report,
    )  # fmt: skip


def fit(
    data: Takes,
    held: Takes,
    out: str | Path,
    run: InterpolatorRun,
    budget: Budget,
    device: str = "cpu",
    report: Callable[[dict[str, float]], None] | None = None,
) -> dict[str, float]:
    """`train_interpolator` from clips in memory."""
    torch.manual_seed(run.seed)
    rng = np.random.default_rng(run.seed)
    model = placed(FrameInterpolator(crop_size=data.size), device)
    mask = torch.from_numpy((data.mask > 0).astype(np.float32))[None, None].to(device)

    def loss_of_batch(progress: float) -> tuple[Tensor, dict[str, float]]:
        images, weight, cue = (x.to(device) for x in sample_batch(data, run, rng))
        losses = step_loss(model, images, weight, cue, mask, run)
        return losses["loss"], {name: float(losses[name].detach()) for name in ("level", "edges")}

    def tell(step: int, progress: float, means: dict[str, float]) -> None:
        if report is not None:
            report({"step": step, "progress": progress, **means})

    trained = train_expert(model, loss_of_batch, budget, peak_rate=run.rate, weight_decay=1e-3, report=tell)
    save_model(model.half(), out)
    kept = {name: trained[name] for name in ("loss", "steps", "seconds")}
    return kept | measure(load_interpolator(out).to(device), held)


def _held_out(source: Rows, encoder: SpeechEncoder | WhisperEncoder) -> Takes:
    try:
        return collect(source, "test", encoder)
    except NotFound:
        return collect(source, "val", encoder)
