"""Two people in view who speak in turn: whoever listens stays as filmed, to the pixel before encoding."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from storage import media
from tasks import dub
from tasks.analysis import Analysis
from tasks.config import Config
from tasks.dubber import Dubber
from tasks.dubbing import looking
from tasks.dubbing.finishing import Composer
from tasks.dubbing.saved import DubPlan


@pytest.mark.slow
def test_a_listener_stays_as_filmed(
    library: Path, config: Config, dubber: Dubber, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans: list[DubPlan] = []
    seen: list[Analysis] = []
    composed: dict[int, NDArray[np.uint8] | None] = {}
    usual_look, usual_changed, usual_load = dub.look, Composer.changed, looking.load_analysis

    def loaded(path: Path) -> Analysis:
        seen.append(usual_load(path))
        return seen[-1]

    def looked(*given: Any, **named: Any) -> DubPlan:
        plans.append(usual_look(*given, **named))
        return plans[-1]

    def changed(self: Composer, index: int, rgb: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
        composed[index] = usual_changed(self, index, rgb)
        return composed[index]

    monkeypatch.setattr(dub, "look", looked)
    monkeypatch.setattr(looking, "load_analysis", loaded)
    monkeypatch.setattr(Composer, "changed", changed)
    film, out = library / "dialogue.mp4", tmp_path / "out.mp4"
    speakers = library / "dialogue.rttm"
    dub.dub_video(film, library / "dialogue.dub.wav", out, config, dubber, speakers=speakers)
    segments = plans[0].segments
    assert len({segment.track.number for segment in segments}) >= 2
    squares, count, frames = 0.0, 0, 0
    for (index, _, before), (_, _, after) in zip(media.iter_frames(film), media.iter_frames(out), strict=True):
        for track in seen[0].tracks:
            spoken = any(s.track.number == track.number and s.first <= index < s.last for s in segments)
            if spoken or not track.first <= index < track.last:
                continue
            x0, y0, x1, y1 = np.clip(track.bbox[index - track.first].astype(int), 0, None)
            made = composed[index]
            assert made is None or np.array_equal(made[y0:y1, x0:x1], before[y0:y1, x0:x1])
            apart = before[y0:y1, x0:x1].astype(float) - after[y0:y1, x0:x1]
            squares, count, frames = squares + float((apart**2).sum()), count + apart.size, frames + 1
    assert frames >= 50
    assert 10 * np.log10(255**2 / (squares / count)) >= 40
