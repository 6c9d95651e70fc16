"""Dataset versions: immutable, named by their content, kept by DVC.

    datasets/NAME/VERSION/         the rows (`storage.version_rows`): the same rows make the same bytes, whenever and
                                   wherever, whatever the version before and the run they came from
    datasets/NAME/VERSION.json     when, from what and by which code it was first made
    datasets/NAME/VERSION.sources  where its films were found when it was committed last
    datasets/NAME/VERSION.dvc      DVC's record of the folder
    datasets/NAME/refs.json        the current version, tags, and the history

The version is a hash of the rows without what tells only how they were made, so committing the same rows again gives
the same version. A production set-up adds a remote and calls `push`.
"""

from __future__ import annotations

import datetime
import os
import shutil
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from storage.atomic import directory_written_aside, write_json
from storage.errors import DubwrightError, UsageError
from storage.ids import code_revision
from storage.layout import Root
from storage.names import check_name
from storage.schema import SCHEMAS
from storage.shards import iter_tables, places_file, write_places
from storage.version_diff import Diff, compare
from storage.version_dvc import add, altered, dvc_repo, restore
from storage.version_index import INDEX
from storage.version_refs import (
    Version,
    dataset_exists,
    describe_version,
    list_versions,
    locked,
    read_refs,
    show_version,
    write_refs,
)
from storage.version_rows import Gathering, version_name, write_version

__all__ = [
    "Diff",
    "Version",
    "catalogue_version",
    "checkout_version",
    "commit_version",
    "describe_version",
    "diff_versions",
    "list_versions",
    "push_versions",
    "show_version",
    "tag_version",
]

AnyRoot = Root | str | os.PathLike[str]


def commit_version(
    root: AnyRoot,
    dataset: str,
    rows: str | os.PathLike[str] | None,
    message: str = "",
    *,
    base: str = "",
    without: Collection[str] = (),
    changes: Mapping[str, Mapping[str, Any]] | None = None,
) -> str:
    """Make a version of `dataset` of the shards in directory `rows`, make it the current one, and return it (20 hex
    digits). Rows that were committed before give the version that is there already.

    The shards are of one schema of `storage.schema`; of several rows with one key the last counts. With `base` the rows
    of that version stay too, at the cost of what changed only: the version is byte for byte the one that all its rows,
    committed together, would give.

    Args:
        rows: None where there are none but those of `base`.
        base: a version of this dataset (its hash or its tag).
        without: source_ids whose rows in `base` do not stay (those that `rows` has anew).
        changes: other values of light columns for rows of `base`, by key: ``{clip_id: {"split": "val"}}``.

    Raises:
        UsageError: the name cannot be a folder's name, or there is no row.
        NotFound: there is no such base.
        InputFailed: a shard cannot be read.
        StorageFull: the disk is full; no version was made.
    """
    place = Root(root)
    check_name(dataset)
    folder = place.datasets / dataset
    with locked(folder), place.lease(f"dataset-{dataset}"):
        place.renew(folder / "refs.json")
        refs = read_refs(folder)
        before = show_version(place, f"{dataset}@{base}").path if base else folder / refs["current"]
        if base:
            make_whole(place, before)
        first = next(iter_tables(before if rows is None else rows), None)
        known = (first.schema.metadata or {}).get(b"table", b"clips").decode() if first is not None else "clips"
        scratch = place.cache / "gathering" / dataset
        shutil.rmtree(scratch, ignore_errors=True)  # what a killed commit left: the lock is ours
        scratch.mkdir(parents=True)
        try:
            with Gathering(SCHEMAS.get(known, SCHEMAS["clips"]), scratch / "rows.arrow") as gathering:
                if rows is not None:
                    gathering.add(iter_tables(rows))
                if base:
                    gathering.add_version(before, without, changes)
                version = _write(place, folder, refs, gathering, before, message, checked=bool(base))
                write_places(folder / version, gathering.places)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        if version not in refs["history"]:
            refs["history"].append(version)
        refs["current"] = version
        write_refs(folder, refs)
        for path in (folder / version, folder / f"{version}.json", places_file(folder / version), folder / "refs.json"):
            place.push(path)
    return version


def _write(
    place: Root,
    folder: Path,
    refs: Mapping[str, Any],
    gathering: Gathering,
    before: Path,
    message: str,
    checked: bool,
) -> str:
    """The version of what was gathered: the one that is there, whole again if need be, or a new one."""
    entries = gathering.finish()
    if not entries:
        raise UsageError(
            f"{folder.name}: there are no rows to commit", "see the report for why every clip was left out"
        )
    version = version_name(entries)
    target = folder / version
    if version in refs["history"]:
        try:
            make_whole(place, target)
            return version
        except DubwrightError:
            pass  # spoilt beyond DVC's help: the rows are at hand, so it is written again
    shutil.rmtree(target, ignore_errors=True)
    # Files of the version before are linked only if they are what they were.
    like = before if before != target and (before / INDEX).is_dir() else None
    if like is not None and not checked and altered(place, like) != []:
        like = None
    with directory_written_aside(target) as partial:
        linked = write_version(gathering, entries, partial, like)
    digest = add(place, target, linked)
    if not (folder / f"{version}.json").is_file():
        facts = {
            "dataset": folder.name, "version": version, "rows": len(entries),
            "counts": dict(sorted(Counter(entry.status for entry in entries).items())), "message": message,
            "parent": refs["current"], "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "code_revision": code_revision(), "configurations": dict(sorted(gathering.made_by.items())), "dvc": digest,
        }  # fmt: skip
        write_json(folder / f"{version}.json", facts)
    return version


def make_whole(place: Root, folder: Path) -> list[str]:
    """Make sure that a version's files are as they were committed; returns the names of those that had to be restored.

    Raises:
        DubwrightError: they are not, and cannot be brought back.
    """
    if not place.is_local:
        place.pull(places_file(folder))
    if not folder.is_dir():
        restore(place, folder)
        return ["all files"] if place.is_local else []
    wrong = altered(place, folder)
    if wrong is None and place.is_local and (folder / INDEX).is_dir() and _named(place, folder) != folder.name:
        wrong = ["rows"]  # DVC's cache is gone; but the name tells what the rows were
    if wrong:
        restore(place, folder)
    return wrong or []


def _named(place: Root, folder: Path) -> str:
    """The name that a version's rows have, read from all its values."""
    scratch = place.cache / "gathering" / f"{folder.parent.name}-check"
    scratch.parent.mkdir(parents=True, exist_ok=True)
    try:
        first = next(iter_tables(folder))
        known = (first.schema.metadata or {}).get(b"table", b"clips").decode()
        with Gathering(SCHEMAS[known], scratch) as gathering:
            gathering.add(iter_tables(folder))
            return version_name(gathering.finish())
    except DubwrightError:
        return ""


def diff_versions(root: AnyRoot, a: str, b: str) -> Diff:
    """What changed from `a` to `b`: each as for `show_version`, `b` also a bare version or tag of the same dataset."""
    first = show_version(root, a)
    second = show_version(root, b if "@" in b or dataset_exists(root, b) else f"{first.dataset}@{b}")
    for version in (first, second):
        checkout_version(root, version.dataset_id, make_current=False)
    return Diff(first.dataset_id, second.dataset_id, **compare(first.path, second.path))


def checkout_version(root: AnyRoot, spec: str, *, make_current: bool = True) -> Version:
    """Bring a version's files back as they were committed (from DVC's cache or remote) where they are missing or were
    changed, and make it the current one. `restored` of the result names those files.

    Raises:
        NotFound: there is no such version.
        DubwrightError: its files are neither here nor in DVC's cache.
    """
    from dataclasses import replace

    place = Root(root)
    chosen = show_version(place, spec)
    folder = place.datasets / chosen.dataset
    with locked(folder):
        restored = make_whole(place, chosen.path)
        if make_current:
            with place.lease(f"dataset-{chosen.dataset}"):
                place.renew(folder / "refs.json")
                refs = read_refs(folder)
                refs["current"] = chosen.version
                write_refs(folder, refs)
                place.push(folder / "refs.json")
    return replace(show_version(place, chosen.dataset_id), restored=tuple(restored))


def tag_version(root: AnyRoot, spec: str, tag: str) -> Version:
    """Give a version a name, moving the name where it exists; in the catalog too, where it knows that version.

    Raises:
        UsageError: the tag looks like a version or cannot be a name.
    """
    place = Root(root)
    check_name(tag)
    if len(tag) >= 4 and all(letter in "0123456789abcdef" for letter in tag):
        raise UsageError(f"tag {tag!r} looks like a version", "use a word")
    chosen = show_version(place, spec)
    folder = place.datasets / chosen.dataset
    with locked(folder), place.lease(f"dataset-{chosen.dataset}"):
        place.renew(folder / "refs.json")
        refs = read_refs(folder)
        refs["tags"][tag] = chosen.version
        write_refs(folder, refs)
        place.push(folder / "refs.json")
    _tag_catalog(place, chosen, tag)
    return show_version(place, chosen.dataset_id)


def catalogue_version(root: AnyRoot, dataset_id: str) -> None:
    """Name the catalog's present state of clips after a version whose rows were just written to it: the catalog keeps
    that state, and `Catalog.rows_at("clips", "NAME-VERSION")` reads it."""
    from storage.catalog import Catalog

    Catalog(root).tag("clips", dataset_id.replace("@", "-"))


def _tag_catalog(place: Root, version: Version, tag: str) -> None:
    from storage.catalog import Catalog

    catalog = Catalog(place)
    number = catalog.tags("clips").get(f"{version.dataset}-{version.version}")
    if number is not None:
        catalog.tag("clips", f"{version.dataset}-{tag}", number)


def push_versions(root: AnyRoot, remote_url: str | None = None) -> int:
    """Copy all versions to DVC's remote, setting it to `remote_url` first where given; returns how many files went.

    Raises:
        DubwrightError: no remote is set, or it cannot be reached.
    """
    with dvc_repo(Root(root)) as repo:
        if remote_url:
            with repo.config.edit("repo") as config:
                config["remote"]["storage"] = {"url": remote_url}
                config["core"]["remote"] = "storage"
    with dvc_repo(Root(root)) as repo:
        targets = [str(path) for path in sorted(Root(root).datasets.glob("*/*.dvc"))]
        return int(repo.push(targets=targets))
