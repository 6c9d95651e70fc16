"""The gate: whether a challenger is better than the champion, judged by their metric tables."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from tasks.config import Config

HIGHER_IS_BETTER = {
    "mouth_correlation": True,
    "lse_c": True,
    "lse_d": False,
    "identity": True,
    "fid": False,
    "efid": False,
    "psnr_region": True,
    "flicker": False,
    "emotion_accuracy": True,
}
GATED = ("mouth_correlation", "lse_c", "identity", "psnr_region", "emotion_accuracy")
"""What the gate looks at, as far as both tables have it."""


def better(challenger: Mapping[str, Any], champion: Mapping[str, Any] | None, config: Config) -> tuple[bool, str]:
    """The gate: is the challenger to be promoted? Both tables must come from the same clips and protocol.

    It is, if no gated metric is worse beyond the spread of the two and at least one is better by more than
    `config.evaluate.min_gain` (of its value). Without a champion anything is better.

    Returns:
        the decision and the sentence that says why.
    """
    if champion is None:
        return True, "there is no champion yet"
    if challenger["clips"] != champion["clips"]:
        return False, "the two were measured on different clips"
    gains, worse = [], []
    for name in GATED:
        if name not in challenger["metrics"] or name not in champion["metrics"]:
            continue
        new, old = challenger["metrics"][name], champion["metrics"][name]
        gain = (new - old) if HIGHER_IS_BETTER[name] else (old - new)
        spread = math.hypot(challenger["spread"].get(name, 0.0), champion["spread"].get(name, 0.0))
        words = f"{name} {old:.3f} → {new:.3f}"
        if gain < -spread:
            worse.append(words)
        elif gain > abs(old) * config.evaluate.min_gain and gain > 0:
            gains.append(words)
    if worse:
        return False, f"worse beyond the spread: {', '.join(worse)}"
    if not gains:
        return False, "nothing is better"
    return True, f"better: {', '.join(gains)}; nothing is worse beyond the spread"
