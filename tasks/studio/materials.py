"""What surfaces look like: skin, lips, eyes, teeth, hair, cloth under three lights. Colours are linear RGB."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tasks.studio.curves import brow, eye, mouth
from tasks.studio.head import beard_cover, layers, neckline
from tasks.studio.identity import Identity
from tasks.studio.rig import Rig
from tasks.studio.shapes import bump, hill, ramp, segment, square
from tasks.studio.trace import Hits

# ids of Rendered.materials
OUTSIDE, SKIN, LIPS, EYE, BROW, MOUTH_INSIDE, TEETH, TONGUE, HAIR, GLASSES, CLOTHES = range(11)
Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Light:
    """Key, fill and rim light (unit directions towards the light, linear RGB power), ambient sky, exposure factor."""

    key: Vector
    key_colour: Vector
    fill: Vector
    fill_colour: Vector
    rim: Vector
    rim_colour: Vector
    ambient: Vector
    exposure: float


def _mix(base: Tensor, colour: Tensor, weight: Tensor) -> Tensor:
    return base + (colour - base) * weight[:, None]


def _noise(x: Tensor, y: Tensor, z: Tensor, seed: float) -> Tensor:
    """Smooth, cheap noise in about -1..1 from warped sines; fixed to the head."""
    a = torch.sin(x * 1.7 + y * 2.3 + seed) + torch.sin(y * 1.9 - z * 2.1 + seed * 1.7) + torch.sin(z * 2.3 + x * 1.3 - seed)
    b = torch.sin(x * 3.9 - y * 2.9 + 2.0 * a) * torch.sin(y * 3.3 + z * 3.7 + a) * torch.sin(z * 4.1 - x * 3.1 - a)
    return b


def _dots(x: Tensor, y: Tensor, size: float, density: float, seed: float) -> Tensor:
    """Speckles 0..1 on a jittered grid (freckles)."""
    gx, gy = torch.floor(x / size), torch.floor(y / size)
    h = torch.frac(torch.sin(gx * 127.1 + gy * 311.7 + seed) * 43758.5453).abs()
    k = torch.frac(torch.sin(gx * 269.5 + gy * 183.3 + seed) * 24634.6345).abs()
    cx, cy = (gx + 0.3 + 0.4 * h) * size, (gy + 0.3 + 0.4 * k) * size
    return (h * k < density).to(x.dtype) * torch.exp(-(square(x - cx) + square(y - cy)) / (0.20 * size) ** 2)


def shade(hits: Hits, row: Tensor, person: Identity, light: Light, pixel: float) -> tuple[Tensor, Tensor]:
    """Colour [M,3] (linear) and material id uint8 [M] of the hits of one frame with rig row [K].

    `pixel` is a pixel's angle: edges between materials blend over one pixel's width.
    """
    q = Rig(*row.unbind(0))
    device = row.device

    def colour(values: Vector | np.ndarray) -> Tensor:
        return torch.tensor([float(v) for v in values], device=device)

    wx, wy, wz = hits.point
    parts = layers(wx, wy, wz, q)
    px, py, pz = wx - q.tx, wy - q.ty, wz - q.tz
    x = q.r00 * px + q.r10 * py + q.r20 * pz
    y = q.r01 * px + q.r11 * py + q.r21 * pz
    z = q.r02 * px + q.r12 * py + q.r22 * pz
    nx, ny, nz = hits.normal
    facing = q.r02 * nx + q.r12 * ny + q.r22 * nz  # the normal's share towards the face's front
    foot = pixel * hits.t  # a pixel's width at the point
    soft = foot * 0.75
    lips, lids = mouth(x, q), eye(x, q)
    ax = torch.abs(x)
    front = ramp(0.25, 0.45, z)
    stacked = torch.stack(list(parts), -1)
    which = stacked.argmin(-1)

    # skin
    base = colour(person.skin)
    tone = _noise(x * 2.2, y * 2.2, z * 2.2, person.seed % 97)
    fine = _noise(x * 17.0, y * 17.0, z * 17.0, person.seed % 89)
    rgb = base[None] * (1.0 + 0.05 * tone + 0.035 * fine)[:, None]
    red = 0.55 * bump(ax - 0.33, y + 0.22, z - 0.5, 0.17, 0.14, 0.4) + 0.75 * bump(x, y - q.nose_y, z - 0.85, 0.13, 0.10, 0.15)
    red = red + 0.5 * ramp(0.55, 0.62, ax) * ramp(-0.5, -0.4, y) + 0.25 * bump(x, y - q.chin_cy, z - 0.6, 0.2, 0.12, 0.3)
    flush = base * colour((1.05, 0.66, 0.62))
    rgb = _mix(rgb, flush, torch.clamp(red * (0.25 + 0.55 * person.redness), 0, 0.8))
    rgb = _mix(rgb, base * 0.45 + colour((0.42, 0.08, 0.09)) * 0.5, person.blush * 0.42 * bump(ax - 0.38, y + 0.20, z - 0.42, 0.14, 0.10, 0.4))
    rgb = rgb * (1.0 - 0.16 * (0.4 + 0.6 * person.wrinkles + 0.3 * q.squint) * bump(ax - 0.245, y + 0.075, z - 0.55, 0.12, 0.035, 0.3))[:, None]
    socket = bump(ax - 0.25, y - 0.055, z - 0.55, 0.14, 0.06, 0.3)
    rgb = rgb * (1.0 - (0.10 + 0.25 * person.eyeliner * person.blush) * socket)[:, None]
    if person.freckles > 0:
        spots = _dots(x + 0.01 * tone, y, 0.026, 0.35, person.seed % 61) * (bump(ax - 0.26, y + 0.17, z - 0.5, 0.22, 0.14, 0.5) + 0.25) * front
        rgb = rgb * (1.0 - person.freckles * 0.5 * torch.clamp(spots, 0, 1)[:, None] * colour((0.5, 0.8, 1.0)))
    if person.mole > 0.7:
        mx, my = 0.18 + 0.25 * (person.mole - 0.7), -0.25 - 0.4 * ((person.mole * 17) % 1)
        side = 1.0 if (person.mole * 7) % 1 > 0.5 else -1.0
        rgb = rgb * (1.0 - 0.7 * ramp(0.016, 0.008, torch.sqrt(square(x - side * mx) + square(y - my))) * front)[:, None]
    # lines that relief alone is too coarse for: nasolabial, frown, crow's feet
    right = x > 0
    corner_x = torch.where(right, q.mouth_w_r, q.mouth_w_l)
    corner_y = q.mouth_y + torch.where(right, q.corner_r, q.corner_l)
    off, at = segment(ax, y, 0.155 * q.nose_w, -0.325, corner_x + 0.075, corner_y + 0.01)
    fold = torch.where(right, q.fold_r, q.fold_l)
    rgb = rgb * (1.0 - torch.clamp(0.30 * fold * (1.0 - 0.7 * at) * hill(off, 0.016 + foot), 0, 0.6) * front)[:, None]
    rgb = rgb * (1.0 - 0.42 * q.frown * bump(ax - 0.045, y - 0.16, z - 0.66, 0.010 + 0.5 * foot, 0.06, 0.4))[:, None]
    feet = (0.25 * q.wrinkles + 0.45 * torch.clamp(q.squint, 0, 1)) * torch.clamp(torch.cos((y - 0.02) * 120.0 - ax * 10.0), 0, 1)
    rgb = rgb * (1.0 - 0.30 * feet * bump(ax - q.eye_x - q.eye_w - 0.055, y + 0.005, z - 0.45, 0.040, 0.045, 0.3))[:, None]
    forehead = (0.10 * q.wrinkles + 0.34 * q.raised) * torch.clamp(torch.cos((y - 0.42 + 0.15 * x * x) * 75.0), 0, 1)
    rgb = rgb * (1.0 - forehead * bump(x, y - 0.40, z - 0.62, 0.30, 0.11, 0.3))[:, None]
    nose_lines = q.wrinkle_nose * torch.clamp(torch.cos((y - 0.02 + 0.5 * square(ax)) * 95.0), 0, 1)
    rgb = rgb * (1.0 - 0.35 * nose_lines * bump(x, y - 0.015, z - 0.68, 0.09, 0.085, 0.2))[:, None]
    nostril = bump(ax - 0.052 * q.nose_w, y - q.wing_y + 0.034, z - 0.76, 0.030, 0.020, 0.06)
    rgb = rgb * (1.0 - 0.85 * torch.clamp(1.3 * nostril, 0, 1))[:, None]
    # lid crease, lashes
    inside = torch.clamp(1.12 - square(lids.u), 0.0, 1.0) * front
    shut = torch.where(right, q.closed_r, q.closed_l)
    crease = hill(y - lids.upper - (0.030 + 0.020 * shut + 0.028 * shut * inside), 0.007 + 0.3 * foot)
    rgb = rgb * (1.0 - 0.42 * (q.crease * 70.0).clamp(0, 1) * crease * inside * (1.0 - 0.5 * shut))[:, None]
    lash = 0.009 + 0.008 * person.eyeliner + 0.25 * foot
    upper_lash = ramp(lash + soft, lash - soft, y - lids.upper) * ramp(-0.02, -0.01, y - lids.upper) * ramp(1.08, 0.98, torch.abs(lids.u + 0.02))
    lower_lash = hill(y - lids.lower + 0.004, 0.006 + 0.3 * foot) * ramp(1.0, 0.9, torch.abs(lids.u)) * (0.18 + 0.35 * person.eyeliner)
    lash_colour = torch.clamp(colour(person.brow) * 0.35, max=0.03)
    rgb = _mix(rgb, base * 0.30, torch.clamp(lower_lash * front, 0, 1))
    rgb = _mix(rgb, lash_colour, torch.clamp(upper_lash * front * (0.72 + 0.25 * person.eyeliner), 0, 1))
    # brows
    spine, thick, along = brow(x, q)
    strands = 0.80 + 0.30 * torch.sin((x.abs() * 1.0 + y * 0.55) * 260.0) * torch.clamp(0.006 / foot - 0.3, 0, 1)
    hairs = ramp(thick + soft + 0.006, thick - soft - 0.008, torch.abs(y - spine)) * ramp(-0.10, 0.05, along) * ramp(1.06, 0.85, along) * front
    brow_weight = torch.clamp(hairs * strands * person.brow_dark, 0, 0.95)
    rgb = _mix(rgb, colour(person.brow), brow_weight)
    # beard and stubble
    cheek, moustache = beard_cover(x, ax, y, z, q, lips)
    hair_rgb = colour(person.hair)
    grain = 0.85 + 0.20 * fine + 0.12 * torch.sin(x * 97.0 + 4.0 * torch.sin(y * 31.0)) * torch.sin(y * 83.0 + 4.0 * torch.sin(x * 29.0))
    if person.beard == "stubble":
        rgb = _mix(rgb, base * 0.35 + hair_rgb * 0.5, cheek * grain * (0.2 + 0.4 * person.beard_amount))
    elif person.beard != "none":
        cover = moustache if person.beard != "full" else cheek
        if person.beard == "goatee":
            cover = torch.maximum(moustache, cheek * hill(x, 0.19))
        rgb = _mix(rgb, hair_rgb * 0.9 * grain[:, None], torch.clamp(cover * 1.25, 0, 0.95))
    elif person.masculine > 0.5:
        rgb = _mix(rgb, base * colour((0.74, 0.80, 0.84)), 0.35 * cheek)
    # the hairline: fine hairs before the first full ones
    rgb = _mix(rgb, base * 0.25 + hair_rgb * 0.7, 0.75 * ramp(0.045, 0.0, parts.hair) * ramp(-0.30, 0.0, y))
    # lips: between the curves, blended over a pixel
    lip_mask = torch.minimum(ramp(-soft, soft, lips.outer_up - y), ramp(-soft, soft, y - lips.outer_low)) * ramp(1.04, 0.97, torch.abs(lips.u)) * front
    lip_rgb = colour(person.lips)[None] * (1.0 + 0.10 * torch.cos(x * 150.0) * torch.clamp(0.01 / foot - 0.6, 0, 1))[:, None]
    lip_rgb = lip_rgb * (1.0 - 0.10 * ramp(0.0, 0.04, y - lips.inner_up))[:, None]
    rgb = _mix(rgb, lip_rgb, lip_mask * 0.92)
    # the walls of the open mouth, and the dark line of the closed one
    gap_y = torch.minimum(lips.inner_up - y, y - lips.inner_low)
    in_mouth = ramp(-0.010 - 0.4 * foot, 0.004 + 0.3 * foot, gap_y) * ramp(1.02, 0.9, torch.abs(lips.u)) * front
    surface = ramp(0.60, 0.66, z + 0.25 * square(x))
    depth = ramp(-0.02, 0.015, gap_y) * (1.0 - 0.75 * surface)
    wall = colour((0.09, 0.012, 0.013))
    rgb = _mix(rgb, rgb * colour((0.36, 0.24, 0.24)), in_mouth * (1.0 - depth))
    rgb = _mix(rgb, wall[None] * ramp(0.25, 0.62, z)[:, None], torch.clamp(in_mouth * depth * 1.4, 0, 1))
    cavity = (in_mouth > 0.5) & (gap_y > 0.004)

    # the other parts
    eye_rgb, iris_gloss = _eyeball(x, y, z, q, person, lids, foot)
    arch_angle = torch.atan2(x, z - 0.30)
    gaps = torch.clamp(torch.abs(torch.sin(arch_angle * 13.0)), 0, 1)
    teeth_rgb = colour((0.92, 0.87, 0.76))[None] * person.teeth * (0.62 + 0.38 * ramp(0.0, 0.35, gaps))[:, None]
    shade_mouth = 0.35 + 0.65 * ramp(-0.010, 0.030, torch.minimum(lips.inner_up - y, 0.5 * (y - lips.inner_low) + 0.02))
    teeth_rgb = teeth_rgb * (shade_mouth * ramp(0.34, 0.54, z))[:, None]
    tongue_rgb = colour((0.46, 0.10, 0.10))[None] * (ramp(0.30, 0.62, z) * (1.0 - 0.3 * hill(x, 0.015)))[:, None]
    turn = torch.atan2(x - q.part, torch.abs(z) + 0.3)
    strand = torch.sin(turn * 43.0 + 3.0 * tone + 2.0 * torch.sin(y * 7.0)) + 0.7 * torch.sin(turn * 77.0 - 5.0 * tone + y * 5.0) * torch.clamp(0.02 / foot - 0.5, 0, 1)
    hair_all = hair_rgb[None] * (1.0 + 0.13 * strand + 0.22 * tone)[:, None]
    bx, by, bz = wx - q.body_x, wy - q.body_y, wz - q.body_z
    cloth = colour(person.cloth)[None].expand(len(x), 3)
    accent = colour(person.cloth_accent)
    pattern = int(person.pattern)
    if pattern == 1:
        cloth = _mix(cloth, accent, ramp(-0.1, 0.1, torch.sin(by * 32.0)) * 0.7)
    elif pattern == 2:
        cloth = _mix(cloth, accent, torch.maximum(ramp(0.90, 0.97, torch.cos(bx * 26.0)), ramp(0.90, 0.97, torch.cos(by * 26.0))) * 0.6)
    cloth = _mix(cloth, accent, hill(neckline(bx, by, bz, q) + 0.02, 0.03) * 0.5)
    cloth = cloth * (1.0 + 0.10 * torch.sin(bx * 9.0 + 3.0 * torch.sin(by * 5.0)) * torch.sin(by * 7.0 + bx * 4.0))[:, None]
    choices = torch.stack([rgb, eye_rgb, teeth_rgb, tongue_rgb, hair_all, colour(person.glasses_colour)[None].expand(len(x), 3), cloth], 1)
    # neighbouring parts blend over a pixel
    nearest = stacked.amin(-1, keepdim=True)
    weight = torch.clamp(1.0 - (stacked - nearest) / (0.9 * foot[:, None]), 0.0, 1.0)
    weight = weight / weight.sum(-1, keepdim=True)
    albedo = (choices * weight[:, :, None]).sum(1)

    # light
    gloss = torch.tensor([0.25, 0.9, 0.4, 0.2, 0.22, 0.25, 0.04], device=device)[which]
    power = torch.tensor([14.0, 120.0, 60.0, 40.0, 22.0, 60.0, 8.0], device=device)[which]
    skin_like = which == 0
    gloss = torch.where(skin_like, gloss * (0.4 + 0.8 * person.gloss) * (0.65 + 0.5 * bump(x, y - 0.15, z - 0.7, 0.2, 0.5, 0.3)), gloss)
    gloss = torch.where(skin_like, gloss + 0.45 * lip_mask * person.gloss, gloss)
    gloss = torch.where(cavity & skin_like, gloss * 0.05, gloss)
    normal = torch.stack([nx, ny, nz], -1)
    view = -torch.stack(list(hits.view), -1)
    flat = torch.zeros_like(rgb)
    inner = (which == 1) | (which == 2) | (which == 3)  # what lies in a hollow has its own shading above
    occlusion = torch.where(inner, hits.occlusion * 0.3 + 0.7, hits.occlusion).clamp(0.15, 1.0)
    occlusion = torch.where(skin_like, 0.25 + 0.75 * occlusion, occlusion)
    shadow = torch.where(inner, 0.7 + 0.3 * hits.shadow, 0.12 + 0.88 * hits.shadow)
    wrap = torch.where(skin_like, 0.30, 0.15)
    redden = colour((1.0, 0.55, 0.42))
    total = flat
    shine = flat
    for direction, tint, shadowed in ((light.key, light.key_colour, True), (light.fill, light.fill_colour, False), (light.rim, light.rim_colour, False)):
        towards, lamp = colour(direction), colour(tint)
        cosine = normal @ towards
        wrapped = torch.clamp((cosine + wrap) / (1.0 + wrap), min=0.0)
        lit = wrapped * (shadow if shadowed else 0.55 + 0.45 * occlusion)
        # light that entered the skin comes out redder round the terminator
        scatter = (torch.clamp(wrapped - torch.clamp(cosine, min=0.0), min=0.0) * 0.9 * skin_like)[:, None] * redden
        total = total + lamp * (lit[:, None] + scatter * 0.35 * (lit > 0)[:, None])
        half = towards + view
        half = half / half.norm(dim=-1, keepdim=True).clamp(min=1e-6)
        peak = torch.clamp((normal * half).sum(-1), min=0.0)
        if direction is light.key or direction is light.fill:
            shine = shine + lamp * (gloss * peak**power * (shadow if shadowed else 1.0) * torch.clamp(cosine * 4.0, 0, 1))[:, None]
    up = 0.5 + 0.5 * ny
    total = total + colour(light.ambient) * ((0.55 + 0.45 * up) * occlusion)[:, None]
    bounce = (1.0 - occlusion)[:, None] * redden * 0.10 * skin_like[:, None]
    edge = torch.clamp(1.0 - (normal * view).sum(-1), 0.0, 1.0) ** 3
    sheen = 0.10 * edge * torch.where(cavity | (which == 2) | (which == 3), 0.0, 1.0) * torch.where(which == 6, 0.5, 1.0) * occlusion
    out = albedo * (total * (0.35 + 0.65 * occlusion)[:, None] + bounce) + 0.22 * shine + (sheen[:, None] * colour(light.ambient)) * 0.6
    out = out + (iris_gloss * (which == 1))[:, None]
    ids = torch.tensor([SKIN, EYE, TEETH, TONGUE, HAIR, GLASSES, CLOTHES], device=device)[which]
    ids = torch.where(skin_like & (brow_weight > 0.4), BROW, ids)
    ids = torch.where(skin_like & (lip_mask > 0.5), LIPS, ids)
    ids = torch.where(skin_like & cavity & (surface < 0.5), MOUTH_INSIDE, ids)
    return out * light.exposure, ids.to(torch.uint8)


def _eyeball(x: Tensor, y: Tensor, z: Tensor, q: Rig, person: Identity, lids: object, foot: Tensor) -> tuple[Tensor, Tensor]:
    """White, iris, pupil, the upper lid's shadow; and the catchlight."""
    device = x.device
    centre = torch.where(x > 0, q.eye_x, -q.eye_x)
    ex, ey, ez = (x - centre) * (1 / 0.147), y * (1 / 0.147), (z - q.eye_z) * (1 / 0.147)
    gx, gy = torch.sin(q.gaze_x), torch.sin(q.gaze_y)
    gz = torch.sqrt(torch.clamp(1.0 - gx * gx - gy * gy, min=0.05))
    away = torch.sqrt(square(ex - gx) + square(ey - gy) + square(ez - gz) + 1e-9) * 0.147
    soft = 0.5 * foot + 0.003
    iris_radius = q.iris
    white = torch.tensor([0.56, 0.52, 0.49], device=device)
    rgb = white[None] * (1.0 - 0.35 * ramp(0.55, 1.1, torch.abs(x - centre) / q.eye_w))[:, None]
    angle = torch.atan2(ey - gy, ex - gx)
    fibre = 1.0 + 0.22 * torch.sin(angle * 17.0 + 2.0 * torch.sin(angle * 5.0)) * ramp(0.015, 0.03, away)
    iris = torch.tensor(person.iris, device=device)[None] * (fibre * (0.85 + 0.6 * ramp(0.02, 0.045, away)))[:, None]
    iris = iris * (1.0 - 0.75 * ramp(iris_radius - 0.014, iris_radius, away))[:, None]
    rgb = _mix(rgb, iris, ramp(iris_radius + soft, iris_radius - soft, away))
    rgb = _mix(rgb, torch.full((3,), 0.004, device=device), ramp(0.0235 + soft, 0.0235 - soft, away))
    below_lid = lids.upper - y  # type: ignore[attr-defined]
    rgb = rgb * (0.40 + 0.60 * ramp(-0.004, 0.032, below_lid))[:, None]
    rgb = rgb * (0.80 + 0.20 * ramp(-0.004, 0.012, y - lids.lower))[:, None]  # type: ignore[attr-defined]
    glint = ramp(0.015 + soft, 0.008 - 0.5 * soft, torch.sqrt(square(ex - gx + 0.13) + square(ey - gy - 0.16) + 1e-9) * 0.147)
    return rgb, glint * 0.85
