"""Whether each condition does its own work: one is exchanged, everything else (noise too) stays as it was."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from models.emotion import EMOTIONS
from models.pipeline import DubPipeline
from tasks.captions import sentence
from tasks.config import Config
from tasks.evaluate_measures import (
    Frames,
    Samples,
    change_within,
    correlation,
    mean_change,
    mean_cosine,
    speaking_region,
)
from tasks.evaluate_meter import Meter
from tasks.evaluate_render import has_emotion_branch, other_sound, render_clip, shown
from tasks.training.data import TrainingClip

FRAMES = 24
"""Rendered of each clip for each exchange: enough for the sync expert and for a vote of the judge."""


def shuffled_sound(
    pipeline: DubPipeline, clips: Sequence[TrainingClip], features: Sequence[torch.Tensor], number: int,
    config: Config, seed: int, meter: Meter, samples: Samples,
) -> None:  # fmt: skip
    """Render clip `number` with the next clip's sound: it must not give the clip's own lips. By both protocols."""
    clip, other = clips[number], features[(number + 1) % len(clips)]
    for suffix, from_middle in (("", True), ("_start", False)):
        wrong = render_clip(pipeline, clip, other_sound(other, features[number], from_middle), config, seed)
        if "landmarks" in meter.faces.gives:
            found = correlation(meter.openings(wrong), clip.mouth_opening[: len(wrong)])
            samples.add(**{f"mouth_correlation_shuffled{suffix}": found})
        if from_middle and (result := meter.lips(clip, wrong)) is not None:
            samples.add(lse_c_shuffled=result.confidence)


def exchanges(
    pipeline: DubPipeline, clips: Sequence[TrainingClip], features: Sequence[torch.Tensor], number: int,
    config: Config, seed: int, meter: Meter, samples: Samples,
) -> None:  # fmt: skip
    """Exchange the sound, the person and (where the model has the branch) the emotion of clip `number`."""
    clip, other = clips[number], clips[(number + 1) % len(clips)]
    frames = min(FRAMES, len(shown(clip, config)))
    plain = render_clip(pipeline, clip, features[number], config, seed, frames=frames)
    region = speaking_region(clip.landmarks[:frames], plain.shape[1])
    if other is not clip:
        sound = other_sound(features[(number + 1) % len(clips)], features[number], from_middle=True)
        heard = render_clip(pipeline, clip, sound, config, seed, frames=frames)
        samples.add(
            control_audio_change=mean_change(plain, heard), control_audio_lips=change_within(plain, heard, region)
        )
    if other.speaker != clip.speaker:
        whole = bool(pipeline.config.whole_face)
        swapped = render_clip(
            pipeline, clip, features[number], config, seed, frames=frames, person=other, whole_face=whole
        )
        samples.add(control_identity_change=mean_change(plain, swapped))
        if "embedding" in meter.faces.gives:
            samples.add(**_recognised(meter, swapped, clip, other, clips))
    if has_emotion_branch(pipeline) and meter.judge is not None and number < config.evaluate.emotion_clips:
        _emotions(pipeline, clip, features[number], config, seed, meter, samples, frames)
        if pipeline.config.whole_face:
            _lower_emotions(pipeline, clip, features[number], config, seed, meter, samples, frames)


def asked_emotion(
    pipeline: DubPipeline, clip: TrainingClip, features: torch.Tensor, turn: int, config: Config, seed: int,
    meter: Meter, samples: Samples,
) -> None:  # fmt: skip
    """Ask for one emotion at intensity 3, the own sound kept; which one goes by `turn`, through all but neutral.

    One rendering, where `exchanges` takes thirty: the probability that the judge gives it says as much of two models
    that are compared, because both are asked for the same of the same clips.
    """
    if meter.judge is None or not has_emotion_branch(pipeline):
        return
    emotion, frames = EMOTIONS[1 + turn % (len(EMOTIONS) - 1)], min(FRAMES, len(shown(clip, config)))
    whole = bool(pipeline.config.whole_face)
    rendered = render_clip(
        pipeline, clip, features, config, seed, frames=frames, emotion=sentence(emotion, 3), whole_face=whole
    )
    samples.add(emotion_shown=meter.probability(rendered, emotion))


def _recognised(
    meter: Meter, swapped: Frames, clip: TrainingClip, other: TrainingClip, clips: Sequence[TrainingClip]
) -> dict[str, float | None]:
    """Who `swapped` is taken for: `clip` with the face of `other`."""
    ours, known = meter.identity(swapped), {who.speaker: meter.person(who) for who in reversed(clips)}
    known |= {who.speaker: meter.person(who) for who in (clip, other)}
    near = {speaker: mean_cosine(ours, [seen]) for speaker, seen in known.items() if seen is not None}
    scores = {speaker: cosine for speaker, cosine in near.items() if cosine is not None}
    return {
        "control_identity_new": scores.get(other.speaker),
        "control_identity_old": scores.get(clip.speaker),
        "control_identity_right": float(max(scores, key=scores.__getitem__) == other.speaker) if scores else None,
    }


def _emotions(
    pipeline: DubPipeline, clip: TrainingClip, features: torch.Tensor, config: Config, seed: int, meter: Meter,
    samples: Samples, frames: int,
) -> None:  # fmt: skip
    """Ask for every emotion at every intensity, with the clip's own sound; of the whole face, if the model can."""

    def made(emotion: str, level: int) -> Frames:
        text, whole = sentence(emotion, level), bool(pipeline.config.whole_face)
        return render_clip(pipeline, clip, features, config, seed, frames=frames, emotion=text, whole_face=whole)

    calm = made("neutral", 0)
    region = speaking_region(clip.landmarks[:frames], calm.shape[1])
    own = meter.lips(clip, calm)
    samples.add(**_read(meter, calm, "neutral"))
    for emotion in EMOTIONS[1:]:
        levels = [made(emotion, level) for level in (1, 2, 3)]
        full = levels[-1]
        samples.add(
            control_emotion_change=mean_change(calm, full),
            control_emotion_lips=change_within(calm, full, region),
            **_read(meter, full, emotion),
        )
        shows = [meter.strength(rendered, emotion) for rendered in levels]
        samples.add(emotion_order=float(shows[0] < shows[1] < shows[2]))
        if own is not None and (lips := meter.lips(clip, full)) is not None:
            samples.add(lse_c_emotion=lips.confidence, lse_c_calm=own.confidence)


def _lower_emotions(
    pipeline: DubPipeline, clip: TrainingClip, features: torch.Tensor, config: Config, seed: int, meter: Meter,
    samples: Samples, frames: int,
) -> None:  # fmt: skip
    """The same at intensity 3 as a dub does it: brows and eyes stay the clip's own."""
    for emotion in EMOTIONS:
        text = sentence(emotion, 0 if emotion == "neutral" else 3)
        rendered = render_clip(pipeline, clip, features, config, seed, frames=frames, emotion=text)
        samples.add(emotion_accuracy_lower=float(meter.feels(rendered) == emotion))


def _read(meter: Meter, rendered: Frames, emotion: str) -> dict[str, float]:
    right = float(meter.feels(rendered) == emotion)
    return {"emotion_accuracy": right, f"emotion_accuracy_{emotion}": right}
