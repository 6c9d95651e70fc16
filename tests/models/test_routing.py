"""Several U-Nets: each timestep goes to its own."""

from __future__ import annotations

import pytest
import torch

from models.denoiser import Conditions, Denoiser, build_denoiser
from models.routing import TimestepRouter

TINY = {
    "block_out_channels": (16, 16, 16), "cross_attention_dim": 16, "sample_size": 8,
    "projection_class_embeddings_input_dim": 8,
}  # fmt: skip


def test_boundaries_belong_to_the_earlier_unet() -> None:
    router = TimestepRouter((700, 300))
    assert [router.pick(step) for step in (999, 700, 699, 300, 299, 0)] == [0, 0, 1, 1, 2, 2]
    assert [router.range_of(index) for index in range(3)] == [(700, 1000), (300, 700), (0, 300)]
    split = router.split(torch.tensor([10, 999, 500, 20]))
    assert {index: rows.tolist() for index, rows in split.items()} == {0: [1], 1: [2], 2: [0, 3]}


def test_boundaries_that_rise_are_refused() -> None:
    with pytest.raises(ValueError, match="fall"):
        TimestepRouter((300, 700))


@torch.no_grad()
def test_a_mixed_batch_is_what_each_unet_says_of_its_own() -> None:
    torch.manual_seed(0)
    unets = [build_denoiser("studio", **TINY).eval() for _ in range(2)]
    routed = Denoiser(unets[0], later_unets=unets[1:], boundaries=(500,)).eval()
    alone = [Denoiser(unet).eval() for unet in unets]
    noisy, conditions = torch.randn(3, 4, 8, 8), Conditions(torch.randn(3, 9, 8, 8))
    timesteps = torch.tensor([100, 900, 400])
    mixed = routed(noisy, timesteps, conditions)
    expected = [alone[which](noisy, timesteps, conditions)[row] for row, which in enumerate((1, 0, 1))]
    assert torch.allclose(mixed, torch.stack(expected), atol=1e-5)
    for step, which in ((900, 0), (100, 1)):
        at = torch.tensor(step)
        assert torch.equal(routed(noisy, at, conditions), alone[which](noisy, at, conditions))


def test_as_many_boundaries_as_later_unets() -> None:
    unet = build_denoiser("studio", **TINY)
    with pytest.raises(ValueError, match="boundaries"):
        Denoiser(unet, later_unets=[unet], boundaries=())
