"""The Arrow schemas of everything that is exchanged and kept: the contract between steps.

Every field carries its unit and its meaning as metadata (`describe` prints them). Rows are plain dicts made by `row`,
which fills what is not given with null and refuses names that the schema does not have.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

STATUSES = ("ok", "rejected", "failed")

_TEXT, _REAL, _COUNT, _FLAG = pa.string(), pa.float64(), pa.int64(), pa.bool_()
_REALS = pa.list_(pa.float32())
_TIME = pa.timestamp("us", tz="UTC")


def _field(name: str, kind: pa.DataType, unit: str, doc: str, heavy: bool = False) -> pa.Field:
    metadata = {"unit": unit, "doc": doc} | ({"heavy": "1"} if heavy else {})
    return pa.field(name, kind, metadata=metadata)


def _schema(table: str, key: str, *fields: pa.Field) -> pa.Schema:
    return pa.schema(fields, metadata={"table": table, "key": key})


_OUTCOME = (
    _field("status", _TEXT, "", "ok, rejected or failed"),
    _field("stage", _TEXT, "", "the step that decided the status"),
    _field("measure", _TEXT, "", "what was measured when the row was rejected"),
    _field("value", _REAL, "of the measure", "what was found"),
    _field("threshold", _REAL, "of the measure", "what was asked for"),
    _field("reason", _TEXT, "", "the sentence for people, with the remedy"),
    _field("error_type", _TEXT, "", "class of the error of a failed row"),
)
_MADE_BY = (
    _field("config_hash", _TEXT, "", "hash of the whole configuration"),
    _field("code_revision", _TEXT, "", "git commit or version of the code"),
    _field("created", _TIME, "UTC", "when the row was made"),
)

SOURCES = _schema(
    "sources",
    "source_id",
    _field("source_id", _TEXT, "", "hash of the file's bytes"),
    _field("dataset", _TEXT, "", "name of the dataset it was read for"),
    _field("uri", _TEXT, "", "where the file was found"),
    _field("sha256", _TEXT, "", "SHA-256 of the file"),
    _field("bytes", _COUNT, "byte", "size of the file"),
    _field("container", _TEXT, "", "format name of the container"),
    _field("video_codec", _TEXT, "", "codec of the first video track"),
    _field("audio_codec", _TEXT, "", "codec of the first audio track"),
    _field("width", _COUNT, "px", "width as shown, after rotation"),
    _field("height", _COUNT, "px", "height as shown, after rotation"),
    _field("fps", _REAL, "1/s", "average frame rate"),
    _field("num_frames", _COUNT, "frames", "frames in the video track"),
    _field("start_s", _REAL, "s", "first video timestamp"),
    _field("duration_s", _REAL, "s", "duration of the file"),
    _field("speaker", _TEXT, "", "speaker as given by the corpus or manifest"),
    _field("emotion", _TEXT, "", "emotion as given by the corpus or manifest"),
    _field("intensity", _COUNT, "0..3", "intensity as given"),
    _field("text", _TEXT, "", "what is said, as given"),
    _field("split", _TEXT, "", "train, val or test"),
    _field("licence", _TEXT, "", "licence of the footage"),
    _field("consent", _TEXT, "", "what the people shown agreed to"),
    _field("clips_ok", _COUNT, "clips", "clips kept"),
    _field("clips_rejected", _COUNT, "clips", "clips left out, each with its own row"),
    *_OUTCOME,
    _field("attempts", _COUNT, "", "how often it was tried"),
    _field("seconds", _REAL, "s", "time taken"),
    *_MADE_BY,
)

CLIPS = _schema(
    "clips",
    "clip_id",
    _field("clip_id", _TEXT, "", "hash of source, time range, track and configuration"),
    _field("dataset", _TEXT, "", "name of the dataset"),
    _field("source_id", _TEXT, "", "the SOURCES row it was cut from"),
    _field("source_uri", _TEXT, "", "where that file was found"),
    _field("start_s", _REAL, "s", "first frame's presentation time in the source"),
    _field("end_s", _REAL, "s", "end of the last frame in the source"),
    _field("fps", _REAL, "1/s", "average frame rate"),
    _field("num_frames", _COUNT, "frames", "T"),
    _field("shot", _COUNT, "", "shot of the source, from 0"),
    _field("track_id", _COUNT, "", "face track of the source, from 0"),
    _field("split", _TEXT, "", "train, val or test; speakers are disjoint"),
    _field("speaker", _TEXT, "", "speaker label"),
    _field("speaker_source", _TEXT, "", "who says so: label (corpus, manifest) or face (clustered likenesses)"),
    _field("licence", _TEXT, "", "licence of the footage"),
    _field("consent", _TEXT, "", "what the people shown agreed to"),
    *_OUTCOME,
    _field("duplicate_of", _TEXT, "", "clip_id of the near-identical clip that was kept in its place"),
    _field("duplicate_similarity", _REAL, "0..1", "likeness to that clip"),
    _field("crop_size", _COUNT, "px", "side S of the aligned crops"),
    _field("crops", pa.list_(pa.binary()), "JPEG q95", "aligned face crops, T of [S,S,3]", heavy=True),
    _field("masks", pa.list_(pa.binary()), "PNG", "T of [S,S]: 0 outside, 1 face, 2 lips, 3 eyes", heavy=True),
    _field("landmarks", _REALS, "crop px", "[T,106,2] flat, 2d106 order", heavy=True),
    _field("kps", _REALS, "source px", "[T,5,2] flat, insightface order", heavy=True),
    _field("matrices", _REALS, "px", "[T,2,3] flat, source to crop", heavy=True),
    _field("pts", pa.list_(pa.float64()), "s", "[T] presentation times in the source", heavy=True),
    _field("mel", pa.binary(), "float16", "log-mel [80,mel_frames] at 100 Hz, C order", heavy=True),
    _field("mel_frames", _COUNT, "1/100 s", "columns of mel"),
    _field("audio", pa.binary(), "int16", "mono 16 kHz PCM of the clip, little endian, in sync", heavy=True),
    _field("loudness_lufs", _REAL, "LUFS", "integrated loudness, ITU-R BS.1770-4"),
    _field("speech", _REALS, "s", "stretches of speech, start and end in turn, from the clip's start"),
    _field("speech_share", _REAL, "0..1", "share of the clip in which somebody speaks"),
    _field(
        "prosody",
        _REALS,
        "",
        "[10] level_db, level_range_db, pitch_hz, pitch_range, pitch_slope, rate_hz, voiced, "
        "pause, tremble, brightness; see tasks/speech.py",
    ),
    _field("transcript", _TEXT, "", "what is said, as given or as whisper heard it"),
    _field("language", _TEXT, "", "of the transcript, ISO 639-1"),
    _field("speech_features", pa.binary(), "float16", "[F,speech_width] whisper encoder at 50 Hz, C order", heavy=True),
    _field("speech_width", _COUNT, "", "columns of speech_features"),
    _field("identity", _REALS, "", "[512] unit face embedding, mean over frames"),
    _field("emotion", _TEXT, "", "one of the eight emotions"),
    _field("intensity", _COUNT, "0..3", "0 for neutral"),
    _field("emotion_scores", _REALS, "0..1", "[8] probabilities as read from face and voice"),
    _field("caption", _TEXT, "", "emotion in words"),
    _field("caption_source", _TEXT, "", "who says so: label, model or measured"),
    _field("caption_embedding", _REALS, "", "[D] unit text embedding"),
    _field("sync_confidence", _REAL, "", "SyncNet confidence: median minus minimum distance"),
    _field("sync_offset", _COUNT, "1/25 s", "as found in the source; positive: the sound lags the picture"),
    _field("sync_distance", _REAL, "", "minimum audio-video distance"),
    _field("sync_correction", _COUNT, "1/25 s", "how much earlier the sound was taken to make up for the offset"),
    _field("sync_residual", _COUNT, "1/25 s", "offset measured again after the correction"),
    _field("speaking", pa.list_(pa.bool_()), "", "[T] whether this face speaks", heavy=True),
    _field("speaking_share", _REAL, "0..1", "share of the frames with speech in which this face speaks"),
    _field("blur", _REAL, "", "variance of the Laplacian of the crop"),
    _field("exposure", _REAL, "0..1", "mean luma of the crop"),
    _field("occlusion", _REAL, "0..1", "share of the lower face that something covers"),
    _field("face_inside", _REAL, "0..1", "least share of the face that lies within the picture"),
    _field("face_px", _REAL, "px", "median height of the face in the source"),
    _field("face_ratio", _REAL, "0..1", "share of frames with a detected face"),
    _field("yaw", _REAL, "rad", "median head yaw"),
    _field("pitch", _REAL, "rad", "median head pitch"),
    _field("roll", _REAL, "rad", "median head roll"),
    _field("pose", _REALS, "rad", "[T,3] flat: yaw, pitch, roll", heavy=True),
    _field("fingerprint", pa.binary(), "", "what tells near-identical clips; see tasks/duplicates.py", heavy=True),
    _field("mouth_opening", _REALS, "eye distances", "[T] inner lip distance"),
    _field("action_units", _REALS, "0..1", "[T,20] flat, FACS intensities", heavy=True),
    _field("config_hash", _TEXT, "", "hash of the whole configuration"),
    _field("code_revision", _TEXT, "", "git commit or version of the code"),
)

STEPS = _schema(
    "steps",
    "step_id",
    _field("step_id", _TEXT, "", "hash of clip and step"),
    _field("run_id", _TEXT, "", "the RUNS row of the run that did it last"),
    _field("dataset", _TEXT, "", "name of the dataset"),
    _field("source_id", _TEXT, "", "the SOURCES row"),
    _field("source_uri", _TEXT, "", "where that file was found"),
    _field("clip_id", _TEXT, "", "the CLIPS row; null for a step that is done to the whole source"),
    _field("step", _TEXT, "", "name of the step"),
    _field("key", _TEXT, "", "hash of what the result was made from: an equal key is never computed again"),
    *_OUTCOME,
    _field("attempts", _COUNT, "", "how often it was tried"),
    _field("seconds", _REAL, "s", "time taken by the last try"),
    *_MADE_BY,
)
"""The ledger: every clip at every step, with what was measured, how long it took and how often it was tried."""

RENDERS = _schema(
    "renders",
    "render_id",
    _field("render_id", _TEXT, "", "hash of inputs, model and settings"),
    _field("run_id", _TEXT, "", "the RUNS row"),
    _field("input_uri", _TEXT, "", "the video (or portrait)"),
    _field("audio_uri", _TEXT, "", "the dub track"),
    _field("output_uri", _TEXT, "", "the rendered file"),
    *_OUTCOME,
    _field("frames", _COUNT, "frames", "frames in = frames out"),
    _field("fps", _REAL, "1/s", "average frame rate"),
    _field("duration_s", _REAL, "s", "duration of the video"),
    _field("width", _COUNT, "px", "width as shown"),
    _field("height", _COUNT, "px", "height as shown"),
    _field("faces", _COUNT, "", "face tracks found"),
    _field("windows", _COUNT, "", "windows rendered"),
    _field("sync_confidence_before", _REAL, "", "of the input picture with the dub track"),
    _field("sync_confidence_after", _REAL, "", "of the output"),
    _field("outside_psnr_db", _REAL, "dB", "input against output outside the changed region"),
    _field("identity_cosine", _REAL, "-1..1", "face embedding before against after"),
    _field("identity", _REALS, "", "[512] unit embedding of the dubbed face"),
    _field("model_id", _TEXT, "", "the MODELS row"),
    _field("dataset_id", _TEXT, "", "the dataset version that the model was trained on"),
    _field("source_sha256", _TEXT, "", "SHA-256 of the video"),
    _field("audio_sha256", _TEXT, "", "SHA-256 of the dub track"),
    _field("seed", _COUNT, "", "seed of the noise"),
    _field("synthetic", _FLAG, "", "always true: the output says what it is"),
    _field("seconds", _REAL, "s", "time taken"),
    _field("attempts", _COUNT, "", "how often it was tried"),
    _field("emotion", _TEXT, "", "emotion asked for"),
    _field("caption", _TEXT, "", "emotion in words"),
    _field("caption_embedding", _REALS, "", "[D] unit text embedding"),
    *_MADE_BY,
)

MODELS = _schema(
    "models",
    "model_id",
    _field("model_id", _TEXT, "", "hash of the model's files"),
    _field("name", _TEXT, "", "what it is a version of, e.g. dub-studio"),
    _field("version", _COUNT, "", "1, 2, 3 within the name"),
    _field("stage", _TEXT, "", "training stage that made it"),
    _field("parent", _TEXT, "", "model_id it was started from"),
    _field("dataset_id", _TEXT, "", "dataset version it was trained on"),
    _field("metrics", _TEXT, "JSON", "evaluation table"),
    _field("train_steps", _COUNT, "step", "length of its training"),
    _field("train_loss", _REAL, "", "mean loss over the last tenth of its training"),
    _field("train_loss_start", _REAL, "", "mean loss over the first tenth"),
    _field("train_rate", _REAL, "step/s", "median step rate of its training"),
    _field("path", _TEXT, "", "folder, relative to the root"),
    _field("sha256", _TEXT, "", "SHA-256 over the names and bytes of its files"),
    _field("bytes", _COUNT, "byte", "size of the folder"),
    _field("promoted", _FLAG, "", "is the champion of its name now"),
    _field("run_id", _TEXT, "", "the RUNS row"),
    _field("licence", _TEXT, "", "licence of the weights"),
    *_MADE_BY,
)

RUNS = _schema(
    "runs",
    "run_id",
    _field("run_id", _TEXT, "", "unique per run"),
    _field("command", _TEXT, "", "command with its arguments"),
    _field("status", _TEXT, "", "running, ok, rejected or failed"),
    _field("config", _TEXT, "JSON", "the whole configuration"),
    _field("counts", _TEXT, "JSON", "rows by status"),
    _field("started", _TIME, "UTC", "when it started"),
    _field("seconds", _REAL, "s", "time taken"),
    _field("report", _TEXT, "", "the HTML page, relative to the root"),
    *_MADE_BY,
)

SCHEMAS: dict[str, pa.Schema] = {
    schema.metadata[b"table"].decode(): schema for schema in (SOURCES, CLIPS, STEPS, RENDERS, MODELS, RUNS)
}


def table_name(schema: pa.Schema) -> str:
    """Name of the catalog table that holds rows of `schema`."""
    return schema.metadata[b"table"].decode()


def key_of(schema: pa.Schema) -> str:
    """Name of the column that identifies a row of `schema`."""
    return schema.metadata[b"key"].decode()


def light(schema: pa.Schema) -> pa.Schema:
    """`schema` without its heavy columns (crops, masks, sound): what the catalog keeps."""
    fields = [field for field in schema if b"heavy" not in (field.metadata or {})]
    return pa.schema(fields, metadata=schema.metadata)


def row(schema: pa.Schema, **values: Any) -> dict[str, Any]:
    """A row of `schema`: `values`, and null for every column that is not given.

    Raises:
        KeyError: for a name that the schema does not have.
        ValueError: for a status that is none of `STATUSES` (rows of RUNS may also be ``running``).
    """
    unknown = sorted(set(values) - set(schema.names))
    if unknown:
        raise KeyError(f"{table_name(schema)} has no column {', '.join(unknown)}")
    allowed = (*STATUSES, "running") if table_name(schema) == "runs" else STATUSES
    status = values.get("status")
    if status is not None and status not in allowed:
        raise ValueError(f"status is {status!r}, not one of {', '.join(allowed)}")
    if "synthetic" in schema.names:
        values.setdefault("synthetic", True)
    return {name: values.get(name) for name in schema.names}


def to_table(schema: pa.Schema, rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Rows as an Arrow table of `schema`; missing columns become null, numpy arrays become lists.

    Raises:
        KeyError: for a name that the schema does not have.
        TypeError: for a value that does not fit its column; the message names row, column and value.
    """
    complete = [row(schema, **{name: _plain(value) for name, value in given.items()}) for given in rows]
    columns = []
    for field in schema:
        values = [entry[field.name] for entry in complete]
        try:
            columns.append(pa.array(values, type=field.type))
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise TypeError(f"{table_name(schema)}.{field.name}: {error}") from error
    return pa.Table.from_arrays(columns, schema=schema)


def _plain(value: Any) -> Any:
    # Arrow takes one-dimensional arrays; landmarks and matrices come with their shape and are kept flat.
    if hasattr(value, "tolist") and hasattr(value, "ndim"):
        return value.tolist() if value.ndim == 0 else value.reshape(-1)
    return value


def describe(schema: pa.Schema) -> list[dict[str, str]]:
    """One entry per column: name, type, unit, doc."""
    return [
        {
            "name": field.name,
            "type": str(field.type),
            "unit": (field.metadata or {}).get(b"unit", b"").decode(),
            "doc": (field.metadata or {}).get(b"doc", b"").decode(),
        }
        for field in schema
    ]
