"""`dubwright studio`: render a corpus of talking heads with exact truth, or the shipped library anew; examine the steps
of preprocessing against that truth."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.command import command, listing
from flows.console import say, table
from flows.options import Options
from storage.errors import ConfigError

Outcome = tuple[dict[str, Any], str, int]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    studio = typer.Typer(help="Render talking heads with exact truth.", no_args_is_help=True, rich_markup_mode=None)
    command(studio, "render")(render)
    command(studio, "library")(library)
    command(studio, "exam")(exam)
    app.add_typer(studio, name="studio")


def render(
    options: Options,
    out: Annotated[Path, typer.Argument(help="Folder of the corpus; what is there already is kept.")],
    identities: Annotated[int, typer.Option(help="People.")] = 100,
    clips: Annotated[int, typer.Option(help="Clips of each.")] = 3,
    seconds: Annotated[float, typer.Option(help="Length of a clip.")] = 4.0,
    size: Annotated[int, typer.Option(help="Side of the frames, pixels.")] = 160,
    fps: Annotated[float, typer.Option(help="Frames per second.")] = 25.0,
    seed: Annotated[int, typer.Option(help="Seed of the first person.")] = 0,
    moods: Annotated[
        bool, typer.Option("--moods", help="One scene a person; half of the voices feel otherwise than the faces.")
    ] = False,
    workers: Annotated[int, typer.Option(help="Processes, one core each.")] = 2,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
) -> Outcome:
    """Render a corpus: clips with sound, landmarks, controls, phonemes, emotion and captions."""
    render_corpus = _studio("tasks.studio.corpus").render_corpus
    counts = render_corpus(out, identities, clips, seconds, size, fps, seed, workers, moods=moods, device=device)
    return _rendered(out, counts)


def library(
    options: Options,
    out: Annotated[Path, typer.Argument(help="Folder to render the library into.")],
) -> Outcome:
    """Render the library that is shipped in tasks/studio/library: episodes, dub tracks, a portrait, the manifest."""
    started = time.monotonic()
    folder = _studio("tasks.studio.library").render_library(out)
    files = sum(path.is_file() for path in folder.rglob("*"))
    return _rendered(out, {"files": files, "seconds": round(time.monotonic() - started, 1)})


def exam(
    options: Options,
    names: Annotated[list[str] | None, typer.Argument(help="Exams; default: all.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Few cases of each: a look, no figure to quote.")] = False,
    seed: Annotated[int, typer.Option(help="Of the people and scenes.")] = 0,
) -> Outcome:
    """How right every preprocessing step is, on people nobody was trained on."""
    from tasks.experts import load_experts

    registry = _studio("tasks.exams.registry")
    started = time.monotonic()
    config = options.config()
    rows: list[dict[str, Any]] = []
    for name, findings in registry.run_exams(names or (), config, load_experts(config), quick, seed):
        for found in findings:
            verdict = "" if found.passed else ", SHORT"
            say(f"  {name}: {found.measure} {found.value:.4g} {found.unit}".rstrip() + verdict)
            rows.append({"id": f"{name}: {found.measure}", "exam": name, **found.as_dict()})
    result = listing([{**row, "status": "ok" if row["passed"] else "rejected"} for row in rows], started)
    short = sum(not row["passed"] for row in rows)
    result["counts"] = {"ok": len(rows) - short, "rejected": short, "failed": 0}
    shown = [
        {"exam": row["exam"], "measure": row["measure"], "found": f"{row['value']:.4g} {row['unit']}".strip(),
         "asked": _asked(row), "cases": row["cases"], "note": row["note"]}
        for row in rows
    ]  # fmt: skip
    return result, table(shown), int(bool(short))


def _asked(row: dict[str, Any]) -> str:
    if row["asked"] is None:
        return ""
    return f"{'>=' if row['higher_is_better'] else '<='} {row['asked']:g}" + ("" if row["passed"] else " SHORT")


def _studio(module: str) -> Any:
    import importlib

    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != "espeakng_loader":
            raise
        raise ConfigError(
            "a corpus speaks through espeak-ng, which is not installed (it is GPL-3.0, nothing else needs it)",
            "pip install 'dubwright[studio]'",
        ) from error


def _rendered(out: Path, counts: dict[str, Any]) -> Outcome:
    failed = int(counts.get("failed", 0))
    status = "failed" if failed else "ok"
    entry = {"id": out.name, "input": None, "output": str(out), "status": status, "stage": "render", "reason": None}
    result = listing([{**entry, "metrics": counts}], time.monotonic() - float(counts.get("seconds", 0.0)))
    if failed:
        result["counts"] = {"ok": 0, "rejected": 0, "failed": 1}
    text = ", ".join(f"{value} {name}" for name, value in counts.items())
    return result, f"{out}: {text}", int(bool(failed))
