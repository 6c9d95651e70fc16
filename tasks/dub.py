"""Dubbing one video in this process: the face that speaks is made to speak the new track; all else stays what it was.

Three kinds of work, each of which goes on where it was stopped (`tasks.dubbing`): a look at the picture that keeps
numbers only, stretches of the face through the model, and the finished file.
"""

from __future__ import annotations

import os
from typing import Any

from storage import media
from storage.ids import file_sha256
from storage.layout import Root
from tasks.config import Config
from tasks.dubber import Dubber, render_key
from tasks.dubbing.finishing import finish, provenance_facts
from tasks.dubbing.looking import Frames, look
from tasks.dubbing.place import Place
from tasks.dubbing.rendering import StretchRenderer, runs_of
from tasks.dubbing.stretches import stretches_of
from tasks.moods import Moods


def dub_video(
    video: str | os.PathLike[str],
    audio: str | os.PathLike[str],
    out: str | os.PathLike[str],
    config: Config,
    models: Dubber,
    emotion: str | None = None,
    *,
    speakers: str | os.PathLike[str] | None = None,
    intensity: float | None = None,
    render_id: str | None = None,
    run_id: str | None = None,
    progress: Frames | None = None,
) -> dict[str, Any]:
    """Writes `out` (whole or not at all) and returns its RENDERS row: ok, or rejected by the quality gate, which puts
    the file into the folder `review` beside its place.

    Parts that are done lie under `config.root` until the file is, so that the same call goes on after a stop.

    Args:
        audio: the dub track; its zero is put at the timeline's zero.
        emotion: free text; "auto": heard from the track; several over time (`tasks.moods`); None or "" keeps the
            face's own.
        speakers: RTTM file: who speaks when.
        intensity: 0 … 3 of the emotion.

    Raises:
        InputRejected: no face that could be dubbed, no sound in `audio`.
        InputFailed: an input is broken, or an emotion cannot be understood.
        Busy: another process dubs the same with the same settings now.
    """
    moods = Moods.read(emotion, intensity)
    media.probe(audio, need_video=False, need_audio=True)
    digests = (file_sha256(video), file_sha256(audio), file_sha256(speakers) if speakers is not None else None)
    key = render_id or render_key(digests[0], digests[1], config, models.model_id, moods.key, digests[2])
    place = Place(Root(config.root).create(), key)
    plan = look(video, digests[0], place, config, models, [audio], moods, speakers, progress)
    voices = [models.hear(audio)]
    renderer = StretchRenderer(video, plan, place, voices, config, models)
    stretches = stretches_of(plan.segments, config.render)
    total, done = sum(len(stretch) for stretch in stretches), 0
    for run in runs_of(stretches, len(stretches)):
        for stretch in renderer.render(run, lambda: False):
            done += len(stretch)
            if progress is not None:
                progress("rendering", done, total)
    facts = provenance_facts(key, digests[0], digests[1], config, models)
    made = finish(video, audio, [audio], out, plan, place, voices, facts, config, models, run_id, progress)
    place.clear()
    return made
