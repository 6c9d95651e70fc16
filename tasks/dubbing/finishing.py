"""The end of a dub: its stretches pasted into the frames, the file written, measured and described by a row."""

from __future__ import annotations

import datetime
import os
from collections import deque
from collections.abc import Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage import media
from storage.atomic import clear_partials
from storage.ids import code_revision
from storage.provenance import stamp
from storage.schema import RENDERS, row
from tasks import crops
from tasks.compose import paste_alpha
from tasks.config import Config
from tasks.dubber import Dubber
from tasks.dubbing.delivery import deliver, judged
from tasks.dubbing.looking import Frames
from tasks.dubbing.place import Place
from tasks.dubbing.saved import DubPlan
from tasks.dubbing.spent import Stopwatch, time_columns
from tasks.dubbing.stretches import Crops, Stretch, blended, box_of, load_stretch, stretches_of
from tasks.experts import Experts
from tasks.measure import measure_render
from tasks.moods import Moods
from tasks.pasting import Paster
from tasks.quality_gate import render_columns
from tasks.sealing import render_seal
from tasks.voice import VoiceTrack


class _Made:
    """The generated crops of one segment, frame by frame in order; two stretches at most are in memory."""

    def __init__(self, stretches: Sequence[Stretch], place: Place, size: int, box: tuple[slice, slice]) -> None:
        self._coming, self._place, self._size, self._box = list(stretches), place, size, box
        self._held: list[tuple[int, Crops]] = []
        self.windows = 0

    def at(self, index: int) -> Crops:
        """The crop uint8 [S,S,3] of a frame; frames are asked for in rising order."""
        while self._coming and self._coming[0].first <= index:
            self._take(self._coming.pop(0))
        self._held = [(first, made) for first, made in self._held if first + len(made) > index]
        first, made = self._held[0]
        return np.asarray(made[index - first])

    def end(self) -> None:
        """No frame is asked for any more."""
        self._held = []

    def _take(self, stretch: Stretch) -> None:
        made, windows = load_stretch(self._place.stretch(stretch.name), len(stretch), self._size, self._box)
        self.windows += windows
        if self._held:
            first, before = self._held[-1]
            shared = first + len(before) - stretch.first
            if shared > 0:
                made[:shared] = blended(before[-shared:], made[:shared])
                self._held[-1] = (first, before[:-shared])
        self._held.append((stretch.first, made))


class Composer:
    """Pastes what was made of a dub into its frames, one after the other; windows: how many it was made in."""

    def __init__(self, plan: DubPlan, place: Place, config: Config, models: Dubber) -> None:
        self._plan, self._smooth_s = plan, config.tracks.smooth_s
        self._size, self._alignment = int(models.pipeline.config.crop_size), models.pipeline.base.alignment
        self._box = box_of(paste_alpha(self._size, config.render.feather, alignment=self._alignment))
        self._paster = Paster(self._size, self._alignment, config.render)
        self._made = [
            _Made(list(own), place, self._size, self._box)
            for _, own in groupby(stretches_of(plan.segments, config.render), key=lambda stretch: stretch.segment)
        ]
        self._coming = deque(range(len(plan.segments)))
        self._here: dict[int, NDArray[np.float64]] = {}

    @property
    def windows(self) -> int:
        return sum(made.windows for made in self._made)

    def changed(self, index: int, rgb: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
        """The frame [H,W,3] with the faces that were made for it, None where there are none; in rising order."""
        segments = self._plan.segments
        while self._coming and segments[self._coming[0]].first <= index:
            number = self._coming.popleft()
            self._here[number] = self._plan.matrices(number, self._alignment, self._size, self._smooth_s)
        for number in [number for number in self._here if segments[number].last <= index]:
            del self._here[number]
            self._made[number].end()
        frame = rgb.copy() if self._here else None
        for number, matrices in self._here.items():
            segment = segments[number]
            at = index - segment.track.first
            original = crops.warp(rgb, matrices[at], self._size)
            picture = original.copy()
            picture[self._box] = self._made[number].at(index)[self._box]
            assert frame is not None
            self._paster.paste(
                frame, picture, original, matrices[at], segment.track.outline[at],
                float(segment.strength[index - segment.first]), (segment.track.number, index),
            )  # fmt: skip
        return frame


def finish(
    video: str | os.PathLike[str],
    audio: str | os.PathLike[str],
    tracks: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    plan: DubPlan,
    place: Place,
    voices: Sequence[VoiceTrack],
    facts: dict[str, Any],
    config: Config,
    models: Dubber,
    run_id: str | None = None,
    progress: Frames | None = None,
) -> dict[str, Any]:
    """Writes `out` (whole or not at all) from the stretches in `place`, all of which are there; returns its row.

    What the quality gate does not let pass goes into the folder `review` beside it.

    Args:
        audio: the sound of the output.
        tracks: the dub tracks that it is made of.
        facts: columns of the row that say where it comes from (`provenance_facts`).

    Raises:
        InputFailed: an input breaks, or changed meanwhile.
        StorageFull: the disk is full.
    """
    watch = Stopwatch()
    info = media.probe(video)
    assert info.video is not None
    writing = None if progress is None else partial(progress, "writing")
    seal = render_seal(config, facts, video, tracks)
    unjudged = place.output(Path(out).suffix)
    clear_partials(unjudged)
    with media.VideoRewriter(
        video, unjudged, audio=os.fspath(audio), metadata=stamp(facts, info.metadata), crf=config.render.crf,
        when_longer=config.render.when_longer, threads=config.runtime.threads, seal=seal.seal if seal else None,
    ) as rewriter:  # fmt: skip
        composer = Composer(plan, place, config, models)
        for index, _, rgb in rewriter.frames():
            rewriter.write(index, composer.changed(index, rgb))
            if writing is not None and (index % 25 == 0 or index + 1 == plan.frames):
                writing(index + 1, plan.frames)
    measured = measure_render(
        video, unjudged, rewriter.report.boxes, plan.segments, voices, models.experts, config.render,
        models.pipeline.base.alignment, config.tracks.smooth_s,
    )  # fmt: skip
    made = row(
        RENDERS, **facts, **render_columns(measured, config.gate), run_id=run_id, input_uri=os.fspath(video),
        audio_uri=os.fspath(tracks[0]),
        output_uri=os.fspath(out), status="ok", stage="dub", frames=rewriter.report.frames, fps=float(info.video.fps),
        duration_s=info.duration_s, width=info.video.width, height=info.video.height, faces=plan.faces,
        windows=composer.windows, attempts=1, **time_columns(place, watch.lap()),
        created=datetime.datetime.now(datetime.UTC), **emotion_columns(plan.moods[0], info.duration_s, models.experts),
        reason="; ".join([*rewriter.report.remarks(), *plan.remarks]) or None,
    )  # fmt: skip
    made = judged(made, config.gate, os.fspath(out), "dub")
    deliver(unjudged, Path(made["output_uri"]))
    return made


def provenance_facts(
    render_id: str, source_sha256: str, audio_sha256: str, config: Config, models: Dubber
) -> dict[str, Any]:
    """What row and file say of where the output comes from."""
    return {
        "render_id": render_id, "model_id": models.model_id, "dataset_id": models.dataset_id,
        "source_sha256": source_sha256, "audio_sha256": audio_sha256, "seed": config.render.seed,
        "config_hash": config.hash(), "code_revision": code_revision(),
    }  # fmt: skip


def emotion_columns(moods: Moods, until_s: float, experts: Experts) -> dict[str, Any]:
    """What a row says of the emotion: all texts as caption, the vector of the one that holds longest, and which of the
    eight it means."""
    text = moods.main(until_s)
    if text is None:
        return {}
    found: dict[str, Any] = {"emotion": text, "caption": moods.caption}
    if experts.text is not None:
        found["emotion"] = experts.text.emotion_of(text).emotion
        found["caption_embedding"] = experts.text.encode([text])[1][0].numpy()
    return found
