"""Whether a long rendering stays what it was at its start: sharpness, colour and identity, first against last."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from models.pipeline import DubPipeline
from models.speech import frame_tokens
from tasks.config import Config
from tasks.evaluate_measures import Frames, mean_cosine
from tasks.evaluate_meter import Meter
from tasks.evaluate_render import references_for
from tasks.masks import dub_mask
from tasks.training.data import TrainingClip

FPS = 25.0
IDENTITY_EVERY = 10
"""Every so many frames the identity is measured."""


@dataclass
class LongTake:
    """What is kept of a long rendering, per frame: sharpness and colour of the repainted region; some embeddings.

    sharpness: standard deviation of the Laplacian of grey, levels of 255. colour: mean CIE Lab [3].
    """

    sharpness: list[float] = field(default_factory=list)
    colour: list[NDArray[np.float64]] = field(default_factory=list)
    identity: list[NDArray[np.float32]] = field(default_factory=list)
    identity_at: list[int] = field(default_factory=list)

    def add(self, frames: Frames, meter: Meter | None = None) -> None:
        """Take in the next frames [T,S,S,3]."""
        region = dub_mask(frames.shape[1]) > 0.5
        for frame in frames:
            number = len(self.sharpness)
            grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
            self.sharpness.append(float(cv2.Laplacian(grey, cv2.CV_64F)[region].std()))
            lab = cv2.cvtColor(frame.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
            self.colour.append(lab[region].mean(0).astype(np.float64))
            if meter is not None and number % IDENTITY_EVERY == 0:
                for embedding in meter.identity(frame[None]):
                    self.identity.append(embedding)
                    self.identity_at.append(number)

    def drift(self, part_frames: int) -> dict[str, float]:
        """First `part_frames` against the last so many.

        drift_sharpness: last over first, 1 is none. drift_colour: distance of the mean colours, Lab units (1 can just
        be seen). drift_identity: mean cosine to the mean of the first part, of the last part minus of the first part;
        0 is none. …_within: the same between halves of the first part, which is the measure of chance.

        Raises:
            ValueError: the take is shorter than two parts.
        """
        count = len(self.sharpness)
        if count < 2 * part_frames:
            raise ValueError(f"{count} frames are fewer than two parts of {part_frames}")
        sharp, colour = np.array(self.sharpness), np.stack(self.colour)
        first, last = slice(0, part_frames), slice(count - part_frames, count)
        early, late = slice(0, part_frames // 2), slice(part_frames // 2, part_frames)
        measured = {
            "drift_sharpness": float(sharp[last].mean() / max(sharp[first].mean(), 1e-6)),
            "drift_sharpness_within": float(sharp[late].mean() / max(sharp[early].mean(), 1e-6)),
            "drift_colour": float(np.linalg.norm(colour[last].mean(0) - colour[first].mean(0))),
            "drift_colour_within": float(np.linalg.norm(colour[late].mean(0) - colour[early].mean(0))),
        }
        at = np.array(self.identity_at)
        begins = [vector for vector, i in zip(self.identity, at, strict=True) if i < part_frames]
        ends = [vector for vector, i in zip(self.identity, at, strict=True) if i >= count - part_frames]
        own, then = mean_cosine(begins, begins), mean_cosine(ends, begins)
        if own is not None and then is not None:
            measured["drift_identity"] = then - own
        return measured


def long_frames(
    pipeline: DubPipeline, clip: TrainingClip, features: torch.Tensor, config: Config, seconds: float, seed: int = 0
) -> Iterator[Frames]:
    """`seconds` of the clip, played to and fro at 25 frames a second with its sound, repainted window by window.

    The picture turns back at its ends, so that nothing jumps; the sound goes on with the picture. Yields windows
    [T,S,S,3] of `config.render.window_frames`; memory does not grow with the length.
    """
    render, count = config.render, len(clip)
    # one reference for every frame of the clip, from the clip itself
    references = references_for(clip, count, render.window_frames, render.references)
    tokens = frame_tokens(features, clip.pts, pipeline.config.audio_context)
    noise = pipeline.sample_noise(torch.Generator().manual_seed(seed))
    there_and_back = np.concatenate([np.arange(count), np.arange(count - 2, 0, -1)])
    total = round(seconds * FPS)
    for start in range(0, total, render.window_frames):
        index = there_and_back[np.arange(start, min(start + render.window_frames, total)) % len(there_and_back)]
        yield pipeline(
            clip.frames[index],
            dub_mask(clip.frames.shape[1]),
            np.repeat(references[index[:1]], len(index), axis=0),
            tokens[torch.from_numpy(index)] if isinstance(tokens, torch.Tensor) else tokens[index],
            clip.identity,
            num_inference_steps=config.evaluate.steps,
            guidance_audio=render.guidance_audio,
            guidance_identity=render.guidance_identity,
            initial_noise=noise,
        )


def measure_drift(windows: Iterable[Frames], part_seconds: float, meter: Meter | None = None) -> dict[str, float]:
    """`LongTake.drift` of a rendering that comes in windows."""
    take = LongTake()
    for window in windows:
        take.add(window, meter)
    return take.drift(round(part_seconds * FPS))
