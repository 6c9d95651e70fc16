"""What doctor says of the parts that a configuration names: there, switched off, optional or missing."""

import dataclasses
import hashlib
from pathlib import Path

import pytest

from models.checkpoints import CheckpointFile, catalogue
from tasks.config import load_config
from tasks.inventory import Finding, _checkpoint, checkpoint_table, inventory
from tasks.training.stages import EXPERT_STAGES


def found(**settings: object) -> dict[str, Finding]:
    overrides = {name.replace("__", "."): value for name, value in settings.items()}
    return {finding["what"]: finding for finding in inventory(load_config(overrides=overrides))}


def test_shipped_parts_are_there_and_parts_switched_off_are_not_missing() -> None:
    findings = found(audio__sync="none", audio__emotion="none")
    assert findings["face pack studio"]["status"] == "ok"
    assert "Apache-2.0" in findings["face pack studio"]["detail"]
    assert [findings[f"{part} pack"]["status"] for part in ("sync", "emotion")] == ["ok", "ok"]
    assert not [entry for entry in findings.values() if entry["status"] == "missing"]


@pytest.mark.parametrize("part", ["speech", "sync", "text", "emotion"])
def test_what_is_missing_comes_with_a_command_that_makes_it(part: str, tmp_path: Path) -> None:
    finding = found(**{f"audio__{part}": str(tmp_path)})[f"{part} pack {tmp_path}"]
    assert finding["status"] == ("warning" if part == "emotion" else "missing")
    assert part in EXPERT_STAGES
    assert f"--stage {part}" in finding["remedy"]


def test_the_production_profile_lists_each_public_checkpoint_once(tmp_path: Path) -> None:
    config = load_config("sd15", root=tmp_path)
    findings = {finding["what"]: finding for finding in inventory(config)}
    for key in ("hsemotion", "hsemotion_b2", "syncnet", "clip_text", "sd15_unet", "sd15_vae"):
        finding = findings[f"checkpoint {key}"]
        assert finding["status"] == "missing"
        assert str(tmp_path) in finding["detail"] and "curl -L" in finding["remedy"] and "licence" in finding["remedy"]
    assert not [what for what in found() if what.startswith("checkpoint ")]  # the studio needs none


def test_a_checkpoint_of_other_bytes_is_wrong_not_found(tmp_path: Path) -> None:
    place = tmp_path / "checkpoints" / "syncnet" / "syncnet_v2.model"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"something else")
    findings = {finding["what"]: finding for finding in inventory(load_config("sd15", root=tmp_path))}
    assert findings["checkpoint syncnet"]["status"] == "wrong"
    assert "14 bytes, the published file 54573114" in findings["checkpoint syncnet"]["detail"]


def test_a_checkpoint_as_published_is_found_with_its_licence(tmp_path: Path) -> None:
    content = b"weights"
    files = (CheckpointFile("a.onnx", "", len(content), hashlib.sha256(content).hexdigest()),)
    entry = dataclasses.replace(catalogue()["hsemotion"], files=files, loads="a.onnx", also=())
    place = tmp_path / entry.place / "a.onnx"
    place.parent.mkdir(parents=True)
    place.write_bytes(content)
    finding = _checkpoint(entry, tmp_path)
    assert finding["status"] == "ok"
    assert str(place) in finding["detail"] and "Apache-2.0" in finding["detail"]
    refused = _checkpoint(dataclasses.replace(entry, commercial="no"), tmp_path)
    assert refused["status"] == "warning" and "not for commercial use" in refused["remedy"]


def test_a_checkpoint_named_as_a_source_is_looked_for_in_any_profile(tmp_path: Path) -> None:
    findings = inventory(load_config("studio", root=tmp_path, overrides={"audio.sync": "syncnet"}))
    assert [one["status"] for one in findings if one["what"] == "checkpoint syncnet"] == ["missing"]
    assert not [one for one in findings if one["what"].startswith("sync pack")]
    both = inventory(load_config("sd15", root=tmp_path, overrides={"audio.sync": "syncnet"}))
    assert len([one for one in both if one["what"] == "checkpoint syncnet"]) == 1


def test_public_bases_are_optional_unless_the_configuration_names_one(tmp_path: Path) -> None:
    keys = ("sd_vae_ft_mse", "latentsync_15", "latentsync_16", "musetalk_15")
    findings = {one["what"]: one for one in inventory(load_config("sd15", root=tmp_path))}
    assert [findings[f"checkpoint {key}"]["status"] for key in keys] == ["optional"] * 4
    assert "models import latentsync" in findings["checkpoint latentsync_15"]["detail"]
    named = inventory(load_config("sd15", root=tmp_path, overrides={"model.pretrained": "latentsync_15"}))
    (one,) = [one for one in named if "latentsync_15" in one["what"]]
    assert one["status"] == "missing" and "curl -L" in one["remedy"]


def test_the_table_of_public_checkpoints_says_all_that_is_needed_to_use_one(tmp_path: Path) -> None:
    rows = {row["checkpoint"]: row for row in checkpoint_table(load_config("sd15", root=tmp_path))}
    row = rows["latentsync_16"]
    assert (row["files"], row["bytes"], row["needed"]) == (["latentsync_unet.pt"], 5072222488, False)
    assert row["sha256"]["latentsync_unet.pt"].startswith("0a478e89") and row["GPU memory, published"] == "18 GB"
    assert row["from"].endswith("ByteDance/LatentSync-1.6") and str(tmp_path) in row["put into"]
    assert "OpenRAIL" in row["licence"] and "512 px" in row["gives"] and "curl -L" in row["fetch"][0]
    assert rows["whisper_tiny"]["needed"] and rows["hsemotion"]["bytes"] is None
    assert not checkpoint_table(load_config(root=tmp_path))
