"""`dubwright verify`: what a file says of itself, and whether it is still the file that was signed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.command import ERROR_RESULT, command
from flows.options import Options
from storage.errors import NotFound

Outcome = tuple[dict[str, Any], str, int]
_SHOWN = ("render_id", "model_id", "dataset_id", "seed", "config_hash", "code_revision")


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    command(app, "verify")(verify)


def verify(
    options: Options,
    files: Annotated[list[Path], typer.Argument(help="Rendered files: .mp4, .m4v, .mov, or .mkv with its .c2pa.")],
    lineage: Annotated[
        bool, typer.Option("--lineage", help="Follow a render on to its model, dataset and sources in the catalog.")
    ] = False,
) -> Outcome:
    """Check that files are what was signed, and by whom; exit code 1 where one is not."""
    from tasks.sealing import verify_render

    started = time.monotonic()
    config = options.config()
    items: list[dict[str, Any]] = []
    parts: list[str] = []
    for path in files:
        found = verify_render(path, config)
        chain = _chain(options, found.facts.get("render_id")) if lineage else None
        items.append(
            {
                "id": found.facts.get("render_id"), "input": str(path), "output": None, "stage": "verify",
                "status": "ok" if found.valid else "rejected", "reason": "; ".join(found.problems) or None,
                "metrics": {}, "provenance": found.as_dict(), **({"lineage": chain} if lineage else {}),
            }
        )  # fmt: skip
        parts.append("\n".join([f"{path}: {found.status}", *_told(items[-1]["provenance"]), *_followed(chain)]))
    wrong = sum(item["status"] != "ok" for item in items)
    counts = {"ok": len(items) - wrong, "rejected": wrong, "failed": 0}
    seconds = round(time.monotonic() - started, 3)
    result = {**ERROR_RESULT, "counts": counts, "items": items, "seconds": seconds}
    return result, "\n\n".join(parts), int(wrong > 0)


def _told(found: dict[str, Any]) -> list[str]:
    lines = [f"  problem     {problem}" for problem in found["problems"]]
    if found["signer"]:
        lines.append(f"  signed by   {found['signer']} ({found['known'] or 'not known here'})")
    if found["synthetic"]:
        lines.append(f"  synthetic   {found['synthetic'].rsplit('/', 1)[-1]}")
    for entry in found["ingredients"]:
        before = f"  signed by {entry['signed_by']}" if entry.get("signed_by") else ""
        before += "" if entry.get("in_order", True) else ", but changed since"
        digest = entry.get("sha256", "")[:16]
        lines.append(f"  {entry['role'] or 'made from':<11} {entry['title']}  {digest}{before}")
    facts = found["facts"]
    return lines + [f"  {name:<11} {facts[name]}" for name in _SHOWN if facts.get(name) is not None]


def _chain(options: Options, render: str | None) -> dict[str, Any] | None:
    """The chain through the catalog; None where this root does not know the render."""
    from storage.provenance import lineage

    try:
        return lineage(options.place(), render) if render else None
    except NotFound:
        return None


def _followed(chain: dict[str, Any] | None) -> list[str]:
    if chain is None:
        return []
    dataset = chain["dataset"] or {}
    return [
        f"  model       {(chain['model'] or {}).get('model_id')}, {len(chain['ancestors'])} before it",
        f"  dataset     {dataset.get('dataset_id')}: {chain['clips']} clips of {len(chain['sources'])} sources",
        *(f"  missing     {link}" for link in chain["missing"]),
    ]
