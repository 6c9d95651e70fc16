"""The gate: which of two metric tables is the better one, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from tasks.config import Config, load_config
from tasks.evaluate_bootstrap import FrechetPair, drawn_clips, interval_of
from tasks.evaluate_gate import ALIKE, BETTER, WORSE, Difference, Verdict, judge
from tasks.evaluate_measures import Samples, Vectors, frechet_distance, unpacked

CLIPS = [f"clip{number}" for number in range(8)]
WOBBLE = np.array([0.03, -0.05, 0.02, 0.04, -0.03, 0.01, -0.04, 0.02])
"""How one clip differs from the next: the same for both models, so that only pairs tell them apart."""


def table(vectors: Vectors | None = None, clips: Sequence[str] = CLIPS, **metrics: Any) -> dict[str, Any]:
    """A metric table of these values, one number for all clips or one for each."""
    values = {name: np.broadcast_to(value, len(clips)) for name, value in metrics.items()}
    means = {name: float(value.mean()) for name, value in values.items()}
    if vectors is not None:
        means["fid"] = vectors.distance()
    return {
        "metrics": means, "spread": {}, "protocol": [], "clips": list(clips), "frames": 0,
        "samples": {name: dict(zip(clips, map(float, value))) for name, value in values.items()},
        "vectors": {} if vectors is None else {"fid": vectors.packed()},
    }  # fmt: skip


@pytest.fixture
def config() -> Config:
    return load_config(overrides={"promotion.fid_resamples": 60})


def champion() -> dict[str, Any]:
    return table(mouth_correlation=0.8 + WOBBLE, lse_c=3.0 + 10 * WOBBLE, identity=0.9 + WOBBLE)


def of(verdict: Verdict, metric: str) -> Difference:
    (found,) = (one for one in verdict.differences if one.metric == metric)
    return found


def test_better_in_one_and_worse_in_none_is_promoted(config: Config) -> None:
    challenger = table(mouth_correlation=0.83 + WOBBLE + WOBBLE[::-1] / 9, lse_c=3 + 9 * WOBBLE, identity=0.9 + WOBBLE)
    verdict = judge(challenger, champion(), config)
    assert verdict.promoted
    assert "better: mouth_correlation +0.03" in verdict.reason and "nothing is worse" in verdict.reason
    assert [one.verdict for one in verdict.differences] == [BETTER, ALIKE, ALIKE]
    seen = of(verdict, "mouth_correlation")
    assert 0 < seen.low < seen.gain < seen.high and seen.clips == 8


def test_worse_in_one_is_not_promoted_whatever_else_is_better(config: Config) -> None:
    challenger = table(
        mouth_correlation=0.95 + WOBBLE, lse_c=4 + 10 * WOBBLE, identity=0.85 + WOBBLE + WOBBLE[::-1] / 9
    )
    verdict = judge(challenger, champion(), config)
    assert not verdict.promoted
    assert verdict.reason.startswith("worse: identity -0.05") and "better: mouth_correlation +0.15" in verdict.reason
    assert of(verdict, "identity").verdict == WORSE


def test_a_gain_of_the_mean_that_the_clips_do_not_agree_on_is_none(config: Config) -> None:
    split = np.array([0.3, -0.1, 0.2, -0.1, 0.1, -0.1, 0.1, -0.1])
    assert split.mean() > 0.03
    challenger = table(mouth_correlation=0.8 + WOBBLE + split, lse_c=3 + 10 * WOBBLE, identity=0.9 + WOBBLE)
    verdict = judge(challenger, champion(), config)
    assert (verdict.promoted, verdict.reason) == (False, "nothing is better for certain")
    assert of(verdict, "mouth_correlation").verdict == ALIKE


def test_pairs_see_what_means_and_spreads_do_not(config: Config) -> None:
    """Clips differ by much more than the models do; clip for clip the challenger is better all the same."""
    hard = np.linspace(-0.4, 0.1, 8)
    first = table(mouth_correlation=0.8 + hard)
    verdict = judge(table(mouth_correlation=0.81 + hard + WOBBLE / 20), first, config)
    assert verdict.promoted


def test_a_loss_too_small_to_see_is_tolerated_and_a_large_one_never(config: Config) -> None:
    gain = {"mouth_correlation": 0.83 + WOBBLE, "lse_c": 3 + 10 * WOBBLE}
    assert judge(table(**gain, identity=0.899 + WOBBLE), champion(), config).promoted
    strict = config.with_({"promotion.tolerated_loss": 0.0})
    assert not judge(table(**gain, identity=0.899 + WOBBLE), champion(), strict).promoted
    # Two clips lose all of it and the others nothing: the interval cannot say so, the mean can.
    lost = np.array([0, 0.01, -0.6, 0.01, 0, -0.6, 0.01, 0.02])
    verdict = judge(table(**gain, identity=0.9 + WOBBLE + lost), champion(), config)
    assert of(verdict, "identity").high > 0 and of(verdict, "identity").verdict == WORSE and not verdict.promoted
    assert judge(
        table(**gain, identity=0.9 + WOBBLE + lost), champion(), config.with_({"promotion.max_loss": 1})
    ).promoted


def test_the_same_is_not_better(config: Config) -> None:
    verdict = judge(champion(), champion(), config)
    assert (verdict.promoted, verdict.reason) == (False, "nothing is better for certain")
    assert all((one.gain, one.low, one.high) == (0, 0, 0) for one in verdict.differences)


def test_a_sharper_picture_alone_is_no_reason_and_a_worse_one_is(config: Config) -> None:
    plain = {"mouth_correlation": 0.8 + WOBBLE, "psnr_region": 28 + WOBBLE}
    sharper = judge(table(mouth_correlation=0.8 + WOBBLE, psnr_region=30 + WOBBLE), table(**plain), config)
    assert (sharper.promoted, of(sharper, "psnr_region").verdict) == (False, BETTER)
    duller = judge(table(mouth_correlation=0.9 + WOBBLE, psnr_region=26 + WOBBLE), table(**plain), config)
    assert not duller.promoted and duller.reason.startswith("worse: psnr_region")


def test_flicker_counts_from_that_of_the_footage_on(config: Config) -> None:
    def trembling(value: float) -> dict[str, Any]:
        return table(mouth_correlation=0.8 + WOBBLE + value / 10, flicker=value + WOBBLE)

    assert judge(trembling(0.7), trembling(0.4), config).promoted, "dull is not steady"
    verdict = judge(trembling(1.4), trembling(1.2), config)
    assert not verdict.promoted and verdict.reason.startswith("worse: flicker")


def test_few_clips_decide_nothing(config: Config) -> None:
    few = [{"clips": CLIPS[:3], "mouth_correlation": value + WOBBLE[:3]} for value in (0.8, 0.95)]
    verdict = judge(table(**few[1]), table(**few[0]), config)
    assert not verdict.promoted
    assert verdict.reason == "too few to tell: 3 held-out clips, where promotion.min_clips asks for 4"
    assert of(verdict, "mouth_correlation").gain == pytest.approx(0.15)
    assert judge(table(**few[1]), table(**few[0]), config.with_({"promotion.min_clips": 3})).promoted


def test_the_gain_asked_for_is_asked_for(config: Config) -> None:
    challenger = table(mouth_correlation=0.85 + WOBBLE, lse_c=3.0 + 10 * WOBBLE, identity=0.9 + WOBBLE)
    assert judge(challenger, champion(), config).promoted
    assert not judge(challenger, champion(), config.with_({"promotion.min_gain": 0.1})).promoted


def test_the_first_model_is_promoted_and_other_clips_are_not_compared(config: Config) -> None:
    assert judge(champion(), None, config).promoted
    verdict = judge(table(clips=[*CLIPS[:7], "other"], mouth_correlation=1.0), champion(), config)
    assert not verdict.promoted and "different clips" in verdict.reason


def faces(shift: float, frames: int = 20, spread: float = 1.0) -> Vectors:
    """Vectors [16] of eight people: real ones, and renderings that lie `shift` away."""
    rng, found = np.random.default_rng(4), Vectors()
    for clip in CLIPS:
        person = rng.normal(0, 1, 16)
        real, rendered = (person + spread * rng.normal(0, 0.2, (frames, 16)) for _ in range(2))
        found.add(clip, list((rendered + shift).astype(np.float32)), list(real[:12].astype(np.float32)))
    return found


def test_fid_is_compared_by_drawing_clips(config: Config) -> None:
    near, far = faces(0.0), faces(0.1)
    nearer = judge(table(near), table(far), config)
    assert nearer.promoted and "better: fid" in nearer.reason
    found = of(nearer, "fid")
    distances = [vectors.distance() for vectors in (near, far)]
    assert (found.challenger, found.champion) == tuple(distances)
    assert found.gain == pytest.approx(distances[1] - distances[0], rel=1e-6)
    assert not judge(table(far), table(near), config).promoted
    assert judge(table(near), table(near), config).reason == "nothing is better for certain"


def test_a_drawn_distance_is_that_of_the_frames_drawn() -> None:
    vectors, other = faces(0.1), faces(0.3, spread=2.0)
    pair = FrechetPair(other.packed(), vectors.packed())
    counts = np.array([2, 0, 1, 0, 3, 1, 1, 0])
    assert pair.clips == CLIPS

    def drawn(of: Vectors, side: str) -> np.ndarray:
        rows, clips = unpacked(of.packed(), side)
        return np.concatenate([rows[np.array(clips) == clip] for clip, n in zip(CLIPS, counts) for _ in range(n)])

    expected = [100 * frechet_distance(drawn(of, "rendered"), drawn(of, "real")) for of in (vectors, other)]
    assert pair.gain(counts.astype(float)) == pytest.approx(expected[0] - expected[1], rel=1e-6)


def test_the_same_tables_give_the_same_verdict(config: Config) -> None:
    challenger = table(faces(0.05), mouth_correlation=0.8 + WOBBLE[::-1])
    first, second = (judge(challenger, table(faces(0.1), mouth_correlation=0.8 + WOBBLE), config) for _ in range(2))
    assert first == second


@pytest.mark.parametrize(("clips", "least"), [(4, 0.85), (20, 0.92)])
def test_the_interval_holds_the_truth_about_as_often_as_it_says(clips: int, least: float) -> None:
    """95 %; with four clips 87 %, as their worst and their best can do no more (a plain percentile interval: 80 %)."""
    rng, held, times = np.random.default_rng(clips), 0, 500
    draws = drawn_clips(clips, 1000)
    for _ in range(times):
        values = rng.normal(0, 1, clips)
        interval = interval_of(float(values.mean()), draws @ values / clips, clips, 0.95)
        held += interval.low <= 0 <= interval.high
    assert least <= held / times <= 0.98


def test_samples_are_kept_by_clip() -> None:
    samples = Samples()
    for clip, value in (("a", 1.0), ("a", 3.0), ("b", 5.0)):
        samples.clip = clip
        samples.add(lse_c=value, identity=None, fps=float("nan"))
    assert samples.means() == {"lse_c": 3.0}
    assert samples.spreads() == {"lse_c": pytest.approx(2 / np.sqrt(3))}
    assert samples.by_clip() == {"lse_c": {"a": 2.0, "b": 5.0}}
