"""The parameters of flows, described once: what a server shows beside a field, and what it refuses.

A server checks the JSON schema that these give before it makes a run of a deployment. What `told` is given beside the
description is checked there only: a command checks the same itself, with an error that says what to do.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from tasks.corpora.registry import CHOICES
from tasks.training.stages import STAGES


def told(description: str, **schema: Any) -> Any:
    """The description of a parameter, and more for its JSON schema."""
    # As a plain `description` it would be lost: Prefect writes those of the docstring over it, or nothing.
    return Field(json_schema_extra={"description": description, **schema})


_NAMED = {"pattern": r"^\w[\w.-]*$", "examples": ["nightly"]}
_VERSIONED = {"pattern": r"^\w[\w.-]*(@[\w.-]+)?$", "examples": ["nightly", "nightly@3f2a"]}

Sources = Annotated[
    list[str], told("Videos, folders of them, manifests, or addresses of these (s3://bucket/films).", minItems=1)
]
DatasetName = Annotated[str, told("Name of the dataset to build or extend.", **_NAMED)]
Dataset = Annotated[str, told("A dataset version: NAME@VERSION, or NAME for its current one.", **_VERSIONED)]
SomeDataset = Annotated[
    str | None, told("A dataset version: NAME@VERSION, or NAME for its current one. Or give a corpus.", **_VERSIONED)
]
Message = Annotated[str, told("What this version is, in a few words.")]
CorpusLayout = Annotated[str, told("How folders are read.", enum=list(CHOICES))]
RetryFailed = Annotated[bool, told("Do again what failed before, quarantined clips too.")]

ModelName = Annotated[str, told("A model version: its id, NAME@VERSION, NAME (the champion), or latest.")]
SomeModel = Annotated[str | None, told("A model version; nothing: the champion.")]
StartModel = Annotated[str | None, told("A model version to start from; nothing: the champion.")]
TrainingStage = Annotated[str, told("What is trained.", enum=list(STAGES))]
Workers = Annotated[int | None, told("Ray Train workers; 0 trains in one process.", minimum=0)]
Steps = Annotated[int | None, told("Optimiser steps; nothing: train.steps.", minimum=1)]
Minutes = Annotated[float | None, told("Time budget of an expert's stage; minutes.", exclusiveMinimum=0)]
Corpus = Annotated[str | None, told("A rendered studio corpus, for the stages of experts.")]
Autoencoder = Annotated[
    str | None, told("Train a new denoiser in the latent space of this autoencoder: a folder or a model.")
]

Video = Annotated[str | None, told("One video to dub; or give a manifest.")]
Tracks = Annotated[
    list[str] | None, told("Its track in the target language; one for each face that has its own.", minItems=1)
]
Emotion = Annotated[
    str | None,
    told("Free text, or auto (from the speech); over time: '0: calm | 12.5: angry', or a file. Nothing: as filmed."),
]
Intensity = Annotated[float | None, told("Of the emotion: 0 (neutral) to 3 (extreme).", minimum=0, maximum=3)]
Speakers = Annotated[str | None, told("RTTM file: who speaks when; nothing: it is worked out.")]
Output = Annotated[str | None, told("Where to write; nothing: a name under ROOT/renders.")]
Manifest = Annotated[
    str | None, told("CSV, JSONL or Parquet: video, audio, emotion, speakers, output, intensity, priority.")
]
Portrait = Annotated[str, told("A picture with a face.")]
Speech = Annotated[str, told("What the portrait says: a sound file.")]
