"""What the exams of sound, sync and speakers are filmed with: people nobody was trained on, who talk, listen and chew.

Everything goes through a file, the detector and the tracker, as footage does.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from storage import media
from tasks import crops
from tasks.analysis import analyse
from tasks.config import Config
from tasks.exams.footage import person_seed
from tasks.experts import Experts
from tasks.studio.acting import Style, act, sample_style
from tasks.studio.controls import AUS, Controls
from tasks.studio.identity import sample_identity
from tasks.studio.render import render, sample_scene
from tasks.studio.speech import LANGUAGES, Phoneme, Speech
from tasks.studio.takes import MOODS, passage, plan_take, room_sound, voice_of

RATE = 16_000
CLOSE_UP, WIDE = (0.74, 0.90), (0.58, 0.64)
APART = 0.46  # how far each of two people sits from the middle, in image heights
GESTURES = ("nothing", "chews", "smiles", "nods")

Frames = NDArray[np.uint8]
Sound = NDArray[np.float32]


@dataclass(frozen=True)
class Seen:
    """A face as the walk sees it: pts float64 [T] seconds, crops uint8 [T,128,128,3], motion float32 [T] of its mouth,
    the median of its box's middle and its height in pixels."""

    pts: NDArray[np.float64]
    crops: Frames
    motion: NDArray[np.float32]
    x: float
    height: float

    def part(self, frames: slice) -> Seen:
        """These frames of it, as a clip of its own."""
        return replace(self, pts=self.pts[frames], crops=self.crops[frames], motion=self.motion[frames])


@dataclass(frozen=True)
class Talk:
    """A film of `seconds`: sound float32 [N] at 16 kHz; who says what when (None: somebody out of view)."""

    frames: Frames
    fps: float
    sound: Sound
    said: tuple[tuple[int | None, tuple[Phoneme, ...]], ...]

    def speaker(self, times: NDArray[np.floating], bridge_s: float = 0.1) -> NDArray[np.int64]:
        """Who speaks at `times`: a place in the picture, -1 somebody unseen, -2 nobody; shorter pauses are bridged."""
        who = np.full(len(times), -2, np.int64)
        for place, phonemes in self.said:
            for start, end in sounded(phonemes, bridge_s):
                who[(times >= start) & (times < end)] = -1 if place is None else place
        return who


def sounded(phonemes: Sequence[Phoneme], bridge_s: float = 0.1) -> list[tuple[float, float]]:
    """Stretches (start, end) in seconds in which phonemes sound; pauses up to `bridge_s` belong to them."""
    spans: list[tuple[float, float]] = []
    for phoneme in phonemes:
        if not phoneme.symbol:
            continue
        if spans and phoneme.start_s - spans[-1][1] <= bridge_s + 1e-9:
            spans[-1] = (spans[-1][0], phoneme.end_s)
        else:
            spans.append((phoneme.start_s, phoneme.end_s))
    return spans


def monologue(seed: int, person: int, seconds: float, fps: float, size: int = 144) -> Talk:
    """A close-up of one person who talks, in a mood, a language and a room of their own."""
    take = plan_take(person_seed(seed, person), 0, MOODS[(7 * person) % len(MOODS)], seconds, "test", CLOSE_UP)
    times = np.arange(int(seconds * fps)) / fps
    frames = render(take.scene, take.controls(times), (size, size), compile_field=True).frames
    return Talk(frames, fps, room_sound(take.speech, take.seed), ((0, tuple(take.speech.phonemes)),))


def dialogue(seed: int, number: int, turn_s: float, size: tuple[int, int] = (256, 144), fps: float = 25.0) -> Talk:
    """Two people side by side: one speaks, then the other, then nobody, then somebody who is not in view.

    Whoever does not speak listens, chews, smiles or nods.
    """
    rng = np.random.default_rng([seed, number, 0xD1A])
    pause_s = 0.8
    total = 3 * turn_s + pause_s
    times = np.arange(int(total * fps)) / fps
    people = [person_seed(seed, 50 + 3 * number + place) for place in range(3)]
    spans = [(0.0, turn_s), (turn_s, 2 * turn_s), (2 * turn_s + pause_s, total)]
    if rng.random() < 0.5:
        spans[:2] = spans[1::-1]
    speeches = [_turn(rng, person, span, total) for person, span in zip(people, spans, strict=True)]
    picture: Frames | None = None
    first = None
    for place in range(2):
        scene = sample_scene(sample_identity(people[place]), seed * 10 + number, framing=WIDE)
        scene = replace(scene, camera=replace(scene.camera, x=0.0))
        first = first or scene
        scene = replace(scene, light=first.light, background=first.background, camera=first.camera)
        controls = act(speeches[place], times, int(rng.integers(1 << 30)), _style(rng))
        gestures = rng.permutation(GESTURES[1:])
        idle = [span for span in ((0.0, turn_s), (turn_s, 2 * turn_s), (2 * turn_s, total)) if span != spans[place]]
        for gesture, span in zip(gestures, idle, strict=False):
            _gesture(controls, times, span, str(gesture), rng)
        side = -1.0 if place == 0 else 1.0
        controls.pose[:, 3] += side * APART * scene.camera.distance / scene.camera.zoom
        controls.pose[:, 0] -= side * 0.22
        shown = render(scene, controls, size, compile_field=True)
        if picture is None:
            picture = shown.frames
        else:
            over = (shown.alpha.astype(np.float32) / 255)[..., None]
            picture = np.round(picture * (1 - over) + shown.frames * over).astype(np.uint8)
    assert picture is not None
    mixed = room_sound(replace(speeches[0], audio=np.sum([s.audio for s in speeches], axis=0)), seed + number)
    said = tuple((place if place < 2 else None, tuple(speech.phonemes)) for place, speech in enumerate(speeches))
    return Talk(picture, fps, np.clip(mixed, -1, 1).astype(np.float32), said)


def _turn(rng: np.random.Generator, person: int, span: tuple[float, float], total: float) -> Speech:
    """What a person says in one turn, silent before and after it."""
    emotion, intensity = MOODS[int(rng.integers(len(MOODS)))]
    voice = voice_of(sample_identity(person), str(rng.choice(LANGUAGES)))
    spoken = passage(rng, voice, emotion, intensity, span[1] - span[0], "test")
    return spoken.window(-span[0], total - span[0])


def _style(rng: np.random.Generator) -> Style:
    return replace(sample_style(rng, 0.31), x=0.0, y=0.0, z=0.0)


def _gesture(
    controls: Controls, times: NDArray[np.float64], span: tuple[float, float], gesture: str, rng: np.random.Generator
) -> None:
    """What a listener does within `span` seconds, in place."""
    rise = np.clip(np.minimum(times - span[0], span[1] - times) / 0.3, 0, 1)
    phase = 2 * np.pi * (times - span[0])
    if gesture == "chews":
        beat = np.maximum(0, np.sin(phase * rng.uniform(1.1, 1.6))) * rng.uniform(0.15, 0.35)
        controls.articulation[:, 0] += (rise * beat).astype(np.float32)
        controls.aus[:, AUS.index("AU17")] += (rise * 0.3 * np.maximum(0, -np.sin(phase * 1.3))).astype(np.float32)
    elif gesture == "smiles":
        for name in ("AU12L", "AU12R", "AU6"):
            controls.aus[:, AUS.index(name)] += (rise * 0.7).astype(np.float32)
    elif gesture == "nods":
        controls.pose[:, 1] += (rise * 0.09 * np.sin(phase * rng.uniform(1.2, 1.8))).astype(np.float32)
    np.clip(controls.articulation, 0, 1, out=controls.articulation)
    np.clip(controls.aus, 0, 1, out=controls.aus)


def watch(talk: Talk, config: Config, experts: Experts, shrink: float = 1.0) -> tuple[list[Seen], Sound]:
    """The faces of a film from left to right, and its sound, read back from a file.

    Args:
        shrink: the film's side is reduced by this factor first.
    """
    frames = talk.frames if shrink == 1.0 else np.stack([_smaller(frame, shrink) for frame in talk.frames])
    with tempfile.TemporaryDirectory(prefix="dubwright-exam-") as folder:
        path = Path(folder) / "talk.mp4"
        media.write_video(path, list(frames), talk.fps, talk.sound, crf=20, preset="veryfast", threads=1)
        found = analyse(path, media.probe(path), experts.faces, config)
        tracks = sorted(found.tracks, key=lambda track: float(np.median(track.bbox[:, 0])))
        cut: list[list[Frames]] = [[] for _ in tracks]
        for index, _, frame in media.iter_frames(path, threads=1):
            for track, kept in zip(tracks, cut, strict=True):
                if track.first <= index < track.last:
                    kept.append(crops.warp(frame, track.matrices[index - track.first], crops.CROP_SIZE))
        sound = media.read_audio(path, RATE)
    return [
        Seen(track.pts, np.stack(kept), track.motion, float(np.median(track.bbox[:, [0, 2]])), track.height)
        for track, kept in zip(tracks, cut, strict=True)
    ], sound


def _smaller(frame: Frames, shrink: float) -> Frames:
    size = (int(frame.shape[1] / shrink) // 2 * 2, int(frame.shape[0] / shrink) // 2 * 2)
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)


def piece(sound: Sound, start_s: float, end_s: float) -> Sound:
    """Sound float32 from `start_s` to `end_s`; silence beyond its ends."""
    first, count = round(start_s * RATE), round((end_s - start_s) * RATE)
    part = sound[max(0, first) : max(0, first + count)]
    before = min(count, max(0, -first))
    return np.asarray(np.pad(part, (before, max(0, count - before - len(part)))), np.float32)
