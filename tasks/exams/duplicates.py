"""Are copies found, and takes left alone? Clips of the shipped films, copied in every way that footage gets copied."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from storage import media
from tasks import crops, quality
from tasks.analysis import analyse
from tasks.config import Config
from tasks.duplicates import find_duplicates, fingerprint
from tasks.exams.acted import person
from tasks.exams.registry import Finding
from tasks.experts import Experts
from tasks.studio.acting import sample_style
from tasks.studio.corpus import FRAMING
from tasks.studio.render import render
from tasks.studio.takes import MOODS, plan_take, room_sound

RECALL_ASKED, PRECISION_ASKED = 0.95, 0.99
FILMS = Path(__file__).parent.parent / "studio" / "library"
RATE = 16_000


@dataclass
class Shown:
    """A film before it is cut: frames uint8 [T,H,W,3] at `fps`, audio float32 [N] at 16 kHz."""

    frames: NDArray[np.uint8]
    fps: float
    audio: NDArray[np.float32]


def _scaled(film: Shown, factor: float) -> Shown:
    height, width = film.frames.shape[1:3]
    size = (round(width * factor / 2) * 2, round(height * factor / 2) * 2)
    frames = np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in film.frames])
    return Shown(frames, film.fps, film.audio)


def _cut_off(film: Shown, share: float) -> Shown:
    height, width = film.frames.shape[1:3]
    top, left = round(height * share / 2) * 2, round(width * share / 2) * 2
    return Shown(film.frames[:, top : height - top // 2, left // 2 : width - left], film.fps, film.audio)


def _brighter(film: Shown, gain: float, lift: float) -> Shown:
    frames = np.clip(film.frames.astype(np.float32) * gain + lift, 0, 255).astype(np.uint8)
    return Shown(frames, film.fps, film.audio)


def _at_rate(film: Shown, fps: float) -> Shown:
    count = int(len(film.frames) / film.fps * fps)
    index = np.minimum((np.arange(count) * film.fps / fps + 0.5).astype(int), len(film.frames) - 1)
    return Shown(film.frames[index], fps, film.audio)


def _level(film: Shown, db: float) -> Shown:
    return Shown(film.frames, film.fps, (film.audio * 10 ** (db / 20)).clip(-1, 1).astype(np.float32))


def _late(film: Shown, seconds: float) -> Shown:
    frames, samples = round(seconds * film.fps), round(seconds * RATE)
    return Shown(film.frames[frames:], film.fps, film.audio[samples:])


COPIES: dict[str, tuple[Callable[[Shown], Shown], float]] = {
    "renamed": (lambda film: film, 16),
    "re-encoded": (lambda film: film, 32),
    "rescaled": (lambda film: _scaled(film, 0.7), 20),
    "cropped": (lambda film: _cut_off(film, 0.06), 20),
    "brightened": (lambda film: _brighter(film, 1.15, 12), 20),
    "30 fps": (lambda film: _at_rate(film, 30.0), 20),
    "15 fps": (lambda film: _at_rate(film, 15.0), 20),
    "quieter": (lambda film: _level(film, -12), 20),
    "begun later": (lambda film: _late(film, 0.12), 20),
    "all at once": (lambda film: _level(_at_rate(_brighter(_scaled(film, 0.8), 0.9, 0), 30.0), 5), 28),
}
"""Ways in which footage is copied, with the CRF of the copy."""
QUICK_COPIES = ("rescaled", "all at once")


def exam(config: Config, experts: Experts, quick: bool, seed: int) -> list[Finding]:
    """Recall over pairs of a clip and its copy, and the share of all matches that are right.

    Beside the copies there are other moments of the same people in the same light, and takes of one person who says
    the same words with the same voice, moving otherwise.
    """
    ways = QUICK_COPIES if quick else tuple(COPIES)
    rows: list[dict[str, Any]] = []
    with TemporaryDirectory() as folder:
        films = {f"moment {name}": film for name, film in _moments(quick, seed)}
        films |= {f"take {number}": film for number, film in enumerate(_takes(quick, seed))}
        for name, film in films.items():
            copied = ways if name.startswith("moment") else ways[:0] if quick else ways[1:2]
            for way in ("original", *copied):
                change, crf = COPIES.get(way, (lambda same: same, 16.0))
                made = _row(f"{name}/{way}", change(film), crf, Path(folder) / "clip.mp4", config, experts)
                if made is not None:
                    rows.append(made | {"truth": name})
    return findings(rows)


def findings(rows: list[dict[str, Any]]) -> list[Finding]:
    """Of rows with `truth`: which clips show the same take; clip_id is truth/way."""
    found = find_duplicates(rows)
    again = find_duplicates(rows[::-1])
    truth = {row["clip_id"]: row["truth"] for row in rows}
    groups: dict[str, list[str]] = {}
    for clip_id, name in truth.items():
        groups.setdefault(name, []).append(clip_id)
    wanted = sum(len(group) - 1 for group in groups.values())
    right = [clip_id for clip_id, (kept, _) in found.items() if truth[kept] == truth[clip_id]]
    wrong = sorted(set(found) - set(right))
    missed = [
        clip_id for group in groups.values() for clip_id in group
        if clip_id not in found and sum(other not in found for other in group) > 1
    ]  # fmt: skip
    return [
        Finding("copies found", len(right) / max(wanted, 1), RECALL_ASKED, "share", cases=wanted,
                note="" if not missed else f"apart: {', '.join(missed[:6])}"),
        Finding("matches right", len(right) / max(len(found), 1), PRECISION_ASKED, "share", cases=len(found),
                note="" if not wrong else f"wrong: {', '.join(wrong[:6])}"),
        Finding("changed by the order of rows", float(found != again), 0, "", False, cases=len(rows)),
        Finding("bytes of a fingerprint", float(np.mean([len(row["fingerprint"]) for row in rows])), None, "B", False,
                cases=len(rows)),
    ]  # fmt: skip


def _moments(quick: bool, seed: int) -> list[tuple[str, Shown]]:
    """Pieces of the shipped films, one after the other: the same people, light and camera, other words."""
    found = []
    names = ("welcome",) if quick else ("welcome", "news", "return")
    length, most = 2.0, 2 if quick else 4
    for name in names:
        path = FILMS / f"{name}.mp4"
        frames = np.stack([frame for _, _, frame in media.iter_frames(path, end_s=length * most)])
        audio = media.read_audio(path, RATE, 0.0, length * most)
        info = media.probe(path).video
        fps = 25.0 if info is None else float(info.fps)
        for piece in range(most):
            a, b = round(piece * length * fps), round((piece + 1) * length * fps)
            if b <= len(frames):
                sound = audio[round(piece * length * RATE) : round((piece + 1) * length * RATE)]
                found.append((f"{name} {piece}", Shown(frames[a:b], fps, sound)))
    return found


def _takes(quick: bool, seed: int) -> list[Shown]:
    """Takes of one person with the very same sound, in one light, that differ in how the head and the face move."""
    films = []
    times = np.arange(20 if quick else 36) / (12.5 if quick else 18.0)
    for number in range(1 if quick else 3):
        mood = MOODS[(5 * number + 7) % len(MOODS)]
        take = plan_take(person(seed, 4_000 + number), 0, mood, 2.0, "test", FRAMING)
        for other in range(2 if quick else 3):
            style = sample_style(np.random.default_rng([seed, number, other]))
            controls = replace(take, seed=take.seed + other, style=style).controls(times)
            film = render(take.scene, controls, (128, 128), compile_field=not quick)
            films.append(
                Shown(
                    film.frames,
                    12.5 if quick else 18.0,
                    room_sound(take.speech, take.seed)[: round(times[-1] * RATE)],
                )
            )
    return films


def _row(clip_id: str, film: Shown, crf: float, path: Path, config: Config, experts: Experts) -> dict[str, Any] | None:
    """What preprocessing would know of the film from a file of that quality: its longest track's fingerprint."""
    media.write_video(path, list(film.frames), film.fps, film.audio, crf=crf, preset="veryfast", threads=1)
    tracks = analyse(path, media.probe(path), experts.faces, config).tracks
    if not tracks:
        return None
    track = max(tracks, key=lambda one: one.last - one.first)
    pictures = [
        crops.warp(frame, track.matrices[index - track.first])
        for index, _, frame in media.iter_frames(path) if track.first <= index < track.last
    ]  # fmt: skip
    audio = media.read_audio(path, RATE, float(track.pts[0]), float(track.pts[-1]) + 1 / film.fps)
    return {
        "clip_id": clip_id, "fingerprint": fingerprint(pictures, track.pts, track.kps, audio),
        "face_px": float(np.median(quality.face_height(track.bbox))), "blur": None,
    }  # fmt: skip
