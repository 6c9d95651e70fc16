"""How right it is who speaks: two people in one wide shot who take turns, and voices of people who are not in view."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.sync import FPS
from tasks.config import Config
from tasks.exams.registry import Finding
from tasks.exams.talking import Seen, Sound, Talk, dialogue, piece, watch
from tasks.experts import Experts
from tasks.lip_sync import evidence_at, find_sync, reach_s, see_lips, with_shared
from tasks.speaking import Watched, who_is_speaking
from tasks.speech import voice_activity

NOBODY = -2
SMALL = 1.6
"""The factor by which films are shrunk for the figure of small faces: to about 40 px."""


def exam(config: Config, experts: Experts, quick: bool = False, seed: int = 0) -> list[Finding]:
    """Share of the frames in which somebody is heard for which the right face was chosen, or rightly none.

    Every film: one person speaks, then the other, both are silent, somebody unseen speaks; who does not speak listens,
    chews, smiles or nods. The sound is shifted by -6 … 6 frames and put right by what the sync step finds. Then the
    same with a listener alone in view, with a speaker alone, with noise for sound, and with small faces.
    """
    rng = np.random.default_rng([seed, 0x5EA])
    wide, unseen, alone, lone_speaker, small, hush, pauses = (list[bool]() for _ in range(7))
    sizes, small_sizes = [], []
    for number in range(1 if quick else 4):
        talk = dialogue(seed, number, 1.1 if quick else 2.4, (160, 90) if quick else (256, 144))
        shift = int(rng.integers(-6, 7))
        for shrink, rights in ((1.0, wide),) if quick else ((1.0, wide), (SMALL, small)):
            seen, sound = watch(talk, config, experts, shrink)
            places = [_place(one, talk.frames.shape[2] / shrink) for one in seen]
            late = piece(sound, -shift / FPS, len(sound) / 16000 - shift / FPS)
            right, truth = _right(talk, seen, places, late, config, experts)
            rights += right[truth != NOBODY].tolist()
            sizes += [one.height for one in seen if shrink == 1.0]
            small_sizes += [one.height for one in seen if shrink != 1.0]
            if shrink != 1.0:
                continue
            unseen += right[truth == -1].tolist()
            pauses += right[truth == NOBODY].tolist()
            for place in (0, 1):
                own = [one for one, where in zip(seen, places, strict=True) if where == place]
                for kind, rights in ((False, alone), (True, lone_speaker)):
                    part = [cut for one in own for cut in _stretches(one, talk, place, kind)]
                    right, truth = _right(talk, part, [place] * len(part), late, config, experts)
                    rights += right[truth != NOBODY].tolist()
            noise = rng.normal(0, 0.01, len(sound)).astype(np.float32)
            hush += [not chosen for part in _decide(seen, noise, config, experts) for chosen in part]
    asked = None if quick else 0.97
    findings = [
        Finding("right, two in view", float(np.mean(wide)), asked or 0.9, "share of speech frames", cases=len(wide),
                note=f"turns, listeners who chew, smile or nod, an unseen voice; faces of {np.median(sizes):.0f} px"),
        Finding("right, an unseen voice", float(np.mean(unseen)), asked, "share of speech frames", cases=len(unseen)),
        Finding("right, a listener alone in view", float(np.mean(alone)), asked, "share of speech frames",
                cases=len(alone)),
        Finding("right, a speaker alone in view", float(np.mean(lone_speaker)), asked, "share of speech frames",
                cases=len(lone_speaker)),
        Finding("right, noise for sound", float(np.mean(hush)), asked, "share of frames", cases=len(hush)),
    ]  # fmt: skip
    if not quick:
        findings.append(
            Finding("nobody speaks in pauses", float(np.mean(pauses)), None, "share of frames", cases=len(pauses),
                    note="short pauses within a turn are bridged")
        )  # fmt: skip
    if small:
        findings.append(
            Finding("right, small faces", float(np.mean(small)), None, "share of speech frames", cases=len(small),
                    note=f"the first again, at {np.median(small_sizes):.0f} px")
        )  # fmt: skip
    return findings


def _place(seen: Seen, width: float) -> int:
    """0 for the left person, 1 for the right one."""
    return int(seen.x > width / 2)


def _stretches(seen: Seen, talk: Talk, place: int, speaks: bool) -> list[Seen]:
    """The parts of 0.6 s or more of a face's track in which its person speaks, or in which others do."""
    who = talk.speaker(seen.pts, bridge_s=0.5)
    wanted = who == place if speaks else (who != place) & (who != NOBODY)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], wanted.astype(int), [0]])))
    return [seen.part(slice(a, b)) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a >= 15]


def _right(
    talk: Talk, seen: list[Seen], places: list[int], sound: Sound, config: Config, experts: Experts
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """For each time at which a face is in view: whether the choice is right, and who speaks (`Talk.speaker`)."""
    if not seen:
        return np.zeros(0, bool), np.zeros(0, np.int64)
    chosen = _decide(seen, sound, config, experts)
    times = np.unique(np.round(np.concatenate([one.pts for one in seen]), 4))
    said = np.full(len(times), -1)
    shown = np.zeros((len(times), 2), bool)
    for one, place, speaks in zip(seen, places, chosen, strict=True):
        at = np.searchsorted(times, np.round(one.pts, 4))
        said[at[speaks]] = place
        shown[at, place] = True
    truth = talk.speaker(times)
    visible = (truth >= 0) & shown[np.arange(len(times)), np.maximum(truth, 0)]
    return said == np.where(visible, truth, -1), truth


def _decide(seen: list[Seen], sound: Sound, config: Config, experts: Experts) -> list[NDArray[np.bool_]]:
    """What the walk does: offsets of all clips, those of the source, evidence there, who speaks."""
    expert, limit = experts.sync, config.preprocess.max_sync_offset
    assert expert is not None, "the exam needs a sync expert"
    reach = reach_s(expert, limit)
    lips = [see_lips(one.crops, one.pts, expert) for one in seen]
    found = []
    for one, mouth in zip(seen, lips, strict=True):
        start_s, end_s = float(one.pts[0]) - reach, float(one.pts[-1]) + 1 / FPS + reach
        found.append(find_sync(mouth, one.pts, piece(sound, start_s, end_s), start_s, expert, limit))
    offsets = with_shared(found)
    faces = [
        Watched(one.pts, evidence_at(clip, mouth, one.pts, offset), one.motion, clip.sure)
        for one, mouth, clip, offset in zip(seen, lips, found, offsets, strict=True)
    ]
    common = float(np.median(offsets)) / FPS
    speech = [(start - common, end - common) for start, end in voice_activity(sound)]
    return who_is_speaking(faces, speech)
