"""The losses against values worked out by hand."""

from __future__ import annotations

import pytest
import torch

from models.losses import diffusion_loss, kl_divergence, min_snr_weights, psnr, reconstruction_loss, signal_to_noise


def test_min_snr_weights_follow_the_paper() -> None:
    snr = torch.tensor([0.0, 1.0, 5.0, 20.0])
    assert min_snr_weights(snr, "sample").tolist() == [0, 1, 5, 5]
    assert min_snr_weights(snr[1:], "epsilon").tolist() == pytest.approx([1, 1, 0.25])
    assert min_snr_weights(snr, "v_prediction").tolist() == pytest.approx([1, 1, 1, 6 / 21])
    with pytest.raises(ValueError, match="no min-SNR weight"):
        min_snr_weights(snr, "flow")


def test_signal_to_noise_is_finite_at_both_ends() -> None:
    snr = signal_to_noise(torch.tensor([1.0, 0.5, 0.0]), torch.tensor([0, 1, 2]))
    assert torch.isfinite(snr).all()
    assert snr[1:].tolist() == [1, 0]


def test_where_nothing_counts_errors_cost_nothing() -> None:
    where = torch.zeros(1, 1, 2, 2)
    where[..., 0, 0] = 1
    prediction, target = torch.zeros(1, 4, 2, 2), torch.zeros(1, 4, 2, 2)
    prediction[..., 1, 1] = 9
    assert diffusion_loss(prediction, target, where, torch.ones(1)) == 0
    prediction[..., 0, 0] = 2
    assert diffusion_loss(prediction, target, where, torch.ones(1)) == 4
    assert diffusion_loss(prediction, target, where, torch.tensor([0.5])) == 2


def test_a_shifted_level_costs_level_and_no_edges() -> None:
    level, edges = reconstruction_loss(torch.full((1, 3, 8, 8), 0.25), torch.zeros(1, 3, 8, 8), torch.ones(1, 1, 8, 8))
    assert level == pytest.approx(0.25)
    assert edges == 0


def test_an_error_where_it_counts_more_costs_more() -> None:
    target, images, weight = torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8), torch.ones(1, 1, 8, 8)
    images[..., 2, 2] = 1
    plain = reconstruction_loss(images, target, weight)[0]
    weight[..., 2, 2] = 10
    assert reconstruction_loss(images, target, weight)[0] > 5 * plain


def test_the_unit_gaussian_has_no_divergence() -> None:
    assert kl_divergence(torch.zeros(2, 3), torch.zeros(2, 3)) == 0
    assert kl_divergence(torch.ones(2, 3), torch.zeros(2, 3)) == pytest.approx(0.5)


def test_psnr_of_a_known_error() -> None:
    images, target = torch.full((1, 3, 4, 4), 0.2), torch.zeros(1, 3, 4, 4)
    assert float(psnr(images, target)) == pytest.approx(20, abs=1e-4)  # 0.1 of the range of two
    mask = torch.zeros(1, 1, 4, 4)
    mask[..., 0, 0] = 1
    images[..., 1:, :] = 1
    assert float(psnr(images, target, mask)) == pytest.approx(20, abs=1e-4)
