"""The sections of the configuration that say when a model takes the champion's place, and what a night does."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tasks.config_sections import Count, Scale, Seconds, Section


class Promotion(Section):
    """The gate between a challenger and the champion (tasks/evaluate_gate.py). Shapes no result, only who serves."""

    confidence: float = Field(default=0.95, gt=0.5, lt=1, description="of the bootstrap intervals")
    resamples: Count = Field(default=2000, description="draws of clips for each interval")
    fid_resamples: Count = Field(default=400, description="the same for FID, each a Fréchet distance of all frames")
    min_clips: Annotated[int, Field(ge=2)] = Field(
        default=4, description="held-out clips below which nobody is promoted"
    )
    min_gain: Scale = Field(
        default=0.0, description="where the interval must begin for better; share of the champion's value"
    )
    tolerated_loss: Scale = Field(
        default=0.005, description="mean loss up to which even a certain one counts for nothing; share of its value"
    )
    max_loss: Scale = Field(
        default=0.1, description="mean loss that counts however wide the interval is; share of the champion's value"
    )


class Nightly(Section):
    """What a night does, beside what the other sections say of its stages."""

    steps: Count | None = Field(default=None, description="optimiser steps of a night; null: train.short_steps")
    held_out: str | None = Field(
        default=None,
        description="dataset NAME[@VERSION] whose split evaluate.split judges; null: the dataset that is extended",
    )
    wait_s: Seconds = Field(
        default=0.0,
        description="how long a night waits for another one on the same root, before it is skipped; seconds",
    )
    rerender: Literal["none", "flagged", "newest", "all"] = Field(
        default="flagged",
        description="dubs of earlier champions that the present one makes anew: those kept for review, the newest, all",
    )
    newest: Count = Field(default=20, description="how many dubs `newest` are")
    rerender_hours: float = Field(
        default=2.0, gt=0, description="longest that a night renders anew; the rest waits; hours"
    )
