"""From what the steps found to the shards of a dataset version: new sources, and those that the dataset had before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from storage import versions
from storage.errors import NotFound
from storage.ids import code_revision, content_id
from storage.layout import Root
from storage.schema import CLIPS, SOURCES, light, row
from storage.shards import ShardWriter, read_rows
from tasks.config import Config
from tasks.curation import CURATED, NEEDED, Curation, curate
from tasks.sources import Source
from tasks.steps.store import VERDICTS, Store
from tasks.steps.tally import Tally
from tasks.steps.verdict import ClipRow, Naming, clip_rows, source_row_of, tally_of


@dataclass(frozen=True)
class Item:
    """A source of a run, its ids, the key of its verdict and those of its steps."""

    source: Source
    source_id: str
    picture_id: str
    key: str
    steps: Mapping[str, str]


@dataclass
class Built:
    """A dataset version and what went into it: SOURCES rows and light CLIPS rows (no pictures) of this run's sources.

    version is the id that `storage.versions` gave; folder holds its clip shards. steps: by step how many clips were
    done now, kept from before, failed, and the seconds spent; done: keys of the verdicts made now; namings: by
    source_id; moved: source_id → its split before and now, where one person had sources in two splits. Of the version
    before: gone, the sources that do not stay; stays, whether any do; changes, clip_id → columns that now differ.
    """

    version: str
    folder: Path
    items: list[Item] = field(default_factory=list)
    sources: list[dict[str, Any]] = field(default_factory=list)
    clips: list[dict[str, Any]] = field(default_factory=list)
    steps: dict[str, Tally] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)
    moved: dict[str, tuple[str, str]] = field(default_factory=dict)
    namings: dict[str, Naming] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    stays: bool = False
    changes: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def summary(self) -> str:
        """``7 sources: 31 clips kept, 4 left out``."""
        kept = sum(clip["status"] == "ok" for clip in self.clips)
        return f"{len(self.sources)} sources: {kept} clips kept, {len(self.clips) - kept} left out"


def previous_version(root: Root, dataset: str) -> versions.Version | None:
    """The dataset's latest version, whole on the disk; None for a new dataset."""
    try:
        current = versions.show_version(root, dataset)
    except NotFound:
        return None
    return versions.checkout_version(root, current.dataset_id, make_current=False)


def assemble(
    items: Sequence[Item],
    repeated: Sequence[Item],
    lost: Mapping[str, dict[str, Any]],
    dataset: str,
    config: Config,
    folder: Path,
    previous: Path | None,
) -> Built:
    """Writes the rows of these sources as shards into `folder`, in the order of their ids, and tells what becomes of
    the version before.

    Args:
        repeated: sources with the bytes of another one.
        lost: key → outcome columns of sources without a verdict.
        previous: folder of the version before; its sources stay, but for those that are here anew.
    """
    store = Store.of(config)
    items = sorted(items, key=lambda item: item.source_id)
    before = _before(previous, items)
    namings = _namings(items, before, dataset)
    kept = {source_id for source_id, entry in before.items() if entry["stays"]}
    built = Built("", folder, items, namings=namings)

    def fresh() -> Iterator[tuple[dict[str, Any], Iterator[ClipRow]]]:
        for item in items:
            yield _rows_of(item, lost, dataset, config, store, namings[item.source_id])

    def known() -> Iterator[dict[str, Any]]:
        for entry in _rows(previous, list(NEEDED)):
            if entry["source_id"] in kept and entry["status"] == "ok":
                yield entry
        for _, clips in fresh():
            for made in clips:
                if made.values["status"] == "ok":
                    yield {name: made.values.get(name) for name in NEEDED}

    curation = curate(known(), dict(_people(previous)), config)
    built.moved = curation.moved
    built.gone = set(before) - kept
    built.stays = bool(kept)
    built.changes = dict(_changes(previous, kept, curation))
    with ShardWriter(folder, CLIPS, config.preprocess.shard_mb) as shards:
        names = light(CLIPS).names
        for source, clips in fresh():
            verdicts = []
            for made in clips:
                made.values |= curation.columns(made.values)
                shards.write(made.table())
                built.clips.append({name: made.values.get(name) for name in names})
                verdicts.append(made.values)
            built.sources.append(source | tally_of(source, verdicts))
        first = {item.source_id: item for item in items}
        for item in repeated:
            clip, source = _repeat_rows(item, first[item.source_id], dataset, config)
            shards.write(clip)
            built.clips.append({name: clip.get(name) for name in names})
            built.sources.append(source)
    return built


def _people(previous: Path | None) -> Iterator[tuple[str, str]]:
    """(clip_id, speaker) of the version before, where faces told who it is."""
    for entry in _rows(previous, ["clip_id", "speaker", "speaker_source"]):
        if entry["speaker"] and entry["speaker_source"] == "face":
            yield entry["clip_id"], entry["speaker"]


def _changes(previous: Path | None, kept: set[str], curation: Curation) -> Iterator[tuple[str, dict[str, Any]]]:
    """Rows of the version before that stay, and what the whole dataset now says otherwise of them."""
    for entry in _rows(previous, ["clip_id", "source_id", *CURATED]):
        if entry["source_id"] in kept:
            other = {name: value for name, value in curation.columns(entry).items() if entry[name] != value}
            if other:
                yield entry["clip_id"], other


def _rows(folder: Path | None, columns: list[str]) -> Iterator[dict[str, Any]]:
    if folder is not None and any(folder.rglob("*.parquet")):
        yield from read_rows(folder, columns)


def _before(previous: Path | None, items: Sequence[Item]) -> dict[str, dict[str, Any]]:
    """source_id → picture_id, and whether it stays, of the version before.

    A source goes where it is here anew; and where the file at its place has the same picture with other sound: then
    that is what became of it.
    """
    new = {item.source_id for item in items}
    places = {(item.picture_id, item.source.uri) for item in items}
    found: dict[str, dict[str, Any]] = {}
    for entry in _rows(previous, ["source_id", "source_uri", "picture_id"]):
        replaced = entry["source_id"] in new or (entry["picture_id"], entry["source_uri"]) in places
        found.setdefault(entry["source_id"], {"picture_id": entry["picture_id"], "stays": not replaced})
    return found


def _namings(items: Sequence[Item], before: Mapping[str, Mapping[str, Any]], dataset: str) -> dict[str, Naming]:
    """How the rows of each source are named: of several with one picture, all but the first get a salt."""
    taken = {entry["picture_id"] for entry in before.values() if entry["stays"]}
    namings = {}
    for item in items:
        salt = item.source_id if item.picture_id in taken else ""
        taken.add(item.picture_id)
        namings[item.source_id] = Naming(dataset, item.source_id, item.picture_id, salt)
    return namings


def _rows_of(
    item: Item, lost: Mapping[str, dict[str, Any]], dataset: str, config: Config, store: Store, naming: Naming
) -> tuple[dict[str, Any], Iterator[ClipRow]]:
    """The SOURCES row of a source and its clips, from its verdict. That may have been made for another dataset, or
    under another name."""
    verdict = store.part(VERDICTS, item.key) if item.key not in lost else None
    if verdict is None:
        clip, source = verdict_rows(item, lost[item.key], dataset, config)
        return source, iter([ClipRow(clip)])
    source = source_row_of(verdict, item.source, item.source_id, dataset)
    return source, clip_rows(verdict, store, item.source, naming, config)


def verdict_rows(
    item: Item, verdict: Mapping[str, Any], dataset: str, config: Config, source_id: str | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The CLIPS row and the SOURCES row of a source that no step was done to."""
    source_id, source = source_id or item.source_id, item.source
    made = {"dataset": dataset, "config_hash": config.hash(), "code_revision": code_revision(), **verdict}
    said = {"speaker": source.speaker, "licence": source.licence, "consent": source.consent}
    clip_id = content_id("lost", dataset, source_id)
    clip = row(CLIPS, clip_id=clip_id, source_id=source_id, source_uri=source.uri, **made, **said)
    whole = row(SOURCES, source_id=source_id, uri=source.uri, attempts=1, clips_ok=0, clips_rejected=1, **made, **said)
    return clip, whole


def _repeat_rows(item: Item, first: Item, dataset: str, config: Config) -> tuple[dict[str, Any], dict[str, Any]]:
    verdict = {
        "status": "rejected", "stage": "probe", "measure": "same_bytes", "value": 2.0, "threshold": 1.0,
        "reason": f"has the same bytes as {Path(first.source.uri).name}",
    }  # fmt: skip
    return verdict_rows(item, verdict, dataset, config, content_id("repeated", item.source_id, item.source.uri))
