"""The exact answer for every frame: landmarks, five points, box and mouth opening, from the head's own curves."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from models import landmarks106 as lm
from tasks.studio.curves import brow, eye, mouth
from tasks.studio.head import face, skull
from tasks.studio.rig import Rig
from tasks.studio.trace import Camera


@dataclass
class Truth:
    """landmarks [F,106,2], kps [F,5,2], bbox [F,4] in pixels, mouth_opening [F] in eye distances, visible bool [F]."""

    landmarks: Tensor
    kps: Tensor
    bbox: Tensor
    mouth_opening: Tensor
    visible: Tensor


def _columns(rig: Tensor) -> Rig:
    return Rig(*(column[:, None] for column in rig.unbind(1)))


def _surface_z(x: Tensor, y: Tensor, q: Rig) -> Tensor:
    """Depth of the closed face's front at (x, y), by tracing along -z."""
    lips, lids = mouth(x, q), eye(x, q)
    z = torch.full_like(x, 1.15)
    for _ in range(26):
        z = z - 0.8 * torch.clamp(face(x, y, z, q, lips, lids), -0.1, 0.5)
    return torch.clamp(z, -0.2, 1.15)


def _features(q: Rig) -> tuple[Tensor, Tensor]:
    """Head-frame x, y [F,106] of every landmark that sits on the face's front; contour entries are zero."""
    frames = q.mouth_y.shape[0]
    x = torch.zeros(frames, lm.COUNT, device=q.mouth_y.device)
    y = torch.zeros_like(x)

    def put(index: tuple[int, ...] | list[int], xs: Tensor, ys: Tensor) -> None:
        x[:, list(index)] = xs
        y[:, list(index)] = ys

    def spread(*values: float) -> Tensor:
        return torch.tensor(values, device=x.device)[None]

    # lips
    for names, us, pick in (
        (lm.LIPS_OUTER[0:7], (-1.0, -0.62, -0.27, 0.0, 0.27, 0.62, 1.0), "outer_up"),
        (lm.LIPS_OUTER[7:], (0.66, 0.34, 0.0, -0.34, -0.66), "outer_low"),
        (lm.LIPS_INNER[0:5], (-0.86, -0.40, 0.0, 0.40, 0.86), "inner_up"),
        (lm.LIPS_INNER[5:], (0.40, 0.0, -0.40), "inner_low"),
    ):
        u = spread(*us)
        xs = torch.where(u > 0, u * q.mouth_w_r, u * q.mouth_w_l)
        put(names, xs, getattr(mouth(xs, q), pick))
    # eyes: corners, upper lid, lower lid, pupils
    for outline, pupils, sign in ((lm.LEFT_EYE, lm.LEFT_PUPIL, -1.0), (lm.RIGHT_EYE, lm.RIGHT_PUPIL, 1.0)):
        # the outer corner lies at 1; from image left to right that is first in the left eye, in the right eye last
        round_lids = spread(-1.0, -0.5, 0.0, 0.5, 1.0, 0.5, 0.0, -0.5) * sign
        xs = sign * (q.eye_x + round_lids * q.eye_w)
        lids = eye(xs, q)
        ys = torch.where(torch.tensor([[True] * 5 + [False] * 3], device=x.device), lids.upper, lids.lower)
        put(outline, xs, ys)
        middle = sign * q.eye_x
        lids = eye(middle, q)
        put((pupils[0],), middle, 0.5 * (lids.upper + lids.lower))
        put(
            (pupils[1],),
            middle + 0.147 * torch.sin(q.gaze_x),
            torch.minimum(torch.maximum(0.147 * torch.sin(q.gaze_y), lids.lower), lids.upper),
        )
    # brows: the upper edge from image left to right, then the lower edge back; the tip is one point, the inner end two
    inner_to_tip, tip_to_inner = (0.0, 0.25, 0.5, 0.75), (0.97, 0.75, 0.5, 0.25, 0.0)
    for eyebrow, sign, along, tip in (
        (lm.LEFT_BROW, -1.0, tip_to_inner + inner_to_tip, 0),
        (lm.RIGHT_BROW, 1.0, inner_to_tip + tip_to_inner, 4),
    ):
        edge = [0.0 if i == tip else 1.0 if i < 5 else -1.0 for i in range(9)]
        xs = sign * (q.brow_x + 0.300 * spread(*along))
        spine, thick, _ = brow(xs, q)
        put(eyebrow, xs, spine + thick * spread(*edge))
    # nose
    zero = torch.zeros_like(q.nose_y)
    bridge = spread(0.0, 0.36, 0.70)
    put(lm.NOSE_BRIDGE[:3], zero.expand(-1, 3), 0.02 + (q.nose_y - 0.02) * bridge)
    put((lm.NOSE_TIP,), zero, q.nose_y)
    base = q.wing_y - 0.047
    put((lm.NOSE_BASE,), zero, base - 0.006)
    for names, sign in ((lm.NOSE_LEFT, -1.0), (lm.NOSE_RIGHT, 1.0)):
        xs = torch.cat(
            [0.062 * q.nose_bridge, q.wing_x + 0.004, q.wing_x + 0.036, q.wing_x - 0.012, 0.038 * q.nose_w], 1
        )
        ys = torch.cat([0.015 + zero, q.wing_y + 0.045, q.wing_y - 0.008, base + 0.006, base], 1)
        put(names, sign * xs, ys)
    return x, y


def _world(x: Tensor, y: Tensor, z: Tensor, q: Rig) -> Tensor:
    return torch.stack(
        [
            q.r00 * x + q.r01 * y + q.r02 * z + q.tx,
            q.r10 * x + q.r11 * y + q.r12 * z + q.ty,
            q.r20 * x + q.r21 * y + q.r22 * z + q.tz,
        ],
        -1,
    )


def _contour(q: Rig) -> tuple[Tensor, Tensor, Tensor]:
    """Head-frame points [F,33] of the face's outline as the camera sees it, ear to ear by way of the chin."""
    device = q.mouth_y.device
    # rays leave the head's axis in a fan: a little upwards to the temples, straight down to the chin
    share = torch.linspace(-1.0, 1.0, 33, device=device)[None]
    angle = share * (0.5 * torch.pi + 0.48)
    chin = q.chin_cy - 0.11
    centre_y = 0.38 * chin
    right, down = torch.sin(angle), -torch.cos(angle)
    # image-plane axes in the head's frame: columns of the transposed rotation, without roll this is the camera's right
    rx, ry, rz = q.r00, q.r01, q.r02
    ux, uy, uz = q.r10, q.r11, q.r12
    dx, dy, dz = right * rx + down * ux, right * ry + down * uy, right * rz + down * uz
    best = torch.full_like(dx, -1.0)
    where = [torch.zeros_like(dx) for _ in range(3)]
    for depth in (0.06, 0.16, 0.26, 0.36, 0.46):
        oy, oz = centre_y.expand_as(dx), torch.full_like(dx, depth)
        t = torch.full_like(dx, 1.3)
        for _ in range(18):
            t = t - 0.85 * torch.clamp(skull(t * dx, oy + t * dy, oz + t * dz, q), -0.1, 0.5)
        # how far out in the image: along the ray plus what the origin's depth itself moves
        reach = t + depth * (right * rz + down * uz)
        better = reach > best
        best = torch.where(better, reach, best)
        for i, value in enumerate((t * dx, oy + t * dy, oz + t * dz)):
            where[i] = torch.where(better, value, where[i])
    return where[0], where[1], where[2]


def truth(rig: Tensor, camera: Camera, size: tuple[int, int]) -> Truth:
    """Truth of the frames with rig rows [F,K], seen by `camera` in an image of `size` (width, height)."""
    q = _columns(rig)
    x, y = _features(q)
    z = _surface_z(x, y, q)
    contour_index = list(lm.CONTOUR)
    cx, cy, cz = _contour(q)
    x[:, contour_index], y[:, contour_index], z[:, contour_index] = cx, cy, cz
    landmarks = camera.project(_world(x, y, z, q), size)
    left, right = (landmarks[:, list(outline)].mean(1) for outline in (lm.LEFT_EYE, lm.RIGHT_EYE))
    kps = torch.stack(
        [left, right, landmarks[:, lm.NOSE_TIP], landmarks[:, lm.MOUTH_LEFT], landmarks[:, lm.MOUTH_RIGHT]], 1
    )
    # the box of a face detector: from the middle of the forehead to the chin
    zero = torch.zeros_like(q.ty)
    top = camera.project(_world(zero, zero + 0.46, zero + 0.60, q), size)
    outline = torch.cat([landmarks[:, contour_index], top, landmarks[:, lm.NOSE_TIP : lm.NOSE_TIP + 1]], 1)
    bbox = torch.cat([outline.amin(1), outline.amax(1)], 1)
    # opening and eye distance in the head's frame: independent of pose
    opening = (q.open_up + q.open_low)[:, 0] / (2 * q.eye_x[:, 0])
    width, height = size
    limits = torch.tensor([width, height], device=rig.device)
    inside = ((kps >= 0) & (kps < limits)).all(-1).all(-1)
    visible = inside & (q.r22[:, 0] > 0.35)
    return Truth(landmarks, kps, bbox, torch.clamp(opening, min=0.0), visible)
