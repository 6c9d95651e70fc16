"""Corpora of studio clips: video, sound and the truth of every frame, rendered by one process a core.

    python -m tasks.studio.corpus --out DIR --identities 100 --clips 3 --seconds 4 --workers 2

A clip is DIR/NAME.mp4 with sound, NAME.wav (mono 16 kHz) and NAME.npz with the truth; DIR/manifest.jsonl has a line
for each finished clip. What is finished is not made again, so a stopped run goes on where it was, and a larger
request extends a corpus. People are in one split only, and so are sentences.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from storage import media
from storage.atomic import written_aside
from storage.errors import UsageError
from tasks.studio.clip_files import MANIFEST, read_manifest, studio_rows
from tasks.studio.speech import LANGUAGES
from tasks.studio.takes import FIRST_LIBRARY_SEED, MOODS, describe, plan_take, room_sound

__all__ = ["ClipPlan", "CorpusSettings", "plan_corpus", "read_manifest", "render_clip", "render_corpus", "studio_rows"]

log = logging.getLogger(__name__)
FRAMING = (0.74, 0.90)  # head heights a frame high: a face of 55 to 65 % of the frame
CRF = 10
SETTINGS = "corpus.json"


@dataclass(frozen=True)
class CorpusSettings:
    """What every clip of a corpus shares; a corpus can be extended only with the same."""

    size: int = 160
    fps: float = 25.0
    seconds: float = 4.0
    seed: int = 0
    languages: tuple[str, ...] = LANGUAGES
    moods: bool = False
    """One scene for all clips of a person, and in half of them a voice in another mood than the face: so that neither
    the light nor the voice gives the expression away."""


@dataclass(frozen=True)
class ClipPlan:
    """One clip to render."""

    name: str
    identity_seed: int
    number: int
    split: str
    emotion: str
    intensity: int
    settings: CorpusSettings


def split_of_identity(index: int, identities: int) -> str:
    """The split of person `index`: of every ten people the ninth is for validation, the tenth for testing.

    Of fewer than ten, the last two.
    """
    place = index % 10 if identities >= 10 else 10 - identities + index
    return {8: "val", 9: "test"}.get(place, "train")


def plan_corpus(identities: int, clips_per_identity: int, settings: CorpusSettings) -> list[ClipPlan]:
    """Every clip, in the order of rendering: the first of each person, then the second, so that a part has all people.

    Moods take turns, so that each person speaks in different ones and all appear equally often.
    """
    if identities < 1 or clips_per_identity < 1:
        raise UsageError("a corpus needs at least one person and one clip", "raise --identities and --clips")
    if settings.seed < 0 or settings.seed + identities > FIRST_LIBRARY_SEED:
        raise UsageError(f"identity seeds from {FIRST_LIBRARY_SEED} belong to the shipped library", "lower --seed")
    plans = []
    for number in range(clips_per_identity):
        for index in range(identities):
            # A stride that has no factor in common with the number of moods walks through all of them.
            emotion, intensity = MOODS[(7 * index + 5 * number + index // len(MOODS)) % len(MOODS)]
            seed = settings.seed + index
            name, split = f"p{seed:05d}_c{number:02d}_{emotion}{intensity}", split_of_identity(index, identities)
            plans.append(ClipPlan(name, seed, number, split, emotion, intensity, settings))
    return plans


def render_clip(out: Path, plan: ClipPlan, *, device: str = "cpu", compile_field: bool | None = None) -> dict[str, Any]:
    """Render one clip into `out` and return its manifest row.

    The .npz is written last: where it is, the clip is whole.
    """
    from tasks.studio.render import render

    started = time.perf_counter()
    settings = plan.settings
    languages = np.random.default_rng([plan.identity_seed, plan.number, 0x1A])
    english = "en" in settings.languages and languages.random() < 0.5
    language = "en" if english else str(languages.choice(settings.languages))
    take = plan_take(
        plan.identity_seed, plan.number, (plan.emotion, plan.intensity), settings.seconds, plan.split, FRAMING,
        language, voice_mood=_voice_mood(plan), scene_seed=plan.identity_seed if settings.moods else None,
    )  # fmt: skip
    times = np.arange(round(settings.seconds * settings.fps)) / settings.fps
    controls = take.controls(times)
    rendered = render(take.scene, controls, (settings.size, settings.size), device, compile_field=compile_field)
    sound = room_sound(take.speech, take.seed)
    row: dict[str, Any] = {
        "clip": plan.name, "video": f"{plan.name}.mp4", "audio": f"{plan.name}.wav", "truth": f"{plan.name}.npz",
        "identity_seed": plan.identity_seed, "speaker": f"studio-{plan.identity_seed}", "split": plan.split,
        "emotion": plan.emotion, "intensity": plan.intensity, "caption": describe(take, controls),
        "voice_emotion": take.speech.emotion,
        "scene": plan.identity_seed if settings.moods else None, "language": take.speech.voice.language,
        "voice": take.speech.voice.name, "text": take.speech.text,
        "frames": len(times), "fps": settings.fps, "size": settings.size, "seconds": settings.seconds, "sync_offset": 0,
    }  # fmt: skip
    media.write_video(out / row["video"], rendered.frames, settings.fps, sound, crf=CRF, preset="medium", threads=1)
    media.write_audio(out / row["audio"], sound, 16000)
    phonemes = take.speech.phonemes
    arrays: dict[str, Any] = {
        "meta": np.array(json.dumps(row)), "pts": times, "landmarks": rendered.landmarks, "kps": rendered.kps,
        "bbox": rendered.bbox, "mouth_opening": rendered.mouth_opening, "visible": rendered.visible,
        "phoneme_symbols": np.array([phoneme.symbol for phoneme in phonemes], dtype=np.str_),
        "phoneme_times": np.array([phoneme[1:] for phoneme in phonemes], np.float64).reshape(-1, 2),
    } | controls.to_arrays()  # fmt: skip
    with written_aside(out / row["truth"]) as aside, aside.open("wb") as file:
        np.savez_compressed(file, **arrays)
    return row | {"render_s": round(time.perf_counter() - started, 2)}


def _voice_mood(plan: ClipPlan) -> tuple[str, int] | None:
    chance = np.random.default_rng([plan.identity_seed, plan.number, 0x40])
    if not plan.settings.moods or chance.random() < 0.5:
        return None
    return MOODS[int(chance.integers(len(MOODS)))]


def render_corpus(
    out: str | os.PathLike[str],
    identities: int = 100,
    clips_per_identity: int = 3,
    seconds: float = 4.0,
    size: int = 160,
    fps: float = 25.0,
    seed: int = 0,
    workers: int = 2,
    *,
    languages: Sequence[str] = LANGUAGES,
    moods: bool = False,
    device: str = "cpu",
    compile_field: bool | None = None,
) -> dict[str, Any]:
    """Render what is missing of a corpus into `out`; returns {"clips", "rendered", "failed", "seconds"}.

    moods: see `CorpusSettings`. workers: processes, each with one thread; 0 renders in this process. A clip that
    fails is logged and counted, the others go on.

    Raises:
        UsageError: `out` holds a corpus with other settings, or the seeds are the library's.
    """
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    settings = CorpusSettings(size, float(fps), float(seconds), seed, tuple(languages), moods)
    _same_settings(folder, settings)
    plans = plan_corpus(identities, clips_per_identity, settings)
    finished = {row["clip"]: row for row in _finished(folder)}
    waiting = [plan for plan in plans if plan.name not in finished]
    frames = round(settings.seconds * settings.fps)
    if compile_field is None:
        compile_field = len(waiting) * frames >= 400 * max(workers, 1)
    _write_manifest(folder, finished)
    log.info("%d of %d clips to render, %d frames each, %d processes", len(waiting), len(plans), frames, workers)
    started, failed = time.perf_counter(), 0
    for done, (plan, row, error) in enumerate(_render_all(folder, waiting, workers, device, compile_field), 1):
        if row is None:
            failed += 1
            log.error("clip %s failed: %s", plan.name, error)
            continue
        finished[plan.name] = {key: value for key, value in row.items() if key != "render_s"}
        _write_manifest(folder, finished)
        spent = time.perf_counter() - started
        rate = done * frames / spent
        left = (len(waiting) - done) * frames / rate
        log.info(
            "%d/%d %s: %.0f ms a frame here, %.1f frames/s in all, %.0f min left",
            done, len(waiting), plan.name, row["render_s"] * 1000 / frames, rate, left / 60,
        )  # fmt: skip
    return {
        "clips": len(finished), "rendered": len(waiting) - failed, "failed": failed,
        "seconds": round(time.perf_counter() - started, 1),
    }  # fmt: skip


def _render_all(
    folder: Path, plans: list[ClipPlan], workers: int, device: str, compile_field: bool
) -> Iterator[tuple[ClipPlan, dict[str, Any] | None, Exception | None]]:
    if workers < 1:
        for plan in plans:
            here = partial(render_clip, folder, plan, device=device, compile_field=compile_field)
            yield (plan, *_attempt(here))
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_one_thread) as pool:
        jobs = {
            pool.submit(render_clip, folder, plan, device=device, compile_field=compile_field): plan for plan in plans
        }
        for job in as_completed(jobs):
            yield (jobs[job], *_attempt(job.result))


def _attempt(job: Callable[[], dict[str, Any]]) -> tuple[dict[str, Any] | None, Exception | None]:
    try:
        return job(), None
    except Exception as error:  # noqa: BLE001 - a clip that fails costs itself alone
        return None, error


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def _same_settings(folder: Path, settings: CorpusSettings) -> None:
    path = folder / SETTINGS
    wanted = json.loads(json.dumps(asdict(settings)))
    if path.exists():
        there = json.loads(json.dumps(asdict(CorpusSettings()))) | json.loads(path.read_text())
        if there != wanted:
            changed = ", ".join(name for name in wanted if there.get(name) != wanted[name])
            raise UsageError(f"{folder} holds a corpus with other settings: {changed}", "choose another folder")
        return
    with written_aside(path) as aside:
        aside.write_text(json.dumps(wanted, indent=1))


def _finished(folder: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as arrays:
            yield json.loads(str(arrays["meta"]))


def _write_manifest(folder: Path, rows: dict[str, dict[str, Any]]) -> None:
    with written_aside(folder / MANIFEST) as aside:
        aside.write_text("".join(json.dumps(rows[name], ensure_ascii=False) + "\n" for name in sorted(rows)))


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of this module."""
    parser = argparse.ArgumentParser(prog="python -m tasks.studio.corpus", description="Render a studio corpus.")
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--identities", type=int, default=100)
    parser.add_argument("--clips", type=int, default=3, help="clips of each person")
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--fps", type=float, default=25.0)
    parser.add_argument("--seed", type=int, default=0, help="seed of the first person")
    parser.add_argument(
        "--moods", action="store_true", help="one scene a person; voices that often feel otherwise than the faces"
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--device", default="cpu")
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    counts = render_corpus(
        chosen.out, chosen.identities, chosen.clips, chosen.seconds, chosen.size, chosen.fps, chosen.seed,
        chosen.workers, moods=chosen.moods, device=chosen.device,
    )  # fmt: skip
    log.info("%s", counts)
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
