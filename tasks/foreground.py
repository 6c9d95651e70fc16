"""What stands before a face (a hand, a microphone, a strand of hair) and stays as it is when the face is repainted.

Inside the outline of a face, beside its mouth, there is skin, or what the generated face shows as well: a beard, a
shadow. Anything else is before it, and so is what hangs together with it and has its colours, the mouth included. No
network: a person's own skin is known from between the eyes, the rest of the face from the model.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.alignments import EYES_APART, STUDIO

Picture = NDArray[np.uint8]
Map = NDArray[np.float32]

_SIDE = 128  # pixels at which is looked
# Of a mean face, in distances between the eyes, from the middle of the outline's ends (the ears): where skin is sure.
_BRIDGE, _FOREHEAD = (0.20, 0.20), (0.32, 0.16)  # half widths and half heights of two patches
_MOUTH_UP, _MOUTH = 0.40, (0.54, 0.34)  # its centre above the chin, in heights of the outline; half axes
_RIM, _JAW, _CHIN = 0.10, 0.60, 0.80  # how far within the outline one is sure; how far a chin rises; half its width
_SPREAD = np.array([22.0, 4.0, 4.0], dtype=np.float32)  # least spread of a skin in log luma and both chromas over luma
_STRANGE, _ODD = (2.4, 3.6), (1.5, 2.7)  # spreads from which something begins to be no skin, and is none
_BEARD = (0.8, 1.6)  # spreads by which it differs from what was made, up to which it belongs to the face
_ALIKE = 2.4  # spreads within which two pixels belong to one thing
_LIPS = (0.4, 0.8)  # spreads by which what differs most in a mouth differs: below there is none, above there is one
_SMALL, _LARGE = 0.006, 0.015  # share of the crop below which a thing is none, from which it is one for sure


def left_alone(original: Picture, made: Picture, outline: NDArray[np.floating], alignment: str = STUDIO) -> Map:
    """float32 [S,S], 1 where a frame is to be left as it is because something is before the face, 0 where not.

    Args:
        original: uint8 [S,S,3], the crop as it was cut out.
        made: uint8 [S,S,3], the same with the generated face.
        outline: [33,2], the face from ear to ear by way of the chin, crop pixels.
        alignment: of the crop.
    """
    size = original.shape[0]
    side = min(size, _SIDE)
    points = (np.asarray(outline, dtype=np.float32) + 0.5) * (side / size) - 0.5
    unit = EYES_APART[alignment] * side
    shown, drawn = (_colours(picture, side) for picture in (original, made))
    skin = _skin(shown, points, unit)
    if skin is None:
        return np.zeros((size, size), dtype=np.float32)
    middle, spread = skin
    face, mouth, chin = _parts(points, unit, side)
    strange = _ramp(_distance(shown, middle, spread), *_STRANGE)
    odd = _distance(drawn, middle, spread)
    apart = _distance(shown, drawn, spread)
    # Beside all that moves in speech the footage stays wherever it, or what was made of it, is no skin; where a chin
    # may be, if both are none, or if the footage is none within the face's own outline.
    chins = np.maximum(np.minimum(strange, _ramp(odd, *_ODD)), strange * face * _ramp(apart, *_STRANGE))
    still = (1 - mouth) * ((1 - chin) * np.maximum(strange, _ramp(odd, *_STRANGE)) + chin * chins)
    sure = (face > 0) & (mouth < 0.5) & ~_like_lips(shown, middle, spread)
    out = np.maximum(still, _things(strange, shown, spread, sure, apart))
    out = np.maximum(out, _covered(shown, drawn, middle, spread, mouth > 0.5))
    out = cv2.GaussianBlur(cv2.dilate(out, np.ones((3, 3), np.uint8)), (0, 0), 0.012 * side)
    if side != size:
        out = cv2.resize(out, (size, size), interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.clip(out, 0, 1), dtype=np.float32)


def _colours(picture: Picture, side: int) -> Map:
    """float32 [side,side,3]: log luma and both chromas over luma, which light and shade leave as they are."""
    small = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA) if picture.shape[0] != side else picture
    smooth = cv2.GaussianBlur(small.astype(np.float32) / np.float32(255), (0, 0), 0.008 * side)
    colours = cv2.cvtColor(smooth, cv2.COLOR_RGB2YCrCb) * np.float32(255)
    luma = colours[..., 0] + 12
    out = np.stack([40 * np.log(luma), *(150 * (colours[..., k] - 127.5) / luma for k in (1, 2))], axis=-1)
    return np.asarray(out, dtype=np.float32)


def _skin(shown: Map, points: Map, unit: float) -> tuple[Map, Map] | None:
    """Middle [3] and spread [3] of the skin between and above the eyes; None where that lies outside."""
    centre = (points[0] + points[-1]) / 2
    up = centre - points[16]
    up = up / max(float(np.linalg.norm(up)), 1e-6)
    found = []
    for (wide, high), rise in ((_BRIDGE, 0.0), (_FOREHEAD, 0.55)):
        x, y = centre + rise * unit * up
        part = shown[
            max(0, int(y - high * unit)) : max(0, int(y + high * unit)),
            max(0, int(x - wide * unit)) : max(0, int(x + wide * unit)),
        ]
        found.append(part.reshape(-1, 3))
    samples = np.concatenate(found)
    if len(samples) < 12:
        return None
    middle = np.median(samples, axis=0)
    spread = 1.48 * np.median(np.abs(samples - middle), axis=0)
    return middle.astype(np.float32), np.clip(spread, _SPREAD, 2 * _SPREAD).astype(np.float32)


def _distance(colours: Map, others: Map, spread: Map) -> Map:
    """float32 [S,S]: how many spreads apart."""
    apart = (colours - others) / spread
    return np.asarray(np.sqrt(np.einsum("yxc,yxc->yx", apart, apart)), dtype=np.float32)


def _ramp(values: Map, low: float, high: float) -> Map:
    return np.asarray(np.clip((values - low) / (high - low), 0, 1), dtype=np.float32)


def _parts(points: Map, unit: float, side: int) -> tuple[NDArray[np.uint8], Map, Map]:
    """[side,side] each: the face within its outline (0 or 1); its mouth, and where a chin may be (0..1)."""
    face = np.zeros((side, side), np.uint8)
    cv2.fillConvexPoly(face, np.rint(cv2.convexHull(points).reshape(-1, 2)).astype(np.int32), 1)
    width = 2 * round(_RIM * unit) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
    face = np.asarray(cv2.erode(face, kernel, borderValue=0), dtype=np.uint8)
    end, centre = points[16], (points[0] + points[-1]) / 2
    height = float(np.linalg.norm(centre - end))
    up = (centre - end) / max(height, 1e-6)
    rows, columns = np.mgrid[0:side, 0:side].astype(np.float32)
    above = ((columns - end[0]) * up[0] + (rows - end[1]) * up[1]) / unit
    aside = ((columns - end[0]) * up[1] - (rows - end[1]) * up[0]) / unit
    lips = np.hypot(aside / _MOUTH[0], (above - _MOUTH_UP * height / unit) / _MOUTH[1])
    chin = _ramp(_JAW - above, -0.1, 0.1) * _ramp(_CHIN - np.abs(aside), 0, 0.2)
    return face, 1 - _ramp(lips, 1.0, 1.2), chin


def _things(strange: Map, shown: Map, spread: Map, sure: NDArray[np.bool_], apart: Map) -> Map:
    """float32 [S,S]: all of the things of which a good part lies where skin should be.

    What the model drew as well (`apart` is small) is no thing but a beard.
    """
    out = np.zeros_like(strange)
    seeds = cv2.morphologyEx(((strange > 0.5) & sure).astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(seeds, connectivity=4)
    for label in range(1, count):
        seed = labels == label
        weight = _weight(int(stats[label, cv2.CC_STAT_AREA]), strange.size)
        weight *= float(_ramp(np.asarray(np.median(apart[seed]), dtype=np.float32), *_BEARD))
        if weight <= 0:
            continue
        colours = shown[seed]
        middle = np.median(colours, axis=0)
        own = np.maximum(1.48 * np.median(np.abs(colours - middle), axis=0), spread)
        alike = (_distance(shown, middle.astype(np.float32), own.astype(np.float32)) < _ALIKE) & (strange > 0)
        _, pieces = cv2.connectedComponents((alike | seed).astype(np.uint8), connectivity=4)
        whole = np.isin(pieces, np.unique(pieces[seed])) & (alike | seed)
        out = np.maximum(out, np.float32(weight) * whole)
    return np.asarray(out, dtype=np.float32)


def _like_lips(shown: Map, middle: Map, spread: Map) -> NDArray[np.bool_]:
    """bool [S,S]: redder than the skin, and in no other way different."""
    red, blue = ((shown[..., k] - middle[k]) / spread[k] for k in (1, 2))
    return np.asarray((red > 1) & (red > np.abs(blue)))


def _covered(shown: Map, drawn: Map, middle: Map, spread: Map, mouth: NDArray[np.bool_]) -> np.float32:
    """0..1: how surely there is no mouth to be seen where the model made one: something like skin is before it."""
    if mouth.sum() < 24:
        return np.float32(0)
    lips = []
    for colours in (shown, drawn):
        apart = _distance(colours, middle, spread)[mouth]
        lips.append(float(np.quantile(apart, 0.95) - np.median(apart)))
    hidden = 1 - _ramp(np.array(lips[0], dtype=np.float32), *_LIPS)
    return np.float32(hidden * _ramp(np.array(lips[1], dtype=np.float32), *_LIPS))


def _weight(area: int, whole: int) -> float:
    return float(np.clip((area / whole - _SMALL) / (_LARGE - _SMALL), 0, 1))
