"""What dubbing a library costs against the way it is done by hand: a loop over files, one process each.

By hand: a new process for every file, which loads the models, finds faces, gives the model one frame at a time with the
steps it was trained for, and pastes. The library run measures, judges and signs every output besides.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray

from storage import media
from storage.layout import Root
from tasks.champion import champion_or_named
from tasks.config import load_config
from tasks.jobs import Job
from tasks.library_run import dub_many
from tests.conftest import LIBRARY

FILES, BY_HAND, FRAMES = 40, 4, 50
SPEAKING = 375
"""Frames of a minute of the long film that show somebody speaking."""
MINUTES = float(os.environ.get("DUBWRIGHT_BENCH_MINUTES", "60"))

_LOOP = """
import sys
import numpy as np
from storage import media
from tasks import crops, masks
from tasks.alignments import track_matrices
from tasks.analysis import analyse
from tasks.compose import match_colour, paste, paste_alpha
from tasks.config import load_config
from tasks.dubber import load_dubber
from tasks.plan import plan_dub, references_of
video, audio, model, out, root = sys.argv[1:]
config = load_config(root=root)
models = load_dubber(model, config)
info = media.probe(video)
found = analyse(video, info, models.experts.faces, config)
(segment,) = plan_dub(video, info, found, models.experts.faces, config)
size, voice = int(models.pipeline.config.crop_size), models.hear(audio)
matrices = track_matrices("studio", size, segment.track, config.tracks.smooth_s)
references, identity = references_of(video, segment, size, models.experts.faces, matrices)
mask, alpha = masks.model_mask("studio", size), paste_alpha(size, config.render.feather)
noise = models.pipeline.sample_noise()
with media.VideoRewriter(video, out, audio=audio) as rewriter:
    for index, pts_s, rgb in rewriter.frames():
        matrix = matrices[index]
        crop = crops.warp(rgb, matrix, size)
        made = models.pipeline(crop[None], mask, references.crops[0], voice.tokens(np.array([pts_s])), identity,
                               num_inference_steps=20, initial_noise=noise)[0]
        frame = rgb.copy()
        paste(frame, match_colour(made, crop, alpha), matrix, alpha)
        rewriter.write(index, frame)
"""


@pytest.mark.timeout(0)
def test_a_library_against_a_loop_by_hand(tmp_path: Path) -> None:
    frames = [frame for _, _, frame in media.iter_frames(LIBRARY / "welcome.mp4")][:FRAMES]
    track = media.write_audio(
        tmp_path / "track.wav", media.read_audio(LIBRARY / "welcome.dub.wav", 16000, 0.0, FRAMES / 25)
    )
    sound = media.read_audio(LIBRARY / "welcome.mp4", 16000, 0.0, FRAMES / 25)
    films = []
    for number in range(FILES):
        marked = [frame.copy() for frame in frames]
        for frame in marked:
            frame[:8, :8] = (number % 16 * 16, number // 16 * 16, 0)
        films.append(media.write_video(tmp_path / f"{number:03d}.mp4", marked, 25, sound))
    config = load_config(root=tmp_path / "root")
    model = champion_or_named(Root(config.root).create(), config, None)
    began = time.perf_counter()
    for film in films[:BY_HAND]:
        words = [
            sys.executable,
            "-c",
            _LOOP,
            str(film),
            str(track),
            str(model.path),
            str(tmp_path / f"{film.stem}.by.mp4"),
        ]
        subprocess.run([*words, str(tmp_path / "hand")], check=True, capture_output=True)
    by_hand = (time.perf_counter() - began) / BY_HAND
    jobs = [Job(str(film), str(track), output=f"{film.stem}.mp4", confined=True) for film in films]
    began = time.perf_counter()
    try:
        rows = dub_many(jobs, model.path, config, model_id=model.model_id)
    finally:
        ray.shutdown()
    ours = (time.perf_counter() - began) / FILES
    assert [row["status"] for row in rows] == ["ok"] * FILES
    print(  # noqa: T201 - a bench is read
        f"\ndub: {FILES} files of {FRAMES} frames, {ours:.2f} s each with all that is measured and signed "
        f"({FRAMES / ours:.1f} frames/s), the start of the workers included; by hand {by_hand:.2f} s each: "
        f"{by_hand / ours:.1f} times (at least 8)"
    )
    assert by_hand / ours >= 8


_PEAK = """
import json, sys
import numpy as np
from tests.memory import peak_mb
from storage import media
from storage.layout import Root
from tasks.champion import champion_or_named
from tasks.config import load_config
from tasks.jobs import Job
from tasks.library_run import dub_many
video, audio, out, root = sys.argv[1:]
config = load_config(root=root, overrides={"runtime.in_process": True, "faces.det_size": 192, "render.steps": 1})
model = champion_or_named(Root(root).create(), config, None)
(row,) = dub_many([Job(video, audio, output=out)], model.path, config, model_id=model.model_id)
names = ("status", "reason", "frames", "sync_confidence_after", "sync_offset", "identity_cosine", "flicker", "seam",
         "outside_psnr_db", "output_uri")
told = {name: row[name] for name in names}
print(json.dumps(told | {"mb": peak_mb()}))
"""


def looped(folder: Path, minutes: float) -> tuple[Path, Path]:
    """A film of so many minutes and its dub track: in each, fifteen seconds of speech, then a title."""
    there = [frame for _, _, frame in media.iter_frames(LIBRARY / "welcome.mp4")][:FRAMES]
    title = np.broadcast_to(np.linspace(20, 90, there[0].shape[0], dtype=np.uint8)[:, None, None], there[0].shape)

    def frames() -> Iterator[np.ndarray]:
        for number in range(round(minutes * 1500)):
            yield there[number % FRAMES] if number % 1500 < SPEAKING else title

    def minute(path: Path) -> np.ndarray:
        spoken = np.tile(media.read_audio(path, 16000)[: FRAMES * 640], -(-SPEAKING // FRAMES))[: SPEAKING * 640]
        return np.concatenate([spoken, np.zeros((1500 - SPEAKING) * 640, dtype=spoken.dtype)])

    sound, track = (np.tile(minute(LIBRARY / name), round(minutes)) for name in ("welcome.mp4", "welcome.dub.wav"))
    film = media.write_video(folder / f"{minutes:g}.mp4", frames(), Fraction(25), sound)
    return film, media.write_audio(folder / f"{minutes:g}.wav", track)


def ends_of(row: dict[str, Any], film: Path, track: Path) -> dict[str, Any]:
    """The first minute of a dub and the last: frame times against the film's, change, sound against the track."""
    info = media.probe(film)
    ends = {}
    for name, start in (("first", 0.0), ("last", info.duration_s - 60.0)):
        apart, count = 0.0, 0
        before = media.iter_frames(film, start, start + 60.0)
        after = media.iter_frames(row["output_uri"], start, start + 60.0)
        changed = []
        for (_, a_s, a), (_, b_s, b) in zip(before, after, strict=True):
            apart, count = max(apart, abs(a_s - b_s)), count + 1
            changed.append(float(np.abs(a.astype(np.int16) - b).mean()))
        heard = media.read_audio(row["output_uri"], 16000, start, start + 60.0)
        meant = media.read_audio(track, 16000, start, start + 60.0)
        length = min(len(heard), len(meant))
        ends[name] = {
            "frames": count, "times_apart_ms": apart * 1e3, "change": float(np.mean(changed)),
            "sound": float(np.corrcoef(heard[:length], meant[:length])[0, 1]),
        }  # fmt: skip
    return ends


@pytest.mark.timeout(0)
def test_an_hour_of_film_against_two_minutes(tmp_path: Path) -> None:
    """Memory, and the last minute of the long film against its first."""
    told: dict[float, dict[str, Any]] = {}
    for minutes in (2.0, MINUTES):
        film, track = looped(tmp_path, minutes)
        words = [str(film), str(track), str(tmp_path / f"out{minutes:g}.mp4"), str(tmp_path / f"root{minutes:g}")]
        said = subprocess.run([sys.executable, "-c", _PEAK, *words], capture_output=True, text=True, check=True).stdout
        told[minutes] = json.loads(said.splitlines()[-1])
        told[minutes]["ends"] = ends_of(told[minutes], film, track)
    ratio = told[MINUTES]["mb"] / told[2.0]["mb"]
    print(  # noqa: T201 - a bench is read
        f"\n{MINUTES:g} minutes of film peak at {told[MINUTES]['mb']:.0f} MB, two at {told[2.0]['mb']:.0f}: "
        f"{ratio:.2f} (at most 1.2)\n" + "\n".join(f"{minutes:g}: {json.dumps(row)}" for minutes, row in told.items())
    )
    assert ratio <= 1.2
    assert [row["status"] for row in told.values()] == ["ok", "ok"]
    first, last = told[MINUTES]["ends"]["first"], told[MINUTES]["ends"]["last"]
    assert last["frames"] == first["frames"] == 1500 and last["times_apart_ms"] < 1e-3
    assert last["sound"] >= first["sound"] - 0.001 and abs(last["change"] / first["change"] - 1) < 0.02
