"""The list of public checkpoints, and what is said of one that is missing, altered, or no data at all."""

from __future__ import annotations

import hashlib
import os
import pickle
import re
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
import whisper
from transformers import CLIPTextConfig, CLIPTextModel

from models.checkpoints import (
    HASHES,
    Checkpoint,
    CheckpointFile,
    MissingCheckpoint,
    UnusableCheckpoint,
    WrongCheckpoint,
    catalogue,
    checkpoint_source,
    file_hash,
    find_checkpoint,
    for_profile,
    read_tensors,
)
from models.faces import NON_COMMERCIAL, FaceAnalyzer
from models.speech import encode_speech, load_speech_encoder
from models.text import build_tokenizer, load_text
from tests.conftest import PROJECT

DATA = b"weights"


class Trap:
    """Unpickling it makes a folder: a stand-in for code hidden in a checkpoint."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (self.path,)


def entry(size: int | None = len(DATA), sha256: str | None = hashlib.sha256(DATA).hexdigest()) -> Checkpoint:
    """A checkpoint of two files, one of them with a published size and hash."""
    files = (CheckpointFile("a.bin", "https://example.org/a.bin", size, sha256),
             CheckpointFile("config.json", "https://example.org/config.json", None, None))  # fmt: skip
    return Checkpoint(
        key="made-up", purpose="", profiles=(), origin="https://example.org", revision="r1", place="checkpoints/made",
        also=(), loads="a.bin", files=files, archive=None, licence="CC0", licence_url="https://example.org/terms",
        commercial="yes",
    )  # fmt: skip


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """The folder of `entry` with both its files."""
    folder = tmp_path / "checkpoints" / "made"
    folder.mkdir(parents=True)
    (folder / "a.bin").write_bytes(DATA)
    (folder / "config.json").write_text("{}")
    return folder


def test_every_entry_says_where_it_comes_from_where_it_goes_and_under_which_licence() -> None:
    for name, one in catalogue().items():
        assert all((one.purpose, one.origin, one.revision, one.place, one.licence, one.licence_url)), name
        assert one.commercial in ("yes", "no", "unclear")
        assert one.files and (one.loads == "." or one.loads in [file.name for file in one.files])
        weights = [file for file in one.files if Path(file.name).suffix not in (".json", ".txt")]
        assert weights and all(re.fullmatch(r"[0-9a-f]{64}", file.sha256 or "") for file in weights), name
        assert one.archive is not None or all((file.url or "").startswith("https://") for file in one.files)
    wanted = {"hsemotion", "syncnet", "buffalo_l", "whisper_tiny", "clip_text", "sd15_unet", "sd15_vae"}
    assert wanted <= {one.key for one in for_profile("sd15")}
    assert not for_profile("studio")
    assert catalogue()["buffalo_l"].licence == NON_COMMERCIAL


def test_the_sha256_of_whisper_is_the_one_that_whisper_itself_checks() -> None:
    [file] = catalogue()["whisper_tiny"].files
    assert file.url == whisper._MODELS["tiny"]
    assert file.sha256 is not None and file.sha256 in file.url


def test_the_list_is_part_of_the_package() -> None:
    assert '"checkpoints.yaml"' in (PROJECT / "pyproject.toml").read_text()


def test_what_is_missing_is_named_with_source_licence_place_and_commands(tmp_path: Path) -> None:
    for one in catalogue().values():
        stripped = Checkpoint(**{**vars(one), "also": ()})
        with pytest.raises(MissingCheckpoint) as caught:
            find_checkpoint(stripped, tmp_path)
        told = caught.value.remedy
        for part in (one.origin, one.revision, one.licence, str(tmp_path / one.place), "curl -L", one.files[0].name):
            assert part in told
        assert all(file.name in str(caught.value) for file in one.files)
        assert isinstance(caught.value, FileNotFoundError)


def test_a_checkpoint_is_found_below_the_root_or_where_its_own_library_keeps_it(made: Path, tmp_path: Path) -> None:
    assert find_checkpoint(entry(), tmp_path) == made / "a.bin"
    elsewhere = Checkpoint(**{**vars(entry()), "also": ("$NOT_SET_AT_ALL/x", str(made)), "loads": "."})
    assert find_checkpoint(elsewhere, tmp_path / "other") == made


def test_a_part_that_is_missing_is_named_alone(made: Path, tmp_path: Path) -> None:
    (made / "config.json").unlink()
    with pytest.raises(MissingCheckpoint, match=r"no config\.json in"):
        find_checkpoint(entry(), tmp_path)


def test_other_bytes_are_refused_by_size_and_by_hash(made: Path, tmp_path: Path) -> None:
    (made / "a.bin").write_bytes(DATA[:-2])
    with pytest.raises(WrongCheckpoint, match="5 bytes, the published file 7"):
        find_checkpoint(entry(), tmp_path)
    (made / "a.bin").write_bytes(DATA.upper())
    with pytest.raises(WrongCheckpoint, match=f"sha256 {hashlib.sha256(DATA.upper()).hexdigest()}") as caught:
        find_checkpoint(entry(), tmp_path)
    assert "fetch it anew" in caught.value.remedy
    assert find_checkpoint(entry(size=None, sha256=None), tmp_path)  # where nothing is published, presence is all


def test_a_hash_is_taken_once_until_the_file_changes(made: Path, tmp_path: Path) -> None:
    path, notes = made / "a.bin", tmp_path / HASHES
    assert file_hash(path, notes) == hashlib.sha256(DATA).hexdigest()
    notes.write_text(notes.read_text().replace(hashlib.sha256(DATA).hexdigest(), "noted"))
    assert file_hash(path, notes) == "noted"
    os.utime(path, ns=(1, 1))
    assert file_hash(path, notes) == hashlib.sha256(DATA).hexdigest()
    notes.write_text("{ spoiled")
    assert file_hash(path, notes) == hashlib.sha256(DATA).hexdigest()


def test_a_source_that_is_a_key_becomes_a_path_and_others_stay(tmp_path: Path) -> None:
    assert checkpoint_source("studio", tmp_path) == "studio"
    assert checkpoint_source("/some/folder", tmp_path) == "/some/folder"
    with pytest.raises(MissingCheckpoint):
        checkpoint_source("clip_text", tmp_path)


@pytest.mark.parametrize("trap", ["pickle", "torch"])
def test_code_hidden_in_weights_is_not_executed(trap: str, tmp_path: Path) -> None:
    path, sprung = tmp_path / "weights.pt", tmp_path / "sprung"
    if trap == "pickle":
        path.write_bytes(pickle.dumps({"a": Trap(sprung)}))
    else:
        torch.save({"a": torch.zeros(2), "b": Trap(sprung)}, path)
    with pytest.raises(UnusableCheckpoint, match="cannot be read as weights") as caught:
        read_tensors(path, "a test")
    assert "code" in caught.value.remedy
    assert not sprung.exists()


def test_only_whole_files_of_named_tensors_are_weights(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save({"a": torch.ones(300)}, path)
    assert read_tensors(path, "a test")["a"].sum() == 300
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(UnusableCheckpoint):
        read_tensors(path, "a test")
    torch.save([torch.ones(3)], path)
    with pytest.raises(UnusableCheckpoint, match="no state dict"):
        read_tensors(path, "a test")
    with pytest.raises(MissingCheckpoint):
        read_tensors(tmp_path / "nothing.pt", "a test")


def test_a_whisper_file_loads_as_data_and_its_code_is_not_run(tmp_path: Path) -> None:
    dims = whisper.model.ModelDimensions(80, 1500, 16, 2, 2, 64, 16, 16, 2, 1)
    folder = tmp_path / "checkpoints" / "whisper"
    folder.mkdir(parents=True)
    path = folder / "tiny.pt"
    torch.save({"dims": asdict(dims), "model_state_dict": whisper.model.Whisper(dims).state_dict()}, path)
    any_whisper = Checkpoint(
        **{**vars(catalogue()["whisper_tiny"]), "files": (CheckpointFile("tiny.pt", "", None, None),)}
    )
    encoder = load_speech_encoder(find_checkpoint(any_whisper, tmp_path))
    assert encode_speech(encoder, np.zeros(1600, np.float32)).shape == (5, 3, 16)
    with pytest.raises(WrongCheckpoint):
        find_checkpoint("whisper_tiny", tmp_path)  # not the published one
    torch.save({"dims": asdict(dims), "model_state_dict": Trap(tmp_path / "sprung")}, path)
    with pytest.raises(UnusableCheckpoint, match="executable content"):
        load_speech_encoder(path)
    assert not (tmp_path / "sprung").exists()


def test_a_clip_folder_loads_from_safetensors_alone(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints" / "clip-vit-large-patch14"
    tokenizer = build_tokenizer(["a person who looks happy", "a person who looks sad"], 300)
    tokenizer.save_pretrained(folder)
    config = CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=32, bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    model = CLIPTextModel(config)
    model.save_pretrained(folder)
    names = ("model.safetensors", "config.json")
    files = tuple(CheckpointFile(name, "", None, None) for name in names)
    encoder = load_text(find_checkpoint(Checkpoint(**{**vars(catalogue()["clip_text"]), "files": files}), tmp_path))
    assert encoder.encode(["a person who looks sad"])[0].shape == (1, 32, 16)
    (folder / "model.safetensors").unlink()
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    with pytest.raises(OSError, match="safetensors"):
        load_text(folder)


def test_a_face_pack_goes_through_the_same_door(tmp_path: Path) -> None:
    studio = PROJECT / "models" / "packs" / "studio" / "faces"
    pack = tmp_path / "packs" / "buffalo_l"
    pack.parent.mkdir()
    pack.symlink_to(studio)
    files = tuple(CheckpointFile(path.name, "", None, None) for path in studio.glob("*.onnx"))
    found = find_checkpoint(Checkpoint(**{**vars(catalogue()["buffalo_l"]), "files": files}), tmp_path)
    assert found == pack
    assert "embedding" in FaceAnalyzer(found).gives
    assert FaceAnalyzer("buffalo_l", root=tmp_path).path == pack  # and by its name, as the profile has it
