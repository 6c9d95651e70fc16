"""The metric table of a model on held-out clips.

Every number is printed with its protocol, because none of them means much without (field.md: FID is not comparable
across papers). A table is a plain dict: `metrics` (mean over clips and seeds), `spread` (their standard error),
`protocol`. The gate that compares two of them is in tasks/evaluate_gate.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from models.action_unit_reader import ActionUnitReader, load_action_units
from models.emotion import FaceEmotion, MissingEmotion
from models.faces import FaceAnalyzer
from models.hsemotion import HSEmotion, load_face_reader
from models.pipeline import DubPipeline, load_pipeline
from models.speech import encode_speech
from models.sync import SyncExpert
from models.syncnet import SyncNet
from storage.layout import Root
from tasks.config import Config
from tasks.evaluate_control import FRAMES, asked_emotion, exchanges, shuffled_sound
from tasks.evaluate_interpolation import PROTOCOL as INTERPOLATED
from tasks.evaluate_interpolation import interpolation
from tasks.evaluate_measures import Samples, correlation, flicker, frechet_distance, region_psnr
from tasks.evaluate_meter import Meter
from tasks.evaluate_render import has_emotion_branch, held_out, render_clip
from tasks.experts import NONE, load_experts, speech_of
from tasks.training.data import Rows, TrainingClip

__all__ = [
    "PROTOCOL",
    "correlation",
    "evaluate",
    "flicker",
    "frechet_distance",
    "region_psnr",
]

Progress = Callable[[int, int], None]

PROTOCOL = {
    "mouth_correlation": "Pearson correlation per clip of the inner lip opening in eye distances: measured by the face "
    "pack's landmarks on the rendered crops, against the clip's own; mean over clips",
    "mouth_correlation_shuffled": "the same with another clip's sound, from its middle on; should be near 0",
    "mouth_correlation_shuffled_start": "the same with another clip's sound from its start: clips that begin with the "
    "same breath of silence agree there by chance",
    "lse_c": "confidence of the configured sync expert (not SyncNet's own scale): median minus minimum distance",
    "lse_d": "minimum distance of the configured sync expert (not SyncNet's own scale)",
    "lse_c_real": "lse_c of the clips themselves",
    "lse_c_shuffled": "lse_c, against the clip's own sound, of renderings with another clip's sound",
    "identity": "cosine of the face pack's embedding of rendered frames to that of the clip's own frames",
    "fid": "Fréchet distance × 100 of the face pack's embeddings (not Inception's), rendered against real frames",
    "efid": "E-FID: Fréchet distance × 100 of the 20 action-unit intensities that the studio's reader sees (not of "
    "3DMM expression coefficients as in published tables), rendered against real frames",
    "psnr_region": "dB in the repainted region against the clip itself (same sound, so the truth is known)",
    "flicker": "mean |second difference in time| in the repainted region, rendered over real; 1 is as steady as real",
    "faces_found": "share of rendered frames in which the face pack finds a face",
    "emotion_kept": "share of renderings, no emotion asked for, in which the judge (trained on other people with "
    "another seed, no part of any training) reads the emotion that the clip is labelled with; 16 frames vote",
    "emotion_real": "the same of the clips themselves: what the judge can read at all",
    "emotion_shown": "probability that the judge gives to an emotion asked for at intensity 3, own sound, first "
    f"{FRAMES} frames; another one for each clip and seed, in turn; the whole face is repainted if the model was "
    "trained to",
    "emotion_accuracy": "share of renderings in which the judge reads the emotion that a caption asked for, own sound, "
    f"intensity 3, all eight on the same clips, first {FRAMES} frames; the whole face is repainted if the model was "
    "trained to; chance is 0.125; of the first evaluate.emotion_clips clips",
    "emotion_accuracy_lower": "the same where only the lower face is repainted, as in a dub: brows and eyes stay",
    "emotion_order": "share of the seven emotions whose renderings at intensity 1, 2, 3 the judge finds ever stronger",
    "lse_c_emotion": "lse_c of those renderings at intensity 3",
    "lse_c_calm": "lse_c of the same clips with neutral asked for",
    "control_audio_change": "mean |difference| in the repainted region when only the sound is exchanged; of 255",
    "control_audio_lips": "share of that difference that lies on lips, chin and jaw (hull of the outer lip and the "
    "contour below it over all frames, 5 % wider); the repainted region reaches from the nose to below the chin",
    "control_identity_change": "the same mean when only references and identity are exchanged (and the whole face is "
    "repainted, if the model was trained to)",
    "control_identity_new": "cosine to the new person then; what lies outside the repainted region stays the old "
    "person's",
    "control_identity_old": "cosine to the clip's own person then",
    "control_identity_right": "share of these renderings that are nearest to the new person, of all people evaluated",
    "control_emotion_change": "mean |difference| in the repainted region between neutral and intensity 3 asked for",
    "control_emotion_lips": "share of that difference that lies on lips, chin and jaw",
    "fps": "rendered frames a second on this machine, autoencoder included",
    **INTERPOLATED,
}
NO_BRANCH = "the model has no emotion branch"
_BY_EMOTION = ("emotion_shown", "emotion_accuracy", "emotion_order", "lse_c_emotion", "lse_c_calm",
               "control_emotion_change", "control_emotion_lips")  # fmt: skip


def evaluate(
    model: str | Path | DubPipeline,
    dataset: Rows,
    config: Config,
    on_progress: Progress | None = None,
    *,
    faces: FaceAnalyzer | None = None,
    sync: SyncExpert | SyncNet | None = None,
    shuffled: bool = True,
) -> dict[str, Any]:
    """Render held-out clips with their own sound and measure the result.

    Args:
        model: folder of a pipeline, or the pipeline.
        dataset: clips, see `tasks.training.data.rows_of`; those of split `config.evaluate.split` are taken, the first
            `config.evaluate.clips` in order of their ids, `config.evaluate.seconds` of each.
        on_progress: called as on_progress(done, total) after each rendered clip.
        faces, sync: the experts; loaded from the configuration where not given.
        shuffled: also render with another clip's sound, which must not give the clip's own lips, and with one
            condition exchanged at a time (tasks/evaluate_control.py). Takes about four times as long.
    Returns:
        {"metrics": {name: mean}, "spread": {name: standard error over clips and seeds}, "protocol": [sentence...],
        "clips": ids, "frames": number rendered, "samples": {name: {clip: mean}}, "vectors": {"fid":
        `Vectors.packed`}}; the last two are what the gate draws from. What cannot be measured (no landmarks, no
        recogniser, no sync expert, too short) is not in "metrics".
    Raises:
        NotFound: no usable clip in the split.
    """
    if faces is None or sync is None:
        experts = load_experts(config)
        faces, sync = faces or experts.faces, sync or experts.sync
    pipeline = model if isinstance(model, DubPipeline) else load_pipeline(model, _device(config))
    clips = held_out(dataset, config)
    speech = speech_of(pipeline, config)
    features = [encode_speech(speech, clip.audio) for clip in clips]
    meter, samples, rendered_frames = Meter(faces, sync, *_readers(config)), Samples(), 0
    jobs = [(number, seed) for seed in config.evaluate.seeds for number in range(len(clips))]
    for done, (number, seed) in enumerate(jobs):
        clip = clips[number]
        samples.clip = clip.clip_id
        started = time.perf_counter()
        rendered = render_clip(pipeline, clip, features[number], config, seed)
        samples.add(fps=len(rendered) / (time.perf_counter() - started))
        samples.add(**meter.measure(clip, rendered))
        rendered_frames += len(rendered)
        asked_emotion(pipeline, clip, features[number], done, config, seed, meter, samples)
        if shuffled and len(clips) > 1:
            shuffled_sound(pipeline, clips, features, number, config, seed, meter, samples)
        if shuffled:
            exchanges(pipeline, clips, features, number, config, seed, meter, samples)
            interpolation(pipeline, clip, features[number], speech, config, seed, samples)
        if on_progress:
            on_progress(done + 1, len(jobs))
    metrics = samples.means()
    for name, vectors in (("fid", meter.identities), ("efid", meter.units)):
        if (distance := vectors.distance()) is not None:
            metrics[name] = distance
    return {
        "metrics": metrics,
        "spread": samples.spreads(),
        "protocol": _protocol(metrics, clips, config, pipeline, meter, shuffled),
        "clips": [clip.clip_id for clip in clips],
        "frames": rendered_frames,
        "samples": samples.by_clip(),
        "vectors": {"fid": meter.identities.packed()} if "fid" in metrics else {},
    }


def _readers(config: Config) -> tuple[FaceEmotion | HSEmotion | None, ActionUnitReader | None]:
    """The judge and the reader of action units, where the configuration's pack has them: the protocol says so."""
    source = config.audio.emotion
    if source == NONE:
        return None, None
    judge: FaceEmotion | HSEmotion | None = None
    try:
        judge = load_face_reader(source, Root(config.root).local, "judge")
        return judge, load_action_units(source)
    except MissingEmotion:
        return judge, None


def _device(config: Config) -> str:
    if config.train.device != "auto":
        return config.train.device
    return "cuda" if torch.cuda.is_available() else "cpu"


def _protocol(
    metrics: Mapping[str, float],
    clips: Sequence[TrainingClip],
    config: Config,
    pipeline: DubPipeline,
    meter: Meter,
    shuffled: bool,
) -> list[str]:
    settings, render, base = config.evaluate, config.render, pipeline.base
    audio = base.guidance_audio if render.guidance_audio is None else render.guidance_audio
    reference = f"of {render.references} frames of the rest of the clip the one with the nearest head pose"
    if base.own_reference:
        reference = "each frame itself, unmasked, as this base was published: its mouth is seen"
    lines = [
        f"{len(clips)} clips of split {settings.split!r}, {settings.seconds:g} s of each, "
        f"{pipeline.config.crop_size} px, seeds {', '.join(map(str, settings.seeds))}; ± is the standard error over "
        "clips and seeds",
        f"{'one evaluation' if base.direct else f'{settings.steps or base.steps} DDIM steps'}, guidance: audio "
        f"{audio:g}, identity {render.guidance_identity:g}, emotion "
        f"{', '.join(f'{scale:g}' for scale in render.guidance_emotion)} (neutral, intensities 1 to 3); "
        f"reference: {reference}; face pack {config.faces.pack!r}, sync expert {config.audio.sync!r}",
    ]
    lines += [f"{name}: {text}" for name, text in PROTOCOL.items() if name in metrics]
    if "fid" in metrics:
        lines.append(f"fid: {len(meter.identities.rendered)} rendered and {len(meter.identities.real)} real frames")
    if "efid" in metrics:
        lines.append(f"efid: {len(meter.units.rendered)} rendered and {len(meter.units.real)} real frames")
    missing = [name for name in PROTOCOL if name not in metrics]
    if shuffled and not has_emotion_branch(pipeline):
        lines.append(f"not measured: {', '.join(_BY_EMOTION)}: {NO_BRANCH}")
        missing = [name for name in missing if name not in _BY_EMOTION]
    if missing:
        lines.append(f"not measured: {', '.join(sorted(missing))}")
    return lines
