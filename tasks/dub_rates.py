"""What a dub costs, by kinds of work: as shipped, scaled to what this root's own renders took.

The shape is shipped: so much for a frame, for its pixels, for a pass of the model. Renders that were made here say by
what factor this machine, model and footage differ from it.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tasks.config import Config
from tasks.dubbing.spent import FINISH, LOOK, RENDER

Row = Mapping[str, Any]
SHIPPED = Path(__file__).with_name("dub_rates.json")
KINDS = (LOOK, RENDER, FINISH)
MANY_RENDERS = 2000
"""Renders of the ledger that are looked at, the newest: more tell nothing new."""
_ENOUGH = 3
"""Renders under the very settings asked for, from which on those under others are left out."""


@dataclass(frozen=True)
class KindRate:
    """Seconds of one kind of work: for a frame of film, for a pass of the model over it, for a million pixels of it.

    spread: standard error as a share of it. cpu_share: of the time that is work of a processor.
    """

    per_frame: float
    per_pass: float = 0.0
    per_megapixel: float = 0.0
    spread: float = 1.0
    cpu_share: float = 1.0

    def seconds(self, frames: float, megapixels: float, passes: float) -> float:
        """Of a film with so many frames of so many pixels, with so many passes over each frame."""
        return frames * (self.per_frame + self.per_pass * passes + self.per_megapixel * megapixels)


@dataclass(frozen=True)
class DubRates:
    """All that the plan of a library is made from. where: a sentence about where it was measured.

    start_s: seconds that a run takes beside its work. bytes_per_megapixel: of an output, for a million pixels of a
    frame. stretch_bytes, plan_bytes, look_bytes: for a frame, of the parts of a render, its plan, and what was seen.
    """

    where: str
    kinds: Mapping[str, KindRate]
    start_s: float
    bytes_per_megapixel: float
    stretch_bytes: float
    plan_bytes: float
    look_bytes: float
    films_measured: int
    measured_here: bool = False
    alike: bool = True
    """Whether they were measured under the very settings asked for."""


def passes(config: Config, felt: bool) -> int:
    """Passes through the denoiser for a frame. felt: an emotion is asked for."""
    render = config.render
    guided = (render.guidance_audio not in (None, 1.0), render.guidance_identity != 1.0)
    return (render.steps or 1) * (1 + sum(guided) + felt)


def shipped_dub_rates(path: Path = SHIPPED) -> DubRates:
    """Rates for a root without renders; they say where they were measured."""
    values = json.loads(path.read_text(encoding="utf-8"))
    kinds = {name: KindRate(**entry) for name, entry in values.pop("kinds").items()}
    return DubRates(**values, kinds=kinds)


def dub_rates(rows: Iterable[Row], config: Config, shipped: DubRates | None = None) -> DubRates:
    """The shipped rates scaled to RENDERS rows of this root: those that came to a file, ok or kept back for review.

    Args:
        rows: in the order in which they were made.
    """
    shipped = shipped or shipped_dub_rates()
    made = [row for row in rows if row.get("output_uri") and row.get("finish_seconds") and row.get("frames")]
    own, wanted = [row for row in made if row.get("config_hash") == config.hash()], min(_ENOUGH, len(made))
    alike = len(own) >= wanted
    made = (own if alike else made)[-MANY_RENDERS:]
    if not made:
        return shipped
    kinds = {kind: _scaled(kind, shipped.kinds[kind], _looks(made) if kind == LOOK else made, config) for kind in KINDS}
    written = [(_size(row["output_uri"]), row["frames"] * _megapixels(row)) for row in made]
    sizes = [(size, pixels) for size, pixels in written if size and pixels]
    per_megapixel = shipped.bytes_per_megapixel
    if sizes:
        per_megapixel = sum(size for size, _ in sizes) / sum(pixels for _, pixels in sizes)
    minutes = sum(row.get("duration_s") or 0.0 for row in made) / 60
    return replace(
        shipped,
        where=f"this root's ledger: {len(made):,} renders of {minutes:,.1f} min",
        kinds=kinds,
        bytes_per_megapixel=per_megapixel,
        films_measured=len(made),
        measured_here=True,
        alike=alike,
    )


def fitted(films: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Rates as they are shipped, from measured dubs.

    Args:
        films: of each `frames`, `megapixels` of a frame, `faces` rendered on average, `passes`, the seconds of each of
            KINDS, and `bytes` (None where it was enlarged: that has less detail than its pixels), `stretch_bytes`,
            `plan_bytes`, `look_bytes` written.
    """
    frames, pixels, faces, many = (
        np.array([film[name] for film in films], dtype=float) for name in ("frames", "megapixels", "faces", "passes")
    )
    of_kind = {
        LOOK: {"per_frame": frames, "per_megapixel": frames * pixels},
        RENDER: {"per_frame": frames * faces, "per_pass": frames * faces * many, "per_megapixel": frames * pixels},
        FINISH: {"per_frame": frames, "per_megapixel": frames * pixels},
    }
    kinds = {}
    for kind, features in of_kind.items():
        taken = np.array([film[kind] for film in films], dtype=float)
        kinds[kind] = _least_squares(features, taken)
    total, sharp = float(frames.sum()), [film for film in films if film["bytes"] is not None]
    written = {
        "bytes_per_megapixel": sum(film["bytes"] for film in sharp)
        / sum(film["frames"] * film["megapixels"] for film in sharp),
        **{name: sum(film[name] for film in films) / total for name in ("stretch_bytes", "plan_bytes", "look_bytes")},
    }
    return {
        "kinds": kinds, "start_s": 15.0, **{name: float(f"{value:.3g}") for name, value in written.items()},
        "films_measured": len(films),
    }  # fmt: skip


def _least_squares(features: Mapping[str, Any], taken: Any) -> dict[str, float]:
    """Rates, none below 0, that come nearest to what was taken, as shares of it."""
    names = list(features)
    while True:
        columns = np.stack([features[name] for name in names], axis=1) / taken[:, None]
        found = np.linalg.lstsq(columns, np.ones(len(taken)), rcond=None)[0]
        if found.min() >= 0 or len(names) == 1:
            return {name: float(f"{max(0.0, value):.3g}") for name, value in zip(names, found, strict=True)}
        del names[int(found.argmin())]


def _scaled(kind: str, rate: KindRate, rows: Sequence[Row], config: Config) -> KindRate:
    """The rate times what the rows took over what it says of them."""
    taken = [float(row.get(f"{kind}_seconds") or 0.0) for row in rows]
    said = [rate.seconds(row["frames"], _megapixels(row), passes(config, bool(row.get("caption")))) for row in rows]
    if not sum(taken) or not sum(said):
        return rate
    factor, spread = _ratio(taken, said)
    busy = sum(float(row.get("cpu_seconds") or row["seconds"]) for row in rows)
    share = min(1.0, busy / max(1e-9, sum(float(row["seconds"]) for row in rows)))
    return KindRate(rate.per_frame * factor, rate.per_pass * factor, rate.per_megapixel * factor, spread, share)


def _ratio(taken: Sequence[float], said: Sequence[float]) -> tuple[float, float]:
    """Sum over sum, and its standard error as a share of it by leaving each out (jackknife; Efron 1982)."""
    total, whole, count = sum(taken), sum(said), len(taken)
    ratio = total / whole
    without = [(total - one) / rest for one, other in zip(taken, said, strict=True) if (rest := whole - other) > 0]
    if count < 2 or len(without) < count:
        return ratio, 1.0
    mean = sum(without) / count
    return ratio, math.sqrt((count - 1) / count * sum((value - mean) ** 2 for value in without)) / ratio


def _looks(rows: Sequence[Row]) -> list[Row]:
    """The render of each film that looked at it: the others of the film, in other languages, found that done."""
    first: dict[str, Row] = {}
    for row in rows:
        known = first.get(row["source_sha256"])
        if known is None or (row.get("look_seconds") or 0.0) > (known.get("look_seconds") or 0.0):
            first[row["source_sha256"]] = row
    return list(first.values())


def _megapixels(row: Row) -> float:
    return float(row.get("width") or 0) * float(row.get("height") or 0) / 1e6


def _size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except OSError:
        return 0
