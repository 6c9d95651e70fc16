"""What surfaces look like: skin, eyes, teeth, hair and cloth under three lights. Colours are linear RGB."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tasks.studio.head import neckline
from tasks.studio.identity import Colour, Identity
from tasks.studio.shapes import bump, hill, ramp, square
from tasks.studio.skin import Skin, skin
from tasks.studio.surface import Surface, mix, surface
from tasks.studio.trace import Hits

# ids of Rendered.materials
OUTSIDE, SKIN, LIPS, EYE, BROW, MOUTH_INSIDE, TEETH, TONGUE, HAIR, GLASSES, CLOTHES = range(11)
# by part, in the order of Layers: id, strength and sharpness of highlights
_IDS = (SKIN, EYE, TEETH, TONGUE, HAIR, GLASSES, CLOTHES)
_GLOSS = (0.25, 0.9, 0.4, 0.2, 0.22, 0.25, 0.04)
_SHARPNESS = (14.0, 120.0, 60.0, 40.0, 22.0, 60.0, 8.0)
_EYEBALL = 0.147


@dataclass(frozen=True)
class Light:
    """Key, fill and rim light (unit directions towards the light, linear RGB power), ambient sky, exposure factor."""

    key: Colour
    key_colour: Colour
    fill: Colour
    fill_colour: Colour
    rim: Colour
    rim_colour: Colour
    ambient: Colour
    exposure: float


def shade(hits: Hits, row: Tensor, person: Identity, light: Light, pixel: float) -> tuple[Tensor, Tensor]:
    """Colour [M,3] (linear) and material id uint8 [M] of the hits of one frame with rig row [K].

    `pixel` is a pixel's angle: edges between materials blend over one pixel's width.
    """
    at = surface(hits, row, person.seed, pixel)
    distances = torch.stack(list(at.parts[:-1]), -1)
    part = distances.argmin(-1)
    flesh = skin(at, person)
    eye_rgb, glint = _eyeball(at, person)
    glasses = at.colour(person.glasses_colour)[None].expand(len(part), 3)
    colours = (flesh.rgb, eye_rgb, _teeth(at, person), _tongue(at), _hair(at, person), glasses, _cloth(at, person))
    # neighbouring parts blend over a pixel
    nearest = distances.amin(-1, keepdim=True)
    weight = torch.clamp(1.0 - (distances - nearest) / (0.9 * at.foot[:, None]), 0.0, 1.0)
    weight = weight / weight.sum(-1, keepdim=True)
    albedo = (torch.stack(colours, 1) * weight[:, :, None]).sum(1)
    out = _illuminate(albedo, part, flesh, at, hits, person, light)
    out = out + (glint * (part == 1))[:, None]
    ids = torch.tensor(_IDS, device=row.device)[part]
    is_skin = part == 0
    ids = torch.where(is_skin & (flesh.brow > 0.4), BROW, ids)
    ids = torch.where(is_skin & (flesh.lips > 0.5), LIPS, ids)
    ids = torch.where(is_skin & flesh.wall, MOUTH_INSIDE, ids)
    return out * light.exposure, ids.to(torch.uint8)


def _illuminate(
    albedo: Tensor, part: Tensor, flesh: Skin, at: Surface, hits: Hits, person: Identity, light: Light
) -> Tensor:
    device = albedo.device
    is_skin = part == 0
    gloss = torch.tensor(_GLOSS, device=device)[part]
    sharpness = torch.tensor(_SHARPNESS, device=device)[part]
    oily = (0.4 + 0.8 * person.gloss) * (0.65 + 0.5 * bump(at.x, at.y - 0.15, at.z - 0.7, 0.2, 0.5, 0.3))
    gloss = torch.where(is_skin, gloss * oily + 0.45 * flesh.lips * person.gloss, gloss)
    gloss = torch.where(flesh.cavity & is_skin, gloss * 0.05, gloss)
    normal, view = torch.stack(hits.normal, -1), -torch.stack(hits.view, -1)
    inner = (part == 1) | (part == 2) | (part == 3)  # what lies in a hollow has its own shading
    occlusion = torch.where(inner, hits.occlusion * 0.3 + 0.7, hits.occlusion).clamp(0.15, 1.0)
    occlusion = torch.where(is_skin, 0.25 + 0.75 * occlusion, occlusion)
    shadow = torch.where(inner, 0.7 + 0.3 * hits.shadow, 0.12 + 0.88 * hits.shadow)
    wrap = torch.where(is_skin, 0.30, 0.15)
    redden = at.colour((1.0, 0.55, 0.42))
    total, shine = torch.zeros_like(albedo), torch.zeros_like(albedo)
    lamps = (
        (light.key, light.key_colour, shadow, shadow),
        (light.fill, light.fill_colour, 0.55 + 0.45 * occlusion, torch.ones_like(shadow)),
        (light.rim, light.rim_colour, 0.55 + 0.45 * occlusion, torch.zeros_like(shadow)),
    )
    for direction, tint, visible, mirrored in lamps:
        towards, lamp = at.colour(direction), at.colour(tint)
        cosine = normal @ towards
        wrapped = torch.clamp((cosine + wrap) / (1.0 + wrap), min=0.0)
        lit = wrapped * visible
        # light that entered the skin comes out redder round the terminator
        scatter = (torch.clamp(wrapped - torch.clamp(cosine, min=0.0), min=0.0) * 0.9 * is_skin)[:, None] * redden
        total = total + lamp * (lit[:, None] + scatter * 0.35 * (lit > 0)[:, None])
        half = towards + view
        half = half / half.norm(dim=-1, keepdim=True).clamp(min=1e-6)
        peak = torch.clamp((normal * half).sum(-1), min=0.0)
        shine = shine + lamp * (gloss * peak**sharpness * mirrored * torch.clamp(cosine * 4.0, 0, 1))[:, None]
    sky = at.colour(light.ambient)
    total = total + sky * ((0.55 + 0.45 * (0.5 + 0.5 * normal[:, 1])) * occlusion)[:, None]
    bounce = (1.0 - occlusion)[:, None] * redden * 0.10 * is_skin[:, None]
    edge = torch.clamp(1.0 - (normal * view).sum(-1), 0.0, 1.0) ** 3
    edge = torch.where(flesh.cavity | (part == 2) | (part == 3), 0.0, edge) * torch.where(part == 6, 0.5, 1.0)
    lit_colour = albedo * (total * (0.35 + 0.65 * occlusion)[:, None] + bounce)
    return lit_colour + 0.22 * shine + 0.06 * (edge * occlusion)[:, None] * sky


def _eyeball(at: Surface, person: Identity) -> tuple[Tensor, Tensor]:
    """White, iris, pupil and the upper lid's shadow; and the catchlight [M]."""
    x, y, q, lids = at.x, at.y, at.q, at.lids
    centre = torch.where(x > 0, q.eye_x, -q.eye_x)
    ex, ey, ez = (x - centre) * (1 / _EYEBALL), y * (1 / _EYEBALL), (at.z - q.eye_z) * (1 / _EYEBALL)
    gx, gy = torch.sin(q.gaze_x), torch.sin(q.gaze_y)
    gz = torch.sqrt(torch.clamp(1.0 - gx * gx - gy * gy, min=0.05))
    away = torch.sqrt(square(ex - gx) + square(ey - gy) + square(ez - gz) + 1e-9) * _EYEBALL
    soft = 0.5 * at.foot + 0.003
    white = at.colour((0.56, 0.52, 0.49))
    rgb = white[None] * (1.0 - 0.35 * ramp(0.55, 1.1, torch.abs(x - centre) / q.eye_w))[:, None]
    angle = torch.atan2(ey - gy, ex - gx)
    fibre = 1.0 + 0.22 * torch.sin(angle * 17.0 + 2.0 * torch.sin(angle * 5.0)) * ramp(0.015, 0.03, away)
    iris = at.colour(person.iris)[None] * (fibre * (0.85 + 0.6 * ramp(0.02, 0.045, away)))[:, None]
    iris = iris * (1.0 - 0.75 * ramp(q.iris - 0.014, q.iris, away))[:, None]
    rgb = mix(rgb, iris, ramp(q.iris + soft, q.iris - soft, away))
    rgb = mix(rgb, at.colour((0.004, 0.004, 0.004)), ramp(0.0235 + soft, 0.0235 - soft, away))
    rgb = rgb * (0.40 + 0.60 * ramp(-0.004, 0.032, lids.upper - y))[:, None]
    rgb = rgb * (0.80 + 0.20 * ramp(-0.004, 0.012, y - lids.lower))[:, None]
    off = torch.sqrt(square(ex - gx + 0.13) + square(ey - gy - 0.16) + 1e-9) * _EYEBALL
    return rgb, ramp(0.015 + soft, 0.008 - 0.5 * soft, off) * 0.85


def _teeth(at: Surface, person: Identity) -> Tensor:
    gaps = torch.clamp(torch.abs(torch.sin(torch.atan2(at.x, at.z - 0.30) * 13.0)), 0, 1)
    deep = 0.38 * torch.clamp(0.012 / at.foot - 0.3, 0.1, 1.0)  # from afar single gaps are too fine to be seen
    rgb = at.colour((0.92, 0.87, 0.76))[None] * person.teeth * (1.0 - deep * ramp(0.35, 0.0, gaps))[:, None]
    clear = torch.minimum(at.lips.inner_up - at.y, 0.5 * (at.y - at.lips.inner_low) + 0.02)
    return rgb * ((0.35 + 0.65 * ramp(-0.010, 0.030, clear)) * ramp(0.34, 0.54, at.z))[:, None]


def _tongue(at: Surface) -> Tensor:
    groove = 1.0 - 0.3 * hill(at.x, 0.015)
    return at.colour((0.46, 0.10, 0.10))[None] * (ramp(0.30, 0.62, at.z) * groove)[:, None]


def _hair(at: Surface, person: Identity) -> Tensor:
    turn = torch.atan2(at.x - at.q.part, torch.abs(at.z) + 0.3)
    strand = torch.sin(turn * 43.0 + 3.0 * at.tone + 2.0 * torch.sin(at.y * 7.0))
    finer = torch.sin(turn * 77.0 - 5.0 * at.tone + at.y * 5.0) * torch.clamp(0.02 / at.foot - 0.5, 0, 1)
    return at.colour(person.hair)[None] * (1.0 + 0.13 * (strand + 0.7 * finer) + 0.22 * at.tone)[:, None]


def _cloth(at: Surface, person: Identity) -> Tensor:
    bx, by, bz = at.bx, at.by, at.bz
    rgb = at.colour(person.cloth)[None].expand(len(bx), 3)
    accent = at.colour(person.cloth_accent)
    if int(person.pattern) == 1:
        rgb = mix(rgb, accent, ramp(-0.1, 0.1, torch.sin(by * 32.0)) * 0.7)
    elif int(person.pattern) == 2:
        grid = torch.maximum(ramp(0.90, 0.97, torch.cos(bx * 26.0)), ramp(0.90, 0.97, torch.cos(by * 26.0)))
        rgb = mix(rgb, accent, grid * 0.6)
    rgb = mix(rgb, accent, hill(neckline(bx, by, bz, at.q) + 0.02, 0.03) * 0.5)
    folds = torch.sin(bx * 9.0 + 3.0 * torch.sin(by * 5.0)) * torch.sin(by * 7.0 + bx * 4.0)
    return rgb * (1.0 + 0.10 * folds)[:, None]
