"""The pipeline: crops of a face and the speech features of each frame in, the same crops speaking out."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, DiffusionPipeline, MotionAdapter, UNet2DConditionModel
from numpy.typing import NDArray
from torch import Tensor

from models.action_units import ActionUnitEncoder
from models.autoencoder import channels_last, decode, encode, to_frames, to_images
from models.blending import compose, match_surround
from models.conditions import AudioProjection, IdentityProjection, MaskEncoder
from models.conventions import Conventions, masked
from models.denoiser import Denoiser, visual_channels
from models.emotion import FaceEmotion
from models.emotion_control import EmotionControl, EmotionSpace
from models.fusion import LevelFusion
from models.person import person_features
from models.sampling import Guidance, denoise, fast_dtype, of_part
from models.saving import forget_origin
from models.shot import Shot, Values, checked, distinct, of_windows, rows
from models.steering import Conditions
from models.temporal import context_windows
from models.text import TextEncoder, load_text

log = logging.getLogger(__name__)


class DubPipeline(DiffusionPipeline):
    """Repaints the masked region of aligned face crops so that the lips follow the speech and the face an emotion.

    Saved and loaded with `save_pretrained` / `from_pretrained` (safetensors). `vae`, `unet` and `scheduler` are
    needed; the rest may be None.

    Args:
        unet_2, unet_3: U-Nets for the later timesteps, see `boundaries`.
        emotion_space, emotion_control: the emotion branch, both or none.
        face_emotion: what the emotion space sees of the reference beside the identity; None: the identity alone.
        text_encoder, tokenizer: a transformers CLIP text model for emotion texts; None: the studio pack's.
        crop_size: side S of the crops it was trained on, pixels.
        audio_context: video frames (of 1/25 s) of sound on each side of a frame in its audio tokens.
        boundaries: timesteps in falling order at which the next U-Net takes over (`models.routing`).
        whole_face: it was trained to repaint a whole face too, not only the lower part.
        window, window_overlap: frames that the U-Net sees together, and frames shared by neighbours.
        base: the fields of `models.conventions.Conventions` in which the U-Net differs from our own.
    Attributes:
        compute_dtype: what float32 weights compute in; None takes `fast_dtype` of the device. With float32 the
            result does not depend on the processor.
    """

    compute_dtype: torch.dtype | None = None

    model_cpu_offload_seq = (
        "text_encoder->face_emotion->emotion_space->emotion_control->audio_projection->identity_projection->action_unit_encoder"
        "->level_fusion->mask_encoder->motion_adapter->unet->unet_2->unet_3->vae"
    )
    _optional_components: ClassVar[list[str]] = [
        "mask_encoder",
        "identity_projection",
        "audio_projection",
        "speech_encoder",
        "emotion_space",
        "emotion_control",
        "face_emotion",
        "action_unit_encoder",
        "level_fusion",
        "motion_adapter",
        "unet_2",
        "unet_3",
        "text_encoder",
        "tokenizer",
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
        emotion_space: EmotionSpace | None = None,
        emotion_control: EmotionControl | None = None,
        face_emotion: FaceEmotion | None = None,
        action_unit_encoder: ActionUnitEncoder | None = None,
        level_fusion: LevelFusion | None = None,
        motion_adapter: MotionAdapter | None = None,
        unet_2: UNet2DConditionModel | None = None,
        unet_3: UNet2DConditionModel | None = None,
        text_encoder: Any | None = None,
        tokenizer: Any | None = None,
        crop_size: int = 128,
        audio_context: int = 2,
        boundaries: list[int] | None = None,
        window: int = 16,
        window_overlap: int = 4,
        whole_face: bool = False,
        base: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.register_modules(
            vae=channels_last(vae), unet=unet, scheduler=scheduler, mask_encoder=mask_encoder,
            identity_projection=identity_projection, audio_projection=audio_projection, speech_encoder=speech_encoder,
            emotion_space=emotion_space, emotion_control=emotion_control, face_emotion=face_emotion,
            action_unit_encoder=action_unit_encoder, level_fusion=level_fusion, motion_adapter=motion_adapter,
            unet_2=unet_2, unet_3=unet_3, text_encoder=text_encoder, tokenizer=tokenizer,
        )  # fmt: skip
        self.register_to_config(
            crop_size=crop_size, audio_context=audio_context, boundaries=list(boundaries or ()), window=window,
            window_overlap=window_overlap, whole_face=whole_face, base=dict(base or {}),
        )  # fmt: skip
        self._text: TextEncoder | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments of the constructor that are no components: `DubPipeline(**p.components, **p.settings)`."""
        names = ("crop_size", "audio_context", "boundaries", "window", "window_overlap", "whole_face", "base")
        return {name: self.config[name] for name in names}

    @property
    def base(self) -> Conventions:
        """How the U-Net wants to be called."""
        return Conventions(**self.config.base)

    @property
    def denoiser(self) -> Denoiser:
        """The U-Nets with their conditions as one module; it shares the pipeline's weights."""
        return Denoiser(
            self.unet, self.mask_encoder, self.identity_projection, self.audio_projection, self.emotion_space,
            self.emotion_control, self.action_unit_encoder, self.level_fusion, self.motion_adapter,
            [unet for unet in (self.unet_2, self.unet_3) if unet is not None], self.config.boundaries,
            self.base,
        )  # fmt: skip

    def save_pretrained(self, save_directory: str | os.PathLike[str], **options: Any) -> None:
        """As diffusers' own, without the folders of this machine that it notes in the configurations."""
        super().save_pretrained(save_directory, **options)
        forget_origin(save_directory)

    def encode_emotion(self, emotion: str | Values) -> Tensor:
        """An emotion text (or its pooled embedding [Dt] or [F,Dt]) to unit vectors float32 [1 or F,Dt].

        Raises:
            ValueError: the text encoder at hand, or the embedding, is not of the width that the model was trained with.
        """
        if isinstance(emotion, str):
            emotion = self._reader().encode([emotion])[1]
        embeddings = rows(emotion)
        if self.emotion_space is not None and embeddings.shape[-1] != self.emotion_space.config.text_dim:
            raise ValueError(
                f"emotion embeddings of width {embeddings.shape[-1]} where the model wants "
                f"{self.emotion_space.config.text_dim}: give the pipeline the text_encoder it was trained with"
            )
        return torch.nn.functional.normalize(embeddings, dim=-1)

    def _reader(self) -> TextEncoder:
        if self._text is None:
            own = self.text_encoder is not None and self.tokenizer is not None
            self._text = TextEncoder(self.tokenizer, self.text_encoder) if own else load_text("studio")
        return self._text

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
        audio_tokens: Values | None = None,
        identity: Values | None = None,
        emotion: str | Values | None = None,
        num_inference_steps: int | None = None,
        guidance_audio: float | None = None,
        guidance_identity: float = 1.0,
        guidance_emotion: float | Sequence[float] = 1.0,
        generator: torch.Generator | None = None,
        initial_noise: Tensor | None = None,
        batch_size: int = 16,
        callback: Callable[[int, int], None] | None = None,
        action_units: Values | None = None,
        emotion_image: Values | None = None,
        guidance_action_units: float = 1.0,
        frames_per_window: int | None = None,
    ) -> NDArray[np.uint8]:
        """Render a window of frames, or several at once.

        Args:
            frames: uint8 [F,S,S,3] aligned crops; S is `config.crop_size`.
            mask: float [S,S] or [F,S,S], 1 where to generate. Outside it the crops come back untouched.
            reference: uint8 [S,S,3] or [F,S,S,3]: the person, mouth visible.
            audio_tokens: float [F,N,D] of `models.speech.frame_tokens`; None generates without sound.
            identity: float [E] (or [F,E]) unit face embedding, or None.
            emotion: what to feel: a text ("barely holding back tears"), or the pooled embedding of one, float [Dt] or
                [F,Dt]. A model without an emotion branch logs it and does not follow it.
            num_inference_steps: DDIM steps; None takes `base.steps`. A direct base renders in one evaluation.
            guidance_audio, guidance_identity, guidance_emotion, guidance_action_units: scale of each condition; 1
                takes it as it is, above 1 follows it more (one or two more passes through the U-Net for each that is
                not 1; see `models.sampling.Guidance`). None for the sound takes `base.guidance_audio`. That of the
                emotion can be four numbers: at neutral and at the intensities 1, 2 and 3, between which the scale
                follows what the text asks for.
            generator: source of the noise where `initial_noise` is not given.
            initial_noise: [4,h,w], shared by all frames (see `sample_noise`), or one for each window [B,4,h,w].
            batch_size: frames in the U-Net at a time; bounds memory, does not change the result. A denoiser that
                `sees_windows` gets `config.window` frames at a time instead.
            callback: called as callback(done, total) after each step.
            action_units: float [F,20] (or [20]) in the order of `models.action_units.AUS`, 0..1; None leaves them to
                the other conditions.
            emotion_image: float [Di] (or [F,Di]) image features of the person for the emotion's joint embedding; None
                takes them from `identity` and, where the model has `face_emotion`, from `reference`.
            frames_per_window: the frames are windows of so many, one after the other, which have nothing to do with
                each other; they go through the U-Net together. None: all frames are one run.
        Returns:
            uint8 [F,S,S,3].
        Raises:
            ValueError: shapes that do not fit together.
        """
        shot = checked(frames, mask, reference, self.config.crop_size)
        given = {"audio_tokens": audio_tokens, "identity": identity, "action_units": action_units}
        follow: float | Tensor = 1.0
        if emotion is not None and (self.emotion_space is None or self.emotion_control is None):
            log.info("this model has no emotion branch: the face keeps its own expression, not %r", emotion)
        elif emotion is not None:
            person = emotion_image
            if person is None:
                width = self.emotion_space.config.image_dim
                person = person_features(shot.reference, identity, width, self.face_emotion)
            felt = self.encode_emotion(emotion)
            given |= {"emotion": felt, "emotion_image": person}
            follow = self._reader().scales_at(felt, guidance_emotion)
        shot.give(given)
        noise = self.sample_noise(generator) if initial_noise is None else initial_noise
        noise = of_windows(noise.reshape(-1, *self.latent_shape), len(shot.frames), frames_per_window)
        scales: dict[str, float | Tensor] = {
            "audio": self.base.guidance_audio if guidance_audio is None else guidance_audio,
            "identity": guidance_identity,
            "emotion": follow,
            "action_units": guidance_action_units,
        }
        count = len(shot.frames)
        chunk = max(count, 1) if self.denoiser.sees_windows or frames_per_window else batch_size
        steps = 1 if self.base.direct else num_inference_steps or self.base.steps
        total, out = -(-count // chunk) * steps, np.empty_like(shot.frames)
        references = self._references(shot.reference, batch_size)
        for start in range(0, count, chunk):
            part = slice(start, min(start + chunk, count))
            counting = _counting(callback, start // chunk * steps, total)
            out[part] = self._render(
                shot.part(part), references if len(references) == 1 else references[part],
                noise if len(noise) == 1 else noise[part], steps, of_part(scales, part, count), batch_size, counting,
                frames_per_window,
            )  # fmt: skip
        return out

    def _computing(self) -> torch.autocast:
        device, dtype = self._execution_device, self.unet.dtype
        compute = self.compute_dtype or fast_dtype(device)
        return torch.autocast(device.type, compute, enabled=dtype == torch.float32 and compute != dtype)

    def _references(self, reference: NDArray[np.uint8], batch_size: int) -> Tensor:
        """Latents [1 or F,4,h,w] of references uint8 [1 or F,S,S,3]; most repeat, so each picture is encoded once."""
        pictures, which = distinct(reference)
        with self._computing():
            return self._encode(to_images(pictures).to(self._execution_device, self.unet.dtype), batch_size)[which]

    def _conditions(
        self, shot: Shot, images: Tensor, references: Tensor, batch_size: int, window: int | None
    ) -> Conditions:
        """What the shot gives the denoiser; `images` are its frames, on the device, `references` latents."""
        count, where = len(images), torch.from_numpy(shot.mask).to(images)[:, None]
        masked_latents = self._encode(masked(images, where, self.base.masked_fill), batch_size)
        visual = visual_channels(where, masked_latents, references.expand_as(masked_latents))
        conditions = Conditions(visual, where, window=(window or count) if self.denoiser.sees_windows else None)
        for name, value in shot.values.items():
            setattr(conditions, name, value.to(images).expand(count, *value.shape[1:]))
        return conditions

    def _encode(self, images: Tensor, batch_size: int) -> Tensor:
        return torch.cat([encode(self.vae, part) for part in images.split(batch_size)])

    def _render(
        self,
        shot: Shot,
        references: Tensor,
        noise: Tensor,
        steps: int,
        scales: dict[str, float | Tensor],
        batch_size: int,
        on_step: Callable[[int], None] | None,
        window: int | None,
    ) -> NDArray[np.uint8]:
        device, dtype, count = self._execution_device, self.unet.dtype, len(shot.frames)
        images = to_images(shot.frames).to(device, dtype)
        windows = None
        if self.denoiser.sees_windows and window is None:
            windows = context_windows(count, self.config.window, self.config.window_overlap)
        with self._computing():
            guidance = Guidance(self.denoiser, self._conditions(shot, images, references, batch_size, window), scales)
            start = noise.to(device, torch.float32).expand(count, -1, -1, -1)
            latents = denoise(guidance, self.scheduler, start, steps, windows, dtype, on_step)
            parts = [decode(self.vae, part).float().cpu() for part in latents.to(dtype).split(batch_size)]
        made = match_surround(to_images(shot.frames), torch.cat(parts), torch.from_numpy(shot.mask)[:, None])
        return compose(shot.frames, to_frames(made), shot.mask)


def _counting(callback: Callable[[int, int], None] | None, done: int, total: int) -> Callable[[int], None] | None:
    return None if callback is None else (lambda step: callback(done + step, total))
