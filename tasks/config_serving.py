"""The section of the configuration that says how flows are run: tries, time limits, how many at once."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tasks.config_sections import Count, Scale, Seconds, Section


class Serving(Section):
    """How stages of flows are run. Shapes no result, so it is no part of the hash."""

    retries: Annotated[int, Field(ge=0)] = Field(
        default=2, description="tries more of a stage that lost its workers, a lock or the network"
    )
    retry_delay_s: Seconds = Field(
        default=10.0, description="wait before the first of them, doubled each time; seconds"
    )
    preprocess_limit_h: Scale = Field(default=24.0, description="longest that preprocessing may take; hours; 0: none")
    train_limit_h: Scale = Field(default=12.0, description="longest that a training may take; hours; 0: none")
    evaluate_limit_h: Scale = Field(default=4.0, description="longest that measuring a model may take; hours; 0: none")
    render_limit_h: Scale = Field(default=48.0, description="longest that rendering may take; hours; 0: none")
    preprocess_slots: Count = Field(default=2, description="preprocessings of deployments at once, on all machines")
    train_slots: Count = Field(default=1, description="trainings of deployments at once, on all machines")
    evaluate_slots: Count = Field(default=1, description="measurements of deployments at once, on all machines")
    render_slots: Count = Field(default=1, description="renderings of deployments at once, on all machines")

    def limit_s(self, kind: str) -> float | None:
        """Longest that a stage of `kind` (preprocess, train, evaluate, render) may take; seconds; None: no limit."""
        hours = getattr(self, f"{kind}_limit_h") if kind else 0.0
        return float(hours) * 3600 or None

    def slots(self) -> dict[str, int]:
        """Stages of each kind that may run at once."""
        return {kind: getattr(self, f"{kind}_slots") for kind in KINDS}


KINDS = ("preprocess", "train", "evaluate", "render")
"""Kinds of stages that are heavy enough to be limited."""
