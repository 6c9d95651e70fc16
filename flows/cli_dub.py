"""`dubwright dub` and `dubwright animate`: one video, a library, a portrait."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.cli_running import Note, Outcome, existing, finished, run_flow, text_of, write_note
from flows.command import command, listing
from flows.options import Options
from storage.errors import UsageError

Emotion = Annotated[
    str | None,
    typer.Option(
        "--emotion",
        help="Free text, or auto (from the speech); over time: '0: calm | 12.5: angry', or a file (CSV, JSONL, "
        "WebVTT, SRT). Empty keeps the face's own.",
    ),
]
Intensity = Annotated[
    float | None, typer.Option("--intensity", min=0, max=3, help="Of the emotion: 0 (neutral) to 3 (extreme).")
]
Model = Annotated[str | None, typer.Option("--model", help="A model version; default: the champion.")]
Output = Annotated[
    Path | None, typer.Option("-o", "--output", help="Where to write; default: a name under ROOT/renders.")
]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    command(app, "dub")(dub)
    command(app, "animate")(animate)


def dub(
    options: Options,
    video: Annotated[Path | None, typer.Argument(help="The video.")] = None,
    audio: Annotated[
        list[Path] | None,
        typer.Option("--audio", help="The track in the target language; once for each face that has its own."),
    ] = None,
    emotion: Emotion = None,
    intensity: Intensity = None,
    speakers: Annotated[Path | None, typer.Option("--speakers", help="RTTM file: who speaks when.")] = None,
    output: Output = None,
    manifest: Annotated[
        Path | None,
        typer.Option(
            "--manifest", help="CSV, JSONL or Parquet: video, audio, emotion, speakers, output, intensity, priority."
        ),
    ] = None,
    when_longer: Annotated[
        str | None,
        typer.Option("--when-longer", help="A track longer than the film: cut it (default), or hold the last frame."),
    ] = None,
    consent: Annotated[
        Path | None, typer.Option("--consent", help="Table of people: speaker, consent (allow, deny), source.")
    ] = None,
    require_consent: Annotated[
        bool, typer.Option("--require-consent", help="Animate only people whom the table allows.")
    ] = False,
    model: Model = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Only tell what would be done, how long it takes, what it leaves and costs.")
    ] = False,
    note: Note = None,
) -> Outcome:
    """Dub one video, or every row of a manifest."""
    if (video is None) == (manifest is None):
        raise UsageError("dub needs a VIDEO or --manifest FILE, and not both", "dubwright dub VIDEO --audio TRACK")
    if video is not None and not audio:
        raise UsageError("dub VIDEO needs --audio TRACK", "dubwright dub VIDEO --audio TRACK")
    options = options.with_values(
        {
            "render.when_longer": when_longer, "consent.table": existing(consent),
            "consent.require": require_consent or None,
        }
    )  # fmt: skip
    given: dict[str, Any] = {
        "video": existing(video), "audio": [existing(track) for track in audio or []], "emotion": emotion,
        "intensity": intensity, "speakers": existing(speakers), "output": text_of(output),
        "manifest": existing(manifest),
    }  # fmt: skip
    if plan:
        return _planned(options, given)
    result = run_flow(options, "dub", "dub", **given, model=model)
    write_note(note, {"renders": sorted(entry["id"] for entry in result["items"] if entry["status"] == "ok")})
    return finished(result)


def animate(
    options: Options,
    image: Annotated[Path, typer.Argument(help="A picture with a face.")],
    audio: Annotated[Path, typer.Option("--audio", help="What it says.")],
    emotion: Emotion = None,
    intensity: Intensity = None,
    output: Output = None,
    model: Model = None,
) -> Outcome:
    """Make a portrait speak."""
    result = run_flow(
        options, "animate", "animate", image=existing(image), audio=existing(audio), emotion=emotion,
        intensity=intensity, output=text_of(output), model=model,
    )  # fmt: skip
    return finished(result)


def _planned(options: Options, given: dict[str, Any]) -> Outcome:
    """What `dub` would do, without doing it."""
    from flows.planning import dub_plan_text
    from tasks.dub_estimate import estimate_dub
    from tasks.jobs import jobs_of

    started = time.monotonic()
    found = estimate_dub(jobs_of(**given), options.config())
    return {**listing([], started), "plan": found.as_dict()}, dub_plan_text(found), 0
