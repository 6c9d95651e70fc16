"""The metric table: its measures. The gate that compares two is in test_evaluate_gate.py."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.evaluate import PROTOCOL, correlation, flicker, frechet_distance, region_psnr
from tasks.masks import dub_mask


def test_correlation_of_what_was_measured() -> None:
    truth = np.sin(np.arange(30) / 3) * 0.1 + 0.2
    measured = truth * 2 + 0.1
    measured[5] = np.nan
    assert correlation(measured, truth) == pytest.approx(1)
    assert correlation(-measured, truth) == pytest.approx(-1)
    assert correlation(np.full(30, 0.3), truth) == 0
    assert correlation(measured, np.full(30, 0.2)) is None, "a mouth that rests has no correlation"
    assert correlation(measured[:7], truth[:7]) is None


def test_frechet_distance_of_gaussians_is_that_of_the_formula() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(0, 1, (4000, 3)), rng.normal(2, 3, (4000, 3))
    assert frechet_distance(first, first) == pytest.approx(0, abs=1e-9)
    # |mu|^2 + tr(C1 + C2 - 2 sqrt(C1 C2)) = 3 (2^2 + 1 + 9 - 6)
    assert frechet_distance(first, second) == pytest.approx(24, rel=0.05)


def test_frechet_distance_with_fewer_samples_than_dimensions() -> None:
    rng = np.random.default_rng(0)
    few = rng.normal(0, 1, (20, 64))
    assert frechet_distance(few, few) == pytest.approx(0, abs=1e-8)
    assert frechet_distance(few, few + 1) == pytest.approx(64)


def test_only_the_repainted_region_counts() -> None:
    real = np.random.default_rng(0).integers(0, 255, (6, 64, 64, 3), dtype=np.uint8)
    other = real.copy()
    other[:, dub_mask(64) <= 0.5] = 0
    assert region_psnr(other, real) > 100
    assert flicker(other, real) == pytest.approx(1)
    still = np.repeat(real[:1], 6, 0)
    assert flicker(still, real) == 0
    assert flicker(real[:2], real[:2]) is None


def test_every_metric_has_its_protocol() -> None:
    assert all(PROTOCOL.values())
