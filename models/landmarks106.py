"""The 106 facial landmarks in the order of insightface's 2d106 models, as named groups of indices.

Sides are the image's. The order is a public fact of the 2d106det model (insightface, alignment/coordinate_reg, its markup
picture and the widely used table from 106 to iBUG-68 points).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

COUNT = 106

# Ear to ear by way of the chin (index 0).
CONTOUR = (
    1, 9, 10, 11, 12, 13, 14, 15, 16, 2, 3, 4, 5, 6, 7, 8, 0,
    24, 23, 22, 21, 20, 19, 18, 32, 31, 30, 29, 28, 27, 26, 25, 17,
)  # fmt: skip
CHIN = 0
# Closed outlines, clockwise from the image-left corner: corner, upper lid, corner, lower lid.
LEFT_EYE = (35, 41, 40, 42, 39, 37, 33, 36)
LEFT_PUPIL = (34, 38)
RIGHT_EYE = (89, 95, 94, 96, 93, 91, 87, 90)
RIGHT_PUPIL = (88, 92)
# Closed outlines: the upper edge from image left to right, then the lower edge back.
LEFT_BROW = (43, 48, 49, 51, 50, 46, 47, 45, 44)
RIGHT_BROW = (102, 103, 104, 105, 101, 100, 99, 98, 97)
NOSE_BRIDGE = (72, 73, 74, 86)
NOSE_TIP = 86
NOSE_LEFT = (75, 76, 77, 78, 79)
NOSE_BASE = 80
NOSE_RIGHT = (81, 82, 83, 84, 85)
NOSE = (72, 73, 74, 86, 75, 76, 77, 78, 79, 80, 85, 84, 83, 82, 81)
# Closed outlines, clockwise from the image-left corner: upper edge, right corner, lower edge.
LIPS_OUTER = (52, 64, 63, 71, 67, 68, 61, 58, 59, 53, 56, 55)
LIPS_INNER = (65, 66, 62, 70, 69, 57, 60, 54)
MOUTH = tuple(range(52, 72))
MOUTH_LEFT = 52
MOUTH_RIGHT = 61
INNER_UPPER = 62
INNER_LOWER = 60
# iBUG-68 point i is landmark IBUG68[i] here.
IBUG68 = (
    1, 10, 12, 14, 16, 3, 5, 7, 0, 23, 21, 19, 32, 30, 28, 26, 17, 43, 48, 49, 51, 50, 102, 103, 104, 105, 101, 72, 73, 74,
    86, 78, 79, 80, 85, 84, 35, 41, 42, 39, 37, 36, 89, 95, 96, 93, 91, 90, 52, 64, 63, 71, 67, 68, 61, 58, 59, 53, 56, 55,
    65, 66, 62, 70, 69, 57, 60, 54,
)  # fmt: skip
