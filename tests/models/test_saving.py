"""What is saved does not tell where it was loaded from."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from models.interpolator import PACKS, FrameInterpolator, load_interpolator
from models.saving import ORIGIN, save_model


def test_no_shipped_pack_tells_where_it_was_made() -> None:
    shipped = sorted(PACKS.rglob("*.json"))
    assert len(shipped) > 10
    assert [str(file) for file in shipped if ORIGIN in file.read_text(encoding="utf-8")] == []


def test_a_saved_model_does_not_tell_where_it_was_loaded_from(tmp_path: Path) -> None:
    model = FrameInterpolator(channels=(4, 4, 4), layers=1, crop_size=32).eval()
    save_model(model, tmp_path / "first")
    loaded = load_interpolator(tmp_path / "first")
    loaded.save_pretrained(tmp_path / "told")
    assert str(tmp_path) in (tmp_path / "told" / "config.json").read_text(), "diffusers no longer notes it"
    save_model(loaded, tmp_path / "second")
    first, second = (json.loads((tmp_path / name / "config.json").read_text()) for name in ("first", "second"))
    assert ORIGIN not in second
    assert second == first
    again = load_interpolator(tmp_path / "second")
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())


def test_other_files_beside_a_model_stay_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text('[{"psnr": 1}]')
    (tmp_path / "table.json").write_text('{"b": 1, "a": 2}')
    save_model(FrameInterpolator(channels=(4, 4, 4), layers=1, crop_size=32), tmp_path)
    assert (tmp_path / "metrics.json").read_text() == '[{"psnr": 1}]'
    assert (tmp_path / "table.json").read_text() == '{"b": 1, "a": 2}'
