"""The plan of a preprocessing for people: `preprocess --plan`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flows.console import duration, table

if TYPE_CHECKING:
    from tasks.estimate import Plan


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
    beside = f"{plan.workers} workers" if plan.workers > 1 else "one worker"
    lines += [
        "",
        f"time: {_time(plan.wall_s)} with {beside} ({_time(plan.wall_low)} to {_time(plan.wall_high)})",
        f"storage: {_size(plan.bytes)}, of which {_size(plan.version_bytes)} for the dataset; the rest may be deleted",
    ]
    costs = [f"{_money(plan.cost)} for the run"] if plan.cost is not None else []
    costs += [f"{_money(plan.cost_month)} a month for the storage"] if plan.cost_month is not None else []
    if costs:
        lines.append(f"cost: {', '.join(costs)}, in the currency of runtime.price_…")
    return "\n".join(lines + [f"note: {note}" for note in plan.notes])


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
