"""All that dubbing needs, loaded once per worker, and the key of what comes out of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models.checkpoints import UnusableCheckpoint
from models.interpolator import FrameInterpolator
from models.pipeline import DubPipeline, load_pipeline
from models.speech import SpeechEncoder, WhisperEncoder
from storage.errors import ConfigError
from storage.ids import content_id, file_sha256
from tasks.config import Config
from tasks.consent_table import consent_key
from tasks.experts import Experts, experts_version, load_experts, speech_of
from tasks.interpolation import configured_interpolator, interpolator_version
from tasks.voice import ENDS, VoiceTrack

PARTS_OF_RENDERS = ("faces", "shots", "tracks", "audio", "render")
"""Sections of the configuration that a render depends on."""


@dataclass
class Dubber:
    """All models of a dub, loaded once per worker, and where they came from."""

    pipeline: DubPipeline
    speech: SpeechEncoder | WhisperEncoder
    experts: Experts
    model_id: str
    dataset_id: str | None = None
    interpolator: FrameInterpolator | None = None

    def hear(self, audio: str | os.PathLike[str]) -> VoiceTrack:
        """A track as the model's base was given sound."""
        base, context = self.pipeline.base, int(self.pipeline.config.audio_context)
        return VoiceTrack(audio, self.speech, context, ENDS.get(base.kind))


def load_dubber(
    folder: str | os.PathLike[str],
    config: Config,
    *,
    model_id: str | None = None,
    dataset_id: str | None = None,
    device: str = "cpu",
) -> Dubber:
    """Everything that dubbing needs, from a saved pipeline and the configuration.

    Args:
        model_id: of the registry; without one the hash of the pipeline's weights stands for it.

    Raises:
        ConfigError: there is no model in `folder`, or an expert is missing.
    """
    place = Path(folder)
    try:
        pipeline = load_pipeline(place, device)
    except FileNotFoundError as error:
        remedy = "train one, or import one with `dubwright models import`"
        raise ConfigError(f"{place}: no model here", remedy) from error
    except UnusableCheckpoint as error:
        raise ConfigError(str(error.args[0]), error.remedy) from error
    pipeline.set_progress_bar_config(disable=True)
    speech = speech_of(pipeline, config)
    between = configured_interpolator(config)
    return Dubber(
        pipeline, speech, load_experts(config), model_id or model_version(place), dataset_id,
        between if between is None else between.to(device),
    )  # fmt: skip


def model_version(folder: str | os.PathLike[str]) -> str:
    """What stands for the model_id of a pipeline that is in no registry: a hash of its weights."""
    weights = [[file.name, file_sha256(file)] for file in sorted(Path(folder).rglob("*.safetensors"))]
    return content_id("pipeline", weights)


def render_key(
    source_sha256: str,
    audio_sha256: str,
    config: Config,
    model_id: str,
    emotion: str | None = None,
    speakers_sha256: str | None = None,
    made_with: Sequence[str] | None = None,
) -> str:
    """The render_id: a hash of everything that decides how the output comes out.

    Args:
        made_with: `settings_key` of the same configuration and model, for those who ask for thousands.
    """
    made_with = made_with or settings_key(config, model_id)
    return content_id("render", source_sha256, audio_sha256, *made_with, emotion or "", speakers_sha256 or "")


def settings_key(config: Config, model_id: str) -> tuple[str, ...]:
    """What settings, experts, model and the consent table give to the keys of all renders."""
    parts = (config.hash(*PARTS_OF_RENDERS), experts_version(config), model_id, interpolator_version(config))
    return (*parts, consent_key(config))
