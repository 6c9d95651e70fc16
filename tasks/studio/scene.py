"""Light, background and framing of a studio scene, drawn from a seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tasks.studio.identity import Colour, Identity
from tasks.studio.materials import Light
from tasks.studio.trace import Camera

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Background:
    """A backdrop: kind 0 gradient, 1 blurred shapes, 2 room with a window; two or three linear colours and a seed."""

    kind: int
    colours: tuple[Colour, ...]
    seed: int

    def picture(self, size: tuple[int, int]) -> FloatArray:
        """The backdrop as linear RGB float32 [H,W,3] of `size` (width, height)."""
        width, height = size
        rng = np.random.default_rng([self.seed, 0xBAC])
        first, second, third = (np.array(colour) for colour in self.colours)
        y, x = np.mgrid[0:height, 0:width].astype(np.float64)
        x, y = (x + 0.5) / height - 0.5 * width / height, (y + 0.5) / height - 0.5
        angle = rng.uniform(0, 2 * np.pi)
        level = np.clip(0.5 + 0.7 * (x * np.cos(angle) + y * np.sin(angle)), 0, 1)[..., None]
        image = first * level + second * (1 - level)
        if self.kind == 0:
            centre = rng.uniform(-0.3, 0.3, 2)
            # a lamp's pool of light: it fades, but never to black, however wide the picture is
            image = image * (1.15 / (1 + 0.9 * ((x - centre[0]) ** 2 + (y - centre[1]) ** 2)))[..., None]
        else:
            for _ in range(7 if self.kind == 1 else 4):
                cx, cy = rng.uniform(-0.9, 0.9), rng.uniform(-0.6, 0.5)
                rx, ry, blur = rng.uniform(0.05, 0.35), rng.uniform(0.05, 0.4), rng.uniform(0.02, 0.08)
                colour = (third if rng.random() < 0.5 else second) * rng.uniform(0.4, 1.7)
                if self.kind == 1 and rng.random() < 0.5:
                    distance = np.sqrt((x - cx) ** 2 + (y - cy) ** 2) - rx * 0.6
                else:
                    distance = np.maximum(np.abs(x - cx) - rx, np.abs(y - cy) - ry)
                weight = (1 / (1 + np.exp(np.clip(distance / blur * 3, -30, 30))))[..., None]
                image = image * (1 - 0.8 * weight) + colour * 0.8 * weight
        return np.clip(image, 0, 4).astype(np.float32)


@dataclass(frozen=True)
class Scene:
    """One person, lit and framed."""

    identity: Identity
    light: Light
    background: Background
    camera: Camera


def _unit(x: float, y: float, z: float) -> tuple[float, float, float]:
    length = float(np.sqrt(x * x + y * y + z * z))
    return x / length, y / length, z / length


def _colour(values: npt.NDArray[np.float64]) -> Colour:
    red, green, blue = values
    return float(red), float(green), float(blue)


def sample_scene(identity: Identity, seed: int, *, framing: tuple[float, float] = (0.55, 0.85)) -> Scene:
    """Light, backdrop and framing for a person; `framing` bounds the head's height (chin to crown) in image heights."""
    rng = np.random.default_rng([seed, 0x5CE])
    side = rng.choice([-1.0, 1.0])
    warm = rng.uniform(-1, 1)
    power = rng.uniform(0.85, 1.25)
    contrast = rng.uniform(0.15, 0.65)

    def lamp(strength: float, warmth: float) -> tuple[float, float, float]:
        return strength * (1 + 0.13 * warmth), strength, strength * (1 - 0.17 * warmth)

    rim_hue = rng.uniform(0.5, 1.2, 3)
    rim = rng.uniform(0.0, 0.75) ** 1.5
    skin_level = 0.3 * identity.skin[0] + 0.6 * identity.skin[1] + 0.1 * identity.skin[2]
    light = Light(
        key=_unit(side * rng.uniform(0.15, 0.85), rng.uniform(0.15, 0.75), 1.0),
        key_colour=lamp(power, warm),
        fill=_unit(-side * rng.uniform(0.4, 1.0), rng.uniform(-0.15, 0.3), 0.9),
        fill_colour=lamp(power * (0.42 - 0.4 * contrast), -0.5 * warm),
        rim=_unit(-side * rng.uniform(0.6, 1.0), rng.uniform(0.1, 0.6), -0.55),
        rim_colour=_colour(rim * rim_hue),
        ambient=lamp(0.30 - 0.2 * contrast, rng.uniform(-1, 0.6)),
        exposure=float(rng.uniform(0.85, 1.2) * (1.0 + 0.55 * max(0.0, 0.30 - skin_level) / 0.30)),
    )
    shade = rng.uniform(0.02, 0.55)
    colours = tuple(
        _colour(np.clip(shade * rng.uniform(0.5, 1.5) * (0.6 * rng.uniform(0.3, 1.2, 3) + 0.4), 0, 2)) for _ in range(3)
    )
    background = Background(int(rng.integers(0, 3)), colours, int(rng.integers(1 << 30)))
    distance = float(rng.uniform(4.6, 7.5))
    head = float(rng.uniform(*framing))
    camera = Camera(
        distance=distance,
        zoom=float(head * (distance - 0.3) / 1.95),
        x=float(rng.normal(0, 0.10)),
        y=float(-0.10 + rng.normal(0, 0.06) - 0.15 * (0.72 - head)),
    )
    return Scene(identity, light, background, camera)
