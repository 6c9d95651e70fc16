"""`dubwright models import` of public checkpoints: into the registry, out of it into a dub, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flows.cli import run
from storage import media
from storage.layout import Root
from tasks.champion import champion_or_named
from tasks.config import load_config
from tasks.jobs import Job
from tasks.library_run import dub_many
from tests.tasks.public_bases import SIZE, write_base, write_vae, write_whisper


@pytest.fixture(scope="module")
def vae(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_vae(tmp_path_factory.mktemp("vae"))


@pytest.fixture
def called(root: Root, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """(exit code, the JSON result, standard error) of a command line in this process."""
    monkeypatch.setattr("flows.cli.take_stdout", lambda: None)  # it would keep pytest's own

    def call(*words: object) -> tuple[int, dict[str, Any], str]:
        code = run(["--root", str(root), "--profile", "sd15", "models", *map(str, words), "--json"])
        shown = capsys.readouterr()
        return code, json.loads(shown.out), shown.err

    return call


def tree(root: Root) -> list[str]:
    return sorted(str(path.relative_to(root.local)) for path in root.local.rglob("*"))


@pytest.mark.parametrize("kind", ["latentsync", "musetalk"])
def test_a_checkpoint_becomes_the_champion_and_dubs(
    kind: str, called: Any, root: Root, vae: Path, library: Path, tmp_path: Path
) -> None:
    file = write_base(kind, tmp_path)
    code, told, heard = called("import", kind, file, "--vae", vae, "--size", SIZE, "--promote")
    assert code == 0, heard
    assert told["items"][0]["name"] == "sd15" and told["items"][0]["promoted"]
    assert told["origin"]["kind"] == kind and told["origin"]["file"] == file.name
    assert f"reading {file.name}" in heard
    code, shown, _ = called("show", "sd15")
    assert (code, shown["origin"]) == (0, told["origin"])

    settings = {
        "faces.pack": "studio", "audio.speech": str(write_whisper(tmp_path)), "audio.sync": "none",
        "audio.text": "none", "audio.emotion": "none", "render.steps": 1, "render.guidance_audio": 1.0,
        "gate.keep_back": False,
    }  # fmt: skip
    config = load_config("sd15", root=root.local, overrides=settings)
    frames = [frame for _, _, frame in media.iter_frames(library / "welcome.mp4", end_s=0.5)][:12]
    sound = media.read_audio(library / "welcome.mp4", 16000, 0.0, 0.5)
    video = media.write_video(tmp_path / "in.mp4", frames, 25, sound)
    track = media.write_audio(tmp_path / "track.wav", media.read_audio(library / "welcome.dub.wav", 16000, 0.3, 0.8))
    model = champion_or_named(root, config)
    job = Job(str(video), str(track), None, None, str(tmp_path / "out.mp4"))
    (row,) = dub_many([job], model.path, config, model_id=model.model_id)
    assert (row["status"], row["frames"], row["model_id"]) == ("ok", 12, told["items"][0]["model_id"])


def test_a_refused_file_leaves_the_root_as_it_was(called: Any, root: Root, vae: Path, tmp_path: Path) -> None:
    file = write_base("musetalk", tmp_path)
    file.write_bytes(file.read_bytes()[:-3000])
    before = tree(root)
    code, told, heard = called("import", "musetalk", file, "--vae", vae)
    assert code == 1
    assert "cannot be read as weights" in told["error"]["message"] and "anew" in told["error"]["remedy"]
    assert "Traceback" not in heard
    assert tree(root) == before


def test_wrong_usage_says_what_is_wanted(called: Any, root: Root, vae: Path, tmp_path: Path) -> None:
    before = tree(root)
    for words, says in (
        (("latentsync",), "needs its FILE"),
        (("latentsync", tmp_path / "nothing.pt", "--vae", vae), "no such file"),
        (("wav2lip", tmp_path / "nothing.pt"), "no checkpoint of the kind 'wav2lip'"),
        ((tmp_path, "--size", 256), "--vae and --size go with"),
        (("musetalk", write_base("musetalk", tmp_path)), "checkpoint sd_vae_ft_mse"),
    ):
        code, told, _ = called("import", *words)
        assert (code, says in told["error"]["message"]) == (2, True), told["error"]
        assert told["error"]["remedy"]
    assert tree(root) == before
