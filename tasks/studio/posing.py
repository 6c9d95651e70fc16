"""From a person and controls to the rig: what each action unit and each articulation does to the face."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tasks.studio.controls import ARTICULATION, AUS, Controls
from tasks.studio.identity import Identity
from tasks.studio.rig import Rig

Array = npt.NDArray[np.float32]


def rotation(pose: Array) -> npt.NDArray[np.float64]:
    """Head-to-world rotations float64 [T,3,3] of pose rows (yaw, pitch, roll, ...): roll, then pitch, then yaw."""
    yaw, pitch, roll = (pose[:, i].astype(np.float64) for i in range(3))
    zero, one = np.zeros_like(yaw), np.ones_like(yaw)
    cy, sy, cp, sp, cr, sr = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch), np.cos(roll), np.sin(roll)
    turn = np.stack([cy, zero, sy, zero, one, zero, -sy, zero, cy], -1).reshape(-1, 3, 3)
    nod = np.stack([one, zero, zero, zero, cp, sp, zero, -sp, cp], -1).reshape(-1, 3, 3)
    lean = np.stack([cr, sr, zero, -sr, cr, zero, zero, zero, one], -1).reshape(-1, 3, 3)
    return turn @ nod @ lean


def _hair(person: Identity) -> dict[str, float]:
    """The one hair formula's numbers for each style: cap thickness, hairline opening, lower end, curtain, bun, curl."""
    v = person.hair_volume
    base = {
        "cap": 0.05 + 0.04 * v,
        "cap_y": 0.06 + 0.06 * v,
        "opening_x": 0.50,
        "opening_y": 0.52 + person.hairline,
        "opening_side": 0.16,
        "hair_end": -0.18,
        "curtain_x": 0.2,
        "curtain_y": 0.3,
        "curtain_cy": 0.2,
        "bun": -1.0,
        "curl": 0.004,
        "part": person.part * 0.10,
    }
    changes: dict[str, dict[str, float]] = {
        "bald": {"cap": -0.12, "cap_y": -0.12},
        "short": {"cap": 0.03 + 0.02 * v, "cap_y": 0.05 + 0.05 * v, "hair_end": -0.12},
        "side": {
            "cap": 0.05 + 0.03 * v,
            "cap_y": 0.10 + 0.07 * v,
            "part": 0.16 if person.part > 0 else -0.16,
            "hair_end": -0.15,
        },
        "curly": {"cap": 0.09 + 0.07 * v, "cap_y": 0.13 + 0.08 * v, "curl": 0.028, "hair_end": -0.35 - 0.3 * v},
        "afro": {"cap": 0.18 + 0.14 * v, "cap_y": 0.20 + 0.16 * v, "curl": 0.022, "hair_end": -0.35},
        "bob": {
            "curtain_x": 0.72 + 0.05 * v,
            "curtain_y": 0.86,
            "curtain_cy": -0.08,
            "opening_x": 0.47,
            "hair_end": -0.75,
        },
        "long": {
            "curtain_x": 0.73 + 0.06 * v,
            "curtain_y": 1.45,
            "curtain_cy": -0.55,
            "opening_x": 0.47,
            "hair_end": -1.75,
        },
        "bun": {"cap": 0.025, "cap_y": 0.04, "bun": 0.20 + 0.06 * v, "hair_end": -0.22},
        "receding": {"cap": 0.02, "cap_y": 0.0, "opening_y": 0.66 + 0.10 * v, "opening_x": 0.51, "hair_end": -0.15},
        "pixie": {
            "cap": 0.05 + 0.02 * v,
            "cap_y": 0.08 + 0.03 * v,
            "opening_y": 0.42 + person.hairline,
            "part": person.part * 0.2,
            "hair_end": -0.25,
        },
    }
    return base | changes[person.hair_style]


def build_rig(person: Identity, controls: Controls) -> Array:
    """The rig of every frame: float32 [T, len(Rig._fields)], columns in the order of `Rig`."""
    au = {name: np.clip(controls.aus[:, i], 0, 1).astype(np.float64) for i, name in enumerate(AUS)}
    art = {name: np.clip(controls.articulation[:, i], 0, 1).astype(np.float64) for i, name in enumerate(ARTICULATION)}
    v: dict[str, Any] = {}
    turn = rotation(controls.pose)
    pivot = np.array([0.0, -0.75, -0.15])  # heads turn about the top of the neck, not about the eyes
    offset = controls.pose[:, 3:6].astype(np.float64)
    place = pivot - turn @ pivot + offset
    for i in range(3):
        for j in range(3):
            v[f"r{i}{j}"] = turn[:, i, j]
    v["tx"], v["ty"], v["tz"] = place.T
    v["body_x"], v["body_y"], v["body_z"] = offset.T
    _skull(v, person, au, art)
    _nose(v, person, au)
    _eyes(v, person, au, controls)
    _brows(v, person, au)
    _mouth(v, person, au, art)
    v.update(_hair(person))
    style, amount = person.beard, person.beard_amount
    v["beard"] = 0.045 * amount + 0.012 if style == "full" else 0.0
    v["moustache"] = 0.018 + 0.012 * amount if style in ("moustache", "full", "goatee") else 0.0
    v["goatee"] = 0.020 + 0.03 * amount if style == "goatee" else 0.0
    v["sideburn"] = 1.0 if style == "full" else 0.0
    v["glasses"] = 0.0 if person.glasses else 10.0
    v["glasses_w"] = (0.20, 0.205, 0.20, 0.185)[person.glasses]
    v["glasses_h"] = (0.14, 0.135, 0.17, 0.185)[person.glasses]
    v["glasses_p"] = (1.0, 0.55, 0.8, 1.0)[person.glasses]
    v["wrinkles"] = person.wrinkles
    v["neckline"] = person.neckline
    v["collar"] = person.collar
    frames = len(controls)
    return np.stack([np.broadcast_to(np.asarray(v[name], np.float32), (frames,)) for name in Rig._fields], -1)


def _skull(v: dict[str, Any], person: Identity, au: dict[str, Any], art: dict[str, Any]) -> None:
    jaw = np.clip(art["jaw"] + 0.55 * au["AU26"] * (1 - 0.6 * art["press"]), 0, 1.2) * (1 - 0.75 * art["press"])
    angle = 0.24 * jaw  # rad about the hinge
    v["drop"] = 0.70 * np.sin(angle)  # how far the lower lip and chin travel down
    face, drop = person.face_length, v["drop"]
    v["skull_x"], v["skull_y"], v["skull_z"] = (
        0.595 * person.head_width,
        0.635 * person.head_height,
        0.76 * person.head_depth,
    )
    v["face_x"], v["face_y"] = 0.525 * person.face_width, 0.60 * face
    v["jaw_x"], v["jaw_y"] = 0.425 * person.jaw_width * person.face_width, 0.36 * face
    v["jaw_cy"] = -0.505 * face - 0.60 * drop
    v["jaw_cz"] = 0.155 - 0.16 * drop
    v["jaw_corner"] = 0.03 + 0.05 * person.jaw_angle
    v["jaw_corner_x"] = 0.40 * person.jaw_width * person.face_width
    v["chin_x"] = 0.19 * person.chin_width
    v["chin_cy"] = -0.80 * face - person.chin_length - drop + 0.018 * au["AU17"]
    v["chin_cz"] = 0.475 + person.chin_forward - 0.28 * drop
    v["chin_boss"] = 0.030 * au["AU17"]
    v["cheekbone"] = 0.018 + 0.03 * person.cheekbone
    smile_l, smile_r = au["AU12R"], au["AU12L"]  # the subject's left is image right
    v["cheek"] = 0.03 * person.cheek_full
    v["cheek_y"] = -0.26 + 0.05 * au["AU6"] + 0.02 * (smile_l + smile_r) / 2
    v["cheek_l"] = 0.034 * smile_l + 0.026 * au["AU6"]
    v["cheek_r"] = 0.034 * smile_r + 0.026 * au["AU6"]
    v["ridge"] = 0.012 + 0.025 * person.brow_ridge
    v["ear"], v["ear_out"] = person.ear_size, person.ear_out
    v["neck"], v["shoulder"] = 0.30 * person.neck_width, person.shoulder_width


def _nose(v: dict[str, Any], person: Identity, au: dict[str, Any]) -> None:
    v["nose_y"] = -0.295 * person.nose_length + 0.012 * au["AU9"]
    v["nose_z"] = 0.795 + person.nose_forward
    v["nose_w"] = person.nose_width
    v["nose_bridge"] = person.nose_bridge
    v["nose_tip"] = 0.070 * person.nose_tip
    v["nose_hook"] = person.nose_hook
    v["wing_y"] = -0.335 * person.nose_length + 0.040 * au["AU9"] + 0.012 * au["AU10"]
    v["wing_x"] = 0.098 * person.nose_width + 0.010 * au["AU9"] + 0.006 * (au["AU12L"] + au["AU12R"])
    v["wrinkle_nose"] = au["AU9"]


def _eyes(v: dict[str, Any], person: Identity, au: dict[str, Any], controls: Controls) -> None:
    v["eye_x"] = 0.258 * person.eye_apart
    v["eye_z"] = 0.452 - person.eye_depth
    v["eye_w"] = 0.128 * person.eye_width
    v["eye_tilt"] = person.eye_tilt
    up, low = 0.050 * person.eye_open, 0.044 * person.eye_open
    look = np.clip(controls.gaze[:, 1], -0.6, 0.6)
    for side, own in (("l", "R"), ("r", "L")):
        shut = np.clip(au[f"AU43{own}"], 0, 1)
        wide = up * (1 + 0.50 * au["AU5"] - 0.25 * au["AU7"] - 0.10 * au["AU6"] - 0.12 * au["AU9"]) + 0.035 * look
        below = (
            low
            * (1 + 0.10 * au["AU5"] - 0.42 * au["AU7"] - 0.42 * au["AU6"] - 0.15 * au["AU9"] - 0.15 * au[f"AU12{own}"])
            - 0.015 * look
        )
        v[f"lid_up_{side}"] = wide * (1 - shut) - 0.80 * below * shut
        v[f"lid_low_{side}"] = below * (1 - 0.2 * shut)
        v[f"closed_{side}"] = shut
    v["crease"] = 0.010 * person.lid_crease + 0.004
    v["squint"] = np.clip(au["AU6"] + 0.7 * au["AU7"] + 0.4 * au["AU9"], 0, 1.3)
    v["gaze_x"], v["gaze_y"] = np.clip(controls.gaze[:, 0], -0.7, 0.7), look
    v["iris"] = 0.0605 * person.iris_size


def _brows(v: dict[str, Any], person: Identity, au: dict[str, Any]) -> None:
    base = 0.178 + person.brow_height
    down = 0.055 * au["AU4"] + 0.030 * au["AU9"] + 0.006 * au["AU7"]
    v["brow_in"] = base + 0.075 * au["AU1"] - down - 0.010 * au["AU6"]
    v["brow_mid"] = base + 0.028 * person.brow_arch + 0.030 * au["AU1"] + 0.065 * au["AU2"] - 0.6 * down
    v["brow_out"] = (
        base + person.brow_tilt - 0.012 + 0.070 * au["AU2"] - 0.018 * au["AU1"] * (1 - au["AU2"]) - 0.2 * down
    )
    # contempt lifts one outer brow a little: the side of the raised corner
    v["brow_in_l"], v["brow_out_l"] = v["brow_in"], v["brow_out"]
    v["brow_thick"] = 0.030 * person.brow_thick
    v["brow_x"] = 0.095 - 0.032 * au["AU4"] - 0.012 * au["AU9"]
    v["frown"] = np.clip(au["AU4"] + 0.5 * au["AU9"], 0, 1.2)
    v["raised"] = np.clip(0.6 * au["AU1"] + 0.6 * au["AU2"], 0, 1.2)


def _mouth(v: dict[str, Any], person: Identity, au: dict[str, Any], art: dict[str, Any]) -> None:
    drop = v["drop"]
    press, rounding, spread, tuck, tongue = art["press"], art["round"], art["wide"], art["tuck"], art["tongue"]
    smile_l, smile_r = au["AU12R"], au["AU12L"]
    v["mouth_y"] = -0.582 * person.face_length + person.mouth_height + 0.012 * au["AU17"] - 0.004 * rounding
    width = 0.205 * person.mouth_width
    common = (
        (1 + 0.17 * spread * (1 - rounding))
        * (1 - 0.42 * rounding)
        * (1 - 0.07 * np.minimum(drop / 0.16, 1) * (1 - spread))
        * (1 + 0.20 * au["AU20"])
        * (1 - 0.10 * au["AU23"])
        * (1 - 0.03 * press)
        * (1 - 0.05 * au["AU17"])
    )
    for side, smile, own in (("l", smile_l, "R"), ("r", smile_r, "L")):
        dimple = au[f"AU14{own}"]
        v[f"mouth_w_{side}"] = width * common * (1 + 0.24 * smile * (1 - 0.5 * rounding) + 0.09 * dimple)
        v[f"corner_{side}"] = (
            0.006
            + person.lip_corner
            + 0.085 * smile * (1 - 0.35 * rounding)
            + 0.022 * dimple
            - 0.070 * au["AU15"]
            - 0.022 * au["AU20"]
            - 0.30 * drop
            - 0.012 * au["AU17"]
        )
        v[f"fold_{side}"] = np.clip(
            0.10 + 0.35 * person.wrinkles + 0.9 * smile + 0.65 * au["AU10"] + 0.7 * au["AU9"] + 0.25 * dimple, 0, 1.6
        )
        v[f"dimple_{side}"] = dimple + 0.25 * smile
    part = 0.030 * au["AU25"]
    closing = (1 - press) * (1 - 0.75 * au["AU23"] * (drop < 0.01))
    up = (
        0.006
        + 0.45 * part
        + 0.10 * drop
        + 0.016 * spread
        + 0.020 * rounding
        + 0.022 * tongue
        + 0.020 * au["AU10"]
        + 0.006 * (smile_l + smile_r)
    )
    low = 0.003 + 0.55 * part + 0.96 * drop + 0.016 * spread + 0.016 * rounding + 0.030 * tongue + 0.010 * au["AU20"]
    v["open_up"] = np.maximum((up * (1 - tuck) + 0.036 * tuck) * closing, 0.0)
    v["open_low"] = np.maximum(
        (low * (1 - tuck) - 0.008 * tuck) * closing + 0.012 * -au["AU17"] * (drop < 0.02), -0.9 * v["open_up"] + 0.0
    )
    thin = (1 - 0.45 * press) * (1 - 0.45 * au["AU23"]) * (1 - 0.14 * spread) * (1 - 0.15 * au["AU20"])
    smile = (smile_l + smile_r) / 2
    v["lip_up"] = 0.062 * person.lip_upper * thin * (1 - 0.28 * smile) * (1 + 0.10 * rounding) * (1 - 0.15 * au["AU10"])
    v["lip_low"] = (
        0.078
        * person.lip_lower
        * thin
        * (1 - 0.18 * smile)
        * (1 + 0.10 * rounding)
        * (1 - 0.50 * tuck)
        * (1 + 0.12 * au["AU17"])
    )
    v["cupid"] = np.clip(person.cupid, 0.05, 1.0) * (1 - 0.5 * rounding) * (1 - 0.5 * smile)
    v["bulge_up"] = (
        0.030 * (0.5 + 0.5 * person.lip_upper) * (1 - 0.65 * press) * (1 - 0.45 * au["AU23"]) * (1 - 0.35 * smile)
    )
    v["bulge_low"] = (
        0.040 * (0.5 + 0.5 * person.lip_lower) * (1 - 0.6 * press) * (1 - 0.45 * au["AU23"]) * (1 - 0.3 * smile)
        + 0.012 * au["AU17"]
    )
    v["pout"] = 0.075 * rounding - 0.012 * press - 0.012 * spread - 0.010 * smile - 0.008 * au["AU23"]
    v["tuck"] = tuck
    v["squareness"] = np.clip(0.25 + 0.5 * spread + 0.4 * au["AU20"] + 0.35 * smile - 0.5 * rounding, -0.2, 1)
    v["rounded"] = np.clip(0.95 * rounding + 0.30 * np.minimum(drop / 0.16, 1) * (1 - spread), 0, 1)
    v["teeth_up"] = v["mouth_y"] * 1.0 + 0.002 - 0.012 * tuck - 0.018 * smile  # a smile shows teeth, not a gap
    v["teeth_low"] = v["mouth_y"] - 0.035 - drop
    v["tongue_y"] = v["mouth_y"] - 0.105 - 0.50 * drop + tongue * (0.075 + 0.38 * drop)  # lies in the open jaw
    v["tongue_z"] = 0.36 + 0.12 * tongue
