"""Models from outside are data: no loader runs what a folder brings, or reads what lies beside it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import load_file

from models.action_unit_reader import load_action_units
from models.checkpoints import UnusableCheckpoint, WrongCheckpoint, catalogue, read_weights
from models.data_only import check_folder, check_onnx
from models.emotion import load_face_emotion, load_voice_emotion
from models.faces import FaceAnalyzer, UnusablePack
from models.interpolator import load_interpolator
from models.pipeline import load_pipeline
from models.speech import MissingWeights, load_speech_encoder
from models.sync import load_sync_expert
from models.text import load_text
from models.transcriber import load_transcriber
from storage.errors import ConfigError, InputFailed
from storage.layout import Root
from storage.registry import Registry
from tasks.champion import SHIPPED
from tasks.config import load_config
from tasks.dubber import load_dubber
from tasks.dubbing.saved import load_arrays

PACKS = SHIPPED["studio"].parent


class Trap:
    """Unpickled, it writes a file: code from a checkpoint has run."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.mark),))


def pickled(folder: Path, mark: Path | None = None) -> Path:
    """The folder with its weights as torch pickles them, and with a trap among them where a mark is given."""
    for file in folder.rglob("*.safetensors"):
        weights: dict[str, Any] = dict(load_file(file))
        if mark is not None:
            weights["trap"] = Trap(mark)
        name = "pytorch_model.bin" if file.name == "model.safetensors" else file.with_suffix(".bin").name
        torch.save(weights, file.with_name(name))
        file.unlink()
    return folder


LOADERS: dict[str, Callable[[Path], Any]] = {
    "champion": load_pipeline,
    "speech": load_speech_encoder,
    "sync": load_sync_expert,
    "interpolator": load_interpolator,
    "text": load_text,
    "emotion/face": lambda folder: load_face_emotion(folder.parent, "face"),
    "emotion/voice": lambda folder: load_voice_emotion(folder.parent),
    "emotion/action_units": lambda folder: load_action_units(folder.parent),
}


@pytest.mark.parametrize("name", LOADERS)
def test_pickled_weights_are_not_read(name: str, tmp_path: Path) -> None:
    LOADERS[name](Path(shutil.copytree(PACKS / name, tmp_path / "good" / Path(name).name)))
    for number, mark in enumerate((None, tmp_path / "sprung")):
        folder = Path(shutil.copytree(PACKS / name, tmp_path / str(number) / Path(name).name))
        with pytest.raises((OSError, UnusableCheckpoint)):
            LOADERS[name](pickled(folder, mark))
    assert not (tmp_path / "sprung").exists()


@pytest.fixture
def champion(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SHIPPED["studio"], tmp_path / "champion"))


def index(folder: Path, **changes: Any) -> None:
    file = folder / "model_index.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


CODE = "import pathlib\npathlib.Path({mark!r}).mkdir()\nclass Evil:\n    pass\n"
AUTO_MAP = '{"auto_map": {"AutoModel": "mine.Evil"}}'
BRINGS_CODE: dict[str, Callable[[Path], Any]] = {
    "a module of the machine": lambda folder: index(folder, unet=["antigravity", "Evil"]),
    "a module beside the pipeline": lambda folder: index(folder, _class_name=["mine", "Evil"]),
    "a module in a component": lambda folder: index(folder, unet=["mine", "Evil"]),
    "a module of ours that is none": lambda folder: index(folder, unet=["models.packs.mine", "Evil"]),
    "a class by auto_map": lambda folder: (folder / "unet" / "config.json").write_text(AUTO_MAP),
}


@pytest.mark.parametrize("how", BRINGS_CODE)
def test_a_pipeline_cannot_bring_code(
    how: str, champion: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither by a Python file in it, nor by naming a module that is importable anyway."""
    BRINGS_CODE[how](champion)
    mark = tmp_path / "sprung"
    (tmp_path / "mine.py").write_text(CODE.format(mark=str(mark)))
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UnusableCheckpoint, match=r"asks for|auto_map"):
        load_pipeline(champion)
    with pytest.raises(ConfigError):
        load_dubber(champion, load_config(root=str(tmp_path / "root")))
    for place in (champion, champion / "unet"):
        shutil.copy(tmp_path / "mine.py", place / "mine.py")
    with pytest.raises(UnusableCheckpoint, match="can run code"):
        load_pipeline(champion)
    assert not mark.exists()


def test_the_shipped_models_pass() -> None:
    check_folder(PACKS)


@pytest.mark.parametrize(
    "name", ["weights.bin", "a.pt", "a.pth", "a.ckpt", "a.pkl", "a.npz", "run.py", "a.so", "a.model", "a.tar", "a.sh"]
)
def test_the_registry_takes_in_weights_and_settings_alone(name: str, champion: Path, root: Root) -> None:
    (champion / "unet" / name).write_bytes(b"x")
    with pytest.raises(InputFailed) as caught:
        Registry(root).register(champion, "mine")
    assert caught.value.error_type == "UnsafeFormat" and Registry(root).models() == []
    (champion / "unet" / name).unlink()
    assert Registry(root).register(champion, "mine")


def elsewhere(path: Path, location: str) -> Path:
    """An ONNX file whose first weight lies in another file."""
    graph = onnx.load(str(path))
    tensor = graph.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", location
    path.write_bytes(graph.SerializeToString())
    return path


@pytest.mark.parametrize("location", ["/etc/passwd", "../../secret", "weights.data"])
def test_an_onnx_file_reads_no_other_file(location: str, tmp_path: Path) -> None:
    pack = Path(shutil.copytree(PACKS / "faces", tmp_path / "pack"))
    shutil.copy(pack / "det_studio.onnx", pack / "weights.data")
    elsewhere(pack / "det_studio.onnx", location)
    with pytest.raises(UnusableCheckpoint, match="in another file"):
        check_onnx(pack / "det_studio.onnx")
    for asked in (pack, pack / "det_studio.onnx"):
        with pytest.raises(UnusablePack, match="in another file"):
            FaceAnalyzer(asked)


def test_weights_within_a_constant_count_too() -> None:
    tensor = onnx.helper.make_tensor("w", onnx.TensorProto.FLOAT, [1], [1.0])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "/etc/passwd"
    inner = onnx.helper.make_graph([onnx.helper.make_node("Constant", [], ["y"], value=tensor)], "inner", [], [])
    outer = onnx.helper.make_node("If", ["c"], ["z"], then_branch=inner, else_branch=inner)
    graph = onnx.helper.make_model(onnx.helper.make_graph([outer], "outer", [], []))
    path = Path("/tmp") / f"inner-{os.getpid()}.onnx"
    path.write_bytes(graph.SerializeToString())
    try:
        with pytest.raises(UnusableCheckpoint, match="in another file"):
            check_onnx(path)
    finally:
        path.unlink()


def test_a_pack_that_is_known_by_name_is_the_published_one(tmp_path: Path) -> None:
    """Somebody else's network under the name of a public pack is not taken for it."""
    folder = tmp_path / "packs" / "buffalo_l"
    folder.mkdir(parents=True)
    (published,) = [file.name for file in catalogue()["buffalo_l"].files if file.name.startswith("det")]
    shutil.copy(PACKS / "faces" / "det_studio.onnx", folder / published)
    with pytest.raises(UnusablePack, match="published"):
        FaceAnalyzer("buffalo_l", root=tmp_path)
    shutil.copytree(folder, tmp_path / "packs" / "house")
    FaceAnalyzer("house", root=tmp_path)


def test_whispers_files_are_data_and_never_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = tmp_path / "sprung"
    torch.save({"dims": {}, "model_state_dict": Trap(mark)}, tmp_path / "evil.pt")
    for load in (load_speech_encoder, load_transcriber, lambda path: read_weights(path, "whisper")):
        with pytest.raises(UnusableCheckpoint, match="executable content"):
            load(tmp_path / "evil.pt")
    assert not mark.exists()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(MissingWeights, match="no speech encoder") as missing:
        load_speech_encoder("tiny")
    assert "nothing is downloaded" in missing.value.remedy
    (tmp_path / "whisper").mkdir()
    shutil.copy(tmp_path / "evil.pt", tmp_path / "whisper" / "tiny.pt")
    with pytest.raises(WrongCheckpoint, match="published"):
        load_speech_encoder("tiny")


def test_caches_hold_no_objects(tmp_path: Path) -> None:
    np.savez(tmp_path / "saved.npz", facts=np.array([Trap(tmp_path / "sprung")], dtype=object))
    with pytest.raises(Exception, match=r"allow_pickle|Object arrays|cannot be loaded"):
        load_arrays(tmp_path / "saved.npz")
    assert not (tmp_path / "sprung").exists()
