"""The exam of `tasks.shots`: cuts between views, jump cuts within one, and what must not be taken for either."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from models.faces import FaceAnalyzer
from tasks.config import Config
from tasks.exams.acted import COMPILED_FROM, acted
from tasks.exams.acted import person as identity
from tasks.exams.footage import FPS, Frames, Scripted, grain, hand, over, script, through_the_encoder
from tasks.exams.registry import Finding
from tasks.experts import Experts
from tasks.shots import ShotFinder
from tasks.studio.controls import EMOTIONS
from tasks.studio.episodes import title_card

SIZE = (192, 144)
GAPS_S = (0.4, 4.0)
"""How much of a take is missing at a jump cut."""
VISIBLE = 1.5
"""A jump whose hop is this many times the greatest movement between frames round it can be seen as one."""


@dataclass
class Film:
    """Frames with what was done to them: first frames of new views and of jumps, and frames of distractors."""

    frames: list[Frames] = field(default_factory=list)
    cuts: list[int] = field(default_factory=list)
    jumps: dict[int, float] = field(default_factory=dict)
    distractors: dict[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.frames)

    def add(self, frames: Frames, jumps: dict[int, float] | None = None) -> None:
        """Another view; `jumps` counts from its first frame."""
        if self.frames:
            self.cuts.append(len(self))
        self.jumps |= {len(self) + at: hop for at, hop in (jumps or {}).items()}
        self.frames += list(frames)


@dataclass
class Score:
    """Hits, false alarms and misses of one kind of cut."""

    hits: int = 0
    false: int = 0
    missed: int = 0

    @property
    def f1(self) -> float:
        total = 2 * self.hits + self.false + self.missed
        return 2 * self.hits / total if total else 1.0


def exam(config: Config, experts: Experts, quick: bool, seed: int) -> list[Finding]:
    """F1 of cuts and jump cuts, to the frame; false alarms at flashes, lights, hands and shaken heads, and in ordinary
    speech seen close up, where mouths open and eyes close from one frame to the next."""
    people = 2 if quick else 12
    cuts, jumps, visible = Score(), Score(), Score()
    disturbed = alarms = 0
    for number, film in enumerate(films(people, 30 if quick else 48, seed)):
        rng = np.random.default_rng([seed, number, 0xC075])
        noisy = grain(np.stack(film.frames), float(rng.uniform(1, 3.5)), rng)
        finder = look(through_the_encoder(noisy, float(rng.uniform(18, 27))), config, experts.faces)
        found, views = set(finder.cuts), set(finder.cuts) - finder.jumps
        false = found - set(film.cuts) - set(film.jumps)
        _count(cuts, set(film.cuts), found, len(false & views))
        _count(jumps, set(film.jumps), found, len(false - views))
        seen = {at for at, hop in film.jumps.items() if hop >= VISIBLE}
        _count(visible, seen, found, len(false - views))
        disturbed += len(set(film.distractors.values()))
        alarms += sum(any(abs(at - frame) <= 1 for at in false) for frame in film.distractors)
    return [
        Finding("cuts F1", cuts.f1, 0.99, cases=cuts.hits + cuts.missed, note="to the frame"),
        Finding("visible jump cuts F1", visible.f1, 0.85, cases=visible.hits + visible.missed,
                note=f"hop at least {VISIBLE} times the movement round it"),
        Finding("jump cuts F1", jumps.f1, None, cases=jumps.hits + jumps.missed, note="hidden in movement or not"),
        _in_speech(config, experts.faces, 4 if quick else 40, 2.0 if quick else 3.0, seed),
        Finding("false cuts at distractors", alarms / max(disturbed, 1), 0.02, higher_is_better=False, cases=disturbed,
                note="flashes, lights, hands, shaken heads"),
    ]  # fmt: skip


def _in_speech(config: Config, faces: FaceAnalyzer, people: int, seconds: float, seed: int) -> Finding:
    """Share of takes without any cut in which one is found."""
    times = np.arange(round(seconds * FPS)) / FPS
    takes = false = 0
    for number in range(people):
        mood = (EMOTIONS[number % len(EMOTIONS)], 0 if number % len(EMOTIONS) == 0 else 1 + number % 3)
        take = acted(
            identity(seed, 500 + number), 0, mood, times, faces, seconds=seconds,
            compiled=people * len(times) >= COMPILED_FROM,
        )  # fmt: skip
        if take is None:
            continue
        rng = np.random.default_rng([seed, number, 0x5EE])
        noisy = grain(take.frames, float(rng.uniform(1, 3.5)), rng)
        takes += 1
        false += bool(look(through_the_encoder(noisy, float(rng.uniform(18, 27))), config, faces).cuts)
    note = f"{seconds:g} s of speech, one face close up"
    share = false / max(takes, 1)
    return Finding("takes with a false cut", share, 0.03, higher_is_better=False, cases=takes, note=note)


def look(frames: Frames, config: Config, faces: FaceAnalyzer) -> ShotFinder:
    """A finder that has seen all frames [T,H,W,3] with their faces."""
    finder = ShotFinder(config.shots, FPS)
    for index, frame in enumerate(frames):
        finder.push(index, frame, faces.detect(frame, embed=False))
    finder.finish()
    return finder


def _count(score: Score, true: set[int], found: set[int], false: int) -> None:
    score.hits += len(true & found)
    score.missed += len(true - found)
    score.false += false


def films(people: int, length: int, seed: int) -> Iterator[Film]:
    """One film for each person: two of their views, a closer one, a neighbour's, cards and black, with distractors."""
    before: Frames | None = None
    for person in range(people):
        rng = np.random.default_rng([seed, person, 0xF117])
        film = Film()
        take, jumps = _with_jumps(seed, person, length, rng)
        other = script(seed, person, length // 2, take=1)
        _shake(other, rng)
        second = other.film(SIZE).frames
        film.add(take, jumps)
        film.add(second)
        film.distractors |= dict.fromkeys(range(len(film) - len(second) + 1, len(film)), f"{person} shake")
        for number, extra in enumerate(("flash", "light", "hand")):
            film.add(take[number * (length // 3) : (number + 1) * (length // 3)])
            _disturb(film, extra, person, length // 3, rng)
            if number == 0:
                film.add(np.stack([title_card(SIZE, "One\nTwo", seed + person)] * 14))
            elif number == 1:
                film.add(np.zeros((12, SIZE[1], SIZE[0], 3), np.uint8))
        film.add(_closer(take[-(length // 3) :]))
        if before is not None:
            film.add(before)
        before = second[: length // 3]
        yield film


def _with_jumps(seed: int, person: int, length: int, rng: np.random.Generator) -> tuple[Frames, dict[int, float]]:
    """A take with two pieces missing: frames [T,H,W,3] and how visible each jump is, by its first frame."""
    third, times, at = length // 3, [], 0.0
    for _ in range(3):
        times += list(at + np.arange(third) / FPS)
        at = times[-1] + 1 / FPS + float(np.exp(rng.uniform(*np.log(GAPS_S))))
    rendered = script(seed, person, 0, at=times).film(SIZE)
    moved = np.sqrt(((rendered.landmarks[1:] - rendered.landmarks[:-1]) ** 2).sum(-1).mean(-1))
    hops = {}
    for first in (third, 2 * third):
        near = np.concatenate([moved[first - 6 : first - 1], moved[first : first + 5]])
        hops[first] = float(moved[first - 1] / max(float(near.max()), 1e-3))
    return rendered.frames, hops


def _shake(scripted: Scripted, rng: np.random.Generator) -> None:
    """A shaken head: 20 degrees either way, about twice a second."""
    times = np.arange(len(scripted.controls)) / FPS
    scripted.controls.pose[:, 0] += np.float32(0.35) * np.sin(2 * np.pi * rng.uniform(1.5, 2.2) * times)


def _disturb(film: Film, kind: str, person: int, count: int, rng: np.random.Generator) -> None:
    """Something happens in the last `count` frames that is no cut."""
    first = len(film) - count
    middle = first + count // 2
    if kind == "flash":
        touched = range(middle, middle + int(rng.integers(1, 4)))
        for at in touched:
            film.frames[at] = np.clip(film.frames[at] * rng.uniform(1.6, 2.6) + 40, 0, 255).astype(np.uint8)
    elif kind == "light":
        touched = range(middle, len(film))
        lamp = _lamp(rng)
        for at in touched:
            film.frames[at] = np.clip(film.frames[at] * lamp, 0, 255).astype(np.uint8)
        touched = range(middle, middle + 1)
    else:
        touched = range(first + 2, first + count - 2)
        start, end = (rng.uniform(-0.1, 0.1, 2) + side for side in ((-0.2, 1.0), (1.0, 0.6)))
        for at in touched:
            share = (at - touched[0]) / len(touched)
            palm = ((1 - share) * start + share * end) * SIZE
            cover = cv2.GaussianBlur(hand(SIZE, (palm[0], palm[1]), 0.09 * SIZE[1], -0.9), (0, 0), 2)
            film.frames[at] = over(film.frames[at], np.asarray(cover), np.array([182, 132, 108]))
    film.distractors |= dict.fromkeys((*touched, touched[-1] + 1), f"{person} {kind}")


def _lamp(rng: np.random.Generator) -> NDArray[np.float64]:
    """Factors [H,W,3] of a lamp that is switched on or off on one side."""
    x = np.linspace(-1, 1, SIZE[0])[None, :, None]
    gain = rng.uniform(1.2, 1.6) ** rng.choice([-1, 1])
    return np.asarray(gain * (1 + rng.uniform(-0.35, 0.35) * x) * rng.uniform(0.93, 1.07, 3))


def _closer(frames: Frames) -> Frames:
    """The same view from nearer: what editors do to hide a cut."""
    height, width = frames.shape[1:3]
    y, x = height // 8, width // 8
    near = [cv2.resize(frame[y : height - y, x : width - x], (width, height)) for frame in frames]
    return np.stack(near).astype(np.uint8)
