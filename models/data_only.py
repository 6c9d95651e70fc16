"""Model files from elsewhere are data: nothing in them names code to run, or another file to read.

Libraries load a folder by what its JSON files say: diffusers imports the module that ``model_index.json`` names for a
component, transformers the one under ``auto_map``, both fall back to pickles where safetensors are missing, and ONNX
weights may lie in any file that the graph names. All of that is refused before a library sees the folder.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError

from models.checkpoints import UnusableCheckpoint

RUNS_CODE = (
    ".py", ".pyc", ".so", ".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".npz", ".h5", ".msgpack",
)  # fmt: skip
"""Endings of files that hold code, or that are read by what can run code."""
_LIBRARIES = ("diffusers", "transformers")
_OURS = re.compile(r"models\.[a-z_0-9]+")
_SAFE = "Save the model with safetensors (save_pretrained), and use only families that the libraries know."


def check_folder(folder: str | Path) -> None:
    """Refuse a model folder with anything in it that could run code when it is loaded.

    Raises:
        UnusableCheckpoint: it has; says which file, and what in it.
    """
    place = Path(folder)
    for file in sorted(place.rglob("*")):
        ending = file.suffix.lower()
        if ending in RUNS_CODE:
            raise UnusableCheckpoint(f"{file} can run code when it is loaded", _SAFE)
        if ending == ".json" and file.is_file():
            _check_settings(file)
        elif ending == ".onnx":
            check_onnx(file)


def check_onnx(path: str | Path) -> onnx.ModelProto:
    """The graph of an ONNX file, once it is known to hold all its weights itself. Weights elsewhere are not read.

    Raises:
        UnusableCheckpoint: it names another file, or is no ONNX.
    """
    try:
        graph = onnx.load(str(path), load_external_data=False)
    except (DecodeError, OSError, ValueError) as error:
        raise UnusableCheckpoint(f"{path} is no ONNX file: {error}", "Copy it again.") from error
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in _tensors(graph.graph)):
        raise UnusableCheckpoint(
            f"{path}: its weights lie in another file", "Save it with all its weights inside (onnx.save does)."
        )
    return graph


def _tensors(graph: onnx.GraphProto) -> list[onnx.TensorProto]:
    """All stored tensors, those of constants and of graphs within the graph too."""
    found = [*graph.initializer, *(part for one in graph.sparse_initializer for part in (one.values, one.indices))]
    for node in graph.node:
        for attribute in node.attribute:
            found += [attribute.t] if attribute.HasField("t") else []
            found += attribute.tensors
            for inner in ([attribute.g] if attribute.HasField("g") else []) + list(attribute.graphs):
                found += _tensors(inner)
    return found


def _check_settings(file: Path) -> None:
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UnusableCheckpoint(f"{file} cannot be read: {error}", "Copy it again.") from error
    if not isinstance(said, dict):
        return
    if said.get("auto_map"):
        raise UnusableCheckpoint(f"{file} names code of its own to run (auto_map)", _SAFE)
    if file.name == "model_index.json":
        for part, named in {"_class_name": said.get("_class_name"), **said}.items():
            _check_component(file, part, named)


def _check_component(file: Path, part: str, named: Any) -> None:
    """A component is written [library, class]; a pipeline that has code of its own, as a list under ``_class_name``."""
    if not isinstance(named, list) or (part != "_class_name" and not _names_a_class(named)):
        return
    library = named[0]
    if part == "_class_name" or not (library is None or library in _LIBRARIES or _OURS.fullmatch(str(library))):
        raise UnusableCheckpoint(f"{file} asks for {part} from {str(library)[:60]!r}", _SAFE)


def _names_a_class(value: list[Any]) -> bool:
    """Lists of numbers are settings."""
    return len(value) == 2 and any(isinstance(entry, str) for entry in value)
