"""Which jobs of a library are finished already, as far as can be told without reading a large file."""

from __future__ import annotations

import os
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Any

from storage.layout import Root
from storage.ledger import Ledger
from tasks.config import Config
from tasks.dubber import settings_key
from tasks.dubbing.delivery import REVIEW, review_place
from tasks.dubbing.looking import look_key, look_settings
from tasks.dubbing.place import Place
from tasks.dubbing.spent import RENDER, Spent, spent_on
from tasks.jobs import Job, dub_key, output_place
from tasks.moods import Moods

FINISHED, KEPT_BACK, REJECTED, CHANGED = "finished", "kept back", "rejected", "changed"
"""A file stands at its place; in the folder for review; none was made, and none would be; an input is newer."""


class Finished:
    """The ledger of a root, asked about jobs.

    Args:
        model_id: of the model that would render; None: whatever rendered.
    """

    def __init__(self, root: Root, config: Config, model_id: str | None = None) -> None:
        self._root, self._config, self._model_id = root, config, model_id
        self._settings = cache(lambda model: settings_key(config, model))
        self._hash = config.hash()
        self.rows: list[dict[str, Any]] = []
        """RENDERS rows, as JSON values, in the order in which they were written."""
        self._entries: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
        self._begun: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
        self._sources: dict[str, set[str]] = defaultdict(set)
        self._looking = cache(lambda: look_settings(config))
        entries = Ledger(root.renders / "ledger.jsonl").entries()
        for entry in sorted(entries, key=lambda entry: float(entry.get("at") or 0.0)):
            row = entry.get("row")
            if row is not None and entry["status"] in ("ok", "rejected"):
                self.rows.append(row)
                self._entries[row["input_uri"], row["audio_uri"]].append(entry)
            elif entry["status"] == "started" and "source_sha256" in entry:
                self._begun[entry["input_uri"], entry["audio_uri"]].append(entry)
            known = entry if row is None else row
            if known.get("source_sha256"):
                self._sources[known["input_uri"]].add(known["source_sha256"])

    def state(self, job: Job, moods: Moods) -> str | None:
        """FINISHED, KEPT_BACK, REJECTED, CHANGED, or None where nothing is known of it.

        A row counts that was made from files of these names, with these settings, emotion and speakers, and whose file
        stands at the place asked for. That the files are those of then is taken from their times: one that is newer
        than the row may be another. A run compares contents.
        """
        found = None
        for entry in self._entries.get((job.video, job.audio), ()):
            state = self._state(entry, job, moods)
            if state is not None and self._newer(job, float(entry["at"])):
                state = CHANGED
            found = state if found in (None, CHANGED) else found
        return found

    def looked(self, video: str) -> bool:
        """Whether a look at this video lies in the cache, of a run that made or began something of it."""
        place = Place(self._root, "")
        keys = (look_key(source, self._config, self._looking()) for source in self._sources.get(video, ()))
        return any(place.look(key).exists() for key in keys)

    def drawn(self, job: Job, moods: Moods) -> int:
        """Frames of this very render that a run left in the cache when it was stopped."""
        for entry in self._begun.get((job.video, job.audio), ()):
            if self._key(entry, job, moods) == entry["id"]:
                return spent_on(Place(self._root, entry["id"])).get(RENDER, Spent()).frames
        return 0

    def _state(self, entry: dict[str, Any], job: Job, moods: Moods) -> str | None:
        row = entry["row"]
        if row.get("output_uri") is None:
            asked = (row.get("emotion"), row.get("config_hash")) == (job.emotion, self._hash)
            return REJECTED if asked and self._model_id in (None, row.get("model_id")) else None
        if self._key(row, job, moods) != entry["id"]:
            return None
        place, made = output_place(job, entry["id"], self._root), Path(row["output_uri"])
        if made not in (place, review_place(place)) or not made.is_file():
            return None
        return KEPT_BACK if row.get("stage") == REVIEW else FINISHED

    def _key(self, row: dict[str, Any], job: Job, moods: Moods) -> str:
        """The key that the job has if its video and first track are those of the row."""
        model = self._model_id or row.get("model_id") or ""
        source, audio = (row.get(name) or "" for name in ("source_sha256", "audio_sha256"))
        return dub_key(job, source, audio, moods.key, self._config, model, self._settings(model))

    def _newer(self, job: Job, at: float) -> bool:
        return any(os.path.getmtime(path) > at for path in (job.video, *job.tracks))
