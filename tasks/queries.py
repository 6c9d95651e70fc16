"""What a search asks for, as vectors: a feeling in words, a face in a picture."""

from __future__ import annotations

import os

from models.checkpoints import MissingCheckpoint, WrongCheckpoint, checkpoint_source
from models.text import MissingText, load_text
from storage.errors import ConfigError, InputRejected
from storage.layout import Root
from tasks.animate import read_portrait
from tasks.config import Config
from tasks.experts import load_faces


def embed_text(text: str, config: Config) -> list[float]:
    """Unit vector [D] of a caption, by the text encoder that the catalog's captions went through.

    Raises:
        ConfigError: there is no text encoder.
    """
    try:
        encoder = load_text(checkpoint_source(config.audio.text, Root(config.root).local))
    except (MissingText, MissingCheckpoint, WrongCheckpoint) as error:
        raise ConfigError(str(error.args[0]), error.remedy) from error
    vector = encoder.encode([text])[1][0]
    return [float(value) for value in vector]


def embed_face(picture: str | os.PathLike[str], config: Config) -> list[float]:
    """Unit vector [512] of the largest face of a picture.

    Raises:
        ConfigError: the face pack is missing, or has no recogniser.
        InputRejected: there is no face in the picture.
        InputFailed: the picture cannot be read.
    """
    analyzer = load_faces(config)
    if "embedding" not in analyzer.gives:
        raise ConfigError(
            f"face pack {config.faces.pack} has no recogniser", "search by face needs a pack with one (--face-pack)"
        )
    frame = read_portrait(picture, config.render.max_portrait_px)
    faces = analyzer.detect(frame)
    if not faces:
        raise InputRejected(
            "faces", "faces", 0, 1, remedy="give a picture with a face", path=os.fspath(picture), reason="no face found"
        )
    face = max(faces, key=lambda found: found.size)
    assert face.embedding is not None
    return [float(value) for value in face.embedding]
