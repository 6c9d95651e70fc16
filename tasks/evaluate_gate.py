"""The gate: whether a challenger is better than the champion, judged clip by clip on the same held-out clips.

For each metric the difference of the two models is taken per clip, and its mean over clips gets a bootstrap interval
(tasks/evaluate_bootstrap.py). Promoted is who is better for certain in at least one of the metrics that decide, and
worse in none of any. What "better" and "worse" mean is one line each, in `_verdict_on`.

A difference of paired renderings can be certain and yet too small to see, so a certain loss counts from
`promotion.tolerated_loss` on; and few clips can hide a large one, so a mean loss beyond `promotion.max_loss` counts
whatever the interval says. With fewer than `promotion.min_clips` clips nobody is promoted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tasks.config import Config
from tasks.config_nightly import Promotion
from tasks.evaluate_bootstrap import FrechetPair, Interval, drawn_clips, interval_of, paired_values

HIGHER_IS_BETTER = {
    "mouth_correlation": True,
    "lse_c": True,
    "emotion_shown": True,
    "emotion_kept": True,
    "identity": True,
    "fid": False,
    "psnr_region": True,
    "flicker": False,
}
DECIDING = {"sync": ("mouth_correlation", "lse_c"), "emotion": ("emotion_shown", "emotion_kept"),
            "identity": ("identity",), "fid": ("fid",)}  # fmt: skip
"""What makes a model better, by what it tells of."""
GUARDING = ("psnr_region", "flicker")
"""What must not get worse, but is no reason to promote."""
STEADY = 1.0
"""Flicker of the footage itself: what is below is dull rather than steady, and no gain."""
COUNTED = ("emotion_kept",)
"""Shares of few yes and no: one clip that turns is a large loss of the mean, so only their interval speaks."""
GATED = (*(name for names in DECIDING.values() for name in names), *GUARDING)
BETTER, WORSE, ALIKE = "better", "worse", "not told apart"


@dataclass(frozen=True)
class Difference:
    """Champion and challenger in one metric. gain: by how much the challenger is better, whichever way the metric
    counts; low, high: the interval of it; clips: that both were measured on; verdict: BETTER, WORSE or ALIKE."""

    metric: str
    champion: float
    challenger: float
    gain: float
    low: float
    high: float
    clips: int
    verdict: str

    def __str__(self) -> str:
        return f"{self.metric} {self.gain:+.3g} [{self.low:+.3g}, {self.high:+.3g}]"


@dataclass(frozen=True)
class Verdict:
    """What the gate decided, the sentence that says why, and what it saw."""

    promoted: bool
    reason: str
    differences: tuple[Difference, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self) | {"differences": [asdict(one) for one in self.differences]}


def judge(challenger: Mapping[str, Any], champion: Mapping[str, Any] | None, config: Config) -> Verdict:
    """Is the challenger to be promoted? Both tables (`tasks.evaluate.evaluate`) come from the same clips and protocol.

    The same tables and settings give the same verdict. Without a champion anything is better.
    """
    if champion is None:
        return Verdict(True, "there is no champion yet")
    if challenger["clips"] != champion["clips"]:
        return Verdict(False, "the two were measured on different clips")
    settings = config.promotion
    found = tuple(differences(challenger, champion, settings))
    clips = len(challenger["clips"])
    if clips < settings.min_clips:
        few = f"{clips} held-out clip{'s' * (clips != 1)}, where promotion.min_clips asks for {settings.min_clips}"
        return Verdict(False, f"too few to tell: {few}", found)
    worse = [str(one) for one in found if one.verdict == WORSE]
    gains = [str(one) for one in found if one.verdict == BETTER and one.metric not in GUARDING]
    if worse:
        but = f" (better: {', '.join(gains)})" if gains else ""
        return Verdict(False, f"worse: {', '.join(worse)}{but}", found)
    if not gains:
        return Verdict(False, "nothing is better for certain", found)
    return Verdict(True, f"better: {', '.join(gains)}; nothing is worse", found)


def differences(challenger: Mapping[str, Any], champion: Mapping[str, Any], settings: Promotion) -> list[Difference]:
    """One for each gated metric that both tables have, with at least two clips."""
    found = []
    for name in GATED:
        if name == "fid":
            interval = _fid_interval(challenger, champion, settings)
        else:
            interval = _interval(name, challenger, champion, settings)
        if interval is not None:
            new, old = (float(table["metrics"][name]) for table in (challenger, champion))
            found.append(
                Difference(name, old, new, interval.mean, interval.low, interval.high, interval.clips,
                           _verdict_on(name, interval, abs(old), settings))
            )  # fmt: skip
    return found


def _verdict_on(name: str, gain: Interval, size: float, settings: Promotion) -> str:
    """BETTER: the interval lies above `min_gain`. WORSE: it lies below 0 and the mean loss is more than is tolerated,
    or the mean loss is more than any interval excuses. All three are shares of `size`, the champion's value."""
    if gain.low > settings.min_gain * size:
        return BETTER
    certain = gain.high < 0 and -gain.mean > settings.tolerated_loss * size
    large = -gain.mean > settings.max_loss * size and name not in COUNTED
    return WORSE if certain or large else ALIKE


def _interval(
    name: str, challenger: Mapping[str, Any], champion: Mapping[str, Any], settings: Promotion
) -> Interval | None:
    new, old = paired_values(challenger["samples"].get(name, {}), champion["samples"].get(name, {}))
    if len(new) < 2:
        return None
    if name == "flicker":
        new, old = np.maximum(new, STEADY), np.maximum(old, STEADY)
    gains = new - old if HIGHER_IS_BETTER[name] else old - new
    means = drawn_clips(len(gains), settings.resamples) @ gains / len(gains)
    return interval_of(float(gains.mean()), means, len(gains), settings.confidence)


def _fid_interval(challenger: Mapping[str, Any], champion: Mapping[str, Any], settings: Promotion) -> Interval | None:
    """The Fréchet distance is of all clips together: it is computed anew for each draw of clips."""
    vectors = [table["vectors"].get("fid") for table in (challenger, champion)]
    if vectors[0] is None or vectors[1] is None:
        return None
    pair = FrechetPair(*vectors)
    if len(pair.clips) < 2:
        return None
    ones = np.ones(len(pair.clips))
    drawn = drawn_clips(len(pair.clips), min(settings.resamples, settings.fid_resamples))
    gains = np.array([pair.gain(counts) for counts in drawn])
    return interval_of(pair.gain(ones), gains[np.isfinite(gains)], len(pair.clips), settings.confidence)
