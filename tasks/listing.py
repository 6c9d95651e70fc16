"""What a run is given: files, folders, corpora, manifests and addresses in object stores, told as sources."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from storage import fetching
from storage.errors import UsageError
from storage.layout import Root
from tasks.corpora.reading import Layout, read_tree
from tasks.corpora.registry import AUTO, FOLDER, layout_named, recognise
from tasks.manifest import SUFFIXES, located, read_table
from tasks.sources import IMAGE_SUFFIXES, MEDIA_SUFFIXES, Source

log = logging.getLogger(__name__)
_MISSING_SHOWN = 3
_SAID = ("speaker", "emotion", "text", "caption", "gender", "split", "licence", "consent")


def find_sources(
    places: Iterable[str | os.PathLike[str]], corpus_layout: str = AUTO, root: Root | str | None = None
) -> list[Source]:
    """Files from paths: a file stands for itself, a folder for all media files below it, a manifest for its rows.

    A path may be an address in an object store (``s3://bucket/films``); those of its files stay addresses, and are
    brought here one by one when they are read.

    A folder whose files are named as those of a known corpus (`tasks.corpora`) is read as that corpus, with its labels,
    and with a source for each file that is left out; not one with a manifest, which says all there is to say, nor one
    in an object store.

    A manifest (CSV, JSON lines, Parquet) has a column `video`, and may have those of `Source`; one that lies in a
    folder given (`manifest.csv`, …) labels that folder's files, and sounds and pictures that it names in its other
    columns are companions and no inputs of their own. Tables of dub jobs (with a column `output`) say nothing else of
    footage. Still pictures and sounds alone are inputs: their rows say why they are none. Other files of a folder
    (texts, hidden files, unfinished outputs) are not looked at. A file named twice is taken once.

    Args:
        corpus_layout: a corpus's name: every folder is one of it; "folder": none is; "auto": see above.
        root: whose cache is used to read manifests that lie in an object store.

    Raises:
        UsageError: a path does not exist, a manifest cannot be read or is one of dub jobs, or there is no such layout.
        InputFailed: an object store does not answer.
        ConfigError: no such kind of store is installed.
    """
    told = layout_named(corpus_layout)
    found: dict[str, Source] = {}
    for place in places:
        text = os.fspath(place)
        if fetching.is_remote(text):
            if corpus_layout not in (AUTO, FOLDER):
                raise UsageError(f"{text}: a corpus is read from a local folder", "copy it, or take --layout folder")
            listed = _remote(text, Root(root or Root()))
        else:
            listed = _local(Path(fetching.local_path(text)).expanduser(), told, corpus_layout)
        for source in listed:
            found.setdefault(source.uri, source)
    return list(found.values())


def _local(path: Path, told: Layout | None, corpus_layout: str) -> list[Source]:
    if not os.path.lexists(path):
        raise UsageError(f"{path}: no such file or folder", "check the path")
    if path.is_dir():
        named, companions = _labels(path) if told is None else ({}, set())
        files = sorted(file.absolute() for file in path.rglob("*") if _is_media(file, path))
        films = [file for file in files if file.suffix.lower() not in IMAGE_SUFFIXES]
        corpus = told or (recognise(films) if corpus_layout == AUTO and not named else None)
        if corpus is not None:
            return _corpus(corpus, path)
        return _folder([str(file) for file in files], named, companions)
    if path.suffix.lower() in SUFFIXES:
        return _named_by(path, path.parent, str(path))
    return [_source(str(path.absolute()))]


def _remote(uri: str, root: Root) -> list[Source]:
    if not fetching.is_folder(uri):
        if not fetching.exists(uri):
            raise UsageError(f"{uri}: no such file or folder", "check the address")
        if os.path.splitext(uri)[1].lower() in SUFFIXES:
            with fetching.local_copy(uri, root) as manifest:
                return _named_by(manifest, uri.rsplit("/", 1)[0], uri)
        return [_source(uri)]
    files = fetching.files_below(uri, MEDIA_SUFFIXES | set(SUFFIXES))
    named: dict[str, Source] = {}
    companions: set[str] = set()
    for file in files:
        if file.rsplit("/", 1)[-1] in {f"manifest{suffix}" for suffix in SUFFIXES}:
            sources, beside = _rows_at(file, root)
            named |= sources
            companions |= beside
    films = [file for file in files if os.path.splitext(file)[1].lower() in MEDIA_SUFFIXES]
    return _folder(films, named, companions - named.keys())


def _folder(files: list[str], named: Mapping[str, Source], companions: set[str]) -> list[Source]:
    """A folder's files, labelled by its manifests, and what those name elsewhere."""
    there = set(files)
    listed = [named.get(file) or _source(file) for file in files if file not in companions]
    return listed + [source for file, source in named.items() if file not in there]


def _corpus(layout: Layout, folder: Path) -> list[Source]:
    reading = read_tree(layout, folder)
    log.info("%s: read as %s", folder, reading.summary)
    if reading.missing:
        shown = "; ".join(reading.missing[:_MISSING_SHOWN])
        log.warning("%s: %d missing, by the names of those that are there: %s", folder, len(reading.missing), shown)
    return reading.sources


def _labels(folder: Path) -> tuple[dict[str, Source], set[str]]:
    """What the manifests below a folder say: sources by file, and the files that are companions of one."""
    named: dict[str, Source] = {}
    companions: set[str] = set()
    for suffix in SUFFIXES:
        for manifest in sorted(folder.rglob(f"manifest{suffix}")):
            sources, beside = _rows(manifest, manifest.parent)
            named |= sources
            companions |= beside
    return named, companions - named.keys()


def _rows_at(uri: str, root: Root) -> tuple[dict[str, Source], set[str]]:
    with fetching.local_copy(uri, root) as manifest:
        return _rows(manifest, uri.rsplit("/", 1)[0])


def _named_by(manifest: Path, beside: Path | str, place: str) -> list[Source]:
    """The sources of a manifest that was itself named as footage; `place` is where it lies."""
    if _is_of_jobs(read_table(manifest)):
        raise UsageError(
            f"{place}: is a table of dub jobs (it has a column `output`), which says nothing of footage",
            "give it to `dubwright dub --manifest`, or name the folder that its films lie in",
        )
    return list(_rows(manifest, beside)[0].values())


def _is_of_jobs(table: Sequence[Mapping[str, Any]]) -> bool:
    return bool(table) and "output" in table[0]


def _rows(manifest: Path, beside: Path | str) -> tuple[dict[str, Source], set[str]]:
    """Sources by file, and companions; `beside` is where the paths in the manifest begin."""
    sources: dict[str, Source] = {}
    companions: set[str] = set()
    table = read_table(manifest)
    if table and "video" not in table[0]:
        raise UsageError(f"{manifest}: has no column `video`", "name the column with the files `video`")
    of_jobs = _is_of_jobs(table)
    for entry in table:
        video = located(entry.get("video"), beside)
        companions |= _companions(entry, beside)
        if video is None or of_jobs:
            continue
        said = {name: entry.get(name) for name in _SAID}
        intensity = entry.get("intensity")
        sources[video] = Source(
            video, **{name: None if value is None else str(value) for name, value in said.items()},
            intensity=None if intensity is None else int(float(intensity)), audio=located(entry.get("audio"), beside),
        )  # fmt: skip
    return sources, companions


def _companions(entry: Mapping[str, Any], beside: Path | str) -> set[str]:
    """Files that a row names beside its video, in whichever column: its sound, a picture of the speaker, …"""
    named = (value for column, value in entry.items() if column not in ("video", "output") and isinstance(value, str))
    return {str(located(value, beside)) for value in named if os.path.splitext(value)[1].lower() in MEDIA_SUFFIXES}


def _is_media(file: Path, below: Path) -> bool:
    if any(part.startswith(".") for part in file.relative_to(below).parts):
        return False
    return file.suffix.lower() in MEDIA_SUFFIXES and not file.is_dir()


def _source(name: str) -> Source:
    """A file whose name cannot be written down (bytes that are no UTF-8) is told by an escaped one, and left out."""
    try:
        name.encode()
    except UnicodeEncodeError:
        shown = name.encode("utf-8", "backslashreplace").decode()
        return Source(shown, refused="its name is no UTF-8 text (rename the file)")
    return Source(name)
