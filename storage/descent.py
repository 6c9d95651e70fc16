"""What was made of something: source → dataset versions → models → renders, the chain of a render the other way.

It answers what a withdrawn consent asks: which models have seen this film, and which outputs came of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from storage.catalog import Catalog
from storage.errors import DubwrightError, NotFound, UsageError
from storage.layout import Root
from storage.registry import Registry
from storage.shards import rows_with
from storage.version_refs import list_versions, show_version

_RENDER = ("render_id", "created", "status", "input_uri", "output_uri", "model_id")
_ASKED = 500


def descent(root: Root | str | os.PathLike[str], origin: str) -> dict[str, Any]:
    """What was made from a source, a dataset version or a model.

    Args:
        origin: a source_id or its beginning, where a source was found (its `uri`), ``NAME@VERSION`` of a dataset, or a
            model (id, NAME, ``NAME@NUMBER``).

    Returns:
        ``{"origin": {"kind", "id", …}, "datasets": [{"dataset_id", "clips"}], "models": [MODELS rows, also of those
        started from them], "renders": [RENDERS columns, with "through": source or model], "missing": […]}``. A source's
        clips are those that were kept. ``missing`` names dataset versions that could not be looked into.

    Raises:
        NotFound: there is nothing of that name.
    """
    place = Root(root)
    catalog, registry = Catalog(place), Registry(place)
    found: dict[str, Any] = {"origin": {}, "datasets": [], "models": [], "renders": [], "missing": []}
    source = catalog.get("sources", origin) or _found_at(catalog, origin)
    if source is not None:
        found["origin"] = {"kind": "source", "id": source["source_id"], "uri": source["uri"]}
        _look_into_versions(place, source["source_id"], found)
        if source["sha256"]:
            direct = _renders(catalog, "source_sha256", [source["sha256"]])
            found["renders"] += [{**row, "through": "source"} for row in direct]
    else:
        _start(place, registry, origin, found)
    found["models"] += _models(registry, {entry["dataset_id"] for entry in found["datasets"]}, found["models"])
    known = {row["render_id"] for row in found["renders"]}
    made = _renders(catalog, "model_id", [row["model_id"] for row in found["models"]])
    found["renders"] += [{**row, "through": "model"} for row in made if row["render_id"] not in known]
    return found


def _found_at(catalog: Catalog, uri: str) -> dict[str, Any] | None:
    rows = catalog.rows("sources", f"uri = {_quoted(uri)}", 1)
    return rows[0] if rows else None


def _start(place: Root, registry: Registry, origin: str, found: dict[str, Any]) -> None:
    try:
        model = registry.show(origin)
    except (NotFound, UsageError):
        model = None
    if model is not None:
        found["origin"] = {"kind": "model", "id": model["model_id"], "name": f"{model['name']}@{model['version']}"}
        found["models"] = [model]
        return
    try:
        version = show_version(place, origin)
    except DubwrightError as error:
        remedy = "give a source (id or path), a dataset NAME@VERSION or a model"
        raise NotFound(f"there is no source, dataset or model {origin!r} in {place}", remedy) from error
    found["origin"] = {"kind": "dataset", "id": version.dataset_id}
    found["datasets"] = [{"dataset_id": version.dataset_id, "clips": version.counts.get("ok", 0)}]


def _look_into_versions(place: Root, source_id: str, found: dict[str, Any]) -> None:
    for version in list_versions(place):
        try:
            rows = list(rows_with(version.path, "source_id", [source_id], ["source_id", "status"]))
        except (DubwrightError, OSError) as error:
            found["missing"].append(f"dataset {version.dataset_id}: {error}")
            continue
        clips = sum(row["status"] == "ok" for row in rows)
        if clips:
            found["datasets"].append({"dataset_id": version.dataset_id, "clips": clips})


def _models(registry: Registry, datasets: set[str], first: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Models trained on the datasets, and those started from them or from `first`, `first` left out."""
    have = {row["model_id"] for row in first}
    rows, found, grown = registry.models(), [], True
    while grown:
        grown = False
        for row in rows:
            if row["model_id"] not in have and (row["dataset_id"] in datasets or row["parent"] in have):
                have.add(row["model_id"])
                found.append(row)
                grown = True
    return found


def _renders(catalog: Catalog, column: str, values: Iterable[str]) -> list[dict[str, Any]]:
    wanted = sorted(set(values))
    rows = []
    for start in range(0, len(wanted), _ASKED):
        some = ", ".join(map(_quoted, wanted[start : start + _ASKED]))
        rows += catalog.rows("renders", f"{column} IN ({some})", columns=_RENDER)
    return sorted(rows, key=lambda row: row["render_id"])


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
