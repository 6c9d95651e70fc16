"""Training of the diffusion stages by Ray Train: from a process of its own to many workers, with exact resume.

The same `train_loop` runs in this process (0 workers) and in Ray's workers. A checkpoint holds everything: weights,
their average, optimiser, random state and step (from which the place in the data follows). The same `out` resumes,
whatever killed the run before, with as many workers as are asked for now; an `out` that is finished is left as it is,
so a new run takes a new folder.
"""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from models.action_unit_reader import load_action_units
from models.autoencoder import AutoencoderKL
from models.pipeline import DubPipeline, build_pipeline, load_pipeline
from storage.atomic import directory_written_aside
from storage.errors import NotFound, UsageError
from storage.registry import Registry
from tasks.cluster import address, start
from tasks.cluster_room import has_gpus
from tasks.config import Config
from tasks.experts import load_faces, load_speech, speech_of
from tasks.training.checkpoints import Checkpoints
from tasks.training.curve import read_curve, summarise
from tasks.training.data import Embed, Rows, is_corpus, read_clips
from tasks.training.denoiser_stages import TRAININGS, ready_for, settings_of
from tasks.training.image import ImageRun
from tasks.training.latents import LatentCache, cache_clips
from tasks.training.ray_workers import fit_with_ray
from tasks.training.samples import COUNT, last_samples, of_different_people
from tasks.training.train_loop import FitJob, train_loop

Progress = Callable[[int, int, dict[str, float]], None]


def fit(
    stage: str,
    config: Config,
    dataset: Rows,
    init: str | Path | None,
    out: str | Path,
    *,
    workers: int | None = None,
    steps: int | None = None,
    vae: str | Path | None = None,
    cache: str | Path | None = None,
    mirror: bool = False,
    every: int | None = None,
    limit: int | None = None,
    overrides: dict[str, Any] | None = None,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Train a stage of the diffusion model.

    Args:
        stage: "image" (the denoiser on single frames), "video", "split", "distil" or "adapt": see
            `tasks.training.denoiser_stages`.
        dataset: clips, see `tasks.training.data.rows_of`; trained on split "train".
        init: folder of the pipeline to start from; None starts the denoiser afresh.
        out: folder of this run: checkpoints, curves and at last `model/`, the trained pipeline.
        workers: Ray Train workers; 0 trains in this process; None takes `config.train.workers`.
        steps: None takes `config.train.steps`.
        vae: folder of the autoencoder, needed where `init` is None.
        cache: where latents are kept; None keeps them under `config.root`/cache/latents.
        mirror: train on mirror images too.
        every: use every n-th frame; None: every second one, and for windows of frames all.
        limit: use at most so many clips.
        overrides: settings of `ImageRun` that replace the configuration's.
        on_progress: called as on_progress(step, steps, metrics) now and then.
    Returns:
        the last step's metrics and those of `summarise`, "losses" [(step, loss)...], "path" (the trained pipeline),
        "samples" (the last picture of `tasks.training.samples`, or None), "clips", "seconds".
    Raises:
        UsageError: an unknown stage; neither `init` nor `vae`.
        NotFound: no usable training clips.
        TrainingDiverged: the run was stopped; its curve and its last good checkpoint stay in `out`.
        LockHeld: another process trains in `out`.
    """
    if stage not in TRAININGS:
        raise UsageError(f"stage {stage!r} is not trained by Ray Train", f"choose one of: {', '.join(TRAININGS)}")
    started = time.monotonic()
    folder = Path(out).resolve()
    torch.manual_seed(config.train.seed)  # what is added begins alike in every run
    pipeline = ready_for(
        stage, _starting_pipeline(config, init, vae), config.train.parts, _space(config), config.model.control_share
    )
    run = _settings(stage, pipeline, config, steps, overrides)
    every = every or (1 if run.window > 1 else 2)
    device = _device(config)
    kept = _cache(config, pipeline, cache, device)
    embed = _embedder(config, dataset)
    files = cache_clips(read_clips(dataset, "train", every, limit, embed), kept, mirror)
    if not files:
        raise NotFound(
            "the dataset holds no usable training clips", "preprocess more footage, or loosen the thresholds"
        )
    held_out = of_different_people(read_clips(dataset, "val", every, embed=embed)) if config.train.samples_every else []
    begun = folder / "start"
    if not begun.is_dir():
        with directory_written_aside(begun) as partial:
            pipeline.save_pretrained(str(partial))
    count = config.train.workers if workers is None else workers
    job = FitJob(
        start=str(begun),
        files=tuple(str(file) for file in files),
        run=asdict(run),
        out=str(folder),
        device=_device_of_workers(config, count),
        threads=config.runtime.threads,
        checkpoint_every=config.train.checkpoint_every,
        log_every=max(1, min(10, run.steps // 20)),
        max_loss_ratio=config.train.max_loss_ratio,
        loss_window=config.train.loss_window,
        samples_every=config.train.samples_every,
        shown=tuple(str(file) for file in cache_clips(held_out, kept, mirror=False) or files[:COUNT]),
        render_steps=config.render.steps or pipeline.base.steps,
        parallel=config.train.parallel,
        stage=stage,
    )
    model = folder / "model"
    if not model.is_dir():
        with _following(folder, run.steps, on_progress):
            if count == 0:
                train_loop(job, 0, 1, lambda metrics: None)
            else:
                fit_with_ray(job, count, config)
        final = Checkpoints(folder).last
        if final is None:
            raise NotFound(f"training left no checkpoint under {folder}", "look at the logs of Ray's workers")
        with directory_written_aside(model) as partial:
            shutil.copytree(final / "pipeline", partial, dirs_exist_ok=True)
    curve = read_curve(folder)
    return (
        curve[-1]
        | summarise(curve)
        | {
            "losses": [(int(entry["step"]), float(entry["loss"])) for entry in curve],
            "path": str(model),
            "samples": last_samples(folder),
            "clips": len(files),
            "workers": count,
            "seconds": time.monotonic() - started,
        }
    )


def _starting_pipeline(config: Config, init: str | Path | None, vae: str | Path | None) -> DubPipeline:
    """The pipeline of `init`, or a fresh denoiser of the configuration's shape round the autoencoder `vae`."""
    if init is not None:
        return load_pipeline(init)
    if vae is None:
        raise UsageError("a denoiser that starts afresh needs an autoencoder", "give --init MODEL, or train one first")
    model, context = config.model, config.audio.context
    speech = load_speech(config)
    torch.manual_seed(config.train.seed)
    return build_pipeline(
        model.name,
        vae=AutoencoderKL.from_pretrained(
            str(vae), use_safetensors=True, local_files_only=True, low_cpu_mem_usage=False
        ).eval(),
        crop_size=model.size,
        identity_tokens=model.identity_tokens,
        audio_dim=speech.width,
        audio_tokens=2 * (2 * context + 1) * speech.layers,
        audio_context=context,
        unet={
            "block_out_channels": model.unet_channels,
            "layers_per_block": model.layers_per_block,
            "attention_head_dim": model.attention_head_dim,
            "cross_attention_dim": model.cross_attention_dim,
        },
    )


def _space(config: Config) -> str:
    """The folder of the emotion space that the configuration names: a folder, or a model of the registry."""
    named = config.train.space
    return named if not named or Path(named).is_dir() else str(Registry(config.root).path(named))


def _settings(
    stage: str, pipeline: DubPipeline, config: Config, steps: int | None, overrides: dict[str, Any] | None
) -> ImageRun:
    train = config.train
    values: dict[str, Any] = {
        "steps": steps or train.steps,
        "batch_size": train.batch_size,
        "rate": train.learning_rate,
        "warmup": train.warmup_steps,
        "weight_decay": train.weight_decay,
        "max_grad_norm": train.max_grad_norm,
        "ema_decay": train.ema_decay,
        "gamma": train.min_snr_gamma,
        "lip_weight": train.lip_weight,
        "drop": train.drop_condition,
        "drop_emotion": train.drop_emotion,
        "drop_action_units": train.drop_action_units,
        "whole_face": train.whole_face,
        "exchange": train.exchange,
        "eye_weight": train.eye_weight,
        "emotion_weight": train.emotion_weight,
        "lora_rank": train.lora_rank,
        "lora_alpha": train.lora_alpha,
        "lora_targets": train.lora_targets,
        "lora_rate": train.lora_rate,
        "recompute": train.recompute,
        "precision": train.precision,
        "seed": train.seed,
    }
    return ImageRun(**(values | settings_of(stage, pipeline, values) | (overrides or {})))


def _device(config: Config) -> str:
    """Where this process computes; a cluster's GPUs may all be elsewhere."""
    here = torch.cuda.is_available()
    if config.train.device != "auto" and (here or address(config) is None):
        return config.train.device
    return "cuda" if here else "cpu"


def _device_of_workers(config: Config, count: int) -> str:
    """Where the training itself computes."""
    if config.train.device != "auto" or count == 0 or address(config) is None:
        return config.train.device if config.train.device != "auto" else _device(config)
    told = config.runtime.resources.train.gpus
    if told is not None:
        return "cuda" if told else "cpu"
    start(config)
    return "cuda" if has_gpus() else "cpu"


def _cache(config: Config, pipeline: DubPipeline, folder: str | Path | None, device: str) -> LatentCache:
    speech = speech_of(pipeline, config)
    place = Path(folder) if folder is not None else Path(config.root) / "cache" / "latents"
    reader = load_action_units() if pipeline.action_unit_encoder is not None else None
    size = pipeline.config.crop_size
    return LatentCache(place.resolve(), pipeline.vae, speech, device, reader=reader, base=pipeline.base, size=size)


@contextlib.contextmanager
def _following(out: Path, steps: int, on_progress: Progress | None) -> Iterator[None]:
    """Tell `on_progress` what the workers note; they are other processes, so their file is read."""
    if on_progress is None:
        yield
        return
    over = threading.Event()

    def follow() -> None:
        seen = -1
        while not over.wait(0.5):
            for entry in read_curve(out)[-1:]:
                if entry["step"] != seen:
                    seen = int(entry["step"])
                    on_progress(seen, steps, entry)

    thread = threading.Thread(target=follow, name="training-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    for entry in read_curve(out)[-1:]:
        on_progress(int(entry["step"]), steps, entry)


def _embedder(config: Config, dataset: Rows) -> Embed | None:
    """What tells who somebody is, for a rendered corpus: its truth has no embeddings; a dataset's clips have them."""
    if not is_corpus(dataset):
        return None
    faces = load_faces(config)
    return faces.embed if "embedding" in faces.gives else None
