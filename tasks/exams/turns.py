"""How right it is who is dubbed: films of two who take turns, with a dub whose sentences are longer or shorter."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from storage import media
from tasks.analysis import Analysis, analyse
from tasks.config import Config
from tasks.exams.registry import Finding
from tasks.exams.talking import RATE, Sound, Talk, dialogue, piece, sounded
from tasks.experts import Experts
from tasks.plan import Segment, plan_dub
from tasks.studio.identity import sample_identity
from tasks.studio.speech import LANGUAGES
from tasks.studio.takes import MOODS, passage, voice_of

_FIRST_FILM = 8
"""The films of the exam `speaking` are those before it: other people, other turns."""
_DUBS = 4
"""Dubs of each film: one in a dozen overruns so far, without a pause to tell, that a change is put wrong."""
_MOVED_S, _LONGER = 0.35, (0.8, 1.25)
"""How far the dub's sentences begin from the original's, and how much longer they are."""
_PAUSE_S = 0.15


@dataclass(frozen=True)
class Dubbed:
    """A dub of a film: who says when, and the sound float32 [N] at 16 kHz of each: the left, the right, the unseen."""

    turns: tuple[tuple[int | None, tuple[tuple[float, float], ...]], ...]
    sounds: tuple[Sound, Sound, Sound]

    def speaker(self, times: NDArray[np.floating]) -> NDArray[np.int64]:
        """Who speaks at `times`: a place in the picture, -1 somebody unseen, -2 nobody."""
        who = np.full(len(times), -2, np.int64)
        for place, spans in self.turns:
            for start, end in spans:
                who[(times >= start) & (times < end)] = -1 if place is None else place
        return who


def exam(config: Config, experts: Experts, quick: bool = False, seed: int = 0) -> list[Finding]:
    """Share of the frames in which the dub speaks that animate the right face alone, or rightly none.

    Every film: one person speaks, then the other, both are silent, somebody unseen speaks, and who does not speak
    listens, chews, smiles or nods; the sound is off by up to 6 frames. The dub speaks another language, begins up to
    0.35 s earlier or later and is 0.8 to 1.25 times as long. Planned with one track, with its RTTM, and with a track
    for each of the two.
    """
    rng = np.random.default_rng([seed, 0x70])
    right: dict[str, list[bool]] = {way: [] for way in ("one track", "RTTM", "a track for each")}
    still, unseen, owned = (list[bool]() for _ in range(3))
    for talk, dub in _dubbed(rng, quick, seed):
        shift = int(rng.integers(-6, 7))
        for way, (analysis, segments) in plans(talk, dub, shift, config, experts).items():
            times = analysis.pts
            shown, voices = animated(analysis, segments, talk.frames.shape[2])
            truth = dub.speaker(times)
            own_track = way == "a track for each"
            if own_track:
                truth = np.where(truth == -1, -2, truth)
                owned += [voice == place for place in (0, 1) for voice in voices[place]]
            said = truth != -2
            # Lips that moved in the original while another's track speaks have to be put to rest.
            moved = [(truth != place) & (talk.speaker(times) == place) & own_track for place in (0, 1)]
            fits = [(shown[place] == (truth == place)) | moved[place] for place in (0, 1)]
            found = np.logical_and(*fits)
            right[way] += found[said].tolist()
            if way == "one track":
                unseen += found[truth == -1].tolist()
                still += [not on for place in (0, 1) for on in shown[1 - place][truth == place]]
    asked = 0.8 if quick else 0.97
    unit = "share of speech frames"
    return [
        *(Finding(f"right face, {way}", float(np.mean(values)), asked, unit, cases=len(values))
          for way, values in right.items()),
        Finding("listener left alone", float(np.mean(still)), asked, unit, cases=len(still)),
        Finding("nobody animated, an unseen voice", float(np.mean(unseen)), None if quick else 0.97, unit,
                cases=len(unseen)),
        Finding("each face its own track", float(np.mean(owned)), asked, "share of segments", cases=len(owned)),
    ]  # fmt: skip


def _dubbed(rng: np.random.Generator, quick: bool, seed: int) -> Iterator[tuple[Talk, Dubbed]]:
    """Films, each with several dubs: most of what differs lies in the dub."""
    for number in range(1 if quick else 4):
        talk = dialogue(seed, _FIRST_FILM + number, 1.2 if quick else 2.4, (160, 90) if quick else (256, 144))
        for _ in range(1 if quick else _DUBS):
            yield talk, translated(talk, rng)


def translated(talk: Talk, rng: np.random.Generator) -> Dubbed:
    """A dub of a film: each turn spoken anew by another voice in another language, moved and stretched a little."""
    total = len(talk.frames) / talk.fps
    sounds = [np.zeros(round(total * RATE), np.float32) for _ in range(3)]
    turns, over = [], 0.0
    spoken = [(place, sounded(phonemes, 1.0)) for place, phonemes in talk.said]
    for place, spans in sorted(spoken, key=lambda turn: turn[1][0]):
        start, end = spans[0][0], spans[-1][1]
        length = (end - start) * rng.uniform(*_LONGER)
        begin = max(over, start + rng.uniform(-_MOVED_S, _MOVED_S), 0.0)
        emotion, intensity = MOODS[int(rng.integers(len(MOODS)))]
        voice = voice_of(sample_identity(int(rng.integers(1 << 20))), str(rng.choice(LANGUAGES)))
        speech = passage(rng, voice, emotion, intensity, length + 0.5, "test")
        lead = sounded(speech.phonemes)[0][0]
        speech = speech.window(lead, lead + min(length, total - begin))
        at = round(begin * RATE)
        own = sounds[2 if place is None else place]
        own[at : at + len(speech.audio)] += speech.audio[: len(own) - at]
        heard = tuple((a + begin, b + begin) for a, b in sounded(speech.phonemes))
        turns.append((place, heard))
        over = heard[-1][1] + _PAUSE_S
    return Dubbed(tuple(turns), (sounds[0], sounds[1], sounds[2]))


def plans(
    talk: Talk, dub: Dubbed, shift: int, config: Config, experts: Experts
) -> dict[str, tuple[Analysis, list[Segment]]]:
    """What is planned for a film whose sound lags by `shift` frames, in the three ways to give its dub."""
    with tempfile.TemporaryDirectory(prefix="dubwright-exam-") as folder:
        film, place = Path(folder) / "film.mp4", Path(folder)
        late = piece(talk.sound, -shift / 25, len(talk.sound) / RATE - shift / 25)
        media.write_video(film, list(talk.frames), talk.fps, late, crf=20, preset="veryfast", threads=1)
        whole = media.write_audio(place / "dub.wav", np.clip(sum(dub.sounds), -1, 1))
        each = [media.write_audio(place / f"{number}.wav", dub.sounds[number]) for number in (0, 1)]
        rttm = place / "dub.rttm"
        rttm.write_text(
            "".join(
                f"SPEAKER film 1 {spans[0][0]:.3f} {spans[-1][1] - spans[0][0]:.3f} <NA> <NA> {name} <NA> <NA>\n"
                for name, (_, spans) in zip("cab", dub.turns, strict=True)
            )
        )
        info = media.probe(film)
        analysis = analyse(film, info, experts.faces, config)

        def plan(audio: Sequence[Path], speakers: Path | None = None) -> tuple[Analysis, list[Segment]]:
            return analysis, plan_dub(
                film, info, analysis, experts.faces, config, speakers, audio=audio, expert=experts.sync
            )

        return {"one track": plan([whole]), "RTTM": plan([whole], rttm), "a track for each": plan(each)}


def animated(
    analysis: Analysis, segments: Sequence[Segment], width: int
) -> tuple[tuple[NDArray[np.bool_], NDArray[np.bool_]], tuple[list[int], list[int]]]:
    """For the left and the right person: frames bool [N] in which the face is changed, and the voices of its segments.

    Args:
        width: of the picture in pixels.
    """
    shown = (np.zeros(len(analysis.pts), bool), np.zeros(len(analysis.pts), bool))
    voices: tuple[list[int], list[int]] = ([], [])
    for segment in segments:
        place = int(float(np.median(segment.track.bbox[:, [0, 2]])) > width / 2)
        shown[place][segment.first : segment.last] = True
        voices[place].append(segment.voice)
    return shown, voices
