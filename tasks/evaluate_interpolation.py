"""What filling in every second frame gains in speed and costs in the picture."""

from __future__ import annotations

import time

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from models.interpolator import MissingInterpolator, load_interpolator
from models.pipeline import DubPipeline
from models.speech import SpeechEncoder, WhisperEncoder, frame_tokens
from tasks.alignments import STUDIO
from tasks.config import Config
from tasks.evaluate_measures import Frames, Samples
from tasks.evaluate_render import references_for, shown
from tasks.interpolation import Between, InterpolatingRenderer, articulators
from tasks.masks import LIPS, dub_mask
from tasks.training.data import TrainingClip
from tasks.windows import WindowRenderer

PROTOCOL = {
    "interpolated_speedup": "frames a second in windows with every second frame filled in where motion allows "
    "(render.interpolator), over every frame rendered; pipeline and interpolator alone, same frames and windows",
    "interpolated_fps": "frames a second then",
    "interpolated_share": "share of the frames that were filled in",
    "interpolated_psnr_mouth": "dB against the clip itself on the lips and 3 % of the crop round them (landmarks of "
    "the clip's own frame), every second frame filled in; mean over frames",
    "rendered_psnr_mouth": "the same with every frame rendered",
}


def interpolation(
    pipeline: DubPipeline,
    clip: TrainingClip,
    features: torch.Tensor,
    speech: SpeechEncoder | WhisperEncoder,
    config: Config,
    seed: int,
    samples: Samples,
) -> None:
    """Render a clip's shown part both ways, in windows as a dub does, and keep the measures of `PROTOCOL`.

    Nothing is measured where the configured interpolator is missing, the part has fewer than three frames, or the base
    wants other crops than the clip's: the interpolator knows none but those.
    """
    part = shown(clip, config)
    if len(part) < 3 or pipeline.base.alignment != STUDIO:
        return
    try:
        model = load_interpolator(config.render.interpolator).to(pipeline.device)
    except MissingInterpolator:
        return
    mask, render = dub_mask(part.frames.shape[1]), config.render
    references = references_for(clip, len(part), render.window_frames, render.references)
    noise = pipeline.sample_noise(torch.Generator().manual_seed(seed))

    def generate(crops: Frames, times: NDArray[np.float64]) -> Frames:
        made = pipeline(
            crops, mask, references[np.searchsorted(part.pts, times - 1e-6)],
            frame_tokens(features, times, pipeline.config.audio_context), clip.identity,
            num_inference_steps=config.evaluate.steps, guidance_audio=render.guidance_audio,
            guidance_identity=render.guidance_identity, initial_noise=noise,
        )  # fmt: skip
        return np.asarray(made, np.uint8)

    def hear(times: NDArray[np.float64]) -> NDArray[np.float32] | None:
        return articulators(speech, features, times)

    overlap = min(render.overlap_frames, render.window_frames - 1)
    filling = InterpolatingRenderer(generate, render.window_frames, overlap, Between(model, mask, hear, render))
    whole, seconds = _run(WindowRenderer(generate, render.window_frames, overlap), part)
    filled, faster = _run(filling, part)
    samples.add(
        interpolated_speedup=seconds / faster, interpolated_fps=len(part) / faster,
        interpolated_share=filling.filled / len(part), interpolated_psnr_mouth=mouth_psnr(filled, part),
        rendered_psnr_mouth=mouth_psnr(whole, part),
    )  # fmt: skip


def _run(renderer: WindowRenderer, part: TrainingClip) -> tuple[Frames, float]:
    """The rendered frames of a clip in order, and the seconds it took."""
    started, made = time.perf_counter(), []
    for index, (crop, pts_s) in enumerate(zip(part.frames, part.pts, strict=True)):
        made += renderer.push(index, crop, float(pts_s))
    made += renderer.finish()
    seconds = time.perf_counter() - started
    if [index for index, _ in made] != list(range(len(part))):
        raise RuntimeError("a renderer lost frames")
    return np.stack([crop for _, crop in made]), seconds


def mouth_psnr(rendered: Frames, clip: TrainingClip) -> float | None:
    """Mean over frames of the PSNR in dB round the lips (3 % of the crop wider); None where no lips were found."""
    width = 2 * round(0.03 * clip.frames.shape[1]) + 1
    values = []
    for made, real, labels in zip(rendered, clip.frames, clip.labels, strict=True):
        where = cv2.dilate((labels == LIPS).astype(np.uint8), np.ones((width, width), np.uint8)) > 0
        if where.any():
            error = np.square(made[where].astype(np.float64) - real[where]).mean()
            values.append(10 * np.log10(255**2 / max(error, 1e-2)))
    return float(np.mean(values)) if values else None
