"""The shipped library: a few episodes with dub tracks, a portrait, and footage to train on, as ordinary files.

    python -m tasks.studio.library --out tasks/studio/library

makes them again. Nobody in them appears in a corpus of tasks.studio.corpus.
"""

from __future__ import annotations

import argparse
import csv
import io
import logging
import os
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from storage import media
from storage.atomic import written_aside
from tasks.studio.controls import Controls, emotion_aus
from tasks.studio.episodes import Episode, Member, Shot, Turn, mixed, render_episode, rttm, speech_of
from tasks.studio.identity import sample_identity
from tasks.studio.render import render, sample_scene
from tasks.studio.speech import SAMPLE_RATE
from tasks.studio.takes import FIRST_LIBRARY_SEED, describe, passage, plan_take, room_sound, voice_of

log = logging.getLogger(__name__)
LIBRARY = Path(__file__).parent / "library"
MANIFEST_COLUMNS = ("video", "audio", "emotion", "speakers", "output")
FOOTAGE_COLUMNS = ("video", "speaker", "emotion", "intensity", "text", "caption", "split", "licence", "consent")
TAGS = {"comment": "Synthetic: rendered by the dubwright studio. The people shown do not exist."}
README = """The studio library
==================

Every file below this folder is synthetic: faces, voices and scenes were rendered by this project
(tasks/studio), the people shown do not exist, and no third-party media were used. The speech was
synthesised with espeak-ng. Licence: Apache-2.0, like the rest of the project.

  manifest.csv   episodes with the tracks to dub them with: `dubwright dub --manifest manifest.csv`
  *.mp4          episodes, with their original speech     *.dub.wav  tracks in a second language
  *.rttm         who speaks when                          *.npz      truth of every frame, for tests
  portrait.png   a face for `dubwright animate`           portrait.wav  something for it to say
  footage/       labelled clips of other people, to preprocess and train on

Made by `python -m tasks.studio.library --out DIR`.
"""
_S = FIRST_LIBRARY_SEED

EPISODES: tuple[Episode, ...] = (
    Episode(
        "welcome", {"host": Member(_S + 11, ("happy", 2), ("happy", 2))},
        (Turn("host", 0.3, 5.7),), (Shot(0.0, 6.0, ("host",)),), "en", "de",
        seed=_S + 1, dub_emotion="happy, with a warm smile",
    ),
    Episode(
        "dialogue",
        {
            "anna": Member(_S + 10, ("surprised", 1), ("surprised", 1)),
            "ben": Member(_S + 18, ("angry", 2), ("angry", 2)),
        },
        (Turn("anna", 1.2, 4.0), Turn("ben", 4.2, 7.0)),
        (
            Shot(0.0, 1.0, (), "DIALOGUE\nthe second episode"), Shot(1.0, 4.1, ("anna", "ben")),
            Shot(4.1, 8.0, ("ben",)),
        ),
        "en", "fr", seed=_S + 2,
    ),
    Episode(
        "news", {"reader": Member(_S + 24, ("sad", 1), ("sad", 2))},
        (Turn("reader", 0.2, 2.7), Turn("reader", 3.7, 6.0)),
        (Shot(0.0, 6.006, ("reader",)),), "en", "es", fps=Fraction(30000, 1001), seed=_S + 4, dub_emotion="auto",
    ),
    Episode(
        "return", {"guide": Member(_S + 2, ("neutral", 0), ("neutral", 0))}, (Turn("guide", 0.2, 5.8),),
        (Shot(0.0, 2.4, ("guide",)), Shot(2.4, 3.4, (), "MEANWHILE"), Shot(3.4, 6.0, ("guide",))),
        "de", "en", size=(320, 240), seed=_S + 5,
    ),
)  # fmt: skip
PORTRAIT_SEED = _S + 33
FOOTAGE_PEOPLE = tuple(_S + place for place in (21, 30, 7, 37, 25, 16))
FOOTAGE_MOODS = (("neutral", 0), ("happy", 2), ("angry", 2), ("sad", 2), ("surprised", 2), ("fearful", 2))
FOOTAGE_SPLITS = ("train", "train", "train", "train", "val", "test")


def render_library(out: str | os.PathLike[str] = LIBRARY, *, compile_field: bool | None = None) -> Path:
    """Render episodes, dub tracks, portrait and footage into `out`, replacing what is there; returns `out`."""
    folder = Path(out)
    (folder / "footage").mkdir(parents=True, exist_ok=True)
    for episode in EPISODES:
        write_episode(folder, episode, compile_field=compile_field)
        log.info("episode %s", episode.name)
    write_portrait(folder)
    write_footage(folder / "footage", compile_field=compile_field)
    rows = [
        (
            f"{e.name}.mp4",
            f"{e.name}.dub.wav",
            e.dub_emotion,
            f"{e.name}.rttm" if len(e.cast) > 1 else "",
            f"{e.name}.{e.dub_language}.mp4",
        )
        for e in EPISODES
    ]
    _write_text(folder / "manifest.csv", _table(MANIFEST_COLUMNS, rows))
    _write_text(folder / "README.txt", README)
    return folder


def write_episode(folder: Path, episode: Episode, *, compile_field: bool | None = None) -> None:
    """Video with the original speech, dub track, truth, and RTTM where there are several speakers."""
    frames, truth = render_episode(episode, compile_field=compile_field)
    sound = mixed(speech_of(episode))
    media.write_video(folder / f"{episode.name}.mp4", frames, episode.fps, sound, crf=17, preset="slow", metadata=TAGS)
    media.write_audio(folder / f"{episode.name}.dub.wav", mixed(speech_of(episode, dub=True)), SAMPLE_RATE)
    with written_aside(folder / f"{episode.name}.npz") as aside, aside.open("wb") as file:
        np.savez_compressed(
            file, pts=truth.pts, kps=truth.kps, bbox=truth.bbox, mouth_opening=truth.mouth_opening,
            speaking=truth.speaking, shot=truth.shot, labels=np.array(episode.labels),
        )  # fmt: skip
    if len(episode.cast) > 1:
        _write_text(folder / f"{episode.name}.rttm", rttm(episode))


def write_portrait(folder: Path, size: int = 384) -> None:
    """portrait.png, a friendly face at rest, and portrait.wav, three seconds of speech for it."""
    identity = sample_identity(PORTRAIT_SEED)
    controls = Controls.neutral(1)
    controls.aus[:] = emotion_aus("happy", 1)
    controls.set("AU25", 0.0)
    picture = render(
        sample_scene(identity, PORTRAIT_SEED, framing=(0.7, 0.7)), controls, (size, size), compile_field=False
    ).frames[0]
    with written_aside(folder / "portrait.png") as aside:
        aside.write_bytes(cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1].tobytes())
    rng = np.random.default_rng(PORTRAIT_SEED)
    speech = passage(rng, voice_of(identity, "en"), "happy", 2, 3.0, "test")
    media.write_audio(folder / "portrait.wav", speech.audio, SAMPLE_RATE)


def write_footage(folder: Path, seconds: float = 2.4, size: int = 160, *, compile_field: bool | None = None) -> None:
    """Two labelled clips of each of six people (four to train on, one to validate, one to test) and a manifest."""
    rows = []
    for index, seed in enumerate(FOOTAGE_PEOPLE):
        for number in range(2):
            mood = FOOTAGE_MOODS[(index + 3 * number) % len(FOOTAGE_MOODS)]
            split = FOOTAGE_SPLITS[index]
            take = plan_take(seed, number, mood, seconds, split, (0.74, 0.84), "en", max_yaw=0.35)
            controls = take.controls(np.arange(round(seconds * 25)) / 25)
            frames = render(take.scene, controls, (size, size), compile_field=compile_field).frames
            name = f"person{index}_{mood[0]}.mp4"
            media.write_video(
                folder / name, frames, 25, room_sound(take.speech, take.seed), crf=14, preset="slow", metadata=TAGS
            )
            rows.append(
                (
                    name,
                    f"library-{seed}",
                    mood[0],
                    mood[1],
                    take.speech.text,
                    describe(take, controls),
                    split,
                    "Apache-2.0",
                    "synthetic",
                )
            )
            log.info("footage %s", name)
    _write_text(folder / "manifest.csv", _table(FOOTAGE_COLUMNS, rows))


def _table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()


def _write_text(path: Path, text: str) -> None:
    with written_aside(path) as aside:
        aside.write_text(text, encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of this module."""
    parser = argparse.ArgumentParser(prog="python -m tasks.studio.library", description="Render the shipped library.")
    parser.add_argument("--out", type=Path, default=LIBRARY)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    render_library(parser.parse_args(arguments).out, compile_field=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
