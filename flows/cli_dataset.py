"""`dubwright dataset …`: the versions of datasets, what is in them, and what changed between two."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.command import command, listing
from flows.console import cell, say, table
from flows.options import Options

if TYPE_CHECKING:
    from storage.versions import Diff

Outcome = tuple[dict[str, Any], str, int]
Spec = Annotated[str, typer.Argument(help="NAME, NAME@VERSION or NAME@TAG.")]
CLIPS_TOLD = 20


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    dataset = typer.Typer(help="The versions of a dataset.", no_args_is_help=True, rich_markup_mode=None)
    command(dataset, "list")(dataset_list)
    command(dataset, "show")(dataset_show)
    command(dataset, "diff")(dataset_diff)
    command(dataset, "report")(dataset_report)
    command(dataset, "checkout")(dataset_checkout)
    command(dataset, "tag")(dataset_tag)
    app.add_typer(dataset, name="dataset")


def dataset_list(
    options: Options, name: Annotated[str | None, typer.Argument(help="One dataset; default: all.")] = None
) -> Outcome:
    """The versions, oldest first."""
    from storage.versions import list_versions

    started = time.monotonic()
    return _versions(list_versions(options.place(), name), started)


def dataset_show(options: Options, spec: Spec) -> Outcome:
    """One version: what it holds, what it was made from, why clips were left out. Its files are compared with what was
    committed, and restored where they were changed."""
    from storage.shards import read_rows
    from storage.versions import checkout_version, describe_version

    started = time.monotonic()
    version = checkout_version(options.place(), spec, make_current=False)
    _tell_restored(version.dataset_id, version.restored)
    columns = ["status", "stage", "measure", "split", "num_frames", "fps"]
    reasons: dict[tuple[str, str, str], int] = {}
    frames: dict[str, int] = {}
    for row in read_rows(version.path, columns):
        if row["status"] == "ok":
            frames[row["split"] or ""] = frames.get(row["split"] or "", 0) + (row["num_frames"] or 0)
        else:
            key = (row["status"], row["stage"] or "", row["measure"] or "")
            reasons[key] = reasons.get(key, 0) + 1
    left_out = [{"status": s, "stage": g, "measure": m, "rows": n} for (s, g, m), n in sorted(reasons.items())]
    facts = describe_version(version)
    result = listing([{"id": version.dataset_id, **facts}], started, left_out=left_out, frames=frames)
    lines = [f"{name}: {cell(value)}" for name, value in facts.items() if name not in ("counts", "restored")]
    lines.append("rows by status: " + ", ".join(f"{count} {status}" for status, count in version.counts.items()))
    lines.append("frames kept by split: " + ", ".join(f"{count} {split}" for split, count in sorted(frames.items())))
    return result, "\n".join(lines) + (f"\n\nleft out:\n{table(left_out)}" if left_out else ""), 0


def dataset_diff(
    options: Options,
    a: Annotated[str, typer.Argument(help="NAME@VERSION.")],
    b: Annotated[str, typer.Argument(help="NAME@VERSION, or a version or tag of the same dataset.")],
) -> Outcome:
    """What changed from one version to another: clips that came and went, and which fields of which clips changed, from
    what to what. With --json: all of them."""
    from storage.versions import diff_versions

    started = time.monotonic()
    diff = diff_versions(options.place(), a, b)
    items: list[dict[str, Any]] = []
    for kind, keys in (("added", diff.added), ("removed", diff.removed)):
        items += [{"id": key, "change": kind, "clip": diff.names.get(key, key)} for key in keys]
    for key, fields in diff.changed.items():
        values, kinds = diff.values.get(key, {}), diff.kinds.get(key, {})
        told = {name: _change(values.get(name), kinds.get(name)) for name in fields}
        items.append({"id": key, "change": "changed", "clip": diff.names.get(key, key), "fields": told})
    counts = {"added": len(diff.added), "removed": len(diff.removed), "changed": len(diff.changed)}
    return listing(items, started, a=diff.a, b=diff.b, changes=counts, fields=diff.fields), _diff_text(diff), 0


def dataset_report(
    options: Options,
    spec: Spec,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder; default: beside the version.")] = None,
) -> Outcome:
    """Write the page of a version: faces kept and left out, distributions, reasons, splits, rights, steps."""
    from storage.versions import show_version
    from tasks.report_version import version_page

    started = time.monotonic()
    version = show_version(options.place(), spec)
    page = version_page(options.place(), version.dataset_id, output)
    result = listing([{"id": version.dataset_id, "output": str(page)}], started)
    return {**result, "report": str(page)}, str(page), 0


def dataset_checkout(options: Options, spec: Spec) -> Outcome:
    """Make a version the current one, its files as they were committed."""
    from storage.versions import checkout_version

    started = time.monotonic()
    version = checkout_version(options.place(), spec)
    _tell_restored(version.dataset_id, version.restored)
    return _versions([version], started)


def dataset_tag(
    options: Options, spec: Spec, tag: Annotated[str, typer.Argument(help="The name to give it.")]
) -> Outcome:
    """Give a version a name, here and in the catalog."""
    from storage.versions import tag_version

    started = time.monotonic()
    return _versions([tag_version(options.place(), spec, tag)], started)


def _tell_restored(dataset_id: str, restored: tuple[str, ...]) -> None:
    if restored:
        more = f" and {len(restored) - 3} more" if len(restored) > 3 else ""
        say(f"{dataset_id}: {', '.join(restored[:3])}{more} had been changed; restored as committed")


def _change(values: tuple[Any, Any] | None, kind: str | None) -> dict[str, Any]:
    return {"change": kind} if values is None else {"before": values[0], "after": values[1]}


def _diff_text(diff: Diff) -> str:
    """For people: counts by field, then the clips, as many as a screen holds."""
    lines = [f"{diff.a} → {diff.b}: {len(diff.added)} added, {len(diff.removed)} removed, {len(diff.changed)} changed"]
    if diff.fields:
        lines += ["", table([{"field": name, "clips changed": count} for name, count in diff.fields.items()])]
    told = 0
    for kind, keys in (("added", diff.added), ("removed", diff.removed), ("changed", list(diff.changed))):
        if not keys:
            continue
        lines += ["", f"{kind}:"]
        shown = keys[: max(5, CLIPS_TOLD - told)]
        told += len(shown)
        for key in shown:
            lines.append(f"  {diff.names.get(key, key)}  ({key})")
            if kind == "changed":
                lines += _fields_text(diff, key)
        if len(keys) > len(shown):
            lines.append(f"  … and {len(keys) - len(shown)} more; --json tells all")
    return "\n".join(lines)


def _fields_text(diff: Diff, key: str) -> list[str]:
    """A line for every value that changed, and one for all lists, pictures and sounds that came, went or changed."""
    lines = [f"    {name}: {_told(old)} → {_told(new)}" for name, (old, new) in diff.values.get(key, {}).items()]
    kinds = diff.kinds.get(key, {})
    for kind in ("new", "gone", "changed"):
        names = [name for name, what in kinds.items() if what == kind]
        if names:
            lines.append(f"    {kind}: {', '.join(names)}")
    return lines


def _told(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, float):
        return f"{value:.6g}"
    return f"“{value}”" if isinstance(value, str) and " " in value else str(value)


def _versions(versions: list[Any], started: float) -> Outcome:
    from storage.versions import describe_version

    rows = [describe_version(version) for version in versions]
    shown = [
        {"version": row["dataset_id"], "rows": row["rows"], "current": row["current"], "tags": list(row["tags"]),
         "created": row["created"], "message": row["message"]}
        for row in rows
    ]  # fmt: skip
    return listing([{"id": row["dataset_id"], **row} for row in rows], started), table(shown), 0
