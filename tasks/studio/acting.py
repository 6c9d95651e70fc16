"""Acting: what a face does while it speaks, as Controls at exact times.

Lips come from the sound (visemes.py) and mean the same on every face. Emotion sets the action units, posture and
tempo; stress in the speech moves head and brows; blinks, glances and a slow sway keep the face alive. All of it is
drawn from one seed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.interpolate import PchipInterpolator

from tasks.studio.controls import AUS, Controls, emotion_aus
from tasks.studio.speech import Speech
from tasks.studio.visemes import articulation

Float64Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Posture:
    """How an emotion carries the head: radians and head units at full intensity, sway and tempo as factors of a calm
    speaker.
    """

    pitch: float = 0.0
    roll: float = 0.0
    yaw: float = 0.0
    lean: float = 0.0
    sway: float = 1.0
    tempo: float = 1.0
    nods: float = 1.0
    blinks: float = 1.0
    away: float = 0.2


POSTURES: dict[str, Posture] = {
    "neutral": Posture(),
    "happy": Posture(pitch=0.05, roll=0.08, sway=1.4, tempo=1.2, nods=1.4),
    "sad": Posture(pitch=-0.17, roll=0.06, lean=-0.04, sway=0.6, tempo=0.6, nods=0.5, blinks=0.7, away=0.5),
    "angry": Posture(pitch=-0.07, lean=0.12, sway=1.2, tempo=1.5, nods=2.0, blinks=0.5, away=0.05),
    "surprised": Posture(pitch=0.07, lean=-0.08, sway=1.1, tempo=1.2, nods=1.2, blinks=0.5, away=0.1),
    "fearful": Posture(pitch=-0.03, lean=-0.10, sway=0.9, tempo=2.2, nods=0.6, blinks=1.8, away=0.45),
    "disgusted": Posture(pitch=-0.02, yaw=0.10, lean=-0.06, sway=0.9, nods=0.7, away=0.35),
    "contempt": Posture(pitch=0.11, roll=-0.07, sway=0.7, tempo=0.8, nods=0.6, away=0.25),
}
# How far lips that speak give way: a smile stays, a mouth hung open would hide the speech.
SPEAKING_GAIN = {
    "AU10": 0.9, "AU12L": 0.85, "AU12R": 0.85, "AU14L": 0.9, "AU14R": 0.9, "AU15": 0.85, "AU17": 0.5, "AU20": 0.75,
    "AU23": 0.45,
    "AU25": 0.25, "AU26": 0.2,
}  # fmt: skip
MAX_YAW, MAX_PITCH, MAX_ROLL = 0.61, 0.30, 0.25


@dataclass(frozen=True)
class Style:
    """A speaker's manner in one clip: where the head rests (rad, head units) and how lively it is."""

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    x: float = 0.0
    y: float = 0.0
    z: float = 0.0
    sway: float = 1.0
    blink_every_s: float = 3.2
    onset_s: float = 0.0


def sample_style(rng: np.random.Generator, max_yaw: float = MAX_YAW) -> Style:
    """A manner drawn from `rng`: mostly towards the camera, about one clip in six turned well away, up to `max_yaw`."""
    yaw = rng.normal(0, 0.13)
    if rng.random() < 0.17:
        yaw = rng.choice([-1, 1]) * rng.uniform(0.3, max_yaw)
    return Style(
        yaw=float(np.clip(yaw, -max_yaw, max_yaw)),
        pitch=float(np.clip(rng.normal(0, 0.06), -0.15, 0.15)),
        roll=float(rng.normal(0, 0.04)),
        x=float(rng.normal(0, 0.05)),
        y=float(rng.normal(0, 0.04)),
        z=float(rng.normal(0, 0.06)),
        sway=float(rng.choice([0.35, 0.8, 1.1, 1.6])),
        blink_every_s=float(rng.uniform(2.2, 4.5)),
        onset_s=float(rng.uniform(0.4, 1.0)) if rng.random() < 0.2 else 0.0,
    )


def act(speech: Speech, times: npt.ArrayLike, seed: int, style: Style | None = None) -> Controls:
    """Controls [T] at `times` (seconds from the start of `speech`) of a face that says `speech` with its emotion and
    intensity.

    The same speech, times, seed and style give the same controls.
    """
    at = np.asarray(times, np.float64)
    rng = np.random.default_rng([seed, 0xAC7])
    manner = sample_style(rng) if style is None else style
    end_s = max(speech.duration_s, float(at[-1]) if len(at) else 0.0)
    mood = POSTURES[speech.emotion]
    share = (0.0, 0.45, 0.75, 1.0)[speech.intensity]
    accents = stressed(speech)
    lips = articulation(speech, at)
    strength = _strength(rng, at, end_s, manner.onset_s)
    aus = _expression(speech, lips, strength)
    pose = _head(rng, at, end_s, manner, mood, share, accents)
    gaze, glances = _gaze(rng, at, end_s, pose, mood, share)
    _brows(rng, aus, at, accents, speech.emotion)
    closed = _blinks(rng, at, end_s, manner.blink_every_s / (1 + (mood.blinks - 1) * share), glances)
    for side in ("AU43L", "AU43R"):
        column = AUS.index(side)
        aus[:, column] = np.maximum(aus[:, column], closed)
    return Controls(np.clip(aus, 0, 1).astype(np.float32), lips, pose.astype(np.float32), gaze.astype(np.float32))


def stressed(speech: Speech) -> Float64Array:
    """Times float64 [N] in seconds of the syllables with primary stress, from the phonemes' marks."""
    return np.array([(p.start_s + p.end_s) / 2 for p in speech.phonemes if "ˈ" in p.symbol], np.float64)


def _wander(rng: np.random.Generator, at: Float64Array, end_s: float, every_s: float) -> Float64Array:
    """A smooth random curve of about unit deviation, with a knot every `every_s` seconds."""
    knots = np.arange(-every_s, end_s + 2.5 * every_s, every_s)
    knots = knots + every_s * np.concatenate([[0.0], rng.uniform(-0.3, 0.3, len(knots) - 2), [0.0]])
    return np.asarray(PchipInterpolator(knots, np.clip(rng.standard_normal(len(knots)), -2, 2))(at), np.float64)


def _bumps(at: Float64Array, centres: Float64Array, heights: Float64Array, width_s: float) -> Float64Array:
    """Sum of smooth bumps of `width_s` (standard deviation) round each centre."""
    if not len(centres):
        return np.zeros(len(at))
    return np.asarray((heights * np.exp(-0.5 * ((at[:, None] - centres) / width_s) ** 2)).sum(1), np.float64)


def _strength(rng: np.random.Generator, at: Float64Array, end_s: float, onset_s: float) -> Float64Array:
    """How much of the emotion shows, 0..1: it breathes a little, and rises over `onset_s` where that is not 0."""
    strength = 0.92 + 0.08 * _wander(rng, at, end_s, 0.7)
    if onset_s > 0:
        ramp = np.clip((at - 0.2) / onset_s, 0, 1)
        strength = strength * (0.25 + 0.75 * ramp * ramp * (3 - 2 * ramp))
    return np.clip(strength, 0, 1.05)


def _expression(speech: Speech, lips: npt.NDArray[np.float32], strength: Float64Array) -> Float64Array:
    """Action units [T,20] of the emotion, its lip units giving way to speech."""
    aus = strength[:, None] * emotion_aus(speech.emotion, speech.intensity).astype(np.float64)
    jaw, _wide, rounding, press, tuck, _tongue = lips.T.astype(np.float64)
    for name, gain in SPEAKING_GAIN.items():
        column = AUS.index(name)
        aus[:, column] *= gain * (1 - 0.45 * np.maximum(press, tuck))
        if name in ("AU25", "AU26"):
            aus[:, column] *= (1 - press) * (1 - tuck)
        if name in ("AU17", "AU23"):
            aus[:, column] *= 1 - 0.8 * np.minimum(jaw * 1.6, 1)
        if name.startswith(("AU12", "AU20")):
            aus[:, column] *= 1 - 0.5 * rounding
    return aus


def _head(
    rng: np.random.Generator,
    at: Float64Array,
    end_s: float,
    manner: Style,
    mood: Posture,
    share: float,
    accents: Float64Array,
) -> Float64Array:
    """Head pose [T,6]: rest + posture + a slow sway + nods on stressed syllables."""
    sway = manner.sway * (1 + (mood.sway - 1) * share)
    every = 0.85 / (1 + (mood.tempo - 1) * share)
    side = rng.choice([-1.0, 1.0])
    yaw = manner.yaw + side * mood.yaw * share + sway * 0.060 * _wander(rng, at, end_s, every * 1.4)
    pitch = manner.pitch + mood.pitch * share + sway * 0.032 * _wander(rng, at, end_s, every)
    roll = manner.roll + side * mood.roll * share + sway * 0.026 * _wander(rng, at, end_s, every * 1.2)
    x = manner.x + sway * 0.030 * _wander(rng, at, end_s, every * 1.5)
    y = manner.y + sway * 0.018 * _wander(rng, at, end_s, every * 1.3)
    z = manner.z + mood.lean * share + sway * 0.030 * _wander(rng, at, end_s, every * 1.6)
    beats = accents[rng.random(len(accents)) < 0.6]
    nods = 1 + (mood.nods - 1) * share
    pitch = pitch - _bumps(at, beats, nods * sway * rng.uniform(0.01, 0.055, len(beats)), 0.09)
    if mood is POSTURES["fearful"]:
        tremble = share * 0.006
        yaw = yaw + tremble * _wander(rng, at, end_s, 0.09)
        pitch = pitch + tremble * _wander(rng, at, end_s, 0.09)
    limit = np.array([MAX_YAW, MAX_PITCH, MAX_ROLL, 0.35, 0.3, 0.4])
    return np.clip(np.stack([yaw, pitch, roll, x, y, z], -1), -limit, limit)


def _gaze(
    rng: np.random.Generator, at: Float64Array, end_s: float, pose: Float64Array, mood: Posture, share: float
) -> tuple[Float64Array, Float64Array]:
    """Gaze [T,2] relative to the head: at the camera, with glances away; and the times of the large shifts."""
    away = 0.2 + (mood.away - 0.2) * share
    starts, points, moment = [-1.0], [(0.0, 0.0)], 0.0
    while moment < end_s:
        glance = rng.random() < away
        starts.append(moment)
        points.append(
            (rng.normal(0, 0.22), rng.normal(-0.05, 0.10)) if glance else (rng.normal(0, 0.012), rng.normal(0, 0.012))
        )
        moment += rng.uniform(0.3, 0.9) if glance else rng.uniform(0.6, 2.2)
    table, began = np.array(points), np.array(starts)
    index = np.searchsorted(began, at, side="right") - 1
    # A saccade takes about 40 ms.
    move = np.clip((at - began[index]) / 0.04, 0, 1)[:, None]
    aim = table[np.maximum(index - 1, 0)] * (1 - move) + table[index] * move
    gaze = np.clip(aim - pose[:, :2], [-0.42, -0.3], [0.42, 0.3])
    jumps = np.abs(np.diff(table[:, 0])) > 0.15
    return gaze, began[1:][jumps]


def _brows(rng: np.random.Generator, aus: Float64Array, at: Float64Array, accents: Float64Array, emotion: str) -> None:
    """Brows mark stressed words: raised, or drawn together by the angry and the disgusted."""
    beats = accents[rng.random(len(accents)) < 0.3]
    bump = _bumps(at, beats, rng.uniform(0.1, 0.35, len(beats)), 0.11)
    names = ("AU4",) if emotion in ("angry", "disgusted") else ("AU1",) if emotion == "sad" else ("AU1", "AU2")
    for name in names:
        aus[:, AUS.index(name)] += bump


def _blinks(
    rng: np.random.Generator, at: Float64Array, end_s: float, every_s: float, glances: Float64Array
) -> Float64Array:
    """Eye closure [T] by blinks: 70 ms to close, 40 ms shut, 130 ms to open; often with a glance."""
    moments = list(np.cumsum(rng.exponential(every_s, 64) * 0.6 + 0.4 * every_s) - rng.uniform(0, every_s))
    moments += [float(glance) for glance in glances if rng.random() < 0.35]
    closed = np.zeros(len(at))
    for moment in moments:
        if moment < end_s:
            blink = np.minimum((at - moment) / 0.07, (moment + 0.24 - at) / 0.13)
            closed = np.maximum(closed, np.clip(blink, 0, 1))
    return closed
