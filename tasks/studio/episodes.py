"""Episodes: short films with one or two speakers, cuts, titles and silence, and what they say in a second language.

An episode has a cast, turns (who speaks when) and shots (who is in view when). Its original speech and its dub share
the turns but not the words, as in a real dubbing job. Rendered with the truth of every frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

import cv2
import numpy as np
import numpy.typing as npt

from tasks.studio.acting import Style, act
from tasks.studio.controls import Controls
from tasks.studio.identity import sample_identity
from tasks.studio.render import Rendered, Scene, render, sample_scene
from tasks.studio.sentences import sample_sentence
from tasks.studio.speech import SAMPLE_RATE, Phoneme, Speech, Voice, join, speak
from tasks.studio.takes import voice_of

FloatArray = npt.NDArray[np.float32]
CLOSE_UP, WIDE = (0.80, 0.80), (0.60, 0.60)
APART = 0.50  # how far each of two people sits from the middle of a wide shot, in image heights


@dataclass(frozen=True)
class Turn:
    """`label` speaks from `start_s` to `end_s`."""

    label: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Shot:
    """From `start_s` to `end_s` these people are in view: one close up, two in a wide shot, none on a title card."""

    start_s: float
    end_s: float
    people: tuple[str, ...] = ()
    title: str = ""


@dataclass(frozen=True)
class Member:
    """One of the cast: whom the seed makes, and the mood (emotion, intensity) of the original and of the dub."""

    seed: int
    mood: tuple[str, int] = ("neutral", 0)
    dub_mood: tuple[str, int] = ("neutral", 0)


@dataclass(frozen=True)
class Episode:
    """A plan. size is (width, height); `dub_emotion` is what the library's manifest asks for."""

    name: str
    cast: dict[str, Member]
    turns: tuple[Turn, ...]
    shots: tuple[Shot, ...]
    language: str
    dub_language: str
    size: tuple[int, int] = (384, 216)
    fps: Fraction = Fraction(25)
    seed: int = 0
    dub_emotion: str = ""

    @property
    def seconds(self) -> float:
        return self.shots[-1].end_s

    @property
    def times(self) -> npt.NDArray[np.float64]:
        """Presentation times float64 [T] in seconds."""
        count = int(Fraction(self.seconds).limit_denominator(1000) * self.fps)
        return np.arange(count) / float(self.fps)

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(self.cast)


@dataclass
class EpisodeTruth:
    """Truth of T frames and L people (in the order of the cast); NaN where a person is not in view.

    pts float64 [T]; kps float32 [L,T,5,2], bbox float32 [L,T,4] in px; mouth_opening float32 [L,T] in eye distances;
    speaking int [T], the index of who speaks, -1 for nobody; shot int [T].
    """

    pts: npt.NDArray[np.float64]
    kps: FloatArray
    bbox: FloatArray
    mouth_opening: FloatArray
    speaking: npt.NDArray[np.int64]
    shot: npt.NDArray[np.int64]


def speech_of(episode: Episode, dub: bool = False) -> dict[str, Speech]:
    """What each label says, over the whole episode, silent outside its turns; of the dub track where `dub`.

    Nobody repeats a sentence, neither their own nor another's.
    """
    rng = np.random.default_rng([episode.seed, 0xD0B if dub else 0x0A1])
    language = episode.dub_language if dub else episode.language
    spoken: dict[str, Speech] = {}
    said: set[str] = set()
    for label, member in episode.cast.items():
        mood = member.dub_mood if dub else member.mood
        voice = voice_of(sample_identity(member.seed), language)
        parts = [
            (turn, _fitting(rng, voice, mood, turn.end_s - turn.start_s, said))
            for turn in episode.turns
            if turn.label == label
        ]
        spoken[label] = _on_timeline(parts, episode.seconds, voice, mood)
    return spoken


def mixed(spoken: dict[str, Speech]) -> FloatArray:
    """All speakers together, float32 [N] at 16 kHz."""
    total = np.sum([speech.audio for speech in spoken.values()], axis=0)
    return np.clip(total, -1, 1).astype(np.float32)


def render_episode(
    episode: Episode, *, compile_field: bool | None = None
) -> tuple[list[npt.NDArray[np.uint8]], EpisodeTruth]:
    """Frames uint8 [H,W,3] of the episode with its original speech, and their truth."""
    times, spoken = episode.times, speech_of(episode)
    controls = {
        label: act(spoken[label], times, episode.seed + index, _STYLES[index % len(_STYLES)])
        for index, label in enumerate(episode.labels)
    }
    truth = _empty_truth(episode)
    frames: list[npt.NDArray[np.uint8]] = []
    for number, shot in enumerate(episode.shots):
        here = np.flatnonzero((times >= shot.start_s - 1e-9) & (times < shot.end_s - 1e-9))
        truth.shot[here] = number
        part = slice(int(here[0]), int(here[-1]) + 1)
        if not shot.people:
            frames += [title_card(episode.size, shot.title, episode.seed + number)] * len(here)
            continue
        frames += list(
            _render_shot(
                episode, shot, number, {name: controls[name][part] for name in shot.people}, truth, part, compile_field
            )
        )
    return frames, truth


_STYLES = (
    Style(yaw=0.06, pitch=0.02, sway=1.0, blink_every_s=2.6),
    Style(yaw=-0.08, pitch=-0.01, sway=0.9, blink_every_s=3.1),
)


def _render_shot(
    episode: Episode,
    shot: Shot,
    number: int,
    controls: dict[str, Controls],
    truth: EpisodeTruth,
    part: slice,
    compile_field: bool | None,
) -> npt.NDArray[np.uint8]:
    """Frames of one shot. People in a wide shot are rendered one by one into the same set, joined by their coverage."""
    wide = len(shot.people) > 1
    picture: npt.NDArray[np.uint8] | None = None
    set_scene: Scene | None = None
    for place, label in enumerate(shot.people):
        scene = _scene(episode, label, wide)
        moved = controls[label]
        if wide:
            if set_scene is None:
                set_scene = scene
            scene = replace(scene, light=set_scene.light, background=set_scene.background, camera=set_scene.camera)
            moved = _seated(moved, scene, -1.0 if place == 0 else 1.0)
        result = render(scene, moved, episode.size, compile_field=compile_field)
        _note(truth, episode.labels.index(label), part, result)
        if picture is None:
            picture = result.frames
        else:
            over = (result.alpha.astype(np.float32) / 255)[..., None]
            picture = np.round(picture * (1 - over) + result.frames * over).astype(np.uint8)
    assert picture is not None
    return picture


def _scene(episode: Episode, label: str, wide: bool) -> Scene:
    """One set per person: the same in every close-up of an episode."""
    index = episode.labels.index(label)
    scene = sample_scene(
        sample_identity(episode.cast[label].seed), episode.seed * 10 + index, framing=WIDE if wide else CLOSE_UP
    )
    return replace(scene, camera=replace(scene.camera, x=0.0))


def _seated(controls: Controls, scene: Scene, side: float) -> Controls:
    """Moved to the left (-1) or right (1) half of the picture and turned a little to the other."""
    pose = controls.pose.copy()
    pose[:, 3] += side * APART * scene.camera.distance / scene.camera.zoom
    pose[:, 0] -= side * 0.22
    return Controls(controls.aus, controls.articulation, pose, controls.gaze)


def _note(truth: EpisodeTruth, person: int, part: slice, result: Rendered) -> None:
    truth.kps[person, part] = result.kps
    truth.bbox[person, part] = result.bbox
    truth.mouth_opening[person, part] = result.mouth_opening


def _empty_truth(episode: Episode) -> EpisodeTruth:
    people, times = len(episode.cast), episode.times
    speaking = np.full(len(times), -1, np.int64)
    for turn in episode.turns:
        speaking[(times >= turn.start_s) & (times < turn.end_s)] = episode.labels.index(turn.label)
    return EpisodeTruth(
        times,
        np.full((people, len(times), 5, 2), np.nan, np.float32),
        np.full((people, len(times), 4), np.nan, np.float32),
        np.full((people, len(times)), np.nan, np.float32),
        speaking,
        np.zeros(len(times), np.int64),
    )


def _fitting(rng: np.random.Generator, voice: Voice, mood: tuple[str, int], seconds: float, said: set[str]) -> Speech:
    """Sentences that end within `seconds`, nearly filling them; a voice in a hurry speaks up to 40 % faster.

    None of them is in `said`, where they are noted.
    """
    for hurry in (1.0, 1.0, 1.2, 1.4, 1.4, 1.4):
        quick = replace(voice, rate=int(voice.rate * hurry))
        parts: list[Speech] = []
        left = seconds
        for _ in range(10):
            text = _unsaid(rng, voice.language, said)
            speech = speak(text, quick, emotion=mood[0], intensity=mood[1])
            ends = [phoneme.end_s for phoneme in speech.phonemes if phoneme.symbol]
            speech = speech.window(0.0, min(ends[-1] + 0.15, speech.duration_s))
            if speech.duration_s <= left:
                parts.append(speech)
                said.add(text)
                left -= speech.duration_s
            if left < 1.0:
                break
        if parts:
            return join(parts)
    raise ValueError(f"no sentence of {voice.language} is as short as {seconds:.1f} s: give the turn more time")


def _unsaid(rng: np.random.Generator, language: str, said: set[str]) -> str:
    while (text := sample_sentence(rng, language, "test")) in said:
        pass
    return text


def _on_timeline(parts: list[tuple[Turn, Speech]], seconds: float, voice: Voice, mood: tuple[str, int]) -> Speech:
    """The passages of one speaker at their turns' starts, silence between."""
    samples = round(seconds * SAMPLE_RATE)
    silent = Speech(np.zeros(samples, np.float32), [Phoneme("", 0.0, seconds)], [], "", voice, *mood)
    if not parts:
        return silent
    pieces: list[Speech] = []
    at = 0.0
    for turn, speech in sorted(parts, key=lambda item: item[0].start_s):
        pieces.append(speech.window(at - turn.start_s, speech.duration_s))
        at += pieces[-1].duration_s
    return join(pieces).window(0.0, seconds)


def title_card(size: tuple[int, int], text: str, seed: int) -> npt.NDArray[np.uint8]:
    """A frame uint8 [H,W,3] without a face: lettering on a plain ground with a soft vignette."""
    width, height = size
    rng = np.random.default_rng([seed, 0x717])
    ground = rng.uniform(15, 60, 3)
    y, x = np.mgrid[0:height, 0:width]
    fall = 1.2 - 0.8 * (((x - width / 2) / width) ** 2 + ((y - height / 2) / height) ** 2) * 2
    card = np.clip(ground * fall[..., None], 0, 255).astype(np.uint8)
    lines = text.split("\n")
    for index, line in enumerate(lines):
        scale = height / 216 * (0.9 if index == 0 else 0.5)
        (wide, tall), _ = cv2.getTextSize(line, cv2.FONT_HERSHEY_DUPLEX, scale, 1)
        origin = ((width - wide) // 2, int(height * (0.48 + 0.16 * index) + tall / 2))
        cv2.putText(card, line, origin, cv2.FONT_HERSHEY_DUPLEX, scale, (226, 222, 210), 1, cv2.LINE_AA)
    return card


def rttm(episode: Episode) -> str:
    """The turns as NIST RTTM lines."""
    return "".join(_rttm_lines(episode))


def _rttm_lines(episode: Episode) -> Iterator[str]:
    for turn in sorted(episode.turns, key=lambda turn: turn.start_s):
        length = turn.end_s - turn.start_s
        yield f"SPEAKER {episode.name} 1 {turn.start_s:.3f} {length:.3f} <NA> <NA> {turn.label} <NA> <NA>\n"
