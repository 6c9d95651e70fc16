"""The exam of `tasks.crops`: how still a crop stands on a still head, and whether it keeps up with a moving one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from models import landmarks106 as lm
from tasks import crops
from tasks.config import Config
from tasks.exams.footage import FPS, FRAMING, Scripted, grain, script, through_the_encoder
from tasks.exams.registry import Finding
from tasks.experts import Experts
from tasks.shots import shots_between
from tasks.studio.render import Rendered
from tasks.tracks import Track, Tracker

SIZE = (256, 192)
_STILL = [*lm.NOSE_BRIDGE, *lm.NOSE_LEFT, *lm.NOSE_RIGHT, *lm.LEFT_EYE[::4], *lm.RIGHT_EYE[::4], *lm.CONTOUR[:8]]
"""Landmarks that stay where the skull is: their mean places are the still points."""
_LAGS = np.linspace(-3, 3, 121)  # frames


def exam(config: Config, experts: Experts, quick: bool, seed: int) -> list[Finding]:
    """Wander of still points in the crop, and the lag behind a head that sways and turns."""
    people, frames = (2, 24) if quick else (8, 40)
    wander, source, lags, off = [], [], [], []
    for person in range(people):
        still = script(seed, person, frames, framing=FRAMING)
        still.controls.pose[:] = still.controls.pose.mean(axis=0)
        rendered, track = _tracked(still, person, seed, config, experts)
        points = rendered.landmarks[:, _STILL].mean(axis=0)
        placed = np.stack([crops.transform_points(matrix, points) for matrix in track.matrices])
        apart = np.linalg.norm(placed - placed.mean(axis=0), axis=-1)
        wander.append(apart.ravel())
        source.append(apart.ravel() / crops.scale_of(track.matrices[0]))
        if not quick or person == 0:
            lag, left = _follows(_swaying(seed, person, frames), person, seed, config, experts)
            lags.append(lag)
            off.append(left)
    moved, moved_source = np.concatenate(wander), np.concatenate(source)
    return [
        Finding("jitter on a still head, RMS", rms(moved), 0.5, "crop px of 128", False, len(moved),
                "grain of 1 to 3 levels, H.264"),
        Finding("jitter on a still head, p95", float(np.percentile(moved, 95)), 0.5, "crop px of 128", False,
                len(moved)),
        Finding("jitter in the frame, RMS", rms(moved_source), 0.5, "frame px", False, len(moved)),
        Finding("jitter in the frame, p95", float(np.percentile(moved_source, 95)), 0.5, "frame px", False,
                len(moved)),
        Finding("lag behind a swaying head", float(np.abs(lags).max()), 0.5, "frames", False, len(lags)),
        Finding("distance from a swaying head, RMS", float(np.mean(off)), None, "crop px of 128", False, len(off)),
    ]  # fmt: skip


def rms(values: NDArray) -> float:
    """Root of the mean square."""
    return float(np.sqrt(np.mean(np.square(values))))


def _swaying(seed: int, person: int, frames: int) -> Scripted:
    """A head that sways by about an eye's distance and turns, once in 1.3 seconds."""
    swaying = script(seed, person, frames, take=1, framing=FRAMING)
    phase = 2 * np.pi * np.arange(frames) / (1.3 * FPS)
    swaying.controls.pose[:, 3] += np.float32(0.16) * np.sin(phase)
    swaying.controls.pose[:, 0] += np.float32(0.12) * np.cos(phase)
    return swaying


def _follows(swaying: Scripted, person: int, seed: int, config: Config, experts: Experts) -> tuple[float, float]:
    """Lag in frames of the crop's middle behind the true one, and the distance of the two, RMS in crop pixels."""
    rendered, track = _tracked(swaying, 1000 + person, seed, config, experts)
    true = crops.crop_matrices(rendered.kps)[track.first : track.last]
    nose = crops.TEMPLATE[2] * crops.CROP_SIZE
    found, wanted = (
        np.stack([crops.transform_points(crops.invert(m), nose) for m in ms]) for ms in (track.matrices, true)
    )
    times = np.arange(len(track), dtype=np.float64)
    inner = slice(4, len(track) - 4)
    misfits = []
    for lag in _LAGS:
        late = np.stack([np.interp(times - lag, times, wanted[:, axis]) for axis in (0, 1)], axis=-1)
        apart = (found - late)[inner]
        misfits.append(float((apart - apart.mean(axis=0)).std()))
    left = np.linalg.norm(found - wanted, axis=-1) * crops.scale_of(track.matrices[0])
    return float(_LAGS[int(np.argmin(misfits))]), rms(left)


def _tracked(played: Scripted, person: int, seed: int, config: Config, experts: Experts) -> tuple[Rendered, Track]:
    """The longest track of a noisy, compressed film of it."""
    rng = np.random.default_rng([seed, person, 0xC40])
    rendered = played.film(SIZE)
    noisy = grain(rendered.frames, float(rng.uniform(1, 3)), rng)
    rendered = replace(rendered, frames=through_the_encoder(noisy, float(rng.uniform(20, 26))))
    tracker = Tracker(config.tracks)
    for index, frame in enumerate(rendered.frames):
        tracker.push(index / FPS, frame, experts.faces.detect(frame, embed=False))
    tracks, _ = tracker.finish(shots_between([], tracker.pts, len(rendered.frames) / FPS))
    return rendered, max(tracks, key=len)
