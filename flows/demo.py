"""The whole loop on the shipped studio library: footage → dataset → short retrain → evaluate → gate → dub → report."""

from __future__ import annotations

import os
from typing import Any

from prefect import flow

from flows.animate import render_portraits
from flows.artifacts import publish
from flows.console import cell, table
from flows.dub import catalogue_renders, outcome_of, plan_library, render_library, show_renders
from flows.evaluate import Comparison, compare_models, show_comparison
from flows.options import Options
from flows.preprocess import build_clips, catalogue_clips, find_footage, show_dataset
from flows.run import Result, Run
from flows.train import fit_or_tell, promote_if_better, register_model, show_training
from storage.layout import Root
from tasks.champion import champion_or_named
from tasks.config import Config
from tasks.jobs import Job
from tasks.studio import LIBRARY

DATASET = "library"


@flow(
    name="demo",
    description="Preprocess, retrain, evaluate, gate, dub, catalog and report, on the shipped library.",
    persist_result=True,
    result_serializer="json",
)
def demo(options: Options) -> Result:
    """Run everything once, in a few minutes, on what comes with the project."""
    config = demo_config(options)
    run = Run("demo", config, {"root": config.root})
    root = Root(config.root)

    with run.stage("preprocess") as stage:
        footage = find_footage([str(LIBRARY / "footage" / "manifest.csv")])
        built = build_clips(footage, DATASET, config, run.run_id)
        catalogue_clips(built, DATASET, config, run.run_id)
        stage["result"] = built.summary
    dataset_id = f"{DATASET}@{built.version}"

    with run.stage("train") as stage:
        champion = champion_or_named(root, config)
        trained = fit_or_tell(run, built.folder, dataset_id, champion, config)
        challenger = register_model(trained, champion, dataset_id, config, "image", run.run_id)
        stage["result"] = f"{champion.label} → {challenger.label}, {trained['steps']} steps, loss {trained['loss']:.4f}"

    with run.stage("evaluate") as stage:
        comparison = compare_models(challenger, champion, built.folder, dataset_id, config)
        stage["result"] = promote_if_better(comparison, config)
    best = champion_or_named(root, config)

    with run.stage("dub") as stage:
        renders = render_library(plan_library(str(LIBRARY / "manifest.csv")), best, config, run.run_id)
        stage["result"] = outcome_of(renders)

    with run.stage("animate") as stage:
        portrait = Job(str(LIBRARY / "portrait.png"), str(LIBRARY / "portrait.wav"), "happy")
        renders += render_portraits([portrait], best, config, run.run_id)
        stage["result"] = outcome_of(renders[-1:])

    with run.stage("catalog"):
        catalogue_renders(renders, config)

    show_training(run, trained, challenger)
    show_comparison(run, comparison)
    show_renders(run, renders, best)
    show_dataset(run, built, DATASET)
    result = run.finish(table=final_table(run, renders, comparison), promoted=comparison.promoted)
    publish(result, "demo", run.shown)
    return result


def demo_config(options: Options) -> Config:
    """A short version of everything, on all cores. What the user gave with --set comes last and wins."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    config = options.config()
    short = {
        "train.steps": config.train.short_steps,
        "evaluate.clips": 2,
        "evaluate.seconds": 1.2,
        "render.guidance_audio": 1.0,  # guidance would double the time
        # One worker a core, and a logical CPU more than there are, so that Ray can always place what coordinates.
        "runtime.num_cpus": cores + 1,
        "runtime.actors": cores,
    }
    given = {setting.partition("=")[0] for setting in options.settings}
    return config.with_({name: value for name, value in short.items() if name not in given})


def final_table(run: Run, renders: list[dict[str, Any]], comparison: Comparison) -> str:
    """What the demo shows at its end: stages with times, both models, every output."""
    stages = [{"stage": s["name"], "seconds": f"{s['seconds']:.1f}", "result": s["result"]} for s in run.stages]
    ours, theirs = comparison.challenger_table["metrics"], comparison.champion_table["metrics"]
    metrics = [{"metric": name, "champion": theirs.get(name), "challenger": value} for name, value in ours.items()]
    outputs = [
        {
            "output": row["output_uri"] or row["input_uri"], "status": row["status"], "frames": row["frames"],
            "sync before": cell(row["sync_confidence_before"]), "sync after": cell(row["sync_confidence_after"]),
            "outside dB": cell(row["outside_psnr_db"]),
        }
        for row in renders
    ]  # fmt: skip
    return "\n\n".join(table(rows) for rows in (stages, metrics, outputs))
