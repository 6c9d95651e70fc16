"""One night: new footage in, dataset version, warm-start training, evaluation, gate; the better model stays."""

from __future__ import annotations

from prefect import flow

from flows.artifacts import publish
from flows.evaluate import compare_models, show_comparison
from flows.options import Options
from flows.preprocess import build_clips, catalogue_clips, find_footage, show_dataset, source_items, version_before
from flows.run import Result, Run
from flows.train import fit_or_tell, promote_if_better, register_model, show_training
from storage.layout import Root
from tasks.champion import champion_or_named
from tasks.training.denoiser_stages import stage_for


@flow(name="nightly", description="New footage in, dataset version, warm-start training, evaluation, gate.")
def nightly(options: Options, sources: list[str], dataset: str) -> Result:
    """Extend `dataset` by what is new in `sources`; train only if that changed it; promote only what is better."""
    config = options.config()
    config = config.with_({"train.steps": config.train.short_steps})
    run = Run("nightly", config, {"sources": sources, "dataset": dataset})
    root = Root(config.root)
    before = version_before(root, dataset)

    with run.stage("preprocess") as stage:
        footage = find_footage(sources)
        if not footage and before is None:
            return _nothing(run, f"no footage in {', '.join(sources)} yet")
        built = build_clips(footage, dataset, config, run.run_id, message=f"nightly {run.started:%Y-%m-%d}")
        catalogue_clips(built, dataset, config, run.run_id)
        stage["result"] = built.summary
    run.items += source_items(built)
    show_dataset(run, built, dataset)
    if built.version == before:
        return _nothing(run, "nothing new: no training", f"{dataset}@{built.version}")
    dataset_id = f"{dataset}@{built.version}"

    with run.stage("train") as stage:
        champion = champion_or_named(root, config)
        how = stage_for(champion.path)
        trained = fit_or_tell(run, built.folder, dataset_id, champion, config, how)
        challenger = register_model(trained, champion, dataset_id, config, how, run.run_id)
        stage["result"] = f"{champion.label} → {challenger.label}, loss {trained['loss']:.4f}"

    with run.stage("evaluate") as stage:
        comparison = compare_models(challenger, champion, built.folder, dataset_id, config)
        stage["result"] = verdict = promote_if_better(comparison, config)

    show_training(run, trained, challenger)
    show_comparison(run, comparison)
    result = run.finish(dataset=dataset_id, model=challenger.model_id, promoted=comparison.promoted, verdict=verdict)
    publish(result, "nightly")
    return result


def _nothing(run: Run, why: str, dataset_id: str | None = None) -> Result:
    result = run.finish(dataset=dataset_id, promoted=False, table=why)
    publish(result, "nightly")
    return result
