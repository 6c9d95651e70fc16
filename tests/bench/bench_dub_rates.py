"""What a dub takes of a processor, by kinds of work: the films of the shipped library as they are and enlarged.

Writes `tasks/dub_rates.json`, which plans start from where a root has no renders of its own, when
`DUBWRIGHT_SHIP_RATES` says in words on what machine this runs; else it prints what it would write.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from storage import media
from storage.atomic import write_json
from storage.ids import file_sha256
from storage.layout import Root
from tasks.champion import champion_or_named
from tasks.config import Config, load_config
from tasks.dub_rates import SHIPPED, fitted, passes
from tasks.dubber import Dubber, load_dubber
from tasks.dubbing.finishing import finish, provenance_facts
from tasks.dubbing.looking import look
from tasks.dubbing.place import Place
from tasks.dubbing.rendering import StretchRenderer, runs_of
from tasks.dubbing.spent import FINISH, LOOK, RENDER, Stopwatch
from tasks.dubbing.stretches import stretches_of
from tasks.moods import Moods
from tasks.studio.library import LIBRARY

FILMS = [
    ("welcome", 1, None), ("news", 1, None), ("return", 1, None), ("welcome", 1, "happy"), ("return", 2, None),
    ("welcome", 3, None), ("news", 4, None),
]  # fmt: skip
"""Name, how many times as high and wide, emotion."""
SECONDS = 3.0


def enlarged(name: str, times: int, folder: Path) -> tuple[Path, Path]:
    """The first seconds of a film of the library, and of its track."""
    film, made = LIBRARY / f"{name}.mp4", folder / f"{name}{times}.mp4"
    info = media.probe(film)
    assert info.video is not None
    frames = [rgb for _, _, rgb in media.iter_frames(film, end_s=SECONDS)]
    larger = [np.ascontiguousarray(cv2.resize(rgb, None, fx=times, fy=times)) for rgb in frames]
    media.write_video(made, larger, float(info.video.fps), media.read_audio(film, 16000, 0.0, SECONDS))
    sound = media.read_audio(LIBRARY / f"{name}.dub.wav", 16000, 0.0, SECONDS)
    return made, media.write_audio(folder / f"{name}.wav", sound)


def measured(film: Path, track: Path, emotion: str | None, config: Config, models: Dubber) -> dict[str, Any]:
    """A dub, and what each kind of work took of the processor."""
    digests = file_sha256(film), file_sha256(track)
    place, moods = Place(Root(config.root).create(), f"{film.stem}{emotion}"), Moods.read(emotion)
    watch, spent = Stopwatch(), {}
    plan = look(film, digests[0], place, config, models, [track], moods)
    spent[LOOK] = watch.lap().cpu_seconds
    voices = [models.hear(track)]
    renderer, stretches = StretchRenderer(film, plan, place, voices, config, models), stretches_of(
        plan.segments, config.render
    )  # fmt: skip
    for run in runs_of(stretches, len(stretches)):
        list(renderer.render(run, lambda: False))
    spent[RENDER] = watch.lap().cpu_seconds
    parts = sum(place.stretch(one.name).stat().st_size for one in stretches)
    out = film.with_suffix(".out.mp4")
    facts = provenance_facts(place.key, *digests, config, models)
    row = finish(film, track, [track], out, plan, place, voices, facts, config, models)
    spent[FINISH] = watch.lap().cpu_seconds
    return {
        "film": film.stem, "frames": row["frames"], "megapixels": row["width"] * row["height"] / 1e6,
        "faces": sum(len(one) for one in stretches) / row["frames"], "passes": passes(config, emotion is not None),
        "bytes": Path(row["output_uri"]).stat().st_size, "stretch_bytes": parts,
        "look_bytes": sum(file.stat().st_size for file in place.look("x").parent.iterdir()),
        "plan_bytes": sum(file.stat().st_size for file in place.plan.parent.iterdir()), **spent,
    }  # fmt: skip


@pytest.mark.slow
def test_rates(tmp_path: Path) -> None:
    films = []
    for name, times, emotion in FILMS:
        config = load_config(root=tmp_path / f"{name}{times}{emotion}")
        model = champion_or_named(Root(config.root).create(), config)
        models = load_dubber(model.path, config, model_id=model.model_id, device="cpu")
        film, track = enlarged(name, times, Path(config.root))
        if not films:
            measured(film, track, None, config.with_({"root": str(tmp_path / "warm")}), models)
        films.append(measured(film, track, emotion, config, models) | ({"bytes": None} if times > 1 else {}))
        print(json.dumps(films[-1]), flush=True)  # noqa: T201
    rates = fitted(films)
    for kind in (LOOK, RENDER, FINISH):
        assert rates["kinds"][kind]["per_frame"] >= 0
    print(json.dumps(rates, indent=1))  # noqa: T201
    where = os.environ.get("DUBWRIGHT_SHIP_RATES")
    if where:
        write_json(SHIPPED, rates | {"where": f"shipped with the program: {where}"})
