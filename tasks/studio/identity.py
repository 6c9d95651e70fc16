"""Who a studio face is: shape, skin, hair and clothes as numbers, drawn from a seed.

Shape values are in head units (about 0.12 m) or factors round 1; the adult proportions they vary are Farkas' (1994).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Colour = tuple[float, float, float]

HAIR_STYLES = ("bald", "short", "side", "curly", "afro", "bob", "long", "bun", "receding", "pixie")
BEARDS = ("none", "stubble", "moustache", "goatee", "full")


@dataclass(frozen=True)
class Identity:
    """One person. Colours are linear RGB 0..1; `masculine` and `age` (0 young, 1 old) hint at voice and name too."""

    seed: int
    masculine: float
    age: float
    # skull and jaw: factors
    head_width: float
    head_height: float
    head_depth: float
    face_length: float
    face_width: float
    jaw_width: float
    jaw_angle: float
    chin_width: float
    chin_forward: float
    chin_length: float
    cheekbone: float
    cheek_full: float
    brow_ridge: float
    ear_size: float
    ear_out: float
    neck_width: float
    shoulder_width: float
    # nose
    nose_length: float
    nose_width: float
    nose_bridge: float
    nose_forward: float
    nose_tip: float
    nose_hook: float
    # eyes and brows
    eye_apart: float
    eye_width: float
    eye_open: float
    eye_tilt: float
    eye_depth: float
    lid_crease: float
    iris_size: float
    brow_height: float
    brow_thick: float
    brow_arch: float
    brow_tilt: float
    brow_dark: float
    # mouth
    mouth_width: float
    mouth_height: float
    lip_upper: float
    lip_lower: float
    cupid: float
    lip_corner: float
    # colours
    skin: Colour
    redness: float
    freckles: float
    mole: float
    gloss: float
    lips: Colour
    iris: Colour
    hair: Colour
    brow: Colour
    eyeliner: float
    blush: float
    teeth: float
    # hair, beard, glasses, clothes
    hair_style: str
    hair_volume: float
    hairline: float
    part: float
    beard: str
    beard_amount: float
    glasses: int
    glasses_colour: Colour
    wrinkles: float
    cloth: Colour
    cloth_accent: Colour
    neckline: float
    collar: float
    pattern: float

    @property
    def voice_pitch(self) -> float:
        """A pitch hint in Hz for the voice: lower for large, masculine heads."""
        return float(np.clip(205.0 - 95.0 * self.masculine + 25.0 * (1.0 - self.head_width) * 10.0, 80.0, 260.0))


_HAIR_COLOURS = np.array(
    [[0.010, 0.008, 0.007], [0.030, 0.017, 0.010], [0.075, 0.038, 0.018], [0.17, 0.085, 0.035], [0.42, 0.27, 0.11],
     [0.24, 0.065, 0.02], [0.22, 0.205, 0.19], [0.40, 0.385, 0.36]]
)  # fmt: skip
_IRIS_COLOURS = np.array(
    [
        [0.055, 0.025, 0.012],
        [0.13, 0.06, 0.025],
        [0.16, 0.12, 0.045],
        [0.09, 0.14, 0.07],
        [0.10, 0.17, 0.26],
        [0.18, 0.22, 0.25],
    ]
)
_SKIN_LIGHT = np.array([0.80, 0.55, 0.43])
_SKIN_TAN = np.array([0.52, 0.30, 0.19])
_SKIN_DARK = np.array([0.105, 0.050, 0.030])


def _colour(values: np.ndarray) -> Colour:
    red, green, blue = np.clip(values, 0.0, 1.0)
    return float(red), float(green), float(blue)


def sample_identity(seed: int) -> Identity:
    """A person drawn from `seed`: the same seed is the same person, forever and on every machine."""
    rng = np.random.default_rng([seed, 0x1D])
    man = float(np.clip(rng.choice([0.12, 0.88]) + 0.1 * rng.standard_normal(), 0.0, 1.0))
    age = float(rng.beta(1.6, 2.4))

    def around(mean: float, spread: float, low: float = -2.0, high: float = 2.0) -> float:
        return float(mean + spread * np.clip(rng.standard_normal(), low, high))

    # skin: along a light-tan-dark line, with an independent warm-cool shift
    tone = float(rng.beta(1.1, 1.5))
    skin = _SKIN_LIGHT + (_SKIN_TAN - _SKIN_LIGHT) * min(tone * 2, 1) + (_SKIN_DARK - _SKIN_TAN) * max(tone * 2 - 1, 0)
    skin = skin * (1 + 0.08 * rng.standard_normal()) * (1 + np.array([0.03, 0.0, -0.03]) * rng.standard_normal())
    if tone > 0.45:
        hair_pick = rng.choice(8, p=[0.50, 0.30, 0.08, 0.02, 0.01, 0.01, 0.04, 0.04])
    else:
        hair_pick = rng.choice(8, p=[0.13, 0.18, 0.2, 0.17, 0.15, 0.09, 0.04, 0.04])
    if age > 0.62 and rng.random() < 0.7:
        hair_pick = int(rng.choice([6, 7]))
    hair = _HAIR_COLOURS[hair_pick] * (1 + 0.2 * rng.standard_normal(3) * 0.3) * rng.uniform(0.75, 1.3)
    iris_pick = rng.choice(
        6, p=[0.6, 0.28, 0.06, 0.03, 0.02, 0.01] if tone > 0.45 else [0.12, 0.2, 0.16, 0.16, 0.24, 0.12]
    )
    lips = skin * np.array([0.82, 0.50, 0.52]) + np.array([0.03, 0.0, 0.005])
    lipstick = (man < 0.5) * (rng.random() < 0.5) * rng.uniform(0.3, 0.9)
    stick = np.array([[0.50, 0.05, 0.07], [0.45, 0.10, 0.13], [0.30, 0.03, 0.07], [0.62, 0.17, 0.16]])[rng.integers(4)]
    lips = lips * (1 - lipstick) + stick * lipstick * rng.uniform(0.6, 1.0)
    if man > 0.5:
        style = str(rng.choice(HAIR_STYLES, p=[0.13, 0.30, 0.18, 0.10, 0.05, 0.02, 0.04, 0.02, 0.14, 0.02]))
        beard = str(rng.choice(BEARDS, p=[0.42, 0.22, 0.10, 0.09, 0.17]))
    else:
        style = str(rng.choice(HAIR_STYLES, p=[0.01, 0.04, 0.06, 0.12, 0.07, 0.20, 0.27, 0.15, 0.0, 0.08]))
        beard = "none"
    hue = rng.uniform(0, 1, 3)
    cloth = (0.04 + 0.5 * hue) * rng.uniform(0.25, 1.0)
    accent = (0.05 + 0.7 * rng.uniform(0, 1, 3)) * rng.uniform(0.4, 1.0)
    return Identity(
        seed=seed,
        masculine=man,
        age=age,
        head_width=around(0.99 + 0.02 * man, 0.035),
        head_height=around(1.0, 0.035),
        head_depth=around(1.0, 0.03),
        face_length=around(0.99 + 0.02 * man, 0.035),
        face_width=around(1.0, 0.045),
        jaw_width=around(0.90 + 0.14 * man, 0.07),
        jaw_angle=around(0.1 + 0.5 * man, 0.25),
        chin_width=around(0.86 + 0.28 * man, 0.12),
        chin_forward=around(0.006 * man, 0.016),
        chin_length=around(0.01 * man, 0.022),
        cheekbone=around(0.5, 0.35),
        cheek_full=around(0.45 - 0.2 * age, 0.35),
        brow_ridge=around(0.15 + 0.6 * man, 0.2),
        ear_size=around(1.0 + 0.08 * age, 0.08),
        ear_out=around(0.4, 0.3),
        neck_width=around(0.86 + 0.19 * man, 0.05),
        shoulder_width=around(0.9 + 0.2 * man, 0.06),
        nose_length=around(1.0, 0.06),
        nose_width=around(1.0 + 0.10 * tone, 0.09),
        nose_bridge=around(1.0, 0.12),
        nose_forward=around(0.0, 0.02),
        nose_tip=around(1.0, 0.10),
        nose_hook=around(0.0, 0.012),
        eye_apart=around(1.0, 0.03),
        eye_width=around(1.0, 0.045),
        eye_open=around(1.06 - 0.1 * man, 0.09),
        eye_tilt=around(0.008, 0.008),
        eye_depth=around(0.0, 0.010),
        lid_crease=around(0.6, 0.3, -1.8),
        iris_size=around(1.0, 0.04),
        brow_height=around(0.012 - 0.022 * man, 0.012),
        brow_thick=around(0.82 + 0.35 * man, 0.15),
        brow_arch=around(0.7 - 0.35 * man, 0.25),
        brow_tilt=around(0.01, 0.012),
        brow_dark=float(rng.uniform(0.65, 1.0)),
        mouth_width=around(1.0, 0.06),
        mouth_height=around(0.0, 0.015),
        lip_upper=around(1.05 - 0.2 * man + 0.25 * tone - 0.2 * age, 0.16),
        lip_lower=around(1.05 - 0.12 * man + 0.2 * tone - 0.15 * age, 0.14),
        cupid=around(0.5, 0.25),
        lip_corner=around(0.0, 0.008),
        skin=_colour(skin),
        redness=float(rng.uniform(0.2, 1.0)),
        freckles=float((rng.random() < 0.25) * (tone < 0.4) * rng.uniform(0.3, 1.0)),
        mole=float(rng.uniform(0, 1)),
        gloss=float(rng.uniform(0.3, 1.0)),
        lips=_colour(lips),
        iris=_colour(_IRIS_COLOURS[iris_pick] * rng.uniform(0.8, 1.3)),
        hair=_colour(hair),
        brow=_colour(hair * 0.7 + 0.3 * hair * np.array([1.0, 0.8, 0.7]) * 0.5),
        eyeliner=float((man < 0.5) * rng.uniform(0.0, 1.0)),
        blush=float((man < 0.5) * rng.uniform(0.0, 0.8)),
        teeth=float(rng.uniform(0.75, 1.0)),
        hair_style=style,
        hair_volume=float(rng.uniform(0.0, 1.0)),
        hairline=around(0.0, 0.035),
        part=float(rng.uniform(-1, 1)),
        beard=beard,
        beard_amount=float(rng.uniform(0.35, 1.0)),
        glasses=int(rng.random() < 0.2) * int(rng.integers(1, 4)),
        glasses_colour=_colour(rng.choice([0.01, 0.03, 0.25]) * rng.uniform(0.5, 1.2, 3)),
        wrinkles=float(np.clip(age * 1.25 - 0.25, 0, 1)),
        cloth=_colour(cloth),
        cloth_accent=_colour(accent),
        neckline=float(rng.uniform(0.0, 1.0) * (1.0 - 0.6 * man)),
        collar=float(rng.random() < 0.35),
        pattern=float(rng.integers(0, 4)),
    )
