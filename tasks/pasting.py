"""From a generated crop to the finished frame of a dub: colours met at the rim, soft edges, all else untouched."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tasks import crops
from tasks.alignments import STUDIO
from tasks.compose import face_alpha, match_colour, paste, paste_alpha
from tasks.config_sections import Render

Picture = NDArray[np.uint8]


class Paster:
    """Puts the crops of one dub back. Holds nothing of one frame for the next: any order gives the same bytes."""

    def __init__(self, size: int, alignment: str, settings: Render) -> None:
        """For crops of `size` pixels a side, of an alignment of tasks/alignments.py."""
        self._size, self._alignment, self._settings = size, alignment, settings
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
        matched = match_colour(made, original, self._alpha, self._settings.colour_match)
        inside = face_alpha(crops.transform_points(matrix, outline), self._size, alignment=self._alignment)
        share = np.asarray(self._alpha * inside * strength, dtype=np.float32)
        paste(frame, matched, matrix, share, averaged=self._alignment != STUDIO)
