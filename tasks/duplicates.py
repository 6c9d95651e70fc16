"""Near-identical clips: the same take again, re-encoded, rescaled, brightened, at another rate or level, or renamed.

A clip is told by what changes in it. Its fingerprint holds 25 times a second how the bands of its sound move against
each other (the bits of Haitsma & Kalker, ISMIR 2002, which know no level), 12.5 times a second how the aligned face and
the head's path differ from their mean, and the mean face itself. Two takes of one sentence differ in all of that but
the mean. Clips are only compared where they share a hash of a piece of it (locality-sensitive hashing), and a hash that
many share is compared along one order by content, so the work grows with the number of clips, not with its square.
"""

from __future__ import annotations

import hashlib
import struct
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from models.speech import log_mel

SAME_SOUND = 0.5
"""Least likeness of two sounds: 1 - 2 × share of differing bits; 0 of unrelated ones."""
SAME_MOTION, SAME_MUTE_MOTION = 0.5, 0.8
"""Least likeness of two motions, the mean of the face's and the head's: 1 of the same, about 0 of unrelated ones; more
is asked for where no sound speaks for it."""
SAME_FACE = 0.95
"""Least correlation of the two mean faces: copies have 0.98 and more, takes of one person rarely 0.95."""
MOST_SHIFT_S = 0.3
"""Clips of one take may begin this much earlier or later."""
LEAST_OVERLAP = 0.8
"""Of the longer clip."""
NEIGHBOURS = 12
"""Clips that share a hash are compared with so many others of it, the next ones by length and content."""

_SOUND_HZ, _PICTURE_HZ = 25.0, 12.5
_BANDS = 33
_CELLS, _MEAN = 6, 12
_PATH = 4
_HEAD = struct.Struct("<4sfHH")
_MAGIC = b"DWF1"
_CELL_UNIT, _PATH_UNIT = 0.02, 0.004
_CELL_NOISE, _PATH_NOISE = 0.05, 0.012
"""Motion that says nothing: standard deviations of cells (in those of the picture) and of the path (eye distances)."""


@dataclass(frozen=True)
class Fingerprint:
    """sound: bool [S,32] at 25 Hz, heard: bool [S] where it is no silence; cells float32 [P,36] and path float32 [P,4]
    at 12.5 Hz; face float32 [144] of unit length; seconds: length of the clip.
    """

    sound: NDArray[np.bool_]
    heard: NDArray[np.bool_]
    cells: NDArray[np.float32]
    path: NDArray[np.float32]
    face: NDArray[np.float32]
    seconds: float


def fingerprint(crops: Sequence[NDArray[np.uint8]], pts: NDArray[Any], kps: NDArray[Any], audio: NDArray[Any]) -> bytes:
    """The fingerprint of a clip, about 0.7 kB a second.

    Args:
        crops: aligned crops uint8 [S,S,3], T of them, any size. pts: [T] s. kps: [T,5,2] in the source's pixels.
        audio: float [N] at 16 kHz of the same time, as it was found (before any correction); empty: no sound.
    Raises:
        ValueError: there is no frame.
    """
    if len(crops) == 0:
        raise ValueError("a clip without frames has no fingerprint")
    times = np.asarray(pts, np.float64) - float(pts[0])
    seconds = float(times[-1] + (np.median(np.diff(times)) if len(times) > 1 else 0.04))
    small = np.stack([cv2.resize(_grey(crop), (48, 48), interpolation=cv2.INTER_AREA) for crop in crops])
    small = small[:, 6:42, 6:42]  # the face, without most of what is behind it
    small = (small - small.mean(axis=(1, 2), keepdims=True)) / (small.std(axis=(1, 2), keepdims=True) + 4)
    mean = small.mean(axis=0)
    face = cv2.resize(mean, (_MEAN, _MEAN), interpolation=cv2.INTER_AREA).ravel()
    grid = np.arange(max(1, int(seconds * _PICTURE_HZ))) / _PICTURE_HZ
    side = 36 // _CELLS
    cells = small.reshape(-1, _CELLS, side, _CELLS, side).mean(axis=(2, 4)).reshape(len(small), -1)
    cells, path = (_at(grid, times, values) for values in (cells, _path(np.asarray(kps, np.float64))))
    bits, heard = _sound(np.asarray(audio, np.float64), round(seconds * _SOUND_HZ))
    parts = [
        _HEAD.pack(_MAGIC, seconds, len(bits), len(grid)), np.packbits(bits, axis=1).tobytes(),
        np.packbits(heard).tobytes(), _narrow(cells, _CELL_UNIT), _narrow(path, _PATH_UNIT), _narrow(face, _CELL_UNIT),
    ]  # fmt: skip
    return b"".join(parts)


def read_fingerprint(data: bytes) -> Fingerprint:
    """What `fingerprint` wrote. Raises ValueError for anything else."""
    if len(data) < _HEAD.size or data[:4] != _MAGIC:
        raise ValueError("these bytes are no fingerprint of a clip")
    _, seconds, steps, frames = _HEAD.unpack_from(data)
    sizes = (steps * 4, -(-steps // 8), frames * _CELLS**2, frames * _PATH, _MEAN**2)
    if len(data) != _HEAD.size + sum(sizes):
        raise ValueError("the fingerprint of a clip is cut off")
    edges = np.cumsum((_HEAD.size, *sizes)).tolist()
    bits, heard, cells, path, face = (np.frombuffer(data[start:end], np.uint8) for start, end in pairwise(edges))
    mean = _wide(face, 1, _CELL_UNIT)[:, 0]
    mean = mean - mean.mean()
    return Fingerprint(
        np.unpackbits(bits.reshape(-1, 4), axis=1).astype(bool), np.unpackbits(heard)[:steps].astype(bool),
        _wide(cells, _CELLS**2, _CELL_UNIT), _wide(path, _PATH, _PATH_UNIT),
        mean / max(float(np.linalg.norm(mean)), 1e-6), seconds,
    )  # fmt: skip


def likeness(one: Fingerprint, other: Fingerprint) -> float:
    """How sure two clips show the same take: 0 where they do not, else the least of their likenesses, up to 1."""
    longer = max(one.seconds, other.seconds)
    if min(one.seconds, other.seconds) < LEAST_OVERLAP * longer or bool(one.heard.any()) != bool(other.heard.any()):
        return 0.0
    face = float(one.face @ other.face)
    if face < SAME_FACE:
        return 0.0
    best = 0.0
    for shift in _shifts(one, other):
        sound = _sound_likeness(one, other, round(shift * _SOUND_HZ))
        if sound < SAME_SOUND:
            continue
        motion = _motion_likeness(one, other, shift)
        if motion >= (SAME_MOTION if one.heard.any() else SAME_MUTE_MOTION):
            best = max(best, min(sound, motion, face))
    return min(best, 1.0)


def find_duplicates(rows: Iterable[Mapping[str, Any]]) -> dict[str, tuple[str, float]]:
    """clip_id → (clip_id of the clip kept in its place, likeness), for the clips to leave out.

    Of two, the one with the larger face stays, then the sharper one, then the longer one; the fingerprint's hash breaks
    a tie. So neither the order of the rows nor file names decide. Every clip left out is like the kept one itself.

    Args:
        rows: clip_id, fingerprint (rows without are passed over), and where known face_px, blur.
    """
    entries = []
    for entry in rows:
        data = entry.get("fingerprint")
        if data:
            digest = hashlib.blake2b(data, digest_size=8).digest()
            rank = (-round(entry.get("face_px") or 0.0, 1), -round(entry.get("blur") or 0.0, 1), -len(data))
            entries.append(((*rank, digest, str(entry["clip_id"])), str(entry["clip_id"]), bytes(data)))
    entries.sort(key=lambda entry: entry[0])
    prints = [data for _, _, data in entries]
    partners: dict[int, list[int]] = defaultdict(list)
    for first, second in sorted(_candidates(prints)):
        partners[second].append(first)
    found: dict[str, tuple[str, float]] = {}
    stands_for: dict[int, int] = {}
    for place in sorted(partners):
        mine = read_fingerprint(prints[place])
        for better in sorted({stands_for.get(partner, partner) for partner in partners[place]}):
            alike = likeness(read_fingerprint(prints[better]), mine)
            if alike > 0:
                found[entries[place][1]] = (entries[better][1], round(alike, 4))
                stands_for[place] = better
                break
    return found


def _candidates(prints: Sequence[bytes]) -> set[tuple[int, int]]:
    """Pairs (better, worse) of places in `prints` that share a hash and stand near each other in its order."""
    keys: list[NDArray[np.uint64]] = []
    owners: list[NDArray[np.int64]] = []
    order = np.zeros(len(prints), np.float64)
    for place, data in enumerate(prints):
        read = read_fingerprint(data)
        order[place] = read.seconds
        mine = np.array(sorted(set(_hashes(read))), np.uint64)
        keys.append(mine)
        owners.append(np.full(len(mine), place, np.int64))
    if not keys:
        return set()
    key, owner = np.concatenate(keys), np.concatenate(owners)
    sequence = np.lexsort((owner, order[owner], key))
    key, owner = key[sequence], owner[sequence]
    pairs: set[tuple[int, int]] = set()
    for step in range(1, NEIGHBOURS + 1):
        same = key[step:] == key[:-step]
        low = np.minimum(owner[step:], owner[:-step])[same]
        high = np.maximum(owner[step:], owner[:-step])[same]
        pairs.update(zip(low.tolist(), high.tolist(), strict=True))
    return pairs


def _hashes(read: Fingerprint) -> Iterator[int]:
    """Hashes of pieces that the fingerprint of the same take has too: moments of sound, and bands of the mean face."""
    words = np.packbits(read.sound, axis=1).view(">u4").ravel().astype(np.uint64)
    words = words[read.heard & (words != 0)] * np.uint64(0x9E3779B97F4A7C15)
    yield from np.sort(np.unique(words))[:48].tolist()  # those of least value: the same ones in every copy
    signs = np.packbits(read.face.reshape(_MEAN, _MEAN)[::2, ::2].ravel() > 0)[:4]
    for band in range(4):
        yield (1 << 63) | (band << 56) | int(signs[band])


def _grey(crop: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.asarray(crop, np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)


def _path(kps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Way of the head [T,4] in eye distances, and that of the eyes: x, y, log of the size, angle; free of scale.

    Medians of five frames, since a detector's points jump for a frame more than heads do.
    """
    kps = median_filter(kps, size=(5, 1, 1), mode="nearest")
    eyes = kps[:, 1] - kps[:, 0]
    size = np.maximum(np.hypot(eyes[:, 0], eyes[:, 1]), 1e-3)
    middle = kps[:, :2].mean(axis=1) / np.median(size)
    return np.column_stack([middle, np.log(size), np.unwrap(np.arctan2(eyes[:, 1], eyes[:, 0]))])


def _at(grid: NDArray[np.float64], times: NDArray[np.float64], values: NDArray[Any]) -> NDArray[np.float64]:
    """`values` [T,C] averaged over a window of 0.2 s round each moment of `grid`, less their mean: [G,C]."""
    taps = np.add.outer(grid, np.arange(-2, 3) * 0.04)
    fine = np.stack([np.interp(taps, times, column) for column in values.T], -1)
    found = fine.mean(axis=1)
    return np.asarray(found - found.mean(axis=0))


def _sound(audio: NDArray[np.float64], steps: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    power = float(np.sqrt(np.mean(audio**2))) if len(audio) else 0.0
    if power < 1e-4 or steps < 4:
        return np.zeros((steps, _BANDS - 1), bool), np.zeros(steps, bool)
    mel = log_mel((audio * (0.04 / power)).astype(np.float32)).astype(np.float64)
    edges = np.linspace(0, mel.shape[0], _BANDS + 1).astype(int)
    bands = np.stack([mel[start:end].mean(axis=0) for start, end in pairwise(edges)])
    window = np.hanning(23)[1:-1]
    smooth = np.stack([np.convolve(band, window / window.sum(), mode="same") for band in bands])
    at = np.minimum((np.arange(steps + 2) * 100 / _SOUND_HZ).astype(int), smooth.shape[1] - 1)
    tilt = np.diff(smooth[:, at], axis=0).T  # [steps + 2, 32]
    level = smooth[:, at].max(axis=0)
    return tilt[2:] > tilt[:-2], level[:-2] > max(float(level.max()) - 0.6, -0.2)


def _narrow(values: NDArray[Any], unit: float) -> bytes:
    return np.clip(np.round(np.asarray(values) / unit), -127, 127).astype(np.int8).tobytes()


def _wide(data: NDArray[np.uint8], columns: int, unit: float) -> NDArray[np.float32]:
    return data.view(np.int8).reshape(-1, columns).astype(np.float32) * np.float32(unit)


def _shifts(one: Fingerprint, other: Fingerprint) -> list[float]:
    """Shifts in seconds worth a look: the best one by sound; all of them where there is none."""
    reach = round(MOST_SHIFT_S * _SOUND_HZ)
    steps = range(-reach, reach + 1)
    if not one.heard.any():
        return [step / _SOUND_HZ for step in steps if step % 2 == 0]
    best = max(steps, key=lambda step: (_sound_likeness(one, other, step), -abs(step)))
    return [best / _SOUND_HZ]


def _sound_likeness(one: Fingerprint, other: Fingerprint, shift: int) -> float:
    if not one.heard.any():
        return 1.0
    a, b = _overlap(one.sound, other.sound, shift)
    heard = np.logical_or(*_overlap(one.heard, other.heard, shift))
    if heard.sum() < 5:
        return 0.0
    return float(1 - 2 * (a[heard] != b[heard]).mean())


def _motion_likeness(one: Fingerprint, other: Fingerprint, shift: float) -> float:
    """Mean likeness of face and way: 1 - difference over what both move; what hardly moves is like itself."""
    found = []
    for a, b, noise in ((one.cells, other.cells, _CELL_NOISE), (one.path, other.path, _PATH_NOISE)):
        near = round(shift * _PICTURE_HZ)
        best = -1.0
        for step in (near - 1, near, near + 1):
            x, y = _overlap(a, b, step)
            if len(x) >= 3:
                x, y = x - x.mean(axis=0), y - y.mean(axis=0)
                moved = float((x**2).mean() + (y**2).mean()) + 2 * noise**2
                best = max(best, 1 - float(((x - y) ** 2).mean()) / moved)
        found.append(best)
    return sum(found) / len(found)


def _overlap(a: NDArray[Any], b: NDArray[Any], shift: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """What two series share when `b` begins `shift` steps later than `a`."""
    a, b = (a[shift:], b) if shift >= 0 else (a, b[-shift:])
    count = min(len(a), len(b))
    return a[:count], b[:count]
