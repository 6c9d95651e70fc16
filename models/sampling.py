"""From noise to latents: the schedulers, guidance by each condition, and the loop over the steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from diffusers import DDIMScheduler
from torch import Tensor

from models.denoiser import Denoiser
from models.steering import Conditions, Steering
from models.temporal import over_windows

GUIDED = ("identity", "audio", "action_units", "emotion")
"""The order in which conditions are counted for guidance."""

SCHEDULERS: dict[str, dict[str, Any]] = {
    # Noise that ends at zero signal and steps counted from its end (Lin et al. 2023): few steps are enough.
    "studio": {
        "beta_schedule": "scaled_linear",
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "prediction_type": "v_prediction",
        "rescale_betas_zero_snr": True,
        "timestep_spacing": "trailing",
        "clip_sample": False,
    },
    "sd15": {
        "beta_schedule": "scaled_linear",
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "steps_offset": 1,
        "set_alpha_to_one": False,
        "clip_sample": False,
    },
}


def fast_dtype(device: torch.device | str) -> torch.dtype:
    """bfloat16 where the processor multiplies it natively (a GPU, AVX512-BF16, AMX), else float32."""
    if torch.device(device).type != "cpu":
        return torch.bfloat16
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
    return torch.bfloat16 if supported else torch.float32


def build_scheduler(profile: str = "studio", **overrides: Any) -> DDIMScheduler:
    """The DDIM scheduler of a profile; training takes its noise from the same one."""
    return DDIMScheduler(**(SCHEDULERS[profile] | overrides))


class Guidance:
    """The prediction with every condition on, moved along each condition's own difference.

    Conditions are counted in the order of `GUIDED`: p + sum over k of (g_k - 1) (p_k - p_(k-1)), where p_k knows the
    first k of them (as InstructPix2Pix scales two conditions, Brooks et al. 2023). A scale of 1 costs no extra pass;
    what does not depend on the step is worked out once, here.

    Args:
        denoiser: predicts.
        conditions: of F frames.
        scales: of each condition, one number or one for each frame (float [F]); those that are missing are 1.
    """

    def __init__(self, denoiser: Denoiser, conditions: Conditions, scales: Mapping[str, float | Tensor]) -> None:
        self.denoiser = denoiser
        conditions = denoiser.prepare(conditions)
        self.passes: list[Steering] = [denoiser.steer(conditions)]
        self.terms: list[tuple[Tensor, int, int]] = []
        """(g - 1 as [1 or F,1,1,1], pass that knows the condition, pass that does not)"""
        known, at = conditions, 0
        for name in reversed(GUIDED):
            if not _has(denoiser, known, name):
                continue
            fewer = _without(known, name)
            scale = torch.as_tensor(scales.get(name, 1.0), device=conditions.visual.device).reshape(-1, 1, 1, 1)
            if bool((scale != 1).any()):
                if at < 0:
                    at = self._add(known)
                below = self._add(fewer)
                self.terms.append((scale - 1, at, below))
                at = below
            else:
                at = -1  # nobody has asked for this pass yet
            known = fewer

    def _add(self, conditions: Conditions) -> int:
        self.passes.append(self.denoiser.steer(conditions))
        return len(self.passes) - 1

    def predict(self, latents: Tensor, timestep: Tensor, part: slice | None = None) -> Tensor:
        """The guided prediction for `latents` [F,4,h,w]; of the frames of `part`, as one clip, where it is given."""
        passes, whole = self.passes, len(latents)
        if part is not None:
            frames = len(latents[part])
            latents, passes = latents[part], [steering.select(part, frames) for steering in passes]
        outputs = [self.denoiser(latents, timestep, steering) for steering in passes]
        result = outputs[0]
        for weight, known, unknown in self.terms:
            weight = weight if part is None or len(weight) != whole else weight[part]
            result = result + weight * (outputs[known] - outputs[unknown])
        return result


def _has(denoiser: Denoiser, conditions: Conditions, name: str) -> bool:
    return {
        "identity": conditions.identity is not None and denoiser.identity_projection is not None,
        "audio": conditions.audio_tokens is not None,
        "action_units": conditions.action_units is not None and denoiser.action_unit_encoder is not None,
        "emotion": conditions.emotion_features is not None,
    }[name]


def _without(conditions: Conditions, name: str) -> Conditions:
    if name == "audio" and conditions.audio_tokens is not None:
        off = conditions.visual.new_zeros(len(conditions.visual))
        return replace(conditions, audio_tokens=torch.zeros_like(conditions.audio_tokens), keep_audio=off)
    if name == "emotion":
        return replace(conditions, emotion=None, emotion_features=None)
    return replace(conditions, identity=None) if name == "identity" else replace(conditions, action_units=None)


def of_part(scales: dict[str, float | Tensor], part: slice, count: int) -> dict[str, float | Tensor]:
    """Scales of some of `count` frames."""
    return {
        name: scale[part] if isinstance(scale, Tensor) and len(scale) == count else scale
        for name, scale in scales.items()
    }


def denoise(
    guidance: Guidance,
    scheduler: Any,
    latents: Tensor,
    steps: int,
    windows: Sequence[slice] | None = None,
    dtype: torch.dtype = torch.float32,
    on_step: Callable[[int], None] | None = None,
) -> Tensor:
    """Latents [F,4,h,w] from noise of unit variance [F,4,h,w] in `steps` steps; of a direct base in one evaluation.

    Args:
        guidance: predicts, for all F frames.
        scheduler: a diffusers scheduler.
        windows: clips that temporal attention sees at a time; where they overlap, every step blends what they predict
            (so that neighbours agree before they are decoded). None: all frames in one pass.
        dtype: of the latents that the denoiser is given.
        on_step: called with the number of steps done.
    """
    count = len(latents)

    def predict(scaled: Tensor, timestep: Tensor) -> Tensor:
        if windows is None:
            return guidance.predict(scaled, timestep)
        return over_windows(partial(guidance.predict, scaled, timestep), windows, count)

    if guidance.denoiser.base.direct:
        made = predict(latents.to(dtype), torch.zeros((), dtype=torch.long, device=latents.device)).float()
        if on_step:
            on_step(1)
        return made
    scheduler.set_timesteps(steps, device=latents.device)
    latents = latents * scheduler.init_noise_sigma
    for index, timestep in enumerate(scheduler.timesteps):
        prediction = predict(scheduler.scale_model_input(latents, timestep).to(dtype), timestep)
        latents = scheduler.step(prediction.float(), timestep, latents).prev_sample
        if on_step:
            on_step(index + 1)
    return latents
