"""Many sources into a dataset version: Ray Data over files, resumable, and every input ends as a row.

A worker reads one file, builds its clips and leaves them as a finished part under a key made of everything that
shaped them; only a verdict of a few words travels back. The driver then joins the parts to shards. So a run that was
killed, a disk that was full, or a dataset that grows costs the unfinished sources only.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from storage import versions
from storage.errors import NotFound, outcome
from storage.ids import code_revision, content_id
from storage.layout import Root
from storage.ledger import Ledger
from storage.schema import CLIPS, SOURCES, light, row
from storage.shards import ShardWriter
from tasks import cluster
from tasks.clips import build_clips, clips_version
from tasks.config import Config
from tasks.experts import Experts, experts_version, load_experts
from tasks.parts import is_whole, part_key, read_clips, read_sources, write_part
from tasks.probe import Source, source_key
from tasks.splits import assign_splits

OnRow = Callable[[str, dict[str, Any]], None]
"""Told ("sources", SOURCES row) as each source comes to its end."""
WORKER_DIED = "WorkerDied"


@dataclass
class Built:
    """A dataset version and what went into it: SOURCES rows and light CLIPS rows (no pictures) of this run's sources.

    version is the id that `storage.versions` gave; folder holds its clip shards.
    """

    version: str
    folder: Path
    sources: list[dict[str, Any]] = field(default_factory=list)
    clips: list[dict[str, Any]] = field(default_factory=list)

    @property
    def summary(self) -> str:
        """``7 sources: 31 clips kept, 4 left out``."""
        kept = sum(clip["status"] == "ok" for clip in self.clips)
        return f"{len(self.sources)} sources: {kept} clips kept, {len(self.clips) - kept} left out"


@dataclass(frozen=True)
class _Item:
    source: Source
    source_id: str
    key: str
    folder: Path


class SourceWorker:
    """A Ray actor: loads the experts once, then turns sources into parts, one after the other. Never raises."""

    def __init__(self, config: dict[str, Any], dataset: str, ledger: str) -> None:
        self._config = Config.model_validate(config)
        self._dataset = dataset
        self._ledger = Ledger(ledger)
        self._experts: Experts | None = None

    def __call__(self, task: dict[str, Any]) -> dict[str, Any]:
        key = task["key"]
        try:
            self._ledger.record(key, "started")
            if self._experts is None:
                self._experts = load_experts(self._config)
            source = Source(**task["source"])
            verdict = write_part(Path(task["folder"]), build_clips(source, self._dataset, self._config, self._experts))
            words = {name: verdict[name] for name in ("status", "stage", "reason", "error_type")}
        except Exception as error:  # noqa: BLE001 - a source costs itself alone
            words = {name: value for name, value in outcome(error, "preprocess").items() if name in _WORDS}
        return {"key": key} | {name: words.get(name) or "" for name in _WORDS}


_WORDS = ("status", "stage", "reason", "error_type")


def preprocess_many(
    sources: Sequence[Source],
    dataset: str,
    config: Config,
    *,
    run_id: str = "",
    on_row: OnRow | None = None,
    message: str = "",
) -> Built:
    """Build `dataset`, or extend it with these sources, and commit the result as a version.

    Rows in = rows out: every source has one SOURCES row and at least one CLIPS row. A source that the dataset has
    already is replaced by what it comes to now.

    Raises:
        ConfigError: an expert is missing.
        StorageFull: no room for the joined shards.
    """
    root = Root(config.root).create()
    store = root.cache / "clips"
    ledger = Ledger(store / "ledger.jsonl")
    version = clips_version(config, experts_version(config))
    items, repeated = _items(sources, store, version)
    verdicts = _build(items, dataset, config, ledger, on_row)
    folder = root.cache / "staging" / content_id(dataset, run_id, [item.key for item in items])
    shutil.rmtree(folder, ignore_errors=True)
    try:
        built = _join(items, repeated, verdicts, dataset, config, folder, _previous(root, dataset))
        built.version = versions.commit_version(root, dataset, folder, message or f"{len(sources)} sources")
        built.folder = versions.show_version(root, f"{dataset}@{built.version}").path
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return built


def _items(sources: Sequence[Source], store: Path, version: str) -> tuple[list[_Item], list[_Item]]:
    """Items by content, and those whose content came before in the list.

    A file left out unread has an id of its own, so that it never takes the place of the same bytes under a right name.
    """
    items: dict[str, _Item] = {}
    repeated = []
    for source in sources:
        source_id = source_key(source.uri)
        if source.refused is not None:
            source_id = content_id("refused", source_id, source.uri)
        key = part_key(source, source_id, version)
        item = _Item(source, source_id, key, store / key)
        if source_id in items:
            repeated.append(item)
        else:
            items[source_id] = item
    return list(items.values()), repeated


def _build(
    items: Sequence[_Item], dataset: str, config: Config, ledger: Ledger, on_row: OnRow | None
) -> dict[str, dict[str, Any]]:
    """Makes the parts that are missing; key → verdict of those that could not be made."""
    lost: dict[str, dict[str, Any]] = {}
    todo = []
    for item in items:
        there = item.folder.exists()
        if item.source.refused is not None:
            lost[item.key] = _refused(item.source.refused)
            _tell_rows(on_row, _verdict_rows(item, lost[item.key], dataset, config))
        elif is_whole(item.folder):
            _tell(on_row, item)
        elif _quarantined(ledger, item.key, config):
            lost[item.key] = _died(ledger.attempts(item.key), quarantined=True)
        else:
            if there:  # spoilt; one that another run finished just now stays
                shutil.rmtree(item.folder, ignore_errors=True)
            todo.append(item)
    while todo:
        waiting = {item.key: item for item in todo}
        before = {key: ledger.attempts(key) for key in waiting}
        for words in _answers(list(waiting.values()), dataset, config, ledger):
            item = waiting.pop(words["key"])
            ledger.record(item.key, words["status"], **{name: words[name] for name in _WORDS[1:] if words[name]})
            if is_whole(item.folder):
                _tell(on_row, item)
            else:
                lost[item.key] = {name: words[name] or None for name in _WORDS}
        # A pool that lost its workers leaves sources that nobody began: those are no suspects, and get a fresh pool.
        todo = [item for item in waiting.values() if ledger.attempts(item.key) == before[item.key]]
        for key in waiting.keys() - {item.key for item in todo}:
            lost[key] = _died(ledger.attempts(key))
            ledger.record(key, "failed", error_type=WORKER_DIED, reason=lost[key]["reason"])
        if todo and len(todo) == len(before):
            for item in todo:  # not one was begun: the workers themselves cannot start
                lost[item.key] = _died(0)
            break
    return lost


def _answers(items: list[_Item], dataset: str, config: Config, ledger: Ledger) -> Iterator[dict[str, Any]]:
    rows = [{"key": item.key, "folder": str(item.folder), "source": item.source.as_dict()} for item in items]
    arguments = (config.model_dump(mode="json"), dataset, str(ledger.path))
    yield from cluster.map_rows(rows, SourceWorker, arguments, config)


def _tell(on_row: OnRow | None, item: _Item) -> None:
    _tell_rows(on_row, (("sources", verdict) for verdict in read_sources(item.folder)))


def _tell_rows(on_row: OnRow | None, rows: Iterable[tuple[str, dict[str, Any]]]) -> None:
    if on_row is not None:
        for kind, entry in rows:
            if kind == "sources":
                on_row(kind, entry)


def _quarantined(ledger: Ledger, key: str, config: Config) -> bool:
    """Has it killed its worker in every try of `max_attempts` runs?"""
    last = ledger.last(key)
    if last is None or not (last["status"] == "started" or last.get("error_type") == WORKER_DIED):
        return False
    return ledger.attempts(key) >= config.runtime.max_attempts * (1 + config.runtime.max_task_retries)


def _died(attempts: int, quarantined: bool = False) -> dict[str, Any]:
    again = "it is not tried again; replace the file" if quarantined else "run it again, or replace the file"
    return {
        "status": "failed", "stage": "preprocess", "error_type": WORKER_DIED,
        "reason": f"its worker died (crash or out of memory) in {attempts} tries ({again})",
    }  # fmt: skip


def _refused(reason: str) -> dict[str, Any]:
    return {"status": "rejected", "stage": "corpus", "measure": "name", "reason": reason}


def _previous(root: Root, dataset: str) -> Path | None:
    """Folder of the dataset's latest version, None for a new dataset."""
    try:
        current = versions.show_version(root, dataset)
    except NotFound:
        return None
    return versions.checkout_version(root, current.dataset_id, make_current=False).path


def _join(
    items: Sequence[_Item],
    repeated: Sequence[_Item],
    lost: dict[str, dict[str, Any]],
    dataset: str,
    config: Config,
    folder: Path,
    previous: Path | None,
) -> Built:
    """Parts, lost sources and the previous version's other sources → shards in `folder`, in the order of their ids."""
    built = Built("", folder)
    new = {item.source_id: item for item in items}
    old = {clip["source_id"] for clip in read_clips(previous, ["source_id"])} if previous is not None else set()
    kept_from: dict[str, Path] = {item.source_id: item.folder for item in items if item.key not in lost}
    if previous is not None:
        kept_from |= {source_id: previous for source_id in sorted(old) if source_id not in new}
    columns = ["source_id", "status", "speaker", "identity", "split"]
    light_rows = (
        clip for place in dict.fromkeys(kept_from.values()) for clip in read_clips(place, columns)
        if kept_from.get(clip["source_id"]) == place and clip["status"] == "ok"
    )  # fmt: skip
    splits = assign_splits(light_rows, config.preprocess.splits, config.tracks.same_person)
    with ShardWriter(folder, CLIPS, config.preprocess.shard_mb) as shards:
        if previous is not None:
            for clip in read_clips(previous):
                if clip["source_id"] not in new:
                    shards.write(clip | {"split": splits.get(clip["source_id"], clip["split"])})
        for item in sorted(items, key=lambda item: item.source_id):
            for kind, entry in _rows_of(item, lost, dataset, config):
                entry["split"] = splits.get(item.source_id, entry["split"])
                _keep(built, shards, kind, entry)
        for item in repeated:
            for kind, entry in _repeat_rows(item, new[item.source_id], dataset, config):
                _keep(built, shards, kind, entry)
    return built


def _keep(built: Built, shards: ShardWriter, kind: str, entry: dict[str, Any]) -> None:
    if kind == "clips":
        shards.write(entry)
    (built.clips if kind == "clips" else built.sources).append(_light(kind, entry))


def _rows_of(
    item: _Item, lost: dict[str, dict[str, Any]], dataset: str, config: Config
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of a source, from its part. The part may have been made for another dataset, or under another name."""
    if item.key in lost:
        yield from _verdict_rows(item, lost[item.key], dataset, config)
        return
    for clip in read_clips(item.folder):
        yield "clips", clip | {"dataset": dataset, "source_uri": item.source.uri}
    for source in read_sources(item.folder):
        yield "sources", source | {"dataset": dataset, "uri": item.source.uri}


def _verdict_rows(
    item: _Item, verdict: dict[str, Any], dataset: str, config: Config, source_id: str | None = None
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of a source that no part was made of."""
    source_id = source_id or item.source_id
    made = {"dataset": dataset, "config_hash": config.hash(), "code_revision": code_revision()}
    yield (
        "clips",
        row(
            CLIPS,
            clip_id=content_id("lost", source_id),
            source_id=source_id,
            source_uri=item.source.uri,
            **verdict,
            **made,
        ),
    )
    yield "sources", row(
        SOURCES, attempts=1, source_id=source_id, uri=item.source.uri, speaker=item.source.speaker, clips_ok=0, clips_rejected=1,
        **verdict, **made,
    )  # fmt: skip


def _repeat_rows(item: _Item, first: _Item, dataset: str, config: Config) -> Iterator[tuple[str, dict[str, Any]]]:
    verdict = {
        "status": "rejected", "stage": "probe", "measure": "same_bytes", "value": 2.0, "threshold": 1.0,
        "reason": f"has the same bytes as {first.source.uri}",
    }  # fmt: skip
    own = content_id("repeated", item.source_id, item.source.uri)
    yield from _verdict_rows(item, verdict, dataset, config, own)


def _light(kind: str, entry: dict[str, Any]) -> dict[str, Any]:
    return {name: entry.get(name) for name in light(CLIPS if kind == "clips" else SOURCES).names}
