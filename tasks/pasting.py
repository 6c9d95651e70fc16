"""From a generated crop to the finished frame of a dub: tones and grain matched, detail kept, all else untouched.

What a model makes of a face is softer than the footage. Where its coarse picture agrees with the original's, the
original's fine detail stays and only tones change; where it does not (the mouth, the jaw), the generated picture shows
whole, and gets the footage's grain. What stands before the face is left alone (tasks/foreground.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks import crops
from tasks.alignments import EYES_APART, STUDIO
from tasks.compose import face_alpha, match_colour, paste_alpha, wide_blur
from tasks.config_sections import Render
from tasks.foreground import left_alone
from tasks.grain import grain, grain_powers, layer_levels, luma

Picture = NDArray[np.uint8]
Map = NDArray[np.float32]

# In sides of a crop whose eyes lie 0.31 apart.
_DETAIL = 0.012  # finer than this is detail
_COARSE = 0.05  # what varies more slowly than this is tone
_NEAR = 0.06  # how far around a disagreement no detail is kept
_TONE_REACH = 0.10  # over how much the tones are carried
_AGREE, _DIFFER = 4.0, 11.0  # grey levels up to which two pictures agree, from which they do not
_LIKE = 48.0  # grey levels; as bright as the face
_TONE_MOST = 40.0  # grey levels that a tone is corrected by at most


@dataclass(frozen=True)
class Repainted:
    """A crop ready to be put back, all [S,S] or [S,S,3] float32, crop pixels.

    picture: what is added where share is 1; kept: how much of the frame's own values is added to it (its fine detail).
    """

    picture: Map
    kept: Map
    share: Map


class Paster:
    """Puts the crops of one dub back. Holds nothing of one frame for the next: any order gives the same bytes."""

    def __init__(self, size: int, alignment: str, settings: Render) -> None:
        """For crops of `size` pixels a side, of an alignment of tasks/alignments.py."""
        self._size, self._alignment, self._settings = size, alignment, settings
        self._unit = size * EYES_APART[alignment] / EYES_APART[STUDIO]
        self._alpha = paste_alpha(size, settings.feather, alignment=alignment)

    def paste(
        self,
        frame: Picture,
        made: Picture,
        original: Picture,
        matrix: NDArray[np.float64],
        outline: NDArray[np.floating],
        strength: float,
        key: tuple[int, int],
    ) -> None:
        """Blends a generated crop into a frame, in place.

        Args:
            frame: uint8 [H,W,3], writable.
            made: uint8 [S,S,3], what the model made of the crop.
            original: uint8 [S,S,3], the crop as it was cut out.
            matrix: affine [2,3], frame → crop.
            outline: [33,2], the face from ear to ear by way of the chin, frame pixels.
            strength: share of the generated face in the result, 0..1; 0 leaves the frame as it is.
            key: (number of the track, index of the frame): what is drawn at random is drawn from this.
        """
        if strength <= 0:
            return
        share = self.share(matrix, outline) * np.float32(strength)
        if self._settings.keep_occluders:
            points = crops.transform_points(matrix, outline)
            share = np.asarray(share * (1 - left_alone(original, made, points, self._alignment)), dtype=np.float32)
        self._put_back(frame, self._repaint(made, original, share, crops.scale_of(matrix)), matrix, key)

    def share(self, matrix: NDArray[np.float64], outline: NDArray[np.floating]) -> Map:
        """float32 [S,S]: how much of a generated crop may show in a frame, by its place in the crop and on the face."""
        inside = face_alpha(crops.transform_points(matrix, outline), self._size, alignment=self._alignment)
        return np.asarray(self._alpha * inside, dtype=np.float32)

    def _repaint(self, made: Picture, original: Picture, share: Map, scale: float) -> Repainted:
        """Tones matched, and where the original's detail is kept. `scale`: crop pixels per frame pixel."""
        fine = max(_DETAIL * self._unit, 0.8 * scale)
        met = match_colour(made, original, self._alpha, self._settings.colour_match)
        matched = np.asarray(met, dtype=np.float32)
        before = _blur(original.astype(np.float32), fine)
        agree = self._agreement(before, _blur(matched, fine))
        if self._settings.colour_match > 0:
            tone = np.float32(self._settings.colour_match) * self._tone(before, matched, agree)
            matched = np.asarray(np.clip(matched + tone, 0, 255), dtype=np.float32)
        kept = np.float32(self._settings.detail) * agree
        after = _blur(matched, fine)
        picture = matched - kept[..., None] * (matched - after) - kept[..., None] * before
        return Repainted(np.asarray(picture, dtype=np.float32), kept, share)

    def _agreement(self, before: Map, after: Map) -> Map:
        """float32 [S,S], 1 where two pictures show the same shapes, whatever their tones; 0 where they do not."""
        apart = before - after
        apart -= wide_blur(apart, _COARSE * self._unit)
        worst = np.abs(apart).max(axis=-1)
        width = 2 * round(_NEAR * self._unit / 2) + 1
        worst = cv2.dilate(worst, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width)))
        ramp = np.clip((_DIFFER - _blur(worst, width / 3)) / (_DIFFER - _AGREE), 0, 1)
        return np.asarray(ramp * ramp * (3 - 2 * ramp), dtype=np.float32)

    def _tone(self, before: Map, after: Map, agree: Map) -> Map:
        """float32 [S,S,3]: how far tones are off, told where shapes agree and carried to where they do not."""
        weight = (agree * (self._alpha > 0) + np.float32(1e-4))[..., None]
        difference = np.clip(before - after, -_TONE_MOST, _TONE_MOST)
        sigma = _TONE_REACH * self._unit
        total = wide_blur(weight, sigma)
        return np.asarray(wide_blur(difference * weight, sigma) / total.reshape(weight.shape), dtype=np.float32)

    def _put_back(self, frame: Picture, new: Repainted, matrix: NDArray[np.float64], key: tuple[int, int]) -> None:
        picture, maps = new.picture, np.stack([new.share, new.kept], axis=-1)
        if self._alignment != STUDIO:  # large crops are averaged, not sampled; ours are small
            picture, maps, matrix = crops.no_finer_than_the_frame(picture, maps, matrix)
        box = crops.crop_box(matrix, picture.shape[0], frame.shape[1], frame.shape[0])
        x0, y0, x1, y1 = box
        if x0 >= x1 or y0 >= y1:
            return
        under = frame[y0:y1, x0:x1]
        share, kept = np.moveaxis(crops.unwarp(maps, matrix, box, border="zero"), -1, 0)
        mixed = crops.unwarp(picture, matrix, box)
        mixed += kept[..., None] * under
        if self._settings.grain > 0:
            mixed += self._grain(under, mixed, share, kept, powers_around(frame, box), key)[..., None]
        mixed = np.rint(under * (1 - share[..., None]) + mixed * share[..., None])
        np.copyto(under, np.clip(mixed, 0, 255).astype(np.uint8), where=(share > 0)[..., None])

    def _grain(
        self, under: Picture, new: Map, share: Map, kept: Map, around: NDArray[np.float64], key: tuple[int, int]
    ) -> Map:
        """float32 [H,W], to be added before the share is taken: the original's grain that the result would lack.

        `around`: the grain's powers [3] in a wider part of the frame.
        """
        face, values = share > 0.25, luma(under)
        # Whatever is as bright as the face has grain like it: a plain wall tells more than freckles.
        like = np.abs(values - np.median(values[face])) < _LIKE if face.any() else face
        # Grain lies on all of a frame; what only the face has, a beard, is its own.
        powers = np.minimum(grain_powers(values, like), around)
        generated = grain_powers(luma(np.clip(new, 0, 255).astype(np.uint8)), face & (kept < 0.25))
        levels = self._settings.grain * layer_levels(np.maximum(powers - generated, 0))
        if not levels.any():
            return np.zeros(share.shape, dtype=np.float32)
        left = 1 - share * (1 - kept)  # amplitude of the footage's own grain in the result
        lacking = np.sqrt(np.clip(1 - left**2, 0, 1)) / np.maximum(share, 1e-3)
        return np.asarray(grain(share.shape, levels, key) * np.minimum(lacking, 2), dtype=np.float32)


def powers_around(frame: Picture, box: tuple[int, int, int, int]) -> NDArray[np.float64]:
    """`grain_powers` of a frame uint8 [H,W,3] in a box (x0,y0,x1,y1) and as much again on every side."""
    x0, y0, x1, y1 = box
    wide, high = x1 - x0, y1 - y0
    part = frame[max(0, y0 - high) : y1 + high, max(0, x0 - wide) : x1 + wide]
    return grain_powers(luma(np.ascontiguousarray(part)), np.ones(part.shape[:2], dtype=np.bool_))


def _blur(picture: NDArray, sigma: float) -> Map:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), dtype=np.float32)
