"""The picture pass of a dub: frames come in, crops go through the model window by window, and frames leave in order.

No more than a window of frames is in memory at any time, two where every second frame is filled in.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from tasks import crops, masks
from tasks.alignments import STUDIO, track_matrices
from tasks.compose import face_alpha, match_colour, paste, paste_alpha
from tasks.config import Config
from tasks.dubber import Dubber
from tasks.interpolation import Between, InterpolatingRenderer
from tasks.plan import Segment, references_of
from tasks.quality import head_pose
from tasks.voice import VoiceTrack
from tasks.windows import WindowRenderer


@dataclass
class _Running:
    """A segment while its frames pass by."""

    segment: Segment
    matrices: NDArray[np.float64]
    renderer: WindowRenderer
    originals: dict[int, NDArray[np.uint8]] = field(default_factory=dict)


def window_renderer(
    size: int,
    reference: Callable[[NDArray[np.float64]], NDArray[np.uint8]],
    identity: NDArray[np.float32] | None,
    seed: int,
    voice: VoiceTrack,
    config: Config,
    models: Dubber,
    emotion: str | None = None,
    whole_face: bool = False,
) -> WindowRenderer:
    """The pipeline as something that crops are pushed through.

    All windows start from the same noise, drawn with `seed`: what noise decides does not change from frame to frame.
    A base that wants each frame itself as its reference is given that, not `reference`.
    With an interpolator among the models only every second frame goes through the pipeline where motion allows.

    Args:
        size: side S of the pipeline's crops.
        reference: times [F] of a window to the aligned crop uint8 [S,S,3] of the person that the model looks at.
        identity: unit embedding [512], or None.
        emotion: free text; None or "" leaves the expression as it is.
        whole_face: repaint brows and eyes too, not only the lower face.
    """
    render, base = config.render, models.pipeline.base
    mask = masks.model_mask(base.alignment, size, whole_face)
    noise = models.pipeline.sample_noise(torch.Generator().manual_seed(seed))

    def generate(window: NDArray[np.uint8], times: NDArray[np.float64]) -> NDArray[np.uint8]:
        person = window if base.own_reference else reference(times)
        made = models.pipeline(
            window, mask, person, voice.tokens(times), identity, emotion or None,
            num_inference_steps=render.steps, initial_noise=noise, guidance_audio=render.guidance_audio,
            guidance_identity=render.guidance_identity, guidance_emotion=render.guidance_emotion,
        )  # fmt: skip
        return np.asarray(made, dtype=np.uint8)

    frames, overlap = render.window_frames, min(render.overlap_frames, render.window_frames - 1)
    if models.interpolator is None:
        return WindowRenderer(generate, frames, overlap)
    between = Between(models.interpolator, mask, voice.articulators, render)
    return InterpolatingRenderer(generate, frames, overlap, between)


class FaceRenderer:
    """The second pass: takes frames in order, gives them back in order, changed or not, at most a window later."""

    def __init__(
        self,
        video: str | os.PathLike[str],
        segments: list[Segment],
        voice: VoiceTrack,
        config: Config,
        models: Dubber,
        emotion: str | None,
    ) -> None:
        self._video, self._voice, self._config, self._models = video, voice, config, models
        self._emotion = emotion or None
        self._coming = deque(segments)
        self._running: list[_Running] = []
        self._size, self._alignment = int(models.pipeline.config.crop_size), models.pipeline.base.alignment
        self._alpha = paste_alpha(self._size, config.render.feather, alignment=self._alignment)
        self.windows = 0

    def run(
        self, frames: Iterator[tuple[int, float, NDArray[np.uint8]]]
    ) -> Iterator[tuple[int, NDArray[np.uint8] | None]]:
        """(index, changed frame or None) for every frame."""
        held: deque[tuple[int, NDArray[np.uint8]]] = deque()
        pasted: dict[int, NDArray[np.uint8]] = {}
        for index, pts_s, rgb in frames:
            held.append((index, rgb))
            self._start(index)
            for running in list(self._running):
                self._take(running, index, pts_s, rgb, held, pasted)
            earliest = min((r.renderer.waiting[0] for r in self._running if r.renderer.waiting), default=index + 1)
            while held and held[0][0] < earliest:
                ready, _ = held.popleft()
                yield ready, pasted.pop(ready, None)
        # A file may give fewer frames the second time only if it changed meanwhile; nothing is kept back then.
        for running in self._running:
            self._place(running, running.renderer.finish(), held, pasted)
        for ready, _ in held:
            yield ready, pasted.pop(ready, None)

    def _start(self, index: int) -> None:
        while self._coming and self._coming[0].first <= index:
            segment = self._coming.popleft()
            self._running.append(self._begin(segment))

    def _begin(self, segment: Segment) -> _Running:
        track = segment.track
        matrices = track_matrices(self._alignment, self._size, track, self._config.tracks.smooth_s)
        references, identity = references_of(self._video, segment, self._size, self._models.experts.faces, matrices)
        poses = head_pose(track.kps)

        def reference(times: NDArray[np.float64]) -> NDArray[np.uint8]:
            return references.near(poses[np.searchsorted(track.pts, times - 1e-6).clip(max=len(poses) - 1)])

        seed = self._config.render.seed * 1_000_003 + segment.track.number
        made = window_renderer(
            self._size, reference, identity, seed, self._voice, self._config, self._models, self._emotion
        )
        return _Running(segment, matrices, made)

    def _take(
        self,
        running: _Running,
        index: int,
        pts_s: float,
        rgb: NDArray[np.uint8],
        held: deque[tuple[int, NDArray[np.uint8]]],
        pasted: dict[int, NDArray[np.uint8]],
    ) -> None:
        segment = running.segment
        crop = crops.warp(rgb, running.matrices[index - segment.track.first], self._size)
        running.originals[index] = crop
        self._place(running, running.renderer.push(index, crop, pts_s), held, pasted)
        if index + 1 >= segment.last:
            self._place(running, running.renderer.finish(), held, pasted)
            self._running.remove(running)
            self.windows += running.renderer.windows

    def _place(
        self,
        running: _Running,
        final: list[tuple[int, NDArray[np.uint8]]],
        held: deque[tuple[int, NDArray[np.uint8]]],
        pasted: dict[int, NDArray[np.uint8]],
    ) -> None:
        segment, strength = running.segment, self._config.render.colour_match
        frames = dict(held)
        for index, made in final:
            original = running.originals.pop(index)
            matched = match_colour(made, original, self._alpha, strength)
            frame = pasted.get(index)
            if frame is None:
                frame = pasted[index] = frames[index].copy()
            matrix = running.matrices[index - segment.track.first]
            outline = crops.transform_points(matrix, segment.track.outline[index - segment.track.first])
            share = self._alpha * face_alpha(outline, self._size, alignment=self._alignment)
            share = np.asarray(share * segment.strength[index - segment.first], dtype=np.float32)
            paste(frame, matched, matrix, share, averaged=self._alignment != STUDIO)
