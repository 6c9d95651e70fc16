"""The sections of the configuration (tasks/config.py): every number that shapes a result, with its unit and bounds."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from tasks.caption_template import DEFAULT_TEMPLATE, check_template

Share = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Scale = Annotated[float, Field(ge=0)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Faces(Section):
    pack: str = Field(default="studio", description="insightface pack: NAME, DIR or FILE.onnx (a lone SCRFD detector)")
    det_size: Count | None = Field(
        default=None, description="side of the square the detector sees; pixels; null: fitted"
    )
    det_thresh: Share = Field(default=0.5, description="least detector score of a face")
    max_faces: Count = Field(default=8, description="largest faces kept in a frame")


class Shots(Section):
    adaptive_threshold: float = Field(
        default=3.0, gt=0, description="change of a frame over that of its neighbours; ratio"
    )
    min_content: float = Field(default=8.0, ge=0, description="least HSV change of a cut, 0..255")
    window_frames: Count = Field(default=2, description="neighbours on each side that a frame is compared with; frames")
    min_jump: float = Field(
        default=1.5, description="how far a change stands out from its neighbours' at a jump cut; sum of log ratios"
    )
    jump_window_s: Seconds = Field(default=0.2, description="neighbours on each side that it is compared with; seconds")
    flash_s: Seconds = Field(default=0.24, description="what is gone again after this is no cut; seconds")
    min_shot_s: Seconds = Field(default=0.3, description="shortest shot; seconds")
    width: Count = Field(default=256, description="longer side of the frames that are compared; pixels")


class Tracks(Section):
    detect_every: Count = Field(
        default=1, description="faces are looked for in every n-th frame, filled in between; frames"
    )
    min_iou: Share = Field(default=0.3, description="least overlap of a face with its track in the next frame")
    max_gap_s: Seconds = Field(default=0.4, description="a face missing no longer than this is filled in; seconds")
    max_away_s: Seconds = Field(
        default=3.0, description="a face back in its place after no longer than this is the same person; seconds"
    )
    min_s: Seconds = Field(default=0.2, description="shorter tracks are dropped; seconds")
    smooth_s: Seconds = Field(default=0.06, description="width (sigma) of the smoothing of crop positions; seconds")
    same_person: float = Field(
        default=0.35, ge=-1, le=1, description="identity cosine from which two tracks are one person"
    )


class Preprocess(Section):
    crop_size: Count = Field(default=128, description="side of the aligned crops; pixels")
    jpeg_quality: Annotated[int, Field(ge=1, le=100)] = Field(default=95, description="JPEG quality of the crops")
    min_clip_s: Seconds = Field(default=0.6, description="shorter clips are rejected; seconds")
    max_clip_s: float = Field(
        default=10.0, gt=0, description="longer tracks are cut into clips of at most this; seconds"
    )
    max_source_s: float = Field(default=14400.0, gt=0, description="longer videos are rejected; seconds")
    max_pixels: Count = Field(default=36_000_000, description="larger pictures are rejected unread; pixels")
    min_fps: float = Field(default=1.0, ge=0, description="least average frame rate; 1/s")
    max_fps: float = Field(default=300.0, gt=0, description="greatest average frame rate; 1/s")
    min_face_px: float = Field(default=36.0, ge=0, description="least median height of the face box; pixels")
    min_face_ratio: Share = Field(default=0.9, description="least share of a clip's frames in which a face was found")
    min_blur: float = Field(
        default=8.0, ge=0, description="least variance of the crop's Laplacian; grey levels squared"
    )
    min_exposure: Share = Field(default=0.08, description="least mean luma of the face")
    max_exposure: Share = Field(default=0.95, description="greatest mean luma of the face")
    min_face_inside: Share = Field(default=0.85, description="least share of the face within the picture")
    max_occlusion: Share = Field(default=0.75, description="greatest share of the lower face that is covered")
    max_yaw_deg: Annotated[float, Field(ge=0, le=180)] = Field(default=60.0, description="greatest mean |yaw|; degrees")
    min_sync_confidence: float = Field(
        default=0.0, description="least sync confidence; distance units; 0 measures only"
    )
    min_speaking_share: Share = Field(
        default=0.3, description="least share of the frames with speech in which this face speaks"
    )
    max_sync_offset: Annotated[int, Field(ge=0)] = Field(
        default=15, description="greatest |offset| of sound looked for, and corrected; frames of 1/25 s"
    )
    max_sync_residual: Annotated[int, Field(ge=0)] = Field(
        default=1, description="greatest |offset| left after the correction; frames of 1/25 s"
    )
    drop_duplicates: bool = Field(default=True, description="of near-identical clips one is kept")
    shard_mb: float = Field(default=64.0, gt=0, description="target size of a shard; MiB")
    splits: tuple[Share, Share, Share] = Field(
        default=(0.8, 0.1, 0.1), description="train, val, test shares, by speaker"
    )


class Audio(Section):
    rate: Literal[16000] = Field(default=16000, description="sample rate of the speech features; Hz")
    speech: str = Field(default="studio", description="'studio', a folder, or a whisper checkpoint")
    sync: str = Field(default="studio", description="sync expert: 'studio', 'none' or a folder")
    text: str = Field(default="studio", description="text encoder: 'studio', 'none' or a folder")
    emotion: str = Field(default="studio", description="emotion recognisers: 'studio', 'none' or a folder")
    transcriber: str = Field(
        default="none", description="what writes down speech: 'none', a whisper checkpoint (FILE.pt) or its name"
    )
    context: Annotated[int, Field(ge=0)] = Field(
        default=2, description="video frames of sound heard on each side of a frame"
    )


class Captions(Section):
    template: str = Field(default=DEFAULT_TEMPLATE, description="how a caption is put; gaps: tasks/caption_template.py")
    model: str = Field(default="none", description="vision-language model: 'none' or a folder")
    prompt: str = Field(
        default="Describe in one short sentence the emotion on this person's face and how strong it is.",
        description="what the vision-language model is asked",
    )
    max_tokens: Count = Field(default=40, description="longest answer of that model; tokens")
    min_score: Share = Field(
        default=0.5, description="least probability of the emotion that the text encoder reads in its answer"
    )

    @field_validator("template")
    @classmethod
    def _gaps(cls, template: str) -> str:
        return check_template(template)


class People(Section):
    same_speaker: float = Field(
        default=0.6, ge=-1, le=1, description="mean identity cosine from which clips without a label are one speaker"
    )


class Model(Section):
    """Shapes of the diffusion model. Widths are channels."""

    name: str = Field(default="studio", description="name of the model line in the registry")
    size: Count = Field(default=128, description="side of the generated crops; pixels")
    latent_channels: Count = 4
    vae_channels: tuple[Count, ...] = Field(default=(16, 32, 64, 96), description="widths of the autoencoder's levels")
    unet_channels: tuple[Count, ...] = Field(default=(64, 128, 160), description="widths of the denoiser's levels")
    layers_per_block: Count = 1
    attention_head_dim: Count = 4
    cross_attention_dim: Count = Field(default=192, description="width of the condition tokens")
    identity_tokens: Count = 4
    control_share: Share = Field(default=0.5, gt=0, description="widths of the emotion ControlNet over the U-Net's")
    pretrained: str | None = Field(default=None, description="folder or repository with weights to start from")


class Render(Section):
    steps: Count | None = Field(
        default=2, description="denoising steps; null: those that the model's base was published with"
    )
    guidance_audio: Scale | None = Field(
        default=1.0, description="scale of the sound; other than 1 costs a pass more; null: that of the model's base"
    )
    guidance_identity: float = Field(default=1.0, ge=0)
    guidance_emotion: tuple[Scale, Scale, Scale, Scale] = Field(
        default=(2.5, 1.0, 2.5, 4.0),
        description="of the emotion text, if any: at neutral and at intensities 1, 2, 3; one number for all",
    )
    window_frames: Count = Field(default=16, description="frames rendered together")
    overlap_frames: Annotated[int, Field(ge=0)] = Field(
        default=2, description="frames shared and blended by two windows"
    )
    stretch_windows: Count = Field(default=7, description="windows of a stretch: what is kept when a dub is stopped")
    feather: Share = Field(default=0.08, description="width of the soft edge of the pasted region; crop sides")
    colour_match: Share = Field(default=1.0, description="how far the pasted region takes the surround's colour")
    detail: Share = Field(
        default=1.0, description="how much of the footage's fine detail stays where the generated face agrees with it"
    )
    grain: Share = Field(default=1.0, description="how much of the footage's grain the generated face is given")
    keep_occluders: bool = Field(
        default=True, description="leave alone what stands before the face: hands, microphones, hair"
    )
    crf: Annotated[float, Field(ge=0, le=51)] = Field(default=16, description="constant rate factor of x264, x265")
    when_longer: Literal["cut", "hold"] = Field(
        default="cut", description="where the track is longer than the film: cut it there, or hold the last frame"
    )
    references: Count = Field(default=6, description="pictures of a person kept, one for each head pose")
    min_face_px: float = Field(default=24.0, ge=0, description="smaller faces are left as they are; pixels")
    max_yaw_deg: Annotated[float, Field(ge=0, le=180)] = Field(
        default=75.0, description="faces turned further stay; degrees"
    )
    min_motion: Share = Field(
        default=0.2, description="least mouth motion of a speaker over that of the liveliest face"
    )
    max_portrait_px: Count = Field(default=1280, description="longer side of an animated portrait; pixels")
    fps: float = Field(default=25.0, gt=0, description="frame rate of an animated portrait; 1/s")
    interpolate: bool = Field(default=False, description="fill every second frame in where motion allows")
    interpolator: str = Field(default="studio", description="frame interpolator: 'studio' or a folder")
    interpolate_max_change: float = Field(
        default=2.0, ge=0, description="greatest change of the surroundings against both neighbours; levels of 255"
    )
    interpolate_max_sound: Share = Field(
        default=0.4, description="greatest change of an articulator that is heard, against both neighbours; 0..1"
    )
    seed: int = 0

    @field_validator("guidance_emotion", mode="before")
    @classmethod
    def _for_all(cls, value: Any) -> Any:
        return (value,) * 4 if isinstance(value, int | float) else value


class Gate(Section):
    """What a finished dub has to keep to; null: not judged. None of it shapes a picture."""

    keep_back: bool = Field(
        default=True, description="what misses a threshold goes to review; false: its row says so, no more"
    )
    min_sync: float | None = Field(
        default=2.0, description="least sync confidence of the output with the dub track; distance units"
    )
    min_sync_gain: float | None = Field(
        default=0.3, description="least gain of it over the input's, where that fitted less than min_sync"
    )
    max_sync_offset: Scale | None = Field(
        default=2, description="most that lips may be early or late; frames of 1/25 s"
    )
    min_identity: float | None = Field(
        default=0.78, ge=-1, le=1, description="least cosine of the face before and after"
    )
    max_flicker: Scale | None = Field(
        default=1.4, description="most that the face beside the mouth changes from frame to frame; ratio to the input's"
    )
    max_seam: Scale | None = Field(
        default=1.1, description="most change across the edge of the pasted face; ratio to the input's energy there"
    )
    min_outside_psnr_db: Scale | None = Field(default=40.0, description="least PSNR outside the changed box; dB")


class Train(Section):
    batch_size: Count = Field(default=16, description="samples per step of one worker")
    learning_rate: float = Field(default=1e-4, gt=0)
    warmup_steps: Annotated[int, Field(ge=0)] = 50
    weight_decay: float = Field(default=0.01, ge=0)
    max_grad_norm: float = Field(default=1.0, gt=0)
    ema_decay: Share = 0.999
    min_snr_gamma: float = Field(default=5.0, gt=0, description="min-SNR weighting (Hang et al. 2023)")
    lip_weight: float = Field(default=4.0, ge=0, description="extra weight of the lips in the loss")
    drop_condition: Share = Field(default=0.08, description="chance of leaving out each condition, each on its own")
    drop_emotion: Share = Field(default=0.15, description="chance of leaving out the emotion text")
    drop_action_units: Share = Field(
        default=0.7, description="chance of leaving out the action units, which tell all of the expression"
    )
    whole_face: Share = Field(default=0.4, description="share of samples that repaint the whole face")
    exchange: Share = Field(default=0.2, description="share of those whose surroundings are another person's")
    eye_weight: float = Field(default=2.0, ge=0, description="extra weight of brows and eyes, where they are repainted")
    emotion_weight: float = Field(
        default=0.0, ge=0, description="weight of the emotion-consistency loss on decoded frames"
    )
    parts: tuple[str, ...] = Field(
        default=(), description="branches to add where missing: emotion, identity, action_units, fusion, mask, temporal"
    )
    space: str = Field(
        default="", description="folder or registered model of stage align, for the part emotion; empty: untrained"
    )
    lora_rank: Annotated[int, Field(ge=0)] = Field(
        default=16, description="stage adapt: rank of the adapters in the base's attention; 0: the base is frozen"
    )
    lora_alpha: Count = Field(default=16, description="scale of the adapters, times their rank")
    lora_targets: tuple[str, ...] = Field(
        default=("to_q", "to_k", "to_v", "to_out.0"), description="layers of its U-Net that get an adapter"
    )
    lora_rate: float = Field(default=10.0, gt=0, description="their learning rate over that of the branches")
    recompute: bool = Field(
        default=False, description="compute activations anew in the backward pass: less memory, more time"
    )
    steps: Count = Field(default=2000, description="optimiser steps of a full run")
    short_steps: Count = Field(default=40, description="steps of the demo's short retrain from the champion")
    checkpoint_every: Count = Field(default=200, description="steps between checkpoints")
    samples_every: Annotated[int, Field(ge=0)] = Field(
        default=200, description="steps between pictures of what the model renders; 0: none"
    )
    max_loss_ratio: Annotated[float, Field(ge=0)] = Field(
        default=4.0,
        description="running mean of the loss over its best, above which a run is given up; 0: never",
    )
    loss_window: Count = Field(default=50, description="steps of that running mean")
    workers: Annotated[int, Field(ge=0)] = Field(default=1, description="Ray Train workers; 0 trains in this process")
    parallel: Literal["ddp", "fsdp"] = Field(
        default="ddp", description="several workers: a copy of the model in each, or its shards (FSDP2)"
    )
    device: str = Field(default="auto", description="cpu, cuda or auto")
    precision: Literal["fp32", "bf16"] = "bf16"
    seed: int = 0


class Evaluate(Section):
    clips: Count = Field(default=8, description="held-out clips rendered")
    emotion_clips: Count = Field(default=2, description="of these in all emotions; each costs thirty renderings")
    seconds: float = Field(default=2.0, gt=0, description="length rendered of each clip; seconds")
    steps: Count | None = Field(default=2, description="denoising steps; null: as for render.steps")
    seeds: tuple[int, ...] = (0,)
    split: Literal["train", "val", "test"] = "val"
