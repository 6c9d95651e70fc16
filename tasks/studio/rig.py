"""The numbers that the head's field is drawn from, one set per frame.

Coordinates are the head's: origin between the pupils, x to image right (the subject's left), y up, z to the camera.
A name ending in _l belongs to the image's left half, _r to its right half.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch


class Rig(NamedTuple):
    """Every number of the field, each a scalar tensor (one frame) or [F,1] (many frames, points [F,N])."""

    # head-to-world rotation, row by row, and translation
    r00: Any
    r01: Any
    r02: Any
    r10: Any
    r11: Any
    r12: Any
    r20: Any
    r21: Any
    r22: Any
    tx: Any
    ty: Any
    tz: Any
    body_x: Any
    body_y: Any
    body_z: Any
    # skull
    skull_x: Any
    skull_y: Any
    skull_z: Any
    face_x: Any
    face_y: Any
    jaw_x: Any
    jaw_y: Any
    jaw_cy: Any
    jaw_cz: Any
    jaw_corner: Any
    jaw_corner_x: Any
    chin_x: Any
    chin_cy: Any
    chin_cz: Any
    chin_boss: Any
    drop: Any
    cheekbone: Any
    cheek: Any
    cheek_y: Any
    cheek_l: Any
    cheek_r: Any
    ridge: Any
    ear: Any
    ear_out: Any
    neck: Any
    shoulder: Any
    # nose
    nose_y: Any
    nose_z: Any
    nose_w: Any
    nose_bridge: Any
    nose_tip: Any
    nose_hook: Any
    wing_y: Any
    wing_x: Any
    wrinkle_nose: Any
    # eyes
    eye_x: Any
    eye_z: Any
    eye_w: Any
    eye_tilt: Any
    lid_up_l: Any
    lid_up_r: Any
    lid_low_l: Any
    lid_low_r: Any
    closed_l: Any
    closed_r: Any
    crease: Any
    squint: Any
    gaze_x: Any
    gaze_y: Any
    iris: Any
    # brows: height at the inner end, middle and outer end, thickness, inner end's x
    brow_in: Any
    brow_mid: Any
    brow_out: Any
    brow_in_l: Any
    brow_out_l: Any
    brow_thick: Any
    brow_x: Any
    frown: Any
    raised: Any
    # mouth: centre line, half widths, corner heights, opening above and below the line, lip heights, relief
    mouth_y: Any
    mouth_w_l: Any
    mouth_w_r: Any
    corner_l: Any
    corner_r: Any
    open_up: Any
    open_low: Any
    lip_up: Any
    lip_low: Any
    cupid: Any
    bulge_up: Any
    bulge_low: Any
    pout: Any
    tuck: Any
    squareness: Any
    rounded: Any
    fold_l: Any
    fold_r: Any
    dimple_l: Any
    dimple_r: Any
    teeth_up: Any
    teeth_low: Any
    tongue_y: Any
    tongue_z: Any
    # hair, beard, glasses, clothes
    cap: Any
    cap_y: Any
    opening_x: Any
    opening_y: Any
    opening_side: Any
    hair_end: Any
    curtain_x: Any
    curtain_y: Any
    curtain_cy: Any
    bun: Any
    curl: Any
    part: Any
    beard: Any
    moustache: Any
    sideburn: Any
    goatee: Any
    glasses: Any
    glasses_w: Any
    glasses_h: Any
    glasses_p: Any
    wrinkles: Any
    neckline: Any
    collar: Any


def rig_rows(rig: npt.NDArray[np.float32], device: torch.device | str) -> torch.Tensor:
    """The rig as a float32 tensor [T,K] on `device`."""
    return torch.as_tensor(rig, dtype=torch.float32, device=device)
