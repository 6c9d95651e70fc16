"""The pipeline: crops of a face and the speech features of each frame in, the same crops speaking out."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, DiffusionPipeline, UNet2DConditionModel
from diffusers.utils.logging import disable_progress_bar, enable_progress_bar, is_progress_bar_enabled
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from models.autoencoder import build_autoencoder, decode, encode, to_frames, to_images
from models.conditions import AudioProjection, IdentityProjection, MaskEncoder
from models.denoiser import Conditions, Denoiser, build_denoiser, visual_channels

log = logging.getLogger(__name__)

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


class DubPipeline(DiffusionPipeline):
    """Repaints the masked region of aligned face crops so that the lips follow the speech.

    Saved and loaded with `save_pretrained` / `from_pretrained` (safetensors). `vae`, `unet` and `scheduler` are
    needed; the rest may be None.

    Args:
        crop_size: side S of the crops it was trained on, pixels.
        audio_context: video frames (of 1/25 s) of sound on each side of a frame in its audio tokens.
    Attributes:
        compute_dtype: what float32 weights compute in; None takes `fast_dtype` of the device. With float32 the
            result does not depend on the processor.
    """

    compute_dtype: torch.dtype | None = None

    model_cpu_offload_seq = "audio_projection->identity_projection->mask_encoder->unet->vae"
    _optional_components: ClassVar[list[str]] = [
        "mask_encoder",
        "identity_projection",
        "audio_projection",
        "speech_encoder",
    ]

    def __init__(
        self,
        vae: AutoencoderKL,
        unet: UNet2DConditionModel,
        scheduler: DDIMScheduler,
        mask_encoder: MaskEncoder | None = None,
        identity_projection: IdentityProjection | None = None,
        audio_projection: AudioProjection | None = None,
        speech_encoder: Any | None = None,
        crop_size: int = 128,
        audio_context: int = 2,
    ) -> None:
        super().__init__()
        self.register_modules(
            vae=vae, unet=unet, scheduler=scheduler, mask_encoder=mask_encoder,
            identity_projection=identity_projection, audio_projection=audio_projection, speech_encoder=speech_encoder,
        )  # fmt: skip
        self.register_to_config(crop_size=crop_size, audio_context=audio_context)

    @property
    def denoiser(self) -> Denoiser:
        """The U-Net with its conditions as one module; it shares the pipeline's weights."""
        return Denoiser(self.unet, self.mask_encoder, self.identity_projection, self.audio_projection)

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """Shape of one frame's latents: channels, height, width."""
        side = self.config.crop_size // 2 ** (len(self.vae.config.block_out_channels) - 1)
        return (self.vae.config.latent_channels, side, side)

    def sample_noise(self, generator: torch.Generator | None = None) -> Tensor:
        """Noise [4,h,w] for `initial_noise`: windows of one shot that start from the same noise do not flicker."""
        return torch.randn(self.latent_shape, generator=generator)

    @torch.no_grad()
    def __call__(
        self,
        frames: NDArray[np.uint8],
        mask: NDArray[np.floating],
        reference: NDArray[np.uint8],
        audio_tokens: NDArray[np.floating] | Tensor | None = None,
        identity: NDArray[np.floating] | Tensor | None = None,
        emotion: str | None = None,
        num_inference_steps: int = 10,
        guidance_audio: float = 1.5,
        guidance_identity: float = 1.0,
        guidance_emotion: float = 1.0,
        generator: torch.Generator | None = None,
        initial_noise: Tensor | None = None,
        batch_size: int = 16,
        callback: Callable[[int, int], None] | None = None,
    ) -> NDArray[np.uint8]:
        """Render a window of frames.

        Args:
            frames: uint8 [F,S,S,3] aligned crops; S is `config.crop_size`.
            mask: float [S,S] or [F,S,S], 1 where to generate. Outside it the crops come back untouched.
            reference: uint8 [S,S,3] or [F,S,S,3]: the person, mouth visible.
            audio_tokens: float [F,N,D] of `models.speech.frame_tokens`; None generates without sound.
            identity: float [E] (or [F,E]) unit face embedding, or None.
            emotion: what to feel. This model has no emotion branch yet: anything but None is logged and not followed.
            num_inference_steps: DDIM steps.
            guidance_audio, guidance_identity, guidance_emotion: scale of each condition; 1 takes it as it is, above 1
                follows it more (one more pass through the U-Net for each that is not 1).
            generator: source of the noise where `initial_noise` is not given.
            initial_noise: [4,h,w], shared by all frames (see `sample_noise`).
            batch_size: frames in the U-Net at a time; bounds memory, does not change the result.
            callback: called as callback(done, total) after each step.
        Returns:
            uint8 [F,S,S,3].
        Raises:
            ValueError: shapes that do not fit together.
        """
        frames, mask_map, reference = self._check(frames, mask, reference, audio_tokens)
        if emotion is not None:
            log.info("this model has no emotion branch: the face keeps its own expression, not %r", emotion)
        count = len(frames)
        noise = self.sample_noise(generator) if initial_noise is None else initial_noise.reshape(self.latent_shape)
        audio = None if audio_tokens is None else torch.as_tensor(audio_tokens)
        who = None if identity is None else torch.as_tensor(identity).reshape(-1, np.shape(identity)[-1])
        total, out = -(-count // batch_size) * num_inference_steps, np.empty_like(frames)
        for start in range(0, count, batch_size):
            part = slice(start, min(start + batch_size, count))
            out[part] = self._render(
                frames[part],
                mask_map[part] if len(mask_map) == count else mask_map,
                reference[part] if len(reference) == count else reference,
                None if audio is None else audio[part],
                None if who is None else (who[part] if len(who) == count else who),
                noise,
                num_inference_steps,
                {"audio": guidance_audio, "identity": guidance_identity},
                _counting(callback, start // batch_size * num_inference_steps, total),
            )
        return out

    def _check(
        self, frames: NDArray[Any], mask: NDArray[Any], reference: NDArray[Any], audio: Any
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.uint8]]:
        size = self.config.crop_size
        frames, reference = np.asarray(frames), np.asarray(reference)
        mask_map = np.asarray(mask, dtype=np.float32).reshape(-1, size, size)
        reference = reference[None] if reference.ndim == 3 else reference
        if frames.shape[1:] != (size, size, 3) or frames.dtype != np.uint8:
            raise ValueError(f"frames must be uint8 [F,{size},{size},3], got {frames.dtype} {frames.shape}")
        if reference.shape[1:] != (size, size, 3) or len(reference) not in (1, len(frames)):
            raise ValueError(f"reference must be uint8 [{size},{size},3] or one a frame, got {reference.shape}")
        if len(mask_map) not in (1, len(frames)):
            raise ValueError(f"{len(mask_map)} masks for {len(frames)} frames")
        if audio is not None and len(audio) != len(frames):
            raise ValueError(f"audio tokens of {len(audio)} frames for {len(frames)} frames")
        return frames, mask_map, reference

    def _render(
        self,
        frames: NDArray[np.uint8],
        mask: NDArray[np.float32],
        reference: NDArray[np.uint8],
        audio: Tensor | None,
        identity: Tensor | None,
        noise: Tensor,
        steps: int,
        guidance: dict[str, float],
        on_step: Callable[[int], None] | None,
    ) -> NDArray[np.uint8]:
        device, dtype = self._execution_device, self.unet.dtype
        where = torch.from_numpy(mask).to(device, dtype)[:, None]
        images = to_images(frames).to(device, dtype)
        compute = self.compute_dtype or fast_dtype(device)
        with torch.autocast(device.type, compute, enabled=dtype == torch.float32 and compute != dtype):
            masked_latents = encode(self.vae, images * (1 - where))
            reference_latents = encode(self.vae, to_images(reference).to(device, dtype))
            conditions = Conditions(
                visual_channels(where, masked_latents, reference_latents.expand_as(masked_latents)),
                where,
                None if audio is None else audio.to(device, dtype),
                None if identity is None else identity.to(device, dtype).expand(len(frames), -1),
            )
            denoiser = self.denoiser
            self.scheduler.set_timesteps(steps, device=device)
            latents = noise.to(device, torch.float32).expand(len(frames), -1, -1, -1) * self.scheduler.init_noise_sigma
            for index, timestep in enumerate(self.scheduler.timesteps):
                scaled = self.scheduler.scale_model_input(latents, timestep)
                prediction = _guided(denoiser, scaled.to(dtype), timestep, conditions, guidance)
                latents = self.scheduler.step(prediction.float(), timestep, latents).prev_sample
                if on_step:
                    on_step(index + 1)
            generated = decode(self.vae, latents.to(dtype)).float()
        made = match_surround(to_images(frames), generated.cpu(), torch.from_numpy(mask)[:, None])
        return compose(frames, to_frames(made), mask)


def _guided(
    denoiser: Denoiser, latents: Tensor, timestep: Tensor, conditions: Conditions, guidance: dict[str, float]
) -> Tensor:
    """The prediction with every condition on, moved along each condition's own difference.

    Conditions are counted in the order identity, audio: p + sum over k of (g_k - 1) (p_k - p_(k-1)), where p_k knows
    the first k of them (as InstructPix2Pix scales two conditions). A scale of 1 costs no extra pass.
    """
    full = denoiser(latents, timestep, conditions)
    result = full
    if conditions.audio_tokens is not None and guidance["audio"] != 1:
        silent = replace(conditions, audio_tokens=torch.zeros_like(conditions.audio_tokens), keep_audio=_off(latents))
        result = result + (guidance["audio"] - 1) * (full - denoiser(latents, timestep, silent))
    if conditions.identity is not None and denoiser.identity_projection is not None and guidance["identity"] != 1:
        known = replace(conditions, keep_audio=_off(latents)) if conditions.audio_tokens is not None else conditions
        anyone = replace(known, identity=None)
        difference = denoiser(latents, timestep, known) - denoiser(latents, timestep, anyone)
        result = result + (guidance["identity"] - 1) * difference
    return result


def _counting(callback: Callable[[int, int], None] | None, done: int, total: int) -> Callable[[int], None] | None:
    return None if callback is None else (lambda step: callback(done + step, total))


def _off(latents: Tensor) -> Tensor:
    return latents.new_zeros(latents.shape[0])


def compose(frames: NDArray[np.uint8], generated: NDArray[np.uint8], mask: NDArray[np.floating]) -> NDArray[np.uint8]:
    """`generated` inside the mask [1 or F,S,S], `frames` outside: exactly, wherever the mask is 0. uint8 [F,S,S,3]."""
    weight = np.asarray(mask, dtype=np.float32)[..., None]
    mixed = frames * (1 - weight) + generated * weight
    return np.where(weight > 0, np.rint(mixed), frames).astype(np.uint8)


def match_surround(images: Tensor, generated: Tensor, mask: Tensor) -> Tensor:
    """Carry the colour error seen outside the mask smoothly into it, so that no rim shows.

    Autoencoder and denoiser get broad colours slightly wrong. Outside the mask the truth is known; the difference there
    is continued inside by push-pull interpolation (a membrane with that border, as in gradient-domain cloning). It
    varies slowly, so what was generated keeps its shapes.

    Args:
        images, generated: [F,3,S,S] in [-1,1].
        mask: [1 or F,1,S,S], 1 where generated.
    Returns:
        `generated` corrected, [F,3,S,S]; unchanged where the mask covers everything.
    """
    known = (mask <= 0).float().expand(len(images), -1, -1, -1)
    values, weights = [(images - generated) * known], [known]
    while min(values[-1].shape[-2:]) > 1:
        weight = F.avg_pool2d(weights[-1], 2)
        values.append(F.avg_pool2d(values[-1], 2))  # weighted sums: divided by their weight on the way back
        weights.append(weight)
    filled = values[-1] / weights[-1].clamp(min=1e-6)
    for value, weight in zip(values[-2::-1], weights[-2::-1], strict=True):
        coarse = F.interpolate(filled, size=value.shape[-2:], mode="bilinear", align_corners=False)
        share = weight.clamp(max=1)
        filled = value + (1 - share) * coarse
    return generated + filled


def build_pipeline(
    profile: str = "studio",
    vae: AutoencoderKL | None = None,
    crop_size: int | None = None,
    identity_dim: int = 512,
    identity_tokens: int = 4,
    audio_dim: int = 192,
    audio_tokens: int = 10,
    audio_context: int = 2,
    unet: dict[str, Any] | None = None,
    scheduler: dict[str, Any] | None = None,
) -> DubPipeline:
    """An untrained pipeline of a profile ("studio" or "sd15").

    Args:
        vae: a trained autoencoder; None builds an untrained one.
        audio_dim, audio_tokens: D and N of the speech features [N,D] of one frame.
        audio_context: the frames on each side that they were cut from.
        unet, scheduler: settings that replace the profile's.
    """
    network = build_denoiser(profile, **(unet or {}))
    width, pooled_dim = network.config.cross_attention_dim, network.config.projection_class_embeddings_input_dim
    if pooled_dim is None and audio_dim != width:
        raise ValueError(f"speech features of width {audio_dim} do not fit cross-attention of width {width}")
    pipeline = DubPipeline(
        vae=vae or build_autoencoder(profile),
        unet=network,
        scheduler=build_scheduler(profile, **(scheduler or {})),
        mask_encoder=MaskEncoder(out_channels=network.config.block_out_channels[0]),
        identity_projection=IdentityProjection(identity_dim, width, identity_tokens),
        audio_projection=AudioProjection(audio_dim, width, audio_tokens, pooled_dim) if pooled_dim else None,
        crop_size=crop_size or {"studio": 128, "sd15": 256}[profile],
        audio_context=audio_context,
    )
    for module in pipeline.components.values():
        if isinstance(module, torch.nn.Module):
            module.eval()  # as from_pretrained leaves them
    return pipeline


def load_pipeline(folder: str | Path, device: str = "cpu", dtype: torch.dtype = torch.float32) -> DubPipeline:
    """A saved pipeline, ready for inference on `device`.

    Raises:
        FileNotFoundError: the folder holds no pipeline.
    """
    if not (Path(folder) / "model_index.json").is_file():
        raise FileNotFoundError(f"{folder} holds no pipeline: model_index.json is missing")
    shown = is_progress_bar_enabled()
    disable_progress_bar()  # loading takes half a second
    try:
        pipeline = DubPipeline.from_pretrained(str(folder), torch_dtype=dtype, local_files_only=True)
    finally:
        if shown:
            enable_progress_bar()
    return pipeline.to(device)
