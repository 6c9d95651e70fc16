"""Dataset versions: immutable, named by their content, kept by DVC.

    datasets/NAME/VERSION/part-*.parquet    the rows, sorted by key
    datasets/NAME/VERSION/index.idx         key and a digest of every column, for `diff`
    datasets/NAME/VERSION/version.json      what it is, when and from what it was made
    datasets/NAME/VERSION.dvc               DVC's record of the folder
    datasets/NAME/refs.json                 the current version, tags, and the history

The version is a hash of the rows without what differs between two runs that found the same (times, attempts, code
revision), so committing the same rows again gives the same version. A production set-up adds a remote and calls
`push`.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from storage.atomic import FileLock, directory_written_aside, write_json
from storage.errors import NotFound, UsageError
from storage.ids import code_revision
from storage.layout import Root
from storage.version_dvc import dvc_repo, restore
from storage.version_rows import count_by_status, differences, digest_rows, write_sorted

_LOCK_S = 300.0


@dataclass(frozen=True)
class Version:
    """One version of a dataset. `dataset_id` (NAME@VERSION) is what models and renders refer to."""

    dataset: str
    version: str
    path: Path
    rows: int
    counts: dict[str, int]
    message: str = ""
    parent: str = ""
    created: str = ""
    code_revision: str = ""
    tags: tuple[str, ...] = ()
    current: bool = False

    @property
    def dataset_id(self) -> str:
        return f"{self.dataset}@{self.version}"


@dataclass(frozen=True)
class Diff:
    """What changed from version `a` to `b`: keys that came and went, and which fields of which keys changed."""

    a: str
    b: str
    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    changed: dict[str, list[str]] = field(default_factory=dict)

    @property
    def fields(self) -> dict[str, int]:
        """How many rows changed in each field."""
        totals: dict[str, int] = {}
        for names in self.changed.values():
            for name in names:
                totals[name] = totals.get(name, 0) + 1
        return dict(sorted(totals.items(), key=lambda item: (-item[1], item[0])))


def commit_version(
    root: Root | str | os.PathLike[str], dataset: str, rows: str | os.PathLike[str], message: str = ""
) -> str:
    """Make a version of `dataset` of the shards in directory `rows`, make it the current one, and return it (20 hex
    digits). Rows that were committed before give the version that is there already.

    The shards are of one schema of `storage.schema`; of several rows with one key the last counts.

    Raises:
        UsageError: the name cannot be a folder's name, or there is no row.
        InputFailed: a shard cannot be read.
        StorageFull: the disk is full; no version was made.
    """
    place = Root(root)
    _check_name(dataset)
    folder = place.datasets / dataset
    with _locked(folder):
        refs = _read_refs(folder)
        digests = digest_rows(Path(rows))
        if not digests.keys:
            raise UsageError(
                f"{dataset}: there are no rows to commit", "see the report for why every clip was left out"
            )
        version = digests.version
        target = folder / version
        if version not in refs["history"] or not target.is_dir():
            with directory_written_aside(target) as partial:
                write_sorted(Path(rows), partial, digests)
                facts = {
                    "dataset": dataset,
                    "version": version,
                    "rows": len(digests.keys),
                    "counts": count_by_status(partial),
                    "message": message,
                    "parent": refs["current"] if refs["current"] != version else "",
                    "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
                    "code_revision": code_revision(),
                }
                write_json(partial / "version.json", facts)
            with dvc_repo(place) as repo:
                repo.add(str(target))
        if version not in refs["history"]:
            refs["history"].append(version)
        refs["current"] = version
        _write_refs(folder, refs)
    place.push(target)
    place.push(folder / "refs.json")
    return version


def list_versions(root: Root | str | os.PathLike[str], dataset: str | None = None) -> list[Version]:
    """All versions of a dataset, or of all datasets, oldest first."""
    place = Root(root)
    names = [dataset] if dataset else sorted(p.name for p in place.datasets.glob("*") if (p / "refs.json").is_file())
    found = []
    for name in names:
        folder = place.datasets / name
        refs = _read_refs(folder)
        if dataset and not refs["history"]:
            raise _no_dataset(place, dataset)
        found += [_version(folder, version, refs) for version in refs["history"]]
    return found


def show_version(root: Root | str | os.PathLike[str], spec: str) -> Version:
    """The version that `spec` names: ``NAME`` (the current one), ``NAME@VERSION``, ``NAME@TAG``, or the beginning of a
    version (at least four digits).

    Raises:
        NotFound: there is none, or the beginning fits several.
    """
    place = Root(root)
    name, _, wanted = spec.partition("@")
    folder = place.datasets / name
    if not place.is_local and not (folder / "refs.json").is_file():
        place.pull(folder / "refs.json")
    refs = _read_refs(folder)
    if not refs["history"]:
        raise _no_dataset(place, name)
    wanted = refs["tags"].get(wanted, wanted or refs["current"])
    fitting = [v for v in refs["history"] if v == wanted or (len(wanted) >= 4 and v.startswith(wanted))]
    if len(fitting) != 1:
        known = ", ".join([*refs["tags"], *(version[:8] for version in refs["history"][-5:])])
        problem = "is not one version" if fitting else "has no version"
        raise NotFound(f"dataset {name} {problem} {wanted!r}", f"known: {known}")
    if not place.is_local:
        place.pull(folder / fitting[0] / "version.json")
    return _version(folder, fitting[0], refs)


def diff_versions(root: Root | str | os.PathLike[str], a: str, b: str) -> Diff:
    """What changed from `a` to `b`: each as for `show_version`, `b` also a bare version or tag of the same dataset."""
    first = show_version(root, a)
    second = show_version(root, b if "@" in b or _exists(root, b) else f"{first.dataset}@{b}")
    checkout_version(root, first.dataset_id, make_current=False)
    checkout_version(root, second.dataset_id, make_current=False)
    added, removed, changed = differences(first.path, second.path)
    return Diff(first.dataset_id, second.dataset_id, added, removed, changed)


def checkout_version(root: Root | str | os.PathLike[str], spec: str, *, make_current: bool = True) -> Version:
    """Bring a version's files back as they were committed (from DVC's cache or remote) where they are missing or were
    changed, and make it the current one.

    Raises:
        NotFound: there is no such version.
        DubwrightError: its files are neither here nor in DVC's cache.
    """
    place = Root(root)
    chosen = show_version(place, spec)
    folder = place.datasets / chosen.dataset
    with _locked(folder):
        if not chosen.path.is_dir() or make_current:
            restore(place, chosen.path)
        if make_current:
            refs = _read_refs(folder)
            refs["current"] = chosen.version
            _write_refs(folder, refs)
            place.push(folder / "refs.json")
    return show_version(place, chosen.dataset_id)


def tag_version(root: Root | str | os.PathLike[str], spec: str, tag: str) -> Version:
    """Give a version a name, moving the name where it exists.

    Raises:
        UsageError: the tag looks like a version or cannot be a name.
    """
    place = Root(root)
    _check_name(tag)
    if len(tag) >= 4 and all(letter in "0123456789abcdef" for letter in tag):
        raise UsageError(f"tag {tag!r} looks like a version", "use a word")
    chosen = show_version(place, spec)
    folder = place.datasets / chosen.dataset
    with _locked(folder):
        refs = _read_refs(folder)
        refs["tags"][tag] = chosen.version
        _write_refs(folder, refs)
    place.push(folder / "refs.json")
    return show_version(place, chosen.dataset_id)


def push_versions(root: Root | str | os.PathLike[str], remote_url: str | None = None) -> int:
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


def describe_version(version: Version) -> dict[str, Any]:
    """A version as JSON values."""
    return {**asdict(version), "path": str(version.path), "dataset_id": version.dataset_id}


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with FileLock(folder / ".lock", _LOCK_S):
        yield


def _read_refs(folder: Path) -> dict[str, Any]:
    try:
        refs: dict[str, Any] = json.loads((folder / "refs.json").read_text())
        return refs
    except FileNotFoundError:
        return {"current": "", "history": [], "tags": {}}


def _write_refs(folder: Path, refs: dict[str, Any]) -> None:
    write_json(folder / "refs.json", refs)


def _version(folder: Path, version: str, refs: dict[str, Any]) -> Version:
    facts: dict[str, Any] = {}
    with contextlib.suppress(FileNotFoundError):
        facts = json.loads((folder / version / "version.json").read_text())
    return Version(
        dataset=folder.name,
        version=version,
        path=folder / version,
        rows=facts.get("rows", 0),
        counts=facts.get("counts", {}),
        message=facts.get("message", ""),
        parent=facts.get("parent", ""),
        created=facts.get("created", ""),
        code_revision=facts.get("code_revision", ""),
        tags=tuple(sorted(tag for tag, tagged in refs["tags"].items() if tagged == version)),
        current=refs["current"] == version,
    )


def _exists(root: Root | str | os.PathLike[str], name: str) -> bool:
    return (Root(root).datasets / name / "refs.json").is_file()


def _no_dataset(place: Root, name: str) -> NotFound:
    known = sorted(path.parent.name for path in place.datasets.glob("*/refs.json"))
    return NotFound(f"there is no dataset {name!r} in {place}", f"known: {', '.join(known) or 'none yet'}")


def _check_name(name: str) -> None:
    if not name or not all(letter.isalnum() or letter in "-_." for letter in name) or name[0] in ".-":
        raise UsageError(f"{name!r} cannot be a name", "use letters, digits, dashes, dots and underscores")
