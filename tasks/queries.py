"""What a search asks for: a feeling in words or a face in a picture as vectors, the rest as conditions."""

from __future__ import annotations

import datetime
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.checkpoints import MissingCheckpoint, WrongCheckpoint, checkpoint_source
from models.text import MissingText, load_text
from storage import media
from storage.catalog import Catalog
from storage.errors import ConfigError, InputRejected, UsageError
from storage.layout import Root
from storage.media_glance import glance
from storage.media_stills import is_still
from storage.schema import SCHEMAS, STATUSES
from tasks.animate import read_portrait
from tasks.config import Config
from tasks.experts import load_faces

FILM_FRAMES = 12
"""Frames of a film, spread over it, in which a face is looked for."""
SAME_FACE = 0.3
"""Cosine from which two faces of one film are taken for one person's."""
_AGO = {"h": datetime.timedelta(hours=1), "d": datetime.timedelta(days=1), "w": datetime.timedelta(weeks=1)}


@dataclass(frozen=True)
class Filter:
    """What rows must satisfy; None and "" ask for nothing.

    where: SQL. emotion: stands in the emotion or caption. since, until: a date (of which `until` includes the whole),
    a time (UTC unless it says otherwise) or an age: 12h, 7d, 2w. model: an id or its beginning, NAME, NAME@VERSION.
    status: ok, rejected or failed.
    """

    where: str | None = None
    emotion: str | None = None
    since: str | None = None
    until: str | None = None
    model: str | None = None
    status: str | None = None

    def sql(self, table: str, catalog: Catalog) -> str | None:
        """The condition on rows of `table`; None where nothing is asked.

        Raises:
            UsageError: a date that is none, or a question that this table has no column for.
        """
        columns = SCHEMAS[table].names if table in SCHEMAS else []
        parts = [f"({self.where})"] if self.where else []
        if self.status:
            if self.status not in STATUSES:
                raise UsageError(f"--status {self.status}: no such status", f"use {', '.join(STATUSES)}")
            parts.append(f"{_column('status', columns, table)} = '{self.status}'")
        if self.emotion:
            named = [name for name in ("emotion", "caption") if name in columns]
            wanted = _quoted(self.emotion.lower())
            told = [f"contains(lower({name}), {wanted})" for name in named or [_column("emotion", columns, table)]]
            # What a clip shows is one of eight names; what a render was asked for is free text.
            parts.append(told[0] if table != "renders" else f"({' OR '.join(told)})")
        if self.since:
            parts.append(f"created >= timestamp '{_moment(self.since):%Y-%m-%d %H:%M:%S.%f}'")
        if self.until:
            parts.append(f"created < timestamp '{_moment(self.until, end=True):%Y-%m-%d %H:%M:%S.%f}'")
        if self.model:
            parts.append(_of_model(self.model, _column("model_id", columns, table), catalog))
        return " AND ".join(parts) or None


def _column(name: str, columns: list[str], table: str) -> str:
    if name not in columns:
        able = [other for other, schema in SCHEMAS.items() if name in schema.names]
        raise UsageError(f"{table} have no {name.removesuffix('_id')}", f"search {' or '.join(able)}")
    return name


def _of_model(model: str, column: str, catalog: Catalog) -> str:
    name, _, version = model.partition("@")
    where = f"name = {_quoted(name)}" + (f" AND version = {int(version)}" if version.isdigit() else "")
    known = [row["model_id"] for row in catalog.rows("models", where, columns=["model_id"])]
    named = f"{column} IN ({', '.join(map(_quoted, known))}) OR " if known else ""
    return f"({named}starts_with({column}, {_quoted(model)}))"


def _moment(text: str, end: bool = False) -> datetime.datetime:
    """The UTC time that `text` names; with `end`, the end of the day where it is a date."""
    if ago := re.fullmatch(r"(\d+)([hdw])", text.strip()):
        return datetime.datetime.now(datetime.UTC) - int(ago[1]) * _AGO[ago[2]]
    try:
        found = datetime.datetime.fromisoformat(text.strip())
    except ValueError as error:
        remedy = "write 2026-11-21, 2026-11-21T18:30 or an age: 12h, 7d, 2w"
        raise UsageError(f"{text!r} is no date", remedy) from error
    found = found.replace(tzinfo=datetime.UTC) if found.tzinfo is None else found.astimezone(datetime.UTC)
    return found + datetime.timedelta(days=1) if end and re.fullmatch(r"[\d-]+", text.strip()) else found


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


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


def embed_face(path: str | os.PathLike[str], config: Config) -> list[float]:
    """Unit vector [512] of the largest face of a picture, or of the one who is seen most in a film.

    Raises:
        ConfigError: the face pack is missing, or has no recogniser.
        InputRejected: there is no face in it.
        InputFailed: it cannot be read.
    """
    analyzer = load_faces(config)
    if "embedding" not in analyzer.gives:
        raise ConfigError(
            f"face pack {config.faces.pack} has no recogniser", "search by face needs a pack with one (--face-pack)"
        )
    found = []
    for frame in _frames(path, config.render.max_portrait_px):
        faces = analyzer.detect(frame)
        if faces:
            found.append(max(faces, key=lambda face: face.size).embedding)
    if not found:
        raise InputRejected(
            "faces", "faces", 0, 1, remedy="give a picture with a face", path=os.fspath(path), reason="no face found"
        )
    return [float(value) for value in most_seen(np.stack([face for face in found if face is not None]))]


def most_seen(faces: NDArray[np.float32]) -> NDArray[np.float32]:
    """Unit vector [D] of the person whom most of the unit vectors [N,D] show: their mean, without the others."""
    alike = faces @ faces.T >= SAME_FACE
    person = faces[alike[int(alike.sum(axis=1).argmax())]].mean(axis=0)
    return np.asarray(person / np.linalg.norm(person), np.float32)


def _frames(path: str | os.PathLike[str], most_px: int) -> Iterator[NDArray[np.uint8]]:
    """The picture, or frames spread over the film."""
    header = glance(path) if Path(path).is_file() and not is_still(os.fspath(path)) else None
    if header is None or not header.readable:
        yield read_portrait(path, most_px)
        return
    for number in range(FILM_FRAMES):
        start = header.duration_s * (number + 0.5) / FILM_FRAMES
        for _, _, frame in media.iter_frames(path, start_s=start):
            yield np.asarray(frame, np.uint8)
            break
