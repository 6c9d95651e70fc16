"""Renderings for measuring: a held-out clip repainted from its own sound, or with one condition exchanged."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.landmarks106 import kps_from
from models.pipeline import DubPipeline
from models.speech import frame_tokens
from storage.errors import NotFound
from tasks.alignments import STUDIO, landmark_matrices
from tasks.compose import paste, paste_alpha
from tasks.config import Config
from tasks.crops import warp
from tasks.masks import model_mask
from tasks.quality import head_pose
from tasks.references import of_frames, spread
from tasks.training.data import Rows, TrainingClip, read_clips, rows_of
from tasks.voice import ENDS

Frames = NDArray[np.uint8]
EMOTION_BRANCH = "emotion_control"
"""The pipeline's component that follows an emotion text."""


def held_out(dataset: Rows, config: Config) -> list[TrainingClip]:
    """The clips that are rendered: the first `config.evaluate.clips` of the split by id.

    Raises:
        NotFound: there is none.
    """
    settings = config.evaluate
    rows = sorted(rows_of(dataset, settings.split), key=lambda row: str(row["clip_id"]))[: settings.clips]
    clips = list(read_clips(rows))
    if not clips:
        remedy = "build the dataset with more speakers, or set evaluate.split"
        raise NotFound(f"no usable clips in split {settings.split!r}", remedy)
    return clips


def shown(clip: TrainingClip, config: Config, frames: int | None = None) -> TrainingClip:
    """The part of a clip that is rendered: its first `config.evaluate.seconds`, or so many `frames`."""
    count = max(2, int(np.searchsorted(clip.pts, clip.pts[0] + config.evaluate.seconds - 1e-6)))
    count = count if frames is None else min(frames, len(clip))
    values = vars(clip) | {
        name: getattr(clip, name)[:count] for name in ("frames", "labels", "landmarks", "pts", "mouth_opening")
    }
    return TrainingClip(**values)


def has_emotion_branch(pipeline: DubPipeline) -> bool:
    """Whether the model follows an emotion text."""
    return getattr(pipeline, EMOTION_BRANCH, None) is not None


def render_clip(
    pipeline: DubPipeline,
    clip: TrainingClip,
    features: torch.Tensor,
    config: Config,
    seed: int = 0,
    *,
    frames: int | None = None,
    emotion: str | None = None,
    person: TrainingClip | None = None,
    whole_face: bool = False,
) -> Frames:
    """The shown part of a clip, lower face (or all of it) repainted from `features` of a sound.

    References come from the rest of the clip, whose mouth says something else (its last frame where nothing is left):
    for each window of `config.render.window_frames` frames the one with the nearest head pose. A base that wants other
    crops, or each frame as its own reference, is given that, and its crops are put back into the clip's.

    Args:
        frames: render so many, not `config.evaluate.seconds`.
        emotion: a text for the emotion branch; None asks for nothing.
        person: take references and identity from this clip instead.
        whole_face: repaint brows and eyes too.
    """
    part, render, source = shown(clip, config, frames), config.render, person or clip
    base, size = pipeline.base, int(pipeline.config.crop_size)
    asked: dict[str, Any] = {} if emotion is None else {"emotion": emotion, "guidance_emotion": render.guidance_emotion}
    crops, matrices = aligned(part, base.alignment, size, config)
    if base.own_reference:
        references = crops
    else:
        people = TrainingClip(**vars(source) | {"frames": aligned(source, base.alignment, size, config)[0]})
        references = references_for(people, len(part), render.window_frames, render.references, clip)
    made = pipeline(
        crops,
        model_mask(base.alignment, crops.shape[1], whole_face),
        references,
        frame_tokens(features, part.pts, pipeline.config.audio_context, ends=ENDS.get(base.kind, "repeat")),
        source.identity,
        num_inference_steps=config.evaluate.steps,
        guidance_audio=render.guidance_audio,
        guidance_identity=render.guidance_identity,
        generator=torch.Generator().manual_seed(seed),
        **asked,
    )
    if matrices is None:
        return np.asarray(made, np.uint8)
    alpha, back = paste_alpha(size, render.feather, whole_face, base.alignment), part.frames.copy()
    for frame, crop, matrix in zip(back, made, matrices, strict=True):
        paste(frame, crop, matrix, alpha, averaged=True)
    return back


def aligned(clip: TrainingClip, alignment: str, size: int, config: Config) -> tuple[Frames, NDArray[np.float64] | None]:
    """A clip's crops as a base wants them, uint8 [T,size,size,3], and the matrices [T,2,3] from the clip's own crops;
    those themselves, and None, where it wants ours.
    """
    if alignment == STUDIO:
        return clip.frames, None
    matrices = landmark_matrices(alignment, size, clip.landmarks, clip.pts, config.tracks.smooth_s)
    return np.stack([warp(frame, at, size) for frame, at in zip(clip.frames, matrices, strict=True)]), matrices


def references_for(
    source: TrainingClip, count: int, window: int, most: int, posed: TrainingClip | None = None
) -> Frames:
    """The reference of each of the first `count` frames of `posed` (of `source` where none is given), from frames of
    `source` that are not rendered: uint8 [count,S,S,3], see `render_clip`.
    """
    poses = head_pose(kps_from(source.landmarks))
    wanted = poses if posed is None else head_pose(kps_from(posed.landmarks))
    rest = np.arange(len(source)) >= count
    chosen = spread(poses, rest, len(source) - 1, most)
    references = of_frames(source.frames, poses, chosen)
    windows = [slice(start, min(start + window, count)) for start in range(0, count, window)]
    return np.concatenate(
        [np.repeat(references.near(wanted[part])[None], part.stop - part.start, axis=0) for part in windows]
    )


def other_sound(features: torch.Tensor, like: torch.Tensor, from_middle: bool) -> torch.Tensor:
    """Another clip's speech features, from its start or from its middle on, repeated or cut to the length of `like`."""
    turned = features.roll(-(len(features) // 2), 0) if from_middle else features
    times = -(-len(like) // max(1, len(turned)))
    return turned.repeat(times, *[1] * (turned.ndim - 1))[: len(like)]
