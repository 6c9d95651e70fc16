"""The report of a run: one folder with one page, readable without a server, without a network, and after being moved.

Everything the page shows lies beside it (``media/``); nothing is fetched from elsewhere.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined

from storage.atomic import write_text
from storage.errors import DubwrightError
from storage.layout import Root
from tasks.report_media import Preview, alone, side_by_side

CLIPS_SHOWN = 36
RENDERS_SHOWN = 12
LEFT_OUT_SHOWN = 200

ALLOWED = "default-src 'none'; img-src 'self' file: data:; media-src 'self' file:; style-src 'unsafe-inline'"
"""What a browser may load for a page, whatever stands in it: pictures and films beside it, nothing from elsewhere."""
ALLOWED_WITH_SCRIPTS = f"{ALLOWED}; script-src 'self' file: 'unsafe-inline'"

Row = Mapping[str, Any]


@dataclass
class Report:
    """What a run has to show. Every part but `run` may be empty; an empty part has no section on the page.

    run: RUNS row. stages: [{"name", "seconds", "result"}] in order. items: those of `--json`. renders: RENDERS rows.
    clips: CLIPS rows (with crops where thumbnails are wanted). dataset: facts of the version. training: facts,
    "losses" [(step, loss)], and "samples", the path of a picture or None. evaluation: one mapping per model, "model"
    and the metrics. control: the path of a picture of what each condition changes, or "". protocol: how it was
    measured. published: rows of others (tasks/published.py), with a note. gate:
    {"promoted": bool, "reason": str, "differences": of `tasks.evaluate_gate.Verdict`, as mappings}. lineage: label →
    value, from the output back to the sources. pages: label → other pages of this report, as seen from its folder.
    """

    run: Row
    stages: Sequence[Row] = ()
    items: Sequence[Row] = ()
    renders: Sequence[Row] = ()
    clips: Sequence[Row] = ()
    dataset: Row = field(default_factory=dict)
    training: Row = field(default_factory=dict)
    evaluation: Sequence[Row] = ()
    control: str = ""
    protocol: Sequence[str] = ()
    published: Sequence[Row] = ()
    published_note: str = ""
    gate: Row = field(default_factory=dict)
    lineage: Row = field(default_factory=dict)
    pages: Mapping[str, str] = field(default_factory=dict)


def write_report(report: Report, folder: str | os.PathLike[str], root: Root) -> Path:
    """Write ``folder/index.html`` and what it shows; returns the page's path. An older report there is replaced."""
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(place / "media", ignore_errors=True)
    (place / "media").mkdir()
    page = environment().get_template("report.html.j2").render(
        report=report,
        run=report.run,
        counts=_json(report.run.get("counts")),
        config=json.dumps(_json(report.run.get("config")), indent=2, ensure_ascii=False),
        tiles=_tiles(report),
        renders=_shown_renders(report, place, root),
        thumbnails=_thumbnails(report, place),
        left_out=_left_out(report),
        metrics=_metric_names(report.evaluation),
        differences=_differences(report.gate),
        loss_path=_loss_path(report.training.get("losses") or []),
        samples=_copied(report.training.get("samples"), place),
        control=_copied(report.control, place),
    )  # fmt: skip
    write_text(place / "index.html", page)
    return place / "index.html"


def environment() -> Environment:
    """What templates are rendered with: everything escaped, names that are not given refused."""
    templates = Environment(
        loader=PackageLoader("tasks", "report_templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    templates.filters.update(number=number, clock=clock, label=label)
    templates.globals.update(allowed=ALLOWED, allowed_with_scripts=ALLOWED_WITH_SCRIPTS)
    return templates


def number(value: Any) -> str:
    """A value as the page shows it: four digits at most, a dash for what was not measured."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def clock(seconds: float | None) -> str:
    """Seconds as ``4.2 s``, ``1 min 05 s``, ``2 h 03 min``."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def label(name: str) -> str:
    """A column name as words: ``sync_confidence`` → ``sync confidence``."""
    return name.replace("_", " ")


def _tiles(report: Report) -> list[tuple[str, str, str]]:
    """(value, unit, label) of the numbers that come first."""
    done = [row for row in report.renders if row.get("status") == "ok"]
    kept = [row for row in report.clips if row.get("status") == "ok"]
    tiles: list[tuple[str, str, str]] = []
    if report.renders:
        tiles.append((f"{len(done)}", f"of {len(report.renders)}", "videos dubbed"))
        frames = sum(row.get("frames") or 0 for row in done)
        tiles.append((number(frames), "", "frames in them"))
    if report.clips:
        tiles.append((f"{len(kept)}", f"of {len(report.clips)}", "clips kept"))
    for column, unit, text in (
        ("sync_confidence_after", "", "sync confidence"),
        ("outside_psnr_db", "dB", "outside the face"),
        ("identity_cosine", "", "identity cosine"),
    ):
        values = [row[column] for row in done if isinstance(row.get(column), float) and math.isfinite(row[column])]
        if values:
            before = [row["sync_confidence_before"] for row in done if row.get("sync_confidence_before") is not None]
            note = unit
            if column == "sync_confidence_after" and before:
                note = f"from {sum(before) / len(before):.2f}"
            tiles.append((f"{sum(values) / len(values):.3g}", note, f"{text}, mean"))
    if report.run.get("seconds") is not None:
        tiles.append((clock(report.run["seconds"]), "", "wall time"))
    return tiles


def _shown_renders(report: Report, place: Path, root: Root) -> list[dict[str, Any]]:
    """The renders that get a video on the page: RENDERS row, preview (or None and why), name, link to the file."""
    shown = []
    for index, row in enumerate([row for row in report.renders if row.get("status") == "ok"][:RENDERS_SHOWN]):
        output = root.resolve(row["output_uri"])
        source = root.resolve(row["input_uri"])
        preview, problem = None, ""
        try:
            preview = _preview(source, output, place, f"render-{index}")
        except (DubwrightError, OSError, ValueError) as error:
            problem = str(error)
        shown.append(
            {
                "row": row,
                "name": output.name,
                "source": source.name,
                "preview": preview,
                "problem": problem,
                "link": _link(output, place),
                "portrait": source.suffix.lower() in PORTRAITS,
            }
        )
    return shown


PORTRAITS = {".png", ".jpg", ".jpeg", ".webp", ".bmp"}


def _preview(source: Path, output: Path, place: Path, name: str) -> Preview:
    if source.suffix.lower() in PORTRAITS or not source.exists():
        return alone(output, place, name)
    return side_by_side(source, output, place, name)


def _link(output: Path, place: Path) -> str:
    """The whole file as seen from the page, so that a root that is moved as a whole keeps its links."""
    return quote(Path(os.path.relpath(output, place)).as_posix())


def _thumbnails(report: Report, place: Path) -> list[dict[str, Any]]:
    """One picture per kept clip: the middle crop, as it went into the dataset."""
    thumbnails: list[dict[str, Any]] = []
    for row in report.clips:
        if len(thumbnails) == CLIPS_SHOWN:
            break
        if row.get("status") == "ok" and row.get("crops"):
            file = f"media/clip-{len(thumbnails)}.jpg"
            (place / file).write_bytes(row["crops"][len(row["crops"]) // 2])
            thumbnails.append({"file": file, "row": row})
    return thumbnails


def _left_out(report: Report) -> list[dict[str, Any]]:
    """Everything that did not end well, each with its reason; clips, renders and items alike, none twice."""
    rows: list[dict[str, Any]] = []
    seen = set()
    for kind, source, key in (
        ("clip", report.clips, "clip_id"), ("video", report.renders, "render_id"), ("item", report.items, "id"),
    ):  # fmt: skip
        for row in source:
            name = row.get("source_uri") or row.get("input_uri") or row.get("input") or ""
            if row.get("status") == "ok" or (kind == "item" and name in seen):
                continue
            seen.add(name)
            shown = {
                column: row.get(column) for column in ("status", "stage", "measure", "value", "threshold", "reason")
            }
            shown["measure"] = shown["measure"] or row.get("error_type") or ""
            rows.append({**shown, "name": Path(str(name)).name or row.get(key)})
    return rows[:LEFT_OUT_SHOWN]


def _metric_names(evaluation: Sequence[Row]) -> list[str]:
    names: dict[str, None] = {}
    for row in evaluation:
        names.update(dict.fromkeys(name for name in row if name != "model"))
    return list(names)


def _differences(gate: Row) -> list[dict[str, Any]]:
    """What the gate saw, each with where its interval lies on a line from 0 to 100 that has no difference at 50."""
    shown = []
    for one in gate.get("differences", ()):
        reach = max(abs(one["low"]), abs(one["high"]), 1e-12) * 1.05
        places = {name: round(50 + 50 * one[name] / reach, 1) for name in ("low", "gain", "high")}
        shown.append({**one, "at": places})
    return shown


def _loss_path(losses: Sequence[tuple[float, float]], width: float = 600.0, height: float = 120.0) -> str:
    """Points of an SVG polyline for the loss over the steps, or "" where there is nothing to draw."""
    finite = [(float(step), float(loss)) for step, loss in losses if math.isfinite(loss)]
    if len(finite) < 2:
        return ""
    (low_x, high_x), (low_y, high_y) = (
        (min(values), max(values)) for values in ([step for step, _ in finite], [loss for _, loss in finite])
    )
    span_x, span_y = max(high_x - low_x, 1e-9), max(high_y - low_y, 1e-9)
    points = ((width * (x - low_x) / span_x, height * (high_y - y) / span_y) for x, y in finite)
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _copied(picture: Any, place: Path) -> str:
    """A picture beside the page, as the page names it; "" where there is none."""
    if not picture or not Path(picture).is_file():
        return ""
    file = f"media/samples-{Path(picture).name}"
    shutil.copyfile(picture, place / file)
    return file


def _json(text: Any) -> Any:
    return json.loads(text) if isinstance(text, str) and text else (text or {})
