"""One night: new footage in, dataset version, warm-start training, evaluation, gate; the better model stays.

A night may end anywhere: the champion serves until a better one is whole, and the next night goes on with what is left
(tasks/nights.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from prefect import flow

from flows.artifacts import publish, tracked
from flows.dub import outcome_of, show_renders
from flows.evaluate import Comparison, compare_models, show_comparison
from flows.options import Options
from flows.parameters import DatasetName, Sources
from flows.preprocess import build_clips, catalogue_clips, find_footage, show_dataset, source_items, version_before
from flows.run import Result, Run, item
from flows.stages import stage_task
from flows.train import fit_or_tell, promote_if_better, register_model, show_training
from storage import versions
from storage.atomic import FileLock
from storage.catalog import Catalog
from storage.errors import LockHeld
from storage.layout import Root
from storage.lease import TERM_S
from storage.registry import Registry
from tasks.champion import Model, champion_or_named
from tasks.config import Config
from tasks.nights import clear_training, footage_stamp, keep_seen, keep_verdict, promote_overdue, seen, verdict_on
from tasks.rerender import Made, candidates, rerender, settle
from tasks.training.denoiser_stages import stage_for

LOCK, LEASE = ".night.lock", "night"
LEASE_S = TERM_S + 30.0
"""So long a night waits for that of another machine on a remote root: one that died has lost its lease by then."""


@flow(
    name="nightly", description="New footage in, dataset version, warm-start training, evaluation, gate, re-renders.",
    persist_result=True, result_serializer="json",
)  # fmt: skip
def nightly(options: Options, sources: Sources, dataset: DatasetName) -> Result:
    """Extend `dataset` by what is new in `sources`; train only if that changed it; promote only what is better; make
    anew what `nightly.rerender` asks for."""
    config = night_config(options)
    run = Run("nightly", config, {"sources": sources, "dataset": dataset})
    with ExitStack() as held:
        try:
            held.enter_context(FileLock(run.root.runs / LOCK, config.nightly.wait_s))
            held.enter_context(run.root.lease(LEASE, max(config.nightly.wait_s, LEASE_S)))
        except LockHeld:
            result = run.finish(
                dataset=None, promoted=False, skipped=True, table="another night is at work on this root"
            )
        else:
            with failure_told(run):
                result = _night(run, sources, dataset)
    publish(result, "nightly", run.shown)
    return result


def night_config(options: Options) -> Config:
    """The configuration with a night's length of training."""
    config = options.config()
    return config.with_({"train.steps": config.nightly.steps or config.train.short_steps})


def _night(run: Run, sources: list[str], dataset: str) -> Result:
    root, config = run.root, run.config
    with run.stage("take up") as stage:
        stage["result"] = take_up(config)
    with run.stage("preprocess") as stage:
        version, why = _new_version(run, sources, dataset)
        stage["result"] = why or run.shown["dataset"]["version"]
    known: dict[str, Any] = {"dataset": version.dataset_id if version else None, "promoted": False}
    if why or version is None:
        return run.finish(**known, **_made_anew(run), table=why)

    with run.stage("train") as stage:
        champion = champion_or_named(root, config)
        how = stage_for(champion.path)
        trained = fit_or_tell(run, version.path, version.dataset_id, champion, config, how)
        challenger = register_model(trained, champion, version.dataset_id, config, how, run.run_id)
        stage["result"] = f"{champion.label} → {challenger.label}, loss {trained['loss']:.4f}"

    with run.stage("evaluate") as stage:
        judges = held_out_version(config, version)
        comparison = compare_models(challenger, champion, judges.path, judges.dataset_id, config)
        stage["result"] = comparison.reason
    with run.stage("gate") as stage:
        write_down(comparison, champion, version.dataset_id, judges.dataset_id, config)
        stage["result"] = verdict = promote_if_better(comparison, config)

    show_training(run, trained, challenger)
    show_comparison(run, comparison)
    known |= {"model": challenger.model_id, "promoted": comparison.promoted, "verdict": verdict}
    result = run.finish(**known, **_made_anew(run), gate=comparison.verdict.as_dict())
    clear_training(trained["path"])
    return result


def _new_version(run: Run, sources: list[str], dataset: str) -> tuple[versions.Version | None, str]:
    """The dataset version to train on, and "", or why there is nothing to train on."""
    root, config = run.root, run.config
    before = version_before(root, dataset)
    footage = find_footage(sources, root=config.root)
    if not footage and before is None:
        return None, f"no footage in {', '.join(sources)} yet"
    stamp, registry = footage_stamp(footage, config), Registry(root)
    unchanged = before is not None and seen(root, dataset) == {"stamp": stamp, "version": before}
    if not unchanged:
        built = build_clips(footage, dataset, config, run.run_id, message=f"nightly {run.started:%Y-%m-%d}")
        catalogue_clips(built, dataset, config, run.run_id)
        if not any(row["status"] == "failed" for row in built.sources):  # what failed, the next night takes up again
            keep_seen(root, dataset, stamp, built.version)
        run.items += source_items(built)
        show_dataset(run, built, dataset)
    version = versions.show_version(root, dataset)
    if verdict_on(registry, config.model.name, version.dataset_id) is not None:
        return version, "nothing new: no training"
    run.shown.setdefault("dataset", {"version": version.dataset_id})
    return versions.checkout_version(root, version.dataset_id, make_current=False), ""


@stage_task("take up")
def take_up(config: Config) -> str:
    """What a night that was killed left undone: a promotion that was decided, rows that the catalog lacks."""
    registry, catalog = Registry(config.root), Catalog(config.root)
    promoted = promote_overdue(registry, config.model.name)
    catalog.upsert("models", registry.models(config.model.name))
    changed = settle(Root(config.root))
    parts = [f"{promoted} promoted, as was decided" if promoted else "", f"{changed} renders noted" if changed else ""]
    return "; ".join(part for part in parts if part) or "nothing was left over"


def held_out_version(config: Config, version: versions.Version) -> versions.Version:
    """Whose held-out clips judge: those of `nightly.held_out`, or of the night's own version."""
    if config.nightly.held_out is None:
        return version
    chosen = versions.show_version(config.root, config.nightly.held_out)
    return versions.checkout_version(config.root, chosen.dataset_id, make_current=False)


@stage_task("write down")
def write_down(comparison: Comparison, champion: Model, dataset_id: str, judged_on: str, config: Config) -> None:
    """The verdict and the metric table into the challenger's row, before it is acted upon."""
    registry, challenger = Registry(config.root), comparison.challenger.model_id
    table = {judged_on: comparison.challenger_table["metrics"]}
    keep_verdict(registry, challenger, champion.model_id, dataset_id, comparison.verdict.as_dict(), table)
    Catalog(config.root).upsert("models", registry.show(challenger))


def _made_anew(run: Run) -> dict[str, Any]:
    """The stage that renders anew, where the policy asks for it; {} where there is nothing to do."""
    config, registry = run.config, Registry(run.root)
    line, settings = config.model.name, config.nightly
    if settings.rerender == "none" or not registry.history(line):
        return {}
    champion = champion_or_named(run.root, config)
    ever = {event["model_id"] for event in registry.history(line)}
    wanted = candidates(run.root, settings, champion.model_id, ever, config.runtime.max_attempts)
    if not wanted:
        return {}
    with run.stage("re-render") as stage:
        rows, left = render_anew(wanted, champion, config, run.run_id)
        stage["result"] = outcome_of(rows) + (f", {left} left for the next night" if left else "")
    show_renders(run, rows, champion)
    return {"rerendered": len(rows), "rerender_left": left}


@stage_task("re-render", "render")
def render_anew(wanted: list[Made], model: Model, config: Config, run_id: str) -> tuple[list[dict[str, Any]], int]:
    """RENDERS rows of what was made anew, and how many dubs are left; the catalog tells what they replaced."""
    with tracked("re-render", len(wanted), "videos") as progress:
        rows, left = rerender(
            wanted, model.path, config, model_id=model.model_id, dataset_id=model.dataset_id, run_id=run_id,
            on_row=lambda row: progress.advance(row["status"]),
        )  # fmt: skip
    Catalog(config.root).upsert("renders", rows)
    settle(Root(config.root))
    return rows, left


@contextmanager
def failure_told(run: Run) -> Iterator[None]:
    """A night that fails leaves its row, its report and its artifacts before the error goes on."""
    try:
        yield
    except Exception as error:
        if not run.finished:
            at = run.stages[-1]["name"] if run.stages else "start"
            run.items.append(item(run.run_id, run.command, None, "failed", at, str(error) or type(error).__name__))
            publish(run.finish(), run.command, run.shown)
        raise
