"""Plans for people: `preprocess --plan`, `dub --plan`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flows.console import duration, table

if TYPE_CHECKING:
    from tasks.dub_estimate import DubPlan
    from tasks.estimate import Plan

NAMES_SHOWN = 10


def plan_text(plan: Plan) -> str:
    """What would be done, step by step, how long it takes, what it leaves and costs."""
    kinds = [(plan.new, "new"), (plan.known, "known"), (plan.refused, "left out by their names"),
             (plan.unreadable, "without a film in them")]  # fmt: skip
    parts = ", ".join(f"{count:,} {kind}" for count, kind in kinds if count)
    lines = [
        f"{plan.films:,} files ({parts or 'none'}), {duration(plan.film_s)} of film, about {plan.clips:,} clips",
        "",
    ]
    rows: list[dict[str, Any]] = []
    for step in plan.steps:
        row: dict[str, Any] = {
            "step": step.step, "films": f"{step.films:,}", "clips": "–" if step.clips is None else f"{step.clips:,}",
            "work": _time(step.seconds), "from": _time(step.low), "to": _time(step.high),
            "CPU": _time(step.cpu_seconds),
        }  # fmt: skip
        if plan.cost is not None:
            row["cost"] = "–" if step.cost is None else _money(step.cost)
        rows.append(row)
    lines.append(table(rows))
    lines += [
        "",
        _wall(plan),
        f"storage: {_size(plan.bytes)}, of which {_size(plan.version_bytes)} for the dataset; the rest may be deleted",
    ]
    return "\n".join(lines + _costs(plan) + [f"note: {note}" for note in plan.notes])


def dub_plan_text(plan: DubPlan) -> str:
    """What would be dubbed, by kinds of work, how long it takes, what it leaves and costs, and what cannot be done."""
    kinds = [
        (plan.to_do, "to do"), (plan.finished, "finished"), (plan.kept_back, "kept back for review"),
        (plan.rejected, "rejected before"), (len(plan.refused), "refused"), (len(plan.unreadable), "unreadable"),
    ]  # fmt: skip
    parts = ", ".join(f"{count:,} {kind}" for count, kind in kinds if count)
    lines = [f"{plan.jobs:,} dubs ({parts or 'none'})", *(_dub_work(plan) if plan.to_do else ["nothing is left to do"])]
    for what, names in (("refused", plan.refused), ("unreadable", plan.unreadable)):
        lines += [f"{what}: {name}" for name in names[:NAMES_SHOWN]]
        if len(names) > NAMES_SHOWN:
            lines.append(f"… and {len(names) - NAMES_SHOWN:,} more {what} (with --json)")
    return "\n".join(lines + [f"note: {note}" for note in plan.notes])


def _dub_work(plan: DubPlan) -> list[str]:
    rows: list[dict[str, Any]] = []
    for work in plan.work:
        row: dict[str, Any] = {
            "work": _WORK[work.kind], "films": f"{work.films:,}", "frames": f"{work.frames:,}",
            "time": _time(work.seconds), "from": _time(work.low), "to": _time(work.high),
        }  # fmt: skip
        if plan.cost is not None:
            row["cost"] = "–" if work.cost is None else _money(work.cost)
        rows.append(row)
    return [
        f"to do: {duration(plan.film_s)} of film, {plan.frames:,} frames, from {plan.videos:,} videos",
        "",
        table(rows),
        "",
        _wall(plan),
        f"storage: {_size(plan.output_bytes)} of films; beside them at most {_size(plan.cache_bytes)} in the cache, "
        f"which may be deleted; {_size(plan.free_bytes)} free",
        *_costs(plan),
    ]


_WORK = {"look": "find faces", "render": "draw faces", "finish": "write, measure"}


def _wall(plan: Plan | DubPlan) -> str:
    beside = f"{plan.workers} workers" if plan.workers > 1 else "one worker"
    return f"time: {_time(plan.wall_s)} with {beside} ({_time(plan.wall_low)} to {_time(plan.wall_high)})"


def _costs(plan: Plan | DubPlan) -> list[str]:
    costs = [f"{_money(plan.cost)} for the run"] if plan.cost is not None else []
    costs += [f"{_money(plan.cost_month)} a month for the storage"] if plan.cost_month is not None else []
    return [f"cost: {', '.join(costs)}, in the currency of runtime.price_…"] if costs else []


def _time(seconds: float | None) -> str:
    return "not measured" if seconds is None else duration(seconds)


def _money(value: float) -> str:
    return f"{value:,.2f}" if value >= 1 else f"{value:.2g}"


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"
