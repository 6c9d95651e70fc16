"""What dubbing a library costs against the way it is done by hand: a loop over files, one process each.

By hand: a new process for every file, which loads the models, finds faces, gives the model one frame at a time with the
steps it was trained for, and pastes. The library run measures, judges and signs every output besides.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

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
