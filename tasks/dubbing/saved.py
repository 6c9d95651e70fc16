"""What a look at a video found, on disk: numbers only, one compressed file."""

from __future__ import annotations

import dataclasses
import json
import os
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.atomic import written_aside
from tasks.alignments import track_matrices
from tasks.analysis import Analysis
from tasks.moods import Mood, Moods
from tasks.original_speech import Original
from tasks.plan import Segment
from tasks.references import References
from tasks.tracks import Track

_FACTS = "facts"
_MATRICES_KEPT = 8  # tracks of an hour: 4 MB each
_FACES_KEPT = 4  # tracks whose references a worker has at hand: 0.3 MB each at 128 px, and an hour has hundreds


def save_arrays(path: Path, arrays: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Arrays and JSON values into one file, whole or not at all.

    Raises:
        StorageFull: the disk is full.
    """
    text = np.frombuffer(json.dumps(facts).encode(), dtype=np.uint8)
    with written_aside(path) as partial, partial.open("wb") as stream:
        np.savez_compressed(stream, **{**arrays, _FACTS: text})


def load_arrays(path: str | os.PathLike[str]) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """The arrays by name, and the facts, of `save_arrays`."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files if name != _FACTS}
        return arrays, json.loads(file[_FACTS].tobytes())


def save_analysis(path: Path, analysis: Analysis) -> None:
    """Tracks with their points, and the times of all frames; what only datasets need (dropped tracks) is left out."""
    arrays: dict[str, NDArray[Any]] = {"pts": analysis.pts}
    tracks = []
    for number, track in enumerate(analysis.tracks):
        plain: dict[str, Any] = {}
        for name in _fields(Track):
            value = getattr(track, name)
            if name == "points":
                arrays[f"{number}.points"] = value[:]
            elif isinstance(value, np.ndarray):
                arrays[f"{number}.{name}"] = value
            else:
                plain[name] = value
        tracks.append(plain)
    save_arrays(path, arrays, {"tracks": tracks, "end_s": analysis.end_s, "face_frames": analysis.face_frames})


def load_analysis(path: Path) -> Analysis:
    """What `save_analysis` wrote: without shots and dropped tracks."""
    arrays, facts = load_arrays(path)
    own = _owned(arrays)
    tracks = [Track(**plain, **own[number]) for number, plain in enumerate(facts["tracks"])]
    return Analysis(arrays["pts"], facts["end_s"], [], tracks, [], facts["face_frames"])


def save_original(path: Path, original: Original) -> None:
    """Who speaks in a film, which all its languages ask."""
    arrays = {f"{number}.speaking": said for number, said in original.speaking.items()}
    save_arrays(path, arrays, {"speech": original.speech, "told": original.told})


def load_original(path: Path) -> Original:
    """What `save_original` wrote."""
    arrays, facts = load_arrays(path)
    speaking = {number: own["speaking"] for number, own in _owned(arrays).items()}
    return Original(tuple((float(a), float(b)) for a, b in facts["speech"]), speaking, bool(facts["told"]))


class Faces:
    """The references of each track, in a folder: a file a track, read when it is asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._kept: dict[int, References] = {}

    def keep(self, track: int, references: References) -> None:
        """Writes those of the track of that number.

        Raises:
            StorageFull: the disk is full.
        """
        save_arrays(self._path(track), {"crops": references.crops, "poses": np.asarray(references.poses)}, {})

    def of(self, track: int) -> References:
        """What was kept of a track."""
        if track not in self._kept:
            if len(self._kept) >= _FACES_KEPT:
                self._kept.pop(next(iter(self._kept)))
            arrays, _ = load_arrays(self._path(track))
            self._kept[track] = References(arrays["crops"], arrays["poses"])
        return self._kept[track]

    def _path(self, track: int) -> Path:
        return self._folder / f"face-{track}.npz"


@dataclasses.dataclass
class DubPlan:
    """What a dub changes. segments[i] shows the references of its track to the model, and identities[i], unit [512],
    where known.

    faces: tracks found; frames: of the file; moods: of each voice, in the words that the model is given; remarks: which
    faces are left out because they may not be animated.
    """

    segments: list[Segment]
    shown: Faces
    identities: list[NDArray[np.float32] | None]
    faces: int
    frames: int
    moods: list[Moods]
    remarks: list[str] = dataclasses.field(default_factory=list)

    def matrices(self, number: int, alignment: str, size: int, smooth_s: float) -> NDArray[np.float64]:
        """[T,2,3] of the track of segment `number`, frame to crop of `size` pixels; kept for the track's segments."""
        track = self.segments[number].track
        kept: dict[Any, NDArray[np.float64]] = self.__dict__.setdefault("_kept", {})
        key = (track.number, alignment, size, smooth_s)
        if key not in kept:
            if len(kept) >= _MATRICES_KEPT:
                kept.pop(next(iter(kept)))
            kept[key] = track_matrices(alignment, size, track, smooth_s)
        return kept[key]


def save_plan(path: Path, plan: DubPlan) -> None:
    """Segments by the numbers of their tracks: the tracks lie with the analysis, their references beside `path`."""
    arrays: dict[str, NDArray[Any]] = {}
    segments = []
    for number, segment in enumerate(plan.segments):
        plain: dict[str, Any] = {"track": segment.track.number}
        for name in _fields(Segment):
            value = getattr(segment, name)
            if isinstance(value, np.ndarray):
                arrays[f"{number}.{name}"] = value
            elif name != "track":
                plain[name] = value
        identity = plan.identities[number]
        if identity is not None:
            arrays[f"{number}:identity"] = identity
        segments.append(plain)
    moods = [[[mood.start_s, mood.text] for mood in of_voice.parts] for of_voice in plan.moods]
    facts = {"segments": segments, "faces": plan.faces, "frames": plan.frames, "moods": moods, "remarks": plan.remarks}
    save_arrays(path, arrays, facts)


def load_plan(path: Path, analysis: Analysis) -> DubPlan:
    """What `save_plan` wrote, with the tracks of the same look."""
    arrays, facts = load_arrays(path)
    tracks = {track.number: track for track in analysis.tracks}
    own = _owned(arrays)
    moods = [Moods(tuple(Mood(start_s, text) for start_s, text in parts)) for parts in facts["moods"]]
    plan = DubPlan([], Faces(path.parent), [], facts["faces"], facts["frames"], moods, facts["remarks"])
    for number, plain in enumerate(facts["segments"]):
        plan.segments.append(Segment(**{**plain, "track": tracks[plain["track"]]}, **own[number]))
        plan.identities.append(arrays.get(f"{number}:identity"))
    return plan


def _fields(kind: Any) -> list[str]:
    return [field.name for field in dataclasses.fields(kind)]


def _owned(arrays: Mapping[str, NDArray[Any]]) -> dict[int, dict[str, Any]]:
    """``"3.kps"`` → by number and name."""
    found: dict[int, dict[str, Any]] = defaultdict(dict)
    for name, value in arrays.items():
        number, dot, own = name.partition(".")
        if dot:
            found[int(number)][own] = value
    return found
