"""The gate on real outputs: a dub by the shipped model passes, the ways in which dubs go wrong do not."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.faces import PACKS
from storage import media
from tasks import crops
from tasks.analysis import analyse
from tasks.config import Config, load_config
from tasks.dub import dub_video
from tasks.dubber import Dubber, load_dubber
from tasks.measure import measure_render
from tasks.plan import Segment, plan_dub
from tasks.quality_gate import judge

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
SECONDS = 2.4


@dataclass
class Output:
    """A good output, and what is needed to measure it, or what was made of it, again."""

    folder: Path
    source: Path
    out: Path
    sound: np.ndarray
    row: dict[str, Any]
    segments: list[Segment]
    boxes: np.ndarray
    config: Config
    models: Dubber

    def findings(self, out: Path | None = None, sound: np.ndarray | None = None) -> set[str]:
        """Names of the measures that hold back this output (or `out`), as one for the track (or `sound`)."""
        track = media.write_audio(self.folder / "track.wav", self.sound if sound is None else sound)
        voice = self.models.hear(track)
        measured = measure_render(
            self.source, out or self.out, self.boxes, self.segments, voice, self.models.experts, self.config.render
        )
        return {finding.measure for finding in judge(measured, self.config.gate)}

    def changed(self, change: Callable[[int, np.ndarray, np.ndarray], None]) -> Path:
        """The output with every frame changed in place by `change(index, frame, its box)`."""
        frames = [frame.copy() for _, _, frame in media.iter_frames(self.out)]
        for index, frame in enumerate(frames):
            x0, y0, x1, y1 = self.boxes[index]
            change(index, frame, frame[y0:y1, x0:x1])
        return media.write_video(self.folder / "changed.mp4", frames, 25, crf=16)


@pytest.fixture(scope="module")
def output(library: Path, face_pack: str, tmp_path_factory: pytest.TempPathFactory) -> Output:
    folder = tmp_path_factory.mktemp("gate")
    frames = [frame for _, _, frame in media.iter_frames(library / "welcome.mp4", end_s=SECONDS)]
    sound = media.read_audio(library / "welcome.dub.wav", 16000, 0.3, 0.3 + SECONDS)
    source = media.write_video(folder / "source.mp4", frames, 25, crf=14)
    track = media.write_audio(folder / "given.wav", sound)
    config = load_config(root=folder / "root", overrides={"faces.pack": face_pack, "runtime.in_process": True})
    models = load_dubber(PACKS / "studio" / "champion", config, model_id="studio")
    row = dub_video(source, track, folder / "out.mp4", config, models)
    info = media.probe(source)
    analysis = analyse(source, info, models.experts.faces, config)
    segments = plan_dub(source, info, analysis, models.experts.faces, config, None)
    boxes = np.zeros((len(frames), 4), np.int32)
    for at, matrix in enumerate(segments[0].track.matrices):
        box = crops.crop_box(matrix, crops.CROP_SIZE, frames[0].shape[1], frames[0].shape[0])
        boxes[segments[0].track.first + at] = box
    return Output(folder, source, Path(row["output_uri"]), sound, row, segments, boxes, config, models)


def test_a_good_dub_passes(output: Output) -> None:
    assert (output.row["status"], output.row["review"]) == ("ok", None)
    assert output.findings() == set()
    assert output.row["outside_psnr_db"] >= 40
    assert output.row["seam"] <= 1.1


def test_lips_that_do_not_follow_the_track_are_found(output: Output) -> None:
    assert output.findings(out=output.source) & {"sync", "sync gain"}
    assert output.findings(sound=np.ascontiguousarray(output.sound[::-1])) & {"sync", "sync gain"}


def test_a_late_track_is_found(output: Output) -> None:
    late = np.concatenate([np.zeros(4800, np.float32), output.sound])[: len(output.sound)]
    assert "sync offset" in output.findings(sound=late)


def test_a_trembling_face_is_found(output: Output) -> None:
    rng = np.random.default_rng(0)

    def tremble(index: int, frame: np.ndarray, box: np.ndarray) -> None:
        box[:] = np.clip(box + rng.normal(0, 8), 0, 255).astype(np.uint8)

    assert "flicker" in output.findings(output.changed(tremble))


def test_a_face_pasted_beside_its_place_is_found(output: Output) -> None:
    def shift(index: int, frame: np.ndarray, box: np.ndarray) -> None:
        height, width = box.shape[:2]
        part = box[height // 2 :, width // 8 : -width // 8]
        part[:] = np.roll(part, width // 8, axis=1)

    assert output.findings(output.changed(shift)) & {"seam", "identity"}


def test_a_picture_that_changed_beside_the_face_is_found(output: Output) -> None:
    def darken(index: int, frame: np.ndarray, box: np.ndarray) -> None:
        frame[:] = (frame * 0.95).astype(np.uint8)

    assert "outside PSNR" in output.findings(output.changed(darken))
