"""What a run made, as assets that Prefect tracks: dataset and model versions and renders, and what they came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prefect.assets import Asset, AssetProperties, add_asset_metadata, materialize
from prefect.cache_policies import NO_CACHE

from flows.pages import page_url

MOST_LISTED = 500
"""Renders that are listed by their ids."""


def dataset_key(dataset_id: str) -> str:
    """``dubwright://datasets/NAME@VERSION``."""
    return f"dubwright://datasets/{dataset_id}"


def model_key(model_id: str) -> str:
    """``dubwright://models/ID``."""
    return f"dubwright://models/{model_id}"


def renders_key(run_id: str) -> str:
    """``dubwright://renders/RUN_ID``: all that a run rendered."""
    return f"dubwright://renders/{run_id}"


@dataclass(frozen=True)
class Made:
    """Something that a run made. upstream: keys of what it was made from. page: the file to look at, or None."""

    key: str
    name: str
    upstream: Sequence[str]
    facts: Mapping[str, Any]
    page: str | None


def record_lineage(result: Mapping[str, Any], shown: Mapping[str, Any]) -> None:
    """Tell Prefect what a run made and from what; within its flow."""
    for made in made_by(result, shown):
        _materialise(made)


def made_by(result: Mapping[str, Any], shown: Mapping[str, Any]) -> list[Made]:
    """What a run made: a dataset version, a model version, renders.

    Args:
        result: of the run (``--json``).
        shown: the parts of its report (`tasks.report.Report`).
    """
    lineage = shown.get("lineage") or {}
    dataset, model, run, made = result.get("dataset"), result.get("model"), result["run_id"], []
    if dataset and "clips" in shown:
        kept = sum(clip.get("status") == "ok" for clip in shown["clips"])
        facts = {"clips": kept, "sources": len(result["items"]), "run": run}
        made.append(Made(dataset_key(dataset), f"dataset {dataset}", (), facts, result.get("dataset_page")))
    trained_on = lineage.get("dataset")
    if model and "training" in shown:
        training = shown["training"]
        facts = {"promoted": result.get("promoted"), "metrics": result.get("metrics"), "loss": training.get("loss"),
                 "started from": training.get("started from"), "run": run}  # fmt: skip
        upstream = [dataset_key(trained_on)] if trained_on and ":" not in trained_on else []
        made.append(Made(model_key(model), f"model {lineage.get('model', model)}", upstream, facts, result["report"]))
    renders = [row for row in shown.get("renders") or () if row.get("status") == "ok"]
    if renders:
        upstream = [model_key(model_id) for model_id in sorted({row["model_id"] for row in renders if row["model_id"]})]
        facts = {"renders": [row["render_id"] for row in renders[:MOST_LISTED]], "number": len(renders), "run": run}
        name = f"{len(renders)} render{'s' * (len(renders) != 1)}"
        made.append(Made(renders_key(run), name, upstream, facts, result["report"]))
    return made


def _materialise(made: Made) -> None:
    asset = Asset(
        key=made.key, properties=AssetProperties(name=made.name, url=page_url(made.page) if made.page else None)
    )
    known = {title: value for title, value in made.facts.items() if value is not None}

    def record() -> None:
        add_asset_metadata(made.key, known)

    sources: list[str | Asset] = list(made.upstream)
    materialize(asset, by="dubwright", name=f"record {made.name}", cache_policy=NO_CACHE, asset_deps=sources)(record)()
