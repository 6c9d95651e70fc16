"""The model registry: folders as `save_pretrained` writes them, named by their content, and one champion per name.

    models/ID/               the files of a model, never changed
    models/ID.json           its row (`storage.schema.MODELS`)
    models/champions/NAME.json   the champion now, and all before it with the reasons

Weights are safetensors (ONNX for face packs) and nothing else: formats that run code on loading are refused.
"""

from __future__ import annotations

import datetime
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from storage.atomic import FileLock, directory_written_aside, write_json
from storage.errors import InputFailed, NotFound
from storage.ids import code_revision, content_id
from storage.layout import Root, is_inside
from storage.model_files import folder_sha256, model_files
from storage.names import check_name
from storage.schema import MODELS, row


class Registry:
    """The models under one root.

    Args:
        root: the data root (or a path to it).
    """

    def __init__(self, root: Root | str | os.PathLike[str]) -> None:
        self._root = Root(root)
        self._folder = self._root.models

    def register(
        self,
        path: str | os.PathLike[str],
        name: str,
        *,
        metrics: Mapping[str, Any] | None = None,
        dataset_id: str = "",
        parent: str = "",
        stage: str = "",
        run_id: str = "",
        config_hash: str = "",
        licence: str = "",
        training: Mapping[str, float] | None = None,
    ) -> str:
        """Copy a model folder in and return its model_id (20 hex digits, a hash of its files).

        The same files again give the id that is there; its row stays as it was, except that given metrics are added.

        Args:
            path: a folder with at least one safetensors (or onnx) file.
            name: what it is a version of; versions count 1, 2, 3 within a name.
            metrics: the evaluation table, JSON values.
            dataset_id: NAME@VERSION it was trained on.
            parent: model_id it was started from.
            training: the columns ``train_…``.

        Raises:
            UsageError: the name cannot be a name.
            InputFailed: the folder is missing, has no weights, or has weights in a format that runs code.
            StorageFull: the disk is full; the registry is as it was.
        """
        check_name(name)
        source = Path(path)
        files = model_files(source)
        sha256, size = folder_sha256(source)
        model_id = content_id("model", sha256)
        with self._locked():
            known = self._read(model_id)
            if known is not None:
                if metrics:
                    known["metrics"] = _json({**json.loads(known["metrics"] or "{}"), **metrics})
                    write_json(self._row_path(model_id), known)
                    self._root.push(self._row_path(model_id))
                return model_id
            with directory_written_aside(self._folder / model_id) as partial:
                for file in files:
                    target = partial / file.relative_to(source)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(file, target)
            entry = row(
                MODELS,
                model_id=model_id,
                name=name,
                version=1 + max((r["version"] for r in self._rows() if r["name"] == name), default=0),
                stage=stage,
                parent=parent,
                dataset_id=dataset_id,
                metrics=_json(dict(metrics or {})),
                path=self._root.relative(self._folder / model_id),
                sha256=sha256,
                bytes=size,
                run_id=run_id,
                licence=licence,
                config_hash=config_hash,
                code_revision=code_revision(),
                created=_now(),
                **(training or {}),
            )
            write_json(self._row_path(model_id), entry)
            self._root.push(self._folder / model_id)
            self._root.push(self._row_path(model_id))
        return model_id

    def note(self, model: str, metrics: Mapping[str, Any]) -> dict[str, Any]:
        """Add to the metrics of a model; returns its row.

        Raises:
            NotFound: there is no such model.
        """
        model_id = self.show(model)["model_id"]
        with self._locked():
            known = self._read(model_id)
            assert known is not None
            known["metrics"] = _json({**json.loads(known["metrics"] or "{}"), **metrics})
            write_json(self._row_path(model_id), known)
        self._root.push(self._row_path(model_id))
        return self.show(model_id)

    def models(self, name: str | None = None) -> list[dict[str, Any]]:
        """MODELS rows, by name and version; `promoted` tells the champions; `created` is a datetime."""
        champions = {n: self._champion_id(n) for n in self.names()}
        found = [self._complete(r, champions) for r in self._rows() if name is None or r["name"] == name]
        return sorted(found, key=lambda r: (r["name"], r["version"]))

    def names(self) -> list[str]:
        """The names that models are registered under."""
        return sorted({r["name"] for r in self._rows()})

    def show(self, model: str) -> dict[str, Any]:
        """The row of a model: a model_id or its beginning (at least four digits), NAME (its champion, else its newest
        version), or NAME@VERSION (a number).

        Raises:
            NotFound: there is none, or the beginning fits several.
        """
        rows = self.models()
        name, _, version = model.partition("@")
        named = [r for r in rows if r["name"] == name]
        if named and version:
            fitting = [r for r in named if str(r["version"]) == version.removeprefix("v")]
        elif named:
            fitting = [r for r in named if r["promoted"]] or named[-1:]
        else:
            fitting = [r for r in rows if len(model) >= 4 and r["model_id"].startswith(model)]
        if len(fitting) != 1:
            known = ", ".join(f"{r['name']}@{r['version']}" for r in rows[-8:]) or "none yet"
            raise NotFound(
                f"{'several models begin with' if fitting else 'there is no model'} {model!r}", f"known: {known}"
            )
        return fitting[0]

    def path(self, model: str) -> Path:
        """Folder of a model (as for `show`), to be given to `from_pretrained`.

        Raises:
            NotFound: there is none.
            InputFailed: its row leads out of the registry: rows are files, which may have come from elsewhere.
        """
        entry = self.show(model)
        folder = self._root.resolve(entry["path"])
        if not is_inside(folder, self._folder):
            raise InputFailed(
                str(self._row_path(entry["model_id"])), f"says that its model lies at {entry['path']!r}",
                "restore it from a backup", stage="models", error_type="UnsafePath",
            )  # fmt: skip
        return self._root.pull(folder)

    def champion(self, name: str) -> dict[str, Any] | None:
        """Row of the champion of `name`, None where none was promoted."""
        model_id = self._champion_id(name)
        return None if not model_id else self.show(model_id)

    def promote(self, model: str, reason: str = "") -> str:
        """Make a model the champion of its name; returns its model_id. Promoting the champion again changes nothing."""
        entry = self.show(model)
        with self._locked():
            pointer = self._pointer(entry["name"])
            if pointer["champion"] != entry["model_id"]:
                pointer["champion"] = entry["model_id"]
                pointer["history"].append({"model_id": entry["model_id"], "at": _now(), "reason": reason})
                self._write_pointer(entry["name"], pointer)
        return str(entry["model_id"])

    def rollback(self, name: str, reason: str = "") -> str:
        """Make the champion before the present one the champion again; returns its model_id. The history keeps both.

        Raises:
            NotFound: there was none before.
        """
        with self._locked():
            pointer = self._pointer(name)
            standing = _standing(pointer["history"])
            if len(standing) < 2:
                raise NotFound(f"{name} has no champion before the present one", "promote a model by its id instead")
            model_id = standing[-2]
            pointer["champion"] = model_id
            pointer["history"].append({"model_id": model_id, "at": _now(), "reason": reason, "rollback": True})
            self._write_pointer(name, pointer)
        return str(model_id)

    def history(self, name: str) -> list[dict[str, Any]]:
        """All promotions and rollbacks of a name, oldest first: model_id, at, reason."""
        history: list[dict[str, Any]] = self._pointer(name)["history"]
        return history

    def verify(self, model: str) -> None:
        """Hash a model's files again.

        Raises:
            InputFailed: they are not those that were registered.
        """
        entry = self.show(model)
        folder = self.path(model)
        if folder_sha256(folder)[0] != entry["sha256"]:
            raise InputFailed(
                str(folder), "its files are not those that were registered", "register the model again", stage="models",
                error_type="Changed",
            )  # fmt: skip

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with FileLock(self._folder / ".lock", 120), self._root.lease("models"):
            yield

    def _row_path(self, model_id: str) -> Path:
        return self._folder / f"{model_id}.json"

    def _read(self, model_id: str) -> dict[str, Any] | None:
        self._root.renew(self._row_path(model_id))
        try:
            entry: dict[str, Any] = json.loads(self._row_path(model_id).read_text())
            return entry
        except FileNotFoundError:
            return None

    def _rows(self) -> list[dict[str, Any]]:
        self._root.pull_records(self._folder)
        return [json.loads(path.read_text()) for path in sorted(self._folder.glob("*.json"))]

    def _complete(self, entry: dict[str, Any], champions: Mapping[str, str]) -> dict[str, Any]:
        values = {name: value for name, value in entry.items() if name in MODELS.names}
        values["created"] = datetime.datetime.fromisoformat(entry["created"])
        values["promoted"] = champions.get(entry["name"]) == entry["model_id"]
        return row(MODELS, **values)

    def _champion_id(self, name: str) -> str:
        return str(self._pointer(name)["champion"])

    def _pointer(self, name: str) -> dict[str, Any]:
        path = self._folder / "champions" / f"{name}.json"
        self._root.renew(path)
        try:
            pointer: dict[str, Any] = json.loads(path.read_text())
            return pointer
        except FileNotFoundError:
            return {"champion": "", "history": []}

    def _write_pointer(self, name: str, pointer: dict[str, Any]) -> None:
        path = self._folder / "champions" / f"{name}.json"
        write_json(path, pointer)
        self._root.push(path)


def _standing(history: list[dict[str, Any]]) -> list[str]:
    """Champions as a stack: a rollback takes the last one off."""
    stack: list[str] = []
    for event in history:
        if event.get("rollback") and len(stack) >= 2:
            stack.pop()
        else:
            stack.append(event["model_id"])
    return stack


def _json(metrics: Mapping[str, Any]) -> str:
    return json.dumps(metrics, sort_keys=True, ensure_ascii=False, default=float)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
