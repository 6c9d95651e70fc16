"""Pictures of how far a training is: the same few frames, rendered now and then with the averaged weights.

One line a frame: reference, masked, rendered, truth. All but the rendering come out of the autoencoder, as the denoiser
knows them. Nothing that the training depends on is touched: not its weights, not its random state.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from torch import nn

from models.autoencoder import decode, to_frames
from models.pipeline import DubPipeline
from models.speech import frame_tokens
from storage.atomic import write_bytes
from tasks.masks import model_mask
from tasks.training.data import TrainingClip
from tasks.voice import ENDS

COLUMNS = ("reference", "masked", "rendered", "truth")
COUNT = 4
LOOKED_AT = 12
"""Clips among which those of different people are looked for."""


def of_different_people(clips: Iterable[TrainingClip]) -> list[TrainingClip]:
    """At most `COUNT` of the first clips, one a person where there are so many people."""
    found: list[TrainingClip] = []
    spare: list[TrainingClip] = []
    for number, clip in enumerate(clips):
        if len(clip) >= 2:
            (spare if clip.speaker in {other.speaker for other in found} else found).append(clip)
        if len(found) == COUNT or number + 1 == LOOKED_AT:
            break
    return (found + spare)[:COUNT]


@torch.no_grad()
def render_samples(pipeline: DubPipeline, files: Sequence[Path], steps: int) -> NDArray[np.uint8]:
    """A grid uint8 RGB [H,W,3]: of each file of latents (see `tasks.training.latents`) the middle frame.

    It is rendered as the base is when it renders: within a window, where that counts, and with the frame itself as the
    reference, where the base is given that.

    Args:
        steps: denoising steps.
    """
    base, device = pipeline.base, pipeline.vae.device
    mask = model_mask(base.alignment, pipeline.config.crop_size)
    noise = pipeline.sample_noise(torch.Generator().manual_seed(0))
    lines = []
    for file in files[:COUNT]:
        with safe_open(str(file), "pt") as stored:
            pts = stored.get_tensor("pts").numpy()
            at = len(pts) // 2
            length = min(pipeline.config.window, len(pts)) if base.norm_over_window else 1
            first = min(max(at - length // 2, 0), len(pts) - length)
            latents = stored.get_slice("latents")
            wanted = torch.cat([latents[first : first + length], latents[:1]]).to(device, pipeline.vae.dtype)
            speech, identity = stored.get_tensor("speech").float(), stored.get_tensor("identity")
        *frames, reference = to_frames(decode(pipeline.vae, wanted))
        context, ends = pipeline.config.audio_context, ENDS.get(base.kind, "repeat")
        truth = np.stack(frames)
        made = pipeline(
            truth, mask, truth if base.own_reference else reference,
            audio_tokens=frame_tokens(speech, pts[first : first + length], context, ends=ends),
            identity=identity if identity.any() else None,
            num_inference_steps=steps, guidance_audio=1.0, initial_noise=noise,
        )  # fmt: skip
        true, rendered = truth[at - first], made[at - first]
        masked = (true * (1 - mask[..., None])).round().astype(np.uint8)
        lines.append(np.concatenate([reference, masked, rendered, true], axis=1))
    return np.concatenate(lines)


@contextlib.contextmanager
def averaged(training: Any) -> Iterator[None]:
    """Inside, the denoiser of a training (`ImageTraining`) has its averaged weights and is in evaluation mode."""
    modules: list[nn.Module] = list(training.denoiser.modules())
    modes = [module.training for module in modules]
    with training.with_averaged_weights():
        training.denoiser.eval()
        try:
            yield
        finally:
            for module, mode in zip(modules, modes, strict=True):
                module.training = mode


def write_samples(training: Any, files: Sequence[Path], out: str | Path, steps: int) -> Path:
    """Write the grid of the present step to ``OUT/samples/step-N.jpg``, under a line that names its columns."""
    device = training.denoiser.unet.device
    with averaged(training), torch.random.fork_rng([device] if device.type == "cuda" else []):
        grid = render_samples(training.pipeline, files, steps)
    side = grid.shape[1] // len(COLUMNS)
    head = np.full((max(14, side // 8), grid.shape[1], 3), 255, np.uint8)
    for column, name in enumerate(COLUMNS):
        cv2.putText(
            head, name, (column * side + 4, head.shape[0] - 4), cv2.FONT_HERSHEY_SIMPLEX, side / 360, (60, 60, 60), 1,
            cv2.LINE_AA,
        )  # fmt: skip
    path = Path(out) / "samples" / f"step-{training.step:08d}.jpg"
    jpeg = cv2.imencode(".jpg", np.concatenate([head, grid])[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])[1]
    write_bytes(path, jpeg.tobytes())
    return path


def last_samples(out: str | Path) -> Path | None:
    """The newest grid of a run, None where there is none."""
    found = sorted((Path(out) / "samples").glob("step-*.jpg"))
    return found[-1] if found else None
