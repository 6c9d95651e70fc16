"""The pretrained models that look at footage, loaded once per worker: faces, lips against sound, emotions, words."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, cast

import torch

from models.action_unit_reader import ActionUnitReader, load_action_units
from models.checkpoints import MissingCheckpoint, UnusableCheckpoint, WrongCheckpoint, catalogue, checkpoint_source
from models.emotion import FaceEmotion, VoiceEmotion, load_voice_emotion
from models.faces import PACKS, FaceAnalyzer, MissingPack, UnusablePack, find_pack
from models.hsemotion import HSEmotion, load_face_reader
from models.pipeline import DubPipeline
from models.speech import SpeechEncoder, WhisperEncoder, load_speech_encoder
from models.sync import SyncExpert
from models.syncnet import SyncNet, load_lips
from models.text import TextEncoder, load_text
from models.transcriber import Transcriber, load_transcriber
from models.vision_language import Captioner, load_captioner
from storage.errors import ConfigError
from storage.ids import content_id, file_sha256
from storage.layout import Root
from tasks.config import Config

_WEIGHTS = {".onnx", ".safetensors", ".json", ".model", ".pt", ".bin", ".txt"}
log = logging.getLogger(__name__)

Expert = TypeVar("Expert")
NONE = "none"
"""A source of this name leaves the expert out: what it would measure stays null."""


@dataclass
class Experts:
    """faces always; the others may be None, then what they measure is null. version: hash of all their weights."""

    faces: FaceAnalyzer
    sync: SyncExpert | SyncNet | None = None
    text: TextEncoder | None = None
    face_emotion: FaceEmotion | HSEmotion | None = None
    voice_emotion: VoiceEmotion | None = None
    action_units: ActionUnitReader | None = None
    captioner: Captioner | None = None
    transcriber: Transcriber | None = None
    version: str = ""


def load_experts(config: Config) -> Experts:
    """Load what the configuration names, with `config.runtime.threads` threads.

    On the CPU; where `runtime.gpus` gives a worker its share of a GPU, the networks that look at pictures and sound go
    there (face packs go where onnxruntime can run).

    Raises:
        ConfigError: the face pack, or a public checkpoint that the configuration names, is missing or unusable.
    """
    torch.set_num_threads(config.runtime.threads)
    audio, root = config.audio, Root(config.root).local
    device = "cuda" if config.runtime.gpus_of("preprocess") and torch.cuda.is_available() else "cpu"
    experts = Experts(
        faces=load_faces(config),
        sync=_optional(lambda source: load_lips(source, root), audio.sync, "sync is not measured"),
        text=_optional(
            lambda source: load_text(checkpoint_source(source, root)), audio.text, "captions are not embedded"
        ),
        face_emotion=_optional(
            lambda source: load_face_reader(source, root), audio.emotion, "emotions are not read from faces"
        ),
        voice_emotion=_optional(load_voice_emotion, audio.emotion, "emotions are not read from voices"),
        action_units=_optional(load_action_units, audio.emotion, "action units are not read"),
        captioner=_optional(
            lambda source: load_captioner(source, config.captions.max_tokens, device),
            config.captions.model,
            "captions are not written by a model",
        ),
        transcriber=_optional(
            lambda source: load_transcriber(checkpoint_source(source, root), device),
            audio.transcriber,
            "speech is not written down",
        ),
        version=experts_version(config),
    )
    for network in (experts.sync, experts.face_emotion, experts.voice_emotion, experts.action_units):
        if isinstance(network, torch.nn.Module):
            network.to(device)
    return experts


def load_speech(config: Config, normed_last: bool = False) -> SpeechEncoder | WhisperEncoder:
    """The speech encoder of the configuration. Raises MissingWeights, MissingCheckpoint, WrongCheckpoint."""
    return load_speech_encoder(checkpoint_source(config.audio.speech, Root(config.root).local), normed_last)


def speech_of(pipeline: DubPipeline, config: Config) -> SpeechEncoder | WhisperEncoder:
    """What a pipeline hears with: its own encoder, else that of the configuration in the form that its base wants.

    Raises:
        ConfigError: it is missing, or another one than the base was trained with.
    """
    if pipeline.speech_encoder is not None:
        return cast(SpeechEncoder, pipeline.speech_encoder)
    kind, source = pipeline.base.kind, config.audio.speech
    try:
        encoder = load_speech(config, normed_last=kind == "musetalk")
    except (FileNotFoundError, UnusableCheckpoint, WrongCheckpoint) as error:
        raise ConfigError(str(error.args[0]), "name another speech encoder in audio.speech") from error
    width = pipeline.unet.config.cross_attention_dim
    if kind != "studio" and (not isinstance(encoder, WhisperEncoder) or encoder.width != width):
        raise ConfigError(
            f"a base of {kind} hears whisper's hidden states, {width} wide; audio.speech is {source!r}",
            "use --profile sd15, or --set audio.speech=whisper_tiny",
        )
    return encoder


def load_faces(config: Config) -> FaceAnalyzer:
    """The face pack of the configuration.

    Raises:
        ConfigError: it is missing or unusable.
    """
    size = config.faces.det_size
    root = None if "://" in config.root else Path(config.root)
    try:
        return FaceAnalyzer(
            config.faces.pack,
            det_size=None if size is None else (size, size),
            det_thresh=config.faces.det_thresh,
            root=root,
            threads=config.runtime.threads,
        )
    except (MissingPack, UnusablePack) as error:
        raise ConfigError(str(error.args[0]), error.remedy) from error


def expert_versions(config: Config) -> dict[str, str]:
    """Hash over the weights of each expert that looks at footage: faces, sync, text, emotion, captioner, transcriber.

    Part of the keys of what they find, so that new weights look anew, and only where they look.

    Raises:
        ConfigError: an expert that the configuration names is missing.
    """
    root = None if "://" in config.root else Path(config.root)
    try:
        places = {"faces": find_pack(config.faces.pack, root)}
    except MissingPack as error:
        raise ConfigError(str(error.args[0]), error.remedy) from error
    try:
        places |= {kind: _folder(getattr(config.audio, kind), kind, config) for kind in ("sync", "text", "emotion")}
        if config.audio.transcriber != NONE:
            places["transcriber"] = Path(checkpoint_source(config.audio.transcriber, Root(config.root).local))
    except (MissingCheckpoint, WrongCheckpoint) as error:
        raise ConfigError(str(error.args[0]), error.remedy) from error
    if config.captions.model != NONE:
        places["captioner"] = Path(config.captions.model)
    return {"captioner": NONE, "transcriber": NONE} | {kind: _weights_of(place) for kind, place in places.items()}


def experts_version(config: Config) -> str:
    """Hash over the weights of all of them. Raises as `expert_versions`."""
    return content_id(expert_versions(config))


def _weights_of(place: Path) -> str:
    files = [place] if place.is_file() else sorted(path for path in place.rglob("*") if path.is_file())
    return content_id([[file.name, file_sha256(file)] for file in files if file.suffix in _WEIGHTS])


def _folder(source: str, kind: str, config: Config) -> Path:
    if source in catalogue():
        return Path(checkpoint_source(source, Root(config.root).local))
    return Path(source) if Path(source).is_dir() else PACKS / source / kind


def _optional(load: Callable[[str], Expert], source: str, loss: str) -> Expert | None:
    """What `load` gives; None, and a word in the log, where there is nothing of that name."""
    if source == NONE:
        return None
    try:
        return load(source)
    except (MissingCheckpoint, WrongCheckpoint, UnusableCheckpoint) as error:  # named in so many words: not optional
        raise ConfigError(str(error.args[0]), error.remedy) from error
    except FileNotFoundError as error:
        log.warning("%s: %s; %s", loss, error.args[0], getattr(error, "remedy", ""))
        return None
