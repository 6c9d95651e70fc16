"""Stretches through the model: frames are decoded once for a run of neighbours; one window at a time is in memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from storage import media
from storage.errors import InputFailed
from tasks import crops, masks
from tasks.compose import paste_alpha
from tasks.config import Config
from tasks.dubber import Dubber
from tasks.dubbing.place import Busy, Place
from tasks.dubbing.saved import DubPlan
from tasks.dubbing.spent import RENDER, Stopwatch, note
from tasks.dubbing.stretches import Stretch, box_of, overlap_of, save_stretch
from tasks.interpolation import Between, InterpolatingRenderer
from tasks.moods import Moods
from tasks.quality import head_pose
from tasks.voice import VoiceTrack
from tasks.windows import WindowRenderer

Generate = Callable[..., NDArray[np.uint8]]
"""What renders a window: called as `DubPipeline` is."""


def window_renderer(
    size: int,
    reference: Callable[[NDArray[np.float64]], NDArray[np.uint8]],
    identity: NDArray[np.float32] | None,
    seed: int,
    voice: VoiceTrack,
    config: Config,
    models: Dubber,
    moods: Moods | None = None,
    whole_face: bool = False,
    generate: Generate | None = None,
) -> WindowRenderer:
    """The pipeline as something that crops are pushed through.

    All windows start from the same noise, drawn with `seed`: what noise decides does not change from frame to frame.
    A base that wants each frame itself as its reference is given that, not `reference`.
    With an interpolator among the models only every second frame goes through the pipeline where motion allows.

    Args:
        size: side S of the pipeline's crops.
        reference: times [F] of a window to the aligned crop uint8 [S,S,3] of the person that the model looks at.
        identity: unit embedding [512], or None.
        moods: what is felt, and when: a window has the one that holds in its middle. None leaves the expression.
        whole_face: repaint brows and eyes too, not only the lower face.
        generate: renders in place of the pipeline itself (`batching`).
    """
    render, base = config.render, models.pipeline.base
    mask = masks.model_mask(base.alignment, size, whole_face)
    noise = models.pipeline.sample_noise(torch.Generator().manual_seed(seed))
    call = generate or models.pipeline

    def rendered(window: NDArray[np.uint8], times: NDArray[np.float64]) -> NDArray[np.uint8]:
        person = window if base.own_reference else reference(times)
        feeling = None if moods is None else moods.at(float(times[len(times) // 2]))
        made = call(
            window, mask, person, voice.tokens(times), identity, feeling,
            num_inference_steps=render.steps, initial_noise=noise, guidance_audio=render.guidance_audio,
            guidance_identity=render.guidance_identity, guidance_emotion=render.guidance_emotion,
        )  # fmt: skip
        return np.asarray(made, dtype=np.uint8)

    frames, overlap = render.window_frames, overlap_of(render)
    if models.interpolator is None:
        return WindowRenderer(rendered, frames, overlap)
    between = Between(models.interpolator, mask, voice.articulators, render)
    return InterpolatingRenderer(rendered, frames, overlap, between)


@dataclass
class _Running:
    """A stretch while its frames pass by."""

    stretch: Stretch
    renderer: WindowRenderer
    made: list[NDArray[np.uint8]] = field(default_factory=list)


class StretchRenderer:
    """Renders stretches of one dub.

    Args:
        voices: the dub tracks, in the order that `Segment.voice` counts.
        generate: renders windows in place of the pipeline.
        among: runs that this process renders at once.
    """

    def __init__(
        self,
        video: str | os.PathLike[str],
        plan: DubPlan,
        place: Place,
        voices: Sequence[VoiceTrack],
        config: Config,
        models: Dubber,
        generate: Generate | None = None,
        among: int = 1,
    ) -> None:
        self._video, self._plan, self._place, self._among = video, plan, place, among
        self._voices, self._config, self._models = voices, config, models
        self._generate = generate
        self._size, self._alignment = int(models.pipeline.config.crop_size), models.pipeline.base.alignment
        self._box = box_of(paste_alpha(self._size, config.render.feather, alignment=self._alignment))

    def render(self, stretches: Sequence[Stretch], finished: Callable[[], bool]) -> Iterator[Stretch]:
        """Renders those that nobody has rendered or is rendering; yields each as its file is there.

        Args:
            stretches: of one segment, by their first frames.
            finished: whether the whole dub was finished meanwhile, by somebody else.

        Raises:
            InputFailed: the file breaks, or changed meanwhile.
            StorageFull: no room for what was made.
        """
        waiting = [one for one in stretches if not self._place.stretch(one.name).exists()]
        if not waiting:
            return
        watch = Stopwatch(self._among)
        track = self._plan.segments[waiting[0].segment].track
        matrices = self._plan.matrices(waiting[0].segment, self._alignment, self._size, self._config.tracks.smooth_s)
        start_s = float(track.pts[waiting[0].first - track.first])
        running: list[tuple[_Running, ExitStack]] = []
        frames = media.iter_frames(self._video, start_s, threads=self._config.runtime.threads)
        try:
            for index, pts_s, rgb in frames:
                while waiting and waiting[0].first <= index:
                    running += self._begun(waiting.pop(0), finished)
                if not running and not waiting:
                    return
                if not running:
                    continue
                crop = crops.warp(rgb, matrices[index - track.first], self._size)
                for one, claim in list(running):
                    last = index + 1 >= one.stretch.last
                    one.made += [made for _, made in one.renderer.push(index, crop, pts_s)]
                    if last:
                        one.made += [made for _, made in one.renderer.finish()]
                        path = self._place.stretch(one.stretch.name)
                        save_stretch(path, np.stack(one.made), self._box, one.renderer.windows)
                        claim.close()
                        running.remove((one, claim))
                        note(self._place, RENDER, len(one.stretch), watch.lap())
                        yield one.stretch
            if running or waiting:
                raise InputFailed(
                    os.fspath(self._video), "has fewer frames than before", "do not change the file meanwhile",
                    stage="dub",
                )  # fmt: skip
        finally:
            for _, claim in running:
                claim.close()

    def _begun(self, stretch: Stretch, finished: Callable[[], bool]) -> list[tuple[_Running, ExitStack]]:
        """The stretch with the claim to it; nothing where somebody else has it."""
        claim, path = ExitStack(), self._place.stretch(stretch.name)
        try:
            claim.enter_context(self._place.claimed(f"{self._place.key}-{path.stem}"))
        except Busy:
            return []
        # In this order: a folder is cleared only after the dub was written down as finished.
        if path.exists() or finished():
            claim.close()
            return []
        segment = self._plan.segments[stretch.segment]
        track, references = segment.track, self._plan.shown.of(segment.track.number)
        poses = head_pose(track.kps[stretch.first - track.first : stretch.last - track.first])
        times = track.pts[stretch.first - track.first : stretch.last - track.first]

        def reference(moments: NDArray[np.float64]) -> NDArray[np.uint8]:
            return references.near(poses[np.searchsorted(times, moments - 1e-6).clip(max=len(poses) - 1)])

        made = window_renderer(
            self._size, reference, self._plan.identities[stretch.segment],
            self._config.render.seed * 1_000_003 + track.number, self._voices[segment.voice], self._config,
            self._models, self._plan.moods[segment.voice], generate=self._generate,
        )  # fmt: skip
        return [(_Running(stretch, made), claim)]


def runs_of(stretches: Sequence[Stretch], longest: int) -> list[list[Stretch]]:
    """Neighbours of one segment together, at most `longest`: what one worker takes at a time."""
    runs: list[list[Stretch]] = []
    for stretch in stretches:
        near = runs and runs[-1][-1].segment == stretch.segment and stretch.first < runs[-1][-1].last
        if near and len(runs[-1]) < longest:
            runs[-1].append(stretch)
        else:
            runs.append([stretch])
    return runs
