"""The head as a signed-distance field: skull, face, eyes, lips, teeth, tongue, hair, glasses, neck and clothes.

Base masses are smooth unions of ellipsoids; folds, lips and cheeks are Gaussian relief along the feature curves; mouth
and eyes are carved along those curves. Lengths are head units (about 0.12 m).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from tasks.studio.curves import Eye, Mouth, brow, eye, mouth
from tasks.studio.rig import Rig
from tasks.studio.shapes import bump, ellipsoid, hill, intersection, ramp, segment, square, union


class Layers(NamedTuple):
    """Distances of the parts at a point; the minimum of the first seven is the head."""

    skin: Tensor
    eyeball: Tensor
    teeth: Tensor
    tongue: Tensor
    hair: Tensor
    glasses: Tensor
    clothes: Tensor
    under: Tensor  # depth below the face as it is before eyes and mouth are opened: the walls of a hollow are deep


def skull(x: Tensor, y: Tensor, z: Tensor, q: Rig) -> Tensor:
    """The face's masses without nose, ears, relief, neck: what the face contour is measured on."""
    ax = torch.sqrt(x * x + 4e-4)
    d = ellipsoid(x, y - 0.29, z + 0.08, q.skull_x, q.skull_y, q.skull_z)
    d = union(d, ellipsoid(x, y + 0.12, z - 0.06, q.face_x, q.face_y, 0.565), 0.16)
    jaw = ellipsoid(x, y - q.jaw_cy, z - q.jaw_cz, q.jaw_x, q.jaw_y, 0.465)
    d = union(d, jaw, 0.20)
    corner = ellipsoid(
        ax - q.jaw_corner_x + 0.05, y - q.jaw_cy - 0.02, z - q.jaw_cz + 0.13, 0.06 + q.jaw_corner, 0.15, 0.17
    )
    d = union(d, corner, 0.16)
    d = union(d, ellipsoid(x, y - q.chin_cy, z - q.chin_cz, q.chin_x, 0.125, 0.155), 0.17)
    # cheekbones, full cheeks, temples
    d = d - q.cheekbone * bump(ax - 0.37, y + 0.13, z - 0.42, 0.15, 0.11, 0.25)
    d = d - q.cheek * bump(ax - 0.34, y + 0.42, z - 0.40, 0.15, 0.17, 0.25)
    return d + 0.022 * bump(ax - 0.54, y - 0.17, z - 0.35, 0.12, 0.17, 0.22)


def face(x: Tensor, y: Tensor, z: Tensor, q: Rig, lips: Mouth, lids: Eye) -> Tensor:
    """The face's skin before mouth and eyes are opened."""
    ax = torch.sqrt(x * x + 4e-4)
    right = x > 0
    d = skull(x, y, z, q)
    # brow ridge, sockets, the root of the nose
    d = d - q.ridge * bump(ax - 0.20, y - 0.15, z - 0.62, 0.19, 0.07, 0.20)
    d = d + 0.052 * bump(ax - 0.245, y - 0.01, z - 0.55, 0.135, 0.095, 0.20)
    d = d + 0.020 * bump(ax - 0.14, y + 0.03, z - 0.60, 0.06, 0.10, 0.15)
    # dental arch, groove under the lower lip, philtrum
    lip_y = y - q.mouth_y
    front = ramp(0.25, 0.5, z)
    d = d - (
        0.048 * bump(x, lip_y, z - 0.62, 0.24, 0.15, 0.25)
        + q.pout * bump(x, lip_y + 0.4 * q.open_low, z - 0.66, 0.15, 0.12 + 0.5 * q.open_low, 0.3)
    )
    d = d + 0.024 * bump(x, y - 0.5 * (q.chin_cy + q.mouth_y - q.open_low - q.lip_low), z - 0.62, 0.17, 0.035, 0.3)
    d = d - q.chin_boss * bump(x, y - q.chin_cy - 0.02, z - 0.62, 0.10, 0.07, 0.2)
    # nose
    along = torch.clamp((0.07 - y) * (1.0 / (0.07 - q.nose_y)), 0.0, 1.0)
    bridge_z = 0.60 + (q.nose_z - 0.615) * along + q.nose_hook * 4.0 * along * (1.0 - along)
    over = torch.clamp(y - 0.07, 0.0, 1.0) + torch.clamp(q.nose_y - y, 0.0, 1.0)
    bridge = torch.sqrt(square(x) + square(z - bridge_z) + square(over)) - (0.040 + 0.020 * along) * q.nose_bridge
    nose = union(
        bridge,
        ellipsoid(x, y - q.nose_y, z - q.nose_z, q.nose_tip * 1.08 * q.nose_w, q.nose_tip * 0.95, q.nose_tip),
        0.06,
    )
    wing = ellipsoid(ax - q.wing_x, y - q.wing_y, z - 0.695, 0.046, 0.050, 0.075)
    nose = union(nose, wing, 0.045)
    nostril = bump(ax - 0.052 * q.nose_w, y - q.wing_y + 0.036, z - 0.755, 0.030, 0.022, 0.045)
    d = union(d, nose, 0.12) + 0.035 * nostril
    d = d + 0.010 * hill(x, 0.022) * bump(x, y - 0.5 * (q.nose_y - 0.07 + lips.outer_up), z - 0.7, 0.1, 0.05, 0.2)
    # cheeks lifted by a smile, and the fold from the nose wing to beyond the mouth corner
    lift = torch.where(right, q.cheek_r, q.cheek_l)
    d = d - lift * bump(ax - 0.335, y - q.cheek_y, z - 0.48, 0.13, 0.10, 0.25)
    corner_x = torch.where(right, q.mouth_w_r, q.mouth_w_l)
    corner_y = q.mouth_y + torch.where(right, q.corner_r, q.corner_l)
    fold = torch.where(right, q.fold_r, q.fold_l)
    off, at = segment(ax, y, 0.150 * q.nose_w, -0.315, corner_x + 0.075, corner_y + 0.01)
    fade = front * (1.0 - 0.75 * at)
    side = torch.clamp((ax - 0.15) * 3.0 + (y + 0.5) * 1.2, -1.0, 1.0)
    d = d + fold * fade * (0.011 * hill(off, 0.022) - 0.007 * side * hill(off - 0.06, 0.05))
    pit = torch.where(right, q.dimple_r, q.dimple_l)
    d = d + 0.020 * pit * bump(ax - corner_x - 0.020, y - corner_y, z - 0.56, 0.028, 0.035, 0.3)
    # lids over the eyeballs; the upper lid's crease; the bag below
    ball = torch.sqrt(square(lids.ax - q.eye_x) + y * y + square(z - q.eye_z))
    d = union(d, ball - 0.160, 0.035)
    inside = torch.clamp(1.15 - square(lids.u), 0.0, 1.0) * front
    shut = torch.where(right, q.closed_r, q.closed_l)
    crease = hill(y - lids.upper - (0.030 + 0.020 * shut + 0.028 * shut * inside), 0.010)
    bag = hill(y - lids.lower + 0.045, 0.016)
    d = d + inside * (q.crease * crease * (1.0 - 0.6 * shut) + (0.003 + 0.007 * q.squint + 0.005 * q.wrinkles) * bag)
    # lashes' rim: the lid edges stand out a little
    d = d - 0.005 * inside * (hill(y - lids.upper - 0.010, 0.010) + 0.7 * hill(y - lids.lower + 0.010, 0.010))
    # brows: a ridge of hair
    spine, thick, u = brow(x, q)
    ends = ramp(-0.12, 0.04, u) * ramp(1.08, 0.9, u) * front
    d = d - 0.013 * ends * hill(y - spine, thick * 1.1)
    # frown lines, forehead lines, wrinkled nose root
    d = d + front * q.frown * 0.014 * bump(ax - 0.048, y - 0.15, z - 0.66, 0.016, 0.07, 0.3)
    d = d - front * q.frown * 0.010 * bump(ax - 0.11, y - 0.15, z - 0.66, 0.05, 0.05, 0.3)
    lines = torch.cos((y - 0.42 + 0.15 * x * x) * 75.0)
    d = d + (0.0045 * q.raised + 0.0012 * q.wrinkles) * lines * bump(x, y - 0.42, z - 0.62, 0.30, 0.12, 0.25)
    d = d + 0.007 * q.wrinkle_nose * torch.cos((y - 0.02 + 0.5 * square(ax)) * 95.0) * bump(
        x, y - 0.015, z - 0.68, 0.09, 0.085, 0.2
    )
    # lips
    v_up = (y - lips.inner_up) / (lips.outer_up - lips.inner_up + 0.012)
    v_low = (lips.inner_low - y) / (lips.inner_low - lips.outer_low + 0.012)
    plump = torch.sqrt(lips.s + 1e-6) * front
    d = d - plump * (
        q.bulge_up * hill(v_up - 0.50, 0.52) * ramp(-0.1, 0.2, v_up)
        + q.bulge_low * hill(v_low - 0.48, 0.50) * ramp(-0.1, 0.2, v_low)
    )
    d = d + q.tuck * 0.040 * lips.s * bump(x, y - lips.inner_low + 0.02, z - 0.68, 0.3, 0.045, 0.2)
    return d - _beard(x, ax, y, z, q, lips, front)


def _beard(x: Tensor, ax: Tensor, y: Tensor, z: Tensor, q: Rig, lips: Mouth, front: Tensor) -> Tensor:
    cheek, moustache = beard_cover(x, ax, y, z, q, lips, 0.0, 0.065)  # rises gently from the lips
    rough = 0.9 + 0.1 * torch.sin(x * 41.0 + 3.0 * torch.sin(y * 23.0)) * torch.sin(
        y * 37.0 + 3.0 * torch.sin(x * 19.0)
    )
    return (q.beard * cheek + q.goatee * cheek * hill(x, 0.19) + q.moustache * moustache * front) * rough


def beard_cover(
    x: Tensor, ax: Tensor, y: Tensor, z: Tensor, q: Rig, lips: Mouth, near: float, far: float
) -> tuple[Tensor, Tensor]:
    """Where hair grows on a face 0..1: (all of the beard, its moustache), from 0 at `near` the lips to 1 at `far`."""
    line = (
        -0.39
        - 0.42 * torch.clamp(ax - 0.12, 0.0, 0.14)
        + 1.25 * torch.clamp(ax - 0.30, 0.0, 0.3)
        + 0.6 * torch.clamp(0.2 - z, 0.0, 0.5)
    )
    line = torch.minimum(line, q.wing_y - 0.05 + 1.2 * torch.clamp(ax - 0.20, 0.0, 1.0))
    beside = (torch.abs(lips.u) - 1.0) * q.mouth_w_l
    off_lips = torch.maximum(torch.maximum(y - lips.outer_up, lips.outer_low - y), beside)
    grown = ramp(0.0, 0.08, line - y) * ramp(near, far, off_lips) * ramp(-0.32, -0.12, z)
    moustache = grown * ramp(-0.05, 0.02, y - lips.inner_up) * ramp(0.30, 0.20, ax)
    return grown, moustache


def layers(wx: Tensor, wy: Tensor, wz: Tensor, q: Rig) -> Layers:
    """Distances of all parts at world points."""
    px, py, pz = wx - q.tx, wy - q.ty, wz - q.tz
    x = q.r00 * px + q.r10 * py + q.r20 * pz
    y = q.r01 * px + q.r11 * py + q.r21 * pz
    z = q.r02 * px + q.r12 * py + q.r22 * pz
    lips, lids = mouth(x, q), eye(x, q)
    ax = torch.abs(x)
    skin = face(x, y, z, q, lips, lids)
    under = -skin
    covered = skin + 0.045
    # ears: a tilted shell with a hollow, its top farther out than its lobe
    ear_z = z + 0.10 + 0.25 * y
    ear = ellipsoid(
        ax - 0.600 * (q.skull_x * (1.0 / 0.595)) - 0.020 - 0.04 * q.ear_out - 0.13 * (y + 0.09),
        y + 0.09,
        ear_z + 0.3 * (ax - 0.6),
        0.050,
        0.195 * q.ear,
        0.115 * q.ear,
    )
    ear = ear + 0.030 * bump(ax - 0.655, y + 0.10, ear_z - 0.02, 0.05, 0.10, 0.055)
    skin = union(skin, ear, 0.035)
    # open the eyes and the mouth
    eye_gap = torch.maximum(torch.maximum(y - lids.upper, lids.lower - y) * 0.85, 0.30 - z)
    eye_gap = torch.maximum(eye_gap, (torch.abs(lids.u) - 1.04) * 0.10)  # beyond its corners a shut lid's edges part
    skin = intersection(skin, -eye_gap, 0.010)
    mouth_gap = torch.maximum(torch.maximum(y - lips.inner_up, lips.inner_low - y) * 0.8, 0.32 - z)
    mouth_gap = torch.maximum(mouth_gap, (torch.abs(lips.u) - 0.98) * 0.35)
    skin = intersection(skin, -mouth_gap, 0.022)
    ball = torch.sqrt(square(ax - q.eye_x) + y * y + square(z - q.eye_z)) - 0.147
    # teeth: two rows on one arch; the tongue
    arch = torch.sqrt(square(x * (1.0 / 0.195)) + square((z - 0.37) * (1.0 / 0.235)))
    arch = torch.abs(arch - 0.95) * 0.19 - 0.014
    row_up = torch.maximum(q.teeth_up - y, y - q.teeth_up - 0.13)
    row_low = torch.maximum(y - q.teeth_low, q.teeth_low - 0.11 - y)
    teeth = torch.maximum(torch.maximum(arch, torch.minimum(row_up, row_low)), torch.maximum(0.36 - z, covered))
    tongue = ellipsoid(x, y - q.tongue_y, z - q.tongue_z, 0.135, 0.055, 0.19)
    tongue = torch.maximum(tongue, covered - 0.01)
    hair = _hair(x, ax, y, z, q)
    glasses = _glasses(x, ax, y, z, q)
    # neck and shoulders stay with the body; the neck leans after the head
    bx, by, bz = wx - q.body_x, wy - q.body_y, wz - q.body_z
    down = torch.clamp((-0.45 - by) * (1.0 / 1.0), 0.0, 1.0)
    neck_x, neck_z = bx - (q.tx - q.body_x) * (1.0 - down) * 0.6, bz + 0.16 + 0.10 * down
    widen = q.neck * (1.0 + 0.22 * ramp(0.55, 1.0, down))
    neck = (
        torch.sqrt(
            square(neck_x)
            + square(neck_z * 0.92)
            + square(torch.clamp(-1.40 - by, 0.0, 9.0) + torch.clamp(by + 0.35, 0.0, 9.0))
        )
        - widen
    )
    neck = neck - 0.018 * hill(torch.abs(neck_x) - 0.10 - 0.12 * (1.0 - down), 0.06) * ramp(-0.1, 0.1, neck_z)
    slope = 0.16 * torch.sqrt(bx * bx + 0.02)  # trapezius to shoulder
    torso = ellipsoid(bx, by + 2.02 + slope, bz + 0.26, 1.30 * q.shoulder, 0.80, 0.47)
    torso = union(torso, ellipsoid(torch.abs(bx) - 0.88 * q.shoulder, by + 1.95, bz + 0.26, 0.36, 0.42, 0.33), 0.22)
    body = union(neck, torso, 0.30)
    skin = union(skin, body, 0.07)
    cut = neckline(bx, by, bz, q)
    clothes = intersection(body - 0.035, cut, 0.02)
    rim = torch.sqrt(square(cut) + square(body - 0.03)) - 0.030
    clothes = union(clothes, rim + 10.0 * (1.0 - torch.clamp(q.collar, 0.0, 1.0)), 0.02)
    return Layers(skin, ball, teeth, tongue, hair, glasses, clothes, under)


def neckline(bx: Tensor, by: Tensor, bz: Tensor, q: Rig) -> Tensor:
    """Distance below (negative) or above the edge of the clothes."""
    drop = q.neckline * 0.42 * hill(bx, 0.30) * ramp(-0.1, 0.2, bz)
    return (
        by + 1.17 + 0.10 * ramp(-0.4, 0.3, bz) + drop - 0.25 * q.neckline * torch.clamp(torch.abs(bx) - 0.3, 0.0, 0.4)
    ) * 0.8


def _hair(x: Tensor, ax: Tensor, y: Tensor, z: Tensor, q: Rig) -> Tensor:
    curls = (
        torch.sin(x * 23.0 + 2.0 * torch.sin(y * 11.0))
        * torch.sin(y * 21.0 + 2.0 * torch.sin(z * 13.0))
        * torch.sin(z * 22.0 + 2.0 * torch.sin(x * 12.0))
    )
    cap = ellipsoid(
        x,
        y - 0.29 - 0.4 * q.cap_y,
        z + 0.10,
        q.skull_x + q.cap,
        q.skull_y + 0.6 * q.cap_y,
        q.skull_z + q.cap * 0.8 - 0.01,
    )
    ends = q.hair_end - y + 0.25 * torch.clamp(z, -0.3, 0.6)
    cap = intersection(cap, ends, 0.06)
    curtain = ellipsoid(x, y - q.curtain_cy, z + 0.16, q.curtain_x, q.curtain_y, 0.64)
    curtain = intersection(curtain, (q.hair_end - y) * 0.9, 0.12)
    hair = union(cap, curtain, 0.10)
    # the face looks out of an opening bounded by the hairline
    fx = (x - q.part * ramp(0.1, 0.6, y)) * (1.0 / q.opening_x)
    height = (y + 0.30) * (1.0 / (0.30 + q.opening_y))
    arc = torch.sqrt(
        fx * fx * torch.clamp(0.75 + 0.25 * fx * fx, 0.0, 2.0) + square(torch.clamp(height, 0.0, 9.0)) + 1e-6
    )
    turn = torch.atan2(x - q.part, torch.clamp(y, 0.05, 9.0))
    drift = 2.0 * torch.sin(y * 5.0 + 3.0 * x) + 2.5 * z
    strands = torch.sin(turn * 23.0 + drift) + 0.6 * torch.sin(turn * 41.0 - 1.7 * drift + 1.0)
    # hair grows out of the skin: above the forehead it thins to nothing where it begins, unless it stands up
    thin = (q.cap + 0.01) * ramp(0.17, 0.11, q.cap) * ramp(1.32, 1.0, arc) * ramp(0.0, 0.22, y) * ramp(-0.1, 0.2, z)
    hair = hair + torch.clamp(thin, min=0.0)
    arc = arc + 0.002 * strands + 0.012 * torch.sin(turn * 6.0 + 9.0 * q.part)
    gap = torch.maximum(
        (arc - 1.0) * 0.45,
        (q.opening_side - 0.25 * torch.clamp(y, min=0.0) + 0.50 * torch.clamp(y + 0.35, max=0.0) - z) * 0.8,
    )
    hair = intersection(hair, -gap, 0.045)
    bun = torch.sqrt(square(x) + square(y - 0.90) + square(z + 0.45)) - q.bun
    hair = union(hair, bun, 0.06)
    return hair - q.curl * curls - 0.0022 * strands * ramp(0.03, 0.0, q.curl)


def _glasses(x: Tensor, ax: Tensor, y: Tensor, z: Tensor, q: Rig) -> Tensor:
    plane = z - 0.675 + 0.45 * square(ax - 0.02)
    rx, ry = torch.abs(ax - 0.262) * (1.0 / q.glasses_w), torch.abs(y + 0.02) * (1.0 / q.glasses_h)
    # between a rounded rectangle (p 0.55) and an ellipse (p 1): norms of higher order are squarer
    soft = torch.sqrt(rx * rx + ry * ry + 1e-6)
    hard = torch.sqrt(torch.sqrt(square(rx * rx) + square(ry * ry) + 1e-9))
    ring = (soft * q.glasses_p + hard * (1.0 - q.glasses_p) - 1.0) * 0.165
    rim = torch.sqrt(square(ring) + square(plane)) - 0.0195
    bridge = (
        torch.sqrt(square(y - 0.04 + 0.8 * ax * ax) + square(plane) + square(torch.clamp(ax - 0.075, 0.0, 1.0))) - 0.017
    )
    arm_x = ax - 0.47 - 0.20 * torch.clamp(0.6 - z, 0.0, 0.7)
    arm = (
        torch.sqrt(
            square(arm_x)
            + square(y - 0.06)
            + square(torch.clamp(z - 0.60, 0.0, 9.0) + torch.clamp(-0.05 - z, 0.0, 9.0))
        )
        - 0.018
    )
    return torch.minimum(torch.minimum(rim, bridge), arm) + q.glasses


def field(wx: Tensor, wy: Tensor, wz: Tensor, q: Rig) -> Tensor:
    """Distance to the whole figure at world points."""
    part = layers(wx, wy, wz, q)
    d = torch.minimum(torch.minimum(part.skin, part.eyeball), torch.minimum(part.teeth, part.tongue))
    return torch.minimum(torch.minimum(d, part.hair), torch.minimum(part.glasses, part.clothes))
