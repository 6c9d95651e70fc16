"""The face's feature curves as functions of x: lips, lids, brows.

The field carves and raises the face along these curves, the materials colour it by them and the truth puts landmarks on
them, so the three cannot disagree.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from tasks.studio.rig import Rig
from tasks.studio.shapes import hill, square


class Mouth(NamedTuple):
    """Heights (y) of the lip edges at x; `u` is x in half mouth widths, `s` the share of lip (0 at the corners)."""

    u: Tensor
    s: Tensor
    inner_up: Tensor
    inner_low: Tensor
    outer_up: Tensor
    outer_low: Tensor


class Eye(NamedTuple):
    """Heights of the lid edges at x, `u` = -1 at the inner corner, 1 at the outer; `ax` = |x|."""

    u: Tensor
    upper: Tensor
    lower: Tensor
    ax: Tensor


def mouth(x: Tensor, q: Rig) -> Mouth:
    """The lip edges over x."""
    right = x > 0
    u = x / torch.where(right, q.mouth_w_r, q.mouth_w_l)
    corner = torch.where(right, q.corner_r, q.corner_l)
    u2 = square(u)
    s = torch.clamp(1.0 - u2, 0.0, 1.0)
    # squareness: wide, smiling mouths keep their height towards the corners, round ones do not
    bow_s = torch.sqrt(s + 1e-4) - 0.01
    round_s = s * (1.0 + q.squareness * (1.0 - s))
    round_s = round_s + (bow_s - round_s) * q.rounded
    bend = corner * torch.clamp(u2, 0.0, 1.6)
    line = q.mouth_y + bend - 0.012 * q.lip_up * hill(u, 0.3) + 0.004 * s
    inner_up = line + q.open_up * round_s
    inner_low = line - q.open_low * round_s
    bow = 1.0 + 0.16 * q.cupid * hill(torch.abs(u) - 0.26, 0.17) - 0.42 * q.cupid * hill(u, 0.15)
    up_s, low_s = s * (1.0 + 0.35 * (1.0 - s)), s * (1.0 + 0.2 * (1.0 - s))
    outer_up = inner_up + q.lip_up * (up_s + (bow_s - up_s) * q.rounded) * bow
    outer_low = inner_low - q.lip_low * (low_s + (bow_s - low_s) * q.rounded)
    return Mouth(u, s, inner_up, inner_low, outer_up, outer_low)


def eye(x: Tensor, q: Rig) -> Eye:
    """The lid edges over x, both eyes at once."""
    right = x > 0
    ax = torch.abs(x)
    u = (ax - q.eye_x) / q.eye_w
    up = torch.where(right, q.lid_up_r, q.lid_up_l)
    low = torch.where(right, q.lid_low_r, q.lid_low_l)
    shut = torch.where(right, q.closed_r, q.closed_l)
    s = 1.0 - square(u)
    axis = q.eye_tilt * u
    upper = axis + up * s * (1.0 + 0.22 * square(u) - 0.18 * u * (1.0 - shut))
    lower = axis - low * s * (1.0 + 0.10 * square(u) + 0.16 * u * (1.0 - shut))
    return Eye(u, upper, lower, ax)


def brow(x: Tensor, q: Rig) -> tuple[Tensor, Tensor, Tensor]:
    """(height of the brow's spine, half thickness, position 0 inner end .. 1 outer end) over x."""
    right = x > 0
    ax = torch.abs(x)
    u = (ax - q.brow_x) * (1.0 / 0.300)
    inner = torch.where(right, q.brow_in, q.brow_in_l)
    outer = torch.where(right, q.brow_out, q.brow_out_l)
    # the parabola through inner end, arch (at 0.62) and outer end
    arch = (q.brow_mid - inner - (outer - inner) * 0.62) / (0.62 * 0.38)
    spine = inner + (outer - inner) * u + arch * u * (1.0 - u)
    taper = torch.clamp(1.0 - torch.clamp(u - 0.30, 0.0, 2.0) * 1.0, 0.18, 1.0)
    thick = q.brow_thick * taper
    return spine, thick, u
