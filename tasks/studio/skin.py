"""The skin's colour: complexion, lines, lashes, brows, beard, lips, the walls of the open mouth."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from tasks.studio.curves import brow
from tasks.studio.head import beard_cover
from tasks.studio.identity import Identity
from tasks.studio.shapes import bump, hill, ramp, segment, square
from tasks.studio.surface import Surface, darken, mix, speckles


class Skin(NamedTuple):
    """Colour [M,3], weights [M] of brow and lips, and bool [M]: inside the mouth, deep enough to be its wall."""

    rgb: Tensor
    brow: Tensor
    lips: Tensor
    cavity: Tensor
    wall: Tensor


def skin(at: Surface, person: Identity) -> Skin:
    """The skin's colour at every point, whatever part is really in front there."""
    rgb = _complexion(at, person)
    rgb = _lines(rgb, at)
    rgb = _lashes(rgb, at, person)
    rgb, brow_weight = _brows(rgb, at, person)
    rgb = _hair_on_skin(rgb, at, person)
    rgb, lip_mask = _lips(rgb, at, person)
    rgb, cavity, wall = _open_mouth(rgb, at)
    return Skin(rgb, brow_weight, lip_mask, cavity, wall)


def _complexion(at: Surface, person: Identity) -> Tensor:
    x, y, z, ax, q = at.x, at.y, at.z, at.ax, at.q
    base = at.colour(person.skin)
    rgb = base[None] * (1.0 + 0.05 * at.tone + 0.035 * at.fine)[:, None]
    red = 0.55 * bump(ax - 0.33, y + 0.22, z - 0.5, 0.17, 0.14, 0.4)  # cheeks, nose, ears, chin
    red = red + 0.75 * bump(x, y - q.nose_y, z - 0.85, 0.13, 0.10, 0.15)
    red = red + 0.5 * ramp(0.55, 0.62, ax) * ramp(-0.5, -0.4, y)
    red = red + 0.25 * bump(x, y - q.chin_cy, z - 0.6, 0.2, 0.12, 0.3)
    rgb = mix(rgb, base * at.colour((1.05, 0.66, 0.62)), torch.clamp(red * (0.25 + 0.55 * person.redness), 0, 0.8))
    rouge = base * 0.45 + at.colour((0.42, 0.08, 0.09)) * 0.5
    rgb = mix(rgb, rouge, person.blush * 0.42 * bump(ax - 0.38, y + 0.20, z - 0.42, 0.14, 0.10, 0.4))
    tired = 0.16 * (0.4 + 0.6 * person.wrinkles + 0.3 * q.squint)
    rgb = darken(rgb, tired * bump(ax - 0.245, y + 0.075, z - 0.55, 0.12, 0.035, 0.3))
    socket = bump(ax - 0.25, y - 0.055, z - 0.55, 0.14, 0.06, 0.3)
    rgb = darken(rgb, (0.10 + 0.25 * person.eyeliner * person.blush) * socket)
    if person.freckles > 0:
        where = (bump(ax - 0.26, y + 0.17, z - 0.5, 0.22, 0.14, 0.5) + 0.25) * at.front
        spots = torch.clamp(speckles(x + 0.01 * at.tone, y, 0.026, 0.35, person.seed % 61) * where, 0, 1)
        rgb = rgb * (1.0 - person.freckles * 0.5 * spots[:, None] * at.colour((0.5, 0.8, 1.0)))
    if person.mole > 0.7:
        mole_x, mole_y = 0.18 + 0.25 * (person.mole - 0.7), -0.25 - 0.4 * ((person.mole * 17) % 1)
        side = 1.0 if (person.mole * 7) % 1 > 0.5 else -1.0
        away = torch.sqrt(square(x - side * mole_x) + square(y - mole_y))
        rgb = darken(rgb, 0.7 * ramp(0.016, 0.008, away) * at.front)
    return rgb


def _lines(rgb: Tensor, at: Surface) -> Tensor:
    """Lines that relief alone is too coarse for: nasolabial, frown, crow's feet, forehead, nose, nostrils."""
    x, y, z, ax, q = at.x, at.y, at.z, at.ax, at.q
    right = x > 0
    corner_x = torch.where(right, q.mouth_w_r, q.mouth_w_l)
    corner_y = q.mouth_y + torch.where(right, q.corner_r, q.corner_l)
    off, along = segment(ax, y, 0.155 * q.nose_w, -0.325, corner_x + 0.075, corner_y + 0.01)
    fold = torch.where(right, q.fold_r, q.fold_l)
    nasolabial = 0.30 * fold * (1.0 - 0.7 * along) * hill(off, 0.016 + at.foot)
    rgb = darken(rgb, torch.clamp(nasolabial, 0, 0.6) * at.front)
    rgb = darken(rgb, 0.42 * q.frown * bump(ax - 0.045, y - 0.16, z - 0.66, 0.010 + 0.5 * at.foot, 0.06, 0.4))
    feet = (0.25 * q.wrinkles + 0.45 * torch.clamp(q.squint, 0, 1)) * _ridges((y - 0.02) * 120.0 - ax * 10.0)
    rgb = darken(rgb, 0.30 * feet * bump(ax - q.eye_x - q.eye_w - 0.055, y + 0.005, z - 0.45, 0.040, 0.045, 0.3))
    forehead = (0.10 * q.wrinkles + 0.34 * q.raised) * _ridges((y - 0.42 + 0.15 * x * x) * 75.0)
    rgb = darken(rgb, forehead * bump(x, y - 0.40, z - 0.62, 0.30, 0.11, 0.3))
    nose = q.wrinkle_nose * _ridges((y - 0.02 + 0.5 * square(ax)) * 95.0)
    rgb = darken(rgb, 0.35 * nose * bump(x, y - 0.015, z - 0.68, 0.09, 0.085, 0.2))
    nostril = bump(ax - 0.052 * q.nose_w, y - q.wing_y + 0.034, z - 0.76, 0.030, 0.020, 0.06)
    return darken(rgb, 0.85 * torch.clamp(1.3 * nostril, 0, 1))


def _ridges(phase: Tensor) -> Tensor:
    return torch.clamp(torch.cos(phase), 0, 1)


def _lashes(rgb: Tensor, at: Surface, person: Identity) -> Tensor:
    y, q, lids, foot = at.y, at.q, at.lids, at.foot
    soft = foot * 0.75
    inside = torch.clamp(1.12 - square(lids.u), 0.0, 1.0) * at.front
    shut = torch.where(at.x > 0, q.closed_r, q.closed_l)
    crease = hill(y - lids.upper - (0.030 + 0.020 * shut + 0.028 * shut * inside), 0.007 + 0.3 * foot)
    rgb = darken(rgb, 0.42 * (q.crease * 70.0).clamp(0, 1) * crease * inside * (1.0 - 0.5 * shut))
    lash = 0.009 + 0.008 * person.eyeliner + 0.25 * foot
    above = y - lids.upper
    upper = (
        ramp(lash + soft, lash - soft, above) * ramp(-0.02, -0.01, above) * ramp(1.08, 0.98, torch.abs(lids.u + 0.02))
    )
    lower = hill(y - lids.lower + 0.004, 0.006 + 0.3 * foot) * ramp(1.0, 0.9, torch.abs(lids.u))
    lower = lower * (0.18 + 0.35 * person.eyeliner)
    rgb = mix(rgb, at.colour(person.skin) * 0.30, torch.clamp(lower * at.front, 0, 1))
    dark = torch.clamp(at.colour(person.brow) * 0.35, max=0.03)
    return mix(rgb, dark, torch.clamp(upper * at.front * (0.72 + 0.25 * person.eyeliner), 0, 1))


def _brows(rgb: Tensor, at: Surface, person: Identity) -> tuple[Tensor, Tensor]:
    spine, thick, along = brow(at.x, at.q)
    soft = at.foot * 0.75
    strands = 0.80 + 0.30 * torch.sin((at.ax + at.y * 0.55) * 260.0) * torch.clamp(0.006 / at.foot - 0.3, 0, 1)
    hairs = ramp(thick + soft + 0.006, thick - soft - 0.008, torch.abs(at.y - spine))
    hairs = hairs * ramp(-0.10, 0.05, along) * ramp(1.06, 0.85, along) * at.front
    weight = torch.clamp(hairs * strands * person.brow_dark, 0, 0.95)
    return mix(rgb, at.colour(person.brow), weight), weight


def _hair_on_skin(rgb: Tensor, at: Surface, person: Identity) -> Tensor:
    """Beard, stubble, shaved shadow, and the fine hairs before the hairline."""
    x, y = at.x, at.y
    base, hair = at.colour(person.skin), at.colour(person.hair)
    grown, moustache = beard_cover(x, at.ax, y, at.z, at.q, at.lips, -0.014, 0.008)  # lips cover its edge
    grain = torch.sin(x * 97.0 + 4.0 * torch.sin(y * 31.0)) * torch.sin(y * 83.0 + 4.0 * torch.sin(x * 29.0))
    # a regular pattern near a pixel's width would look woven
    grain = 0.85 + 0.20 * at.fine + 0.12 * grain * torch.clamp(0.010 / at.foot - 0.4, 0.0, 1.0)
    if person.beard == "stubble":
        rgb = mix(rgb, base * 0.35 + hair * 0.5, grown * grain * (0.2 + 0.4 * person.beard_amount))
    elif person.beard != "none":
        covers = {"full": grown, "moustache": moustache, "goatee": torch.maximum(moustache, grown * hill(x, 0.19))}
        rgb = mix(rgb, hair * 0.9 * grain[:, None], torch.clamp(covers[person.beard] * 1.25, 0, 0.95))
    elif person.masculine > 0.5:
        rgb = mix(rgb, base * at.colour((0.74, 0.80, 0.84)), 0.35 * grown)
    return mix(rgb, base * 0.25 + hair * 0.7, 0.75 * ramp(0.045, 0.0, at.parts.hair) * ramp(-0.30, 0.0, y))


def _lips(rgb: Tensor, at: Surface, person: Identity) -> tuple[Tensor, Tensor]:
    y, lips, foot = at.y, at.lips, at.foot
    soft = foot * 0.75
    mask = torch.minimum(ramp(-soft, soft, lips.outer_up - y), ramp(-soft, soft, y - lips.outer_low))
    mask = mask * ramp(1.04, 0.97, torch.abs(lips.u)) * at.front
    creases = 1.0 + 0.10 * torch.cos(at.x * 150.0) * torch.clamp(0.01 / foot - 0.6, 0, 1)
    colour = at.colour(person.lips)[None] * creases[:, None]
    colour = darken(colour, 0.10 * ramp(0.0, 0.04, y - lips.inner_up))
    return mix(rgb, colour, mask * 0.92), mask


def _open_mouth(rgb: Tensor, at: Surface) -> tuple[Tensor, Tensor, Tensor]:
    """The walls of the open mouth, and the dark line of the closed one."""
    lips, foot, under = at.lips, at.foot, at.parts.under
    gap = torch.minimum(lips.inner_up - at.y, at.y - lips.inner_low)
    near = ramp(1.25, 1.12, torch.abs(lips.u)) * ramp(-0.08, -0.05, gap)
    # walls are known by how deep they lie: they run along the lips' inner edge, where `gap` is rounding noise
    wall = ramp(0.016, 0.050, under) * near
    inside = ramp(-0.010 - 0.4 * foot, 0.004 + 0.3 * foot, gap) * ramp(1.02, 0.9, torch.abs(lips.u)) * near
    inside = torch.maximum(inside * ramp(0.1, 0.25, at.z), wall)
    rgb = mix(rgb, rgb * at.colour((0.36, 0.24, 0.24)), inside * (1.0 - wall))
    flesh = at.colour((0.11, 0.016, 0.017))[None] * torch.exp(-torch.clamp(under, min=0.0) * (1.0 / 0.10))[:, None]
    rgb = mix(rgb, flesh, wall)
    return rgb, inside > 0.5, wall > 0.5
