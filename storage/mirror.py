"""A remote root and its mirror on this machine, kept in step.

`bring` fetches what changed in the store: the catalog, the registry's rows and champions, the versions' records, the
ledger of renders. `publish` sends what changed here. What is large and never changes (shards, weights, renders) is sent
when it is made and fetched when it is asked for (`Root.push`, `Root.pull`).

Both compare with what they saw last (``.mirror.json`` in the mirror), so a run costs a listing and what is new. One
machine publishes at a time, by a lease. Where both sides changed since, nothing is lost: a catalog's rows and the lines
of a ledger are joined, the rest is records that name their content, of which the store's counts.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from storage.atomic import FileLock, write_json, write_text, written_aside
from storage.errors import DubwrightError
from storage.layout import Root

INDEX = ".mirror.json"
_LOCK_S = 3600.0
_LEDGER = "renders/ledger.jsonl"
_CATALOG = "catalog/"


def bring(root: Root) -> None:
    """Fetch what changed in the store since it was last looked at. Does nothing for a local root.

    Raises:
        ConfigError: no such kind of store.
        DubwrightError: it does not answer.
    """
    if not root.is_local:
        with _reached(root), _Sides(root) as sides:
            _bring(sides)


def publish(root: Root) -> None:
    """Send what changed here since it was last sent. Does nothing for a local root.

    Raises:
        LockHeld: another machine has been publishing for ten minutes.
        DubwrightError: the store does not answer.
    """
    if root.is_local:
        return
    with _reached(root), _Sides(root) as sides:
        if not sides.unsent() and not sides.gone():  # who only reads needs no leave to write
            return
        with root.lease("publish"):
            _bring(sides)
            # What others name goes first: a reader finds no manifest without its data, no champion without its model.
            for name in sorted(sides.unsent(), key=_rank):
                sides.send(name)
            for name in sides.gone():
                sides.drop(name)


@contextlib.contextmanager
def _reached(root: Root) -> Iterator[None]:
    try:
        yield
    except DubwrightError:
        raise
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DubwrightError(
            f"{root}: its store does not answer ({reason})",
            "check the address, the network and your credentials, and run the same command again",
        ) from error


def _bring(sides: _Sides) -> None:
    there = sides.there()
    for table in sorted({name.split("/", 2)[1] for name in there if name.startswith(_CATALOG)}):
        of_table = {name: stamp for name, stamp in there.items() if name.startswith(f"{_CATALOG}{table}/")}
        _bring_table(sides, table, of_table)
    for name, stamp in there.items():
        if not name.startswith(_CATALOG) and sides.changed_there(name, stamp):
            joined = sides.lines(name) if name == _LEDGER and sides.changed_here(name) else []
            sides.fetch(name, stamp)
            sides.append(name, joined)


def _bring_table(sides: _Sides, table: str, there: Mapping[str, str]) -> None:
    from storage.mirror_catalog import own_rows, put_back, swapped_in

    name = table.removesuffix(".lance")
    prefix = f"{_CATALOG}{table}/"
    known = {entry for entry in sides.known() if entry.startswith(prefix)}
    if known == set(there) and not any(sides.changed_there(entry, stamp) for entry, stamp in there.items()):
        return
    here = [entry for entry in sides.here() if entry.startswith(prefix)]
    own = []
    if any(sides.changed_here(entry) for entry in here):
        own = own_rows(sides.root, name, sides.versions.get(name))
    with swapped_in(sides.root.catalog / table) as folder:
        for entry, stamp in there.items():
            sides.fetch(entry, stamp, folder / entry.removeprefix(prefix))
    for entry in known - set(there):
        sides.forget(entry)
    for entry in there:
        sides.settle(entry)
    sides.versions[name] = put_back(sides.root, name, own)


class _Sides:
    """Both sides of a root: what is there, what is here, and what was last seen to be the same."""

    def __init__(self, root: Root) -> None:
        self.root = root
        self.versions: dict[str, int] = {}
        """Version of each table of the catalog when it was last the same on both sides."""
        self._seen: dict[str, dict[str, Any]] = {}
        self._lock = FileLock(root.local / f"{INDEX}.lock", _LOCK_S)
        self._filesystem, self._base = root.remote()

    def __enter__(self) -> _Sides:
        self._lock.__enter__()
        with contextlib.suppress(FileNotFoundError, ValueError):
            index = json.loads((self.root.local / INDEX).read_text())
            self._seen, self.versions = index["seen"], index["versions"]
        return self

    def __exit__(self, *error: Any) -> None:
        try:
            write_json(self.root.local / INDEX, {"seen": self._seen, "versions": self.versions})
        finally:
            self._lock.__exit__(*error)

    def known(self) -> list[str]:
        return list(self._seen)

    def there(self) -> dict[str, str]:
        """Files in the store that are kept in step, each with a stamp that tells one content from another."""
        self._filesystem.invalidate_cache()
        found: dict[str, str] = {}
        for folder in ("catalog", "models/champions", "renders"):
            found |= self._listed(folder, deep=folder == "catalog")
        found |= self._listed("models", deep=False)
        for dataset in self._folders("datasets"):
            found |= self._listed(f"datasets/{dataset}", deep=False)
        return {name: stamp for name, stamp in found.items() if _in_step(name)}

    def here(self) -> list[str]:
        """Files here that are kept in step, or only sent."""
        local = self.root.local
        places = [
            *_files(self.root.catalog), *_files(self.root.renders), *local.glob("models/*.json"),
            *local.glob("models/champions/*.json"), *local.glob("datasets/*/*.*"),
        ]  # fmt: skip
        names = (path.relative_to(local).as_posix() for path in places if path.is_file())
        return [name for name in names if _in_step(name) or (name.startswith("renders/") and not _hidden(name))]

    def unsent(self) -> list[str]:
        """Files that changed here since they were sent."""
        return [name for name in self.here() if self.changed_here(name)]

    def gone(self) -> list[str]:
        """Files of the catalog that were tidied away here since they were sent."""
        names = (name for name in self._seen if name.startswith(_CATALOG))
        return sorted(name for name in names if not (self.root.local / name).exists())

    def changed_there(self, name: str, stamp: str) -> bool:
        seen = self._seen.get(name)
        return seen is None or seen["there"] != stamp or not (self.root.local / name).exists()

    def changed_here(self, name: str) -> bool:
        if not (self.root.local / name).exists():
            return False
        seen = self._seen.get(name)
        return seen is None or seen["here"] != _size_and_time(self.root.local / name)

    def fetch(self, name: str, stamp: str, place: Path | None = None) -> None:
        """Bring a file, into `place` where it is not to lie at its own yet; a file that is the same is linked."""
        target, own = place or self.root.local / name, self.root.local / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if place is not None and not self.changed_there(name, stamp) and not self.changed_here(name):
            target.hardlink_to(own)
        else:
            with written_aside(target, durable=False) as partial:
                self._filesystem.get_file(f"{self._base}/{name}", str(partial))
        self._seen[name] = {"there": stamp, "here": _size_and_time(target)}

    def settle(self, name: str) -> None:
        """Take a file as it lies here for the one that was fetched."""
        self._seen[name]["here"] = _size_and_time(self.root.local / name)

    def send(self, name: str) -> None:
        """Send a file and remember it as the same on both sides."""
        before = _size_and_time(self.root.local / name)
        self._filesystem.makedirs(f"{self._base}/{name}".rsplit("/", 1)[0], exist_ok=True)
        self._filesystem.put_file(str(self.root.local / name), f"{self._base}/{name}")
        self._filesystem.invalidate_cache()
        stamp = _stamp(self._filesystem.info(f"{self._base}/{name}"))
        self._seen[name] = {"there": stamp, "here": before}

    def drop(self, name: str) -> None:
        """Remove a file from the store that is gone here."""
        with contextlib.suppress(FileNotFoundError):
            self._filesystem.rm_file(f"{self._base}/{name}")
        self.forget(name)

    def forget(self, name: str) -> None:
        self._seen.pop(name, None)

    def lines(self, name: str) -> list[str]:
        return (self.root.local / name).read_text(encoding="utf-8").splitlines()

    def append(self, name: str, lines: Iterable[str]) -> None:
        """Lines that the fetched file lacks, at its end; it counts as changed here then."""
        there = self.lines(name) if lines else []
        more = [line for line in lines if line not in set(there)]
        if more:
            write_text(self.root.local / name, "\n".join([*there, *more]) + "\n")

    def _listed(self, folder: str, deep: bool) -> dict[str, str]:
        place = f"{self._base}/{folder}"
        try:
            found = self._filesystem.find(place, detail=True).values() if deep else self._entries(place)
        except FileNotFoundError:
            return {}
        base = self._filesystem._strip_protocol(self._base).rstrip("/")
        return {str(info["name"])[len(base) + 1 :]: _stamp(info) for info in found if info.get("type") != "directory"}

    def _folders(self, folder: str) -> list[str]:
        try:
            found = self._entries(f"{self._base}/{folder}")
        except FileNotFoundError:
            return []
        return sorted(str(info["name"]).rstrip("/").rsplit("/", 1)[-1] for info in found if info["type"] == "directory")

    def _entries(self, place: str) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = self._filesystem.ls(place, detail=True)
        return entries


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def _in_step(name: str) -> bool:
    """Whether both sides of a file are kept the same."""
    if _hidden(name):
        return False
    parts = name.split("/")
    records = (".json", ".sources")
    return (
        name.startswith(_CATALOG)
        or name == _LEDGER
        or (parts[0] == "models" and name.endswith(".json") and (len(parts) == 2 or parts[1] == "champions"))
        or (parts[0] == "datasets" and len(parts) == 3 and name.endswith(records))
    )


def _hidden(name: str) -> bool:
    """Locks, and files that are being written."""
    last = name.rsplit("/", 1)[-1]
    return last.startswith(".") or last.endswith((".partial", ".lock"))


def _rank(name: str) -> tuple[int, str]:
    """Order of sending: renders and rows of tables, then what lists them, then the pointers."""
    if "/_versions/" in name or name == _LEDGER:
        return 1, name
    return (2 if name.endswith("refs.json") or "champions/" in name else 0), name


def _stamp(info: Mapping[str, Any]) -> str:
    """A hash of what the store says of a file's content: size, and etag, else times."""
    names = ("ETag", "etag", "md5Hash", "md5", "content_md5", "checksum", "generation")
    facts = [str(info[name]) for name in names if info.get(name)]
    if not facts:
        times = ("mtime", "LastModified", "last_modified", "updated", "modified", "created")
        facts = [str(info[name]) for name in times if info.get(name)]
    return hashlib.sha256(json.dumps([info.get("size"), *facts]).encode()).hexdigest()[:20]


def _size_and_time(path: Path) -> list[int]:
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns]
