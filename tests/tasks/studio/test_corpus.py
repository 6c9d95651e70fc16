"""Corpora: planned without overlap between splits, resumable, with truth that fits the video, usable as CLIPS rows."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from models import landmarks106
from storage import media
from storage.errors import UsageError
from tasks import crops
from tasks.studio import corpus
from tasks.studio.clip_files import read_manifest, read_truth, studio_rows
from tasks.studio.controls import AUS
from tasks.studio.corpus import CorpusSettings, plan_corpus, render_corpus, split_of_identity
from tasks.studio.sentences import split_of
from tasks.studio.takes import FIRST_LIBRARY_SEED, MOODS, describe, plan_take, room_sound

SMALL: dict[str, Any] = {"identities": 1, "clips_per_identity": 2, "seconds": 0.4, "size": 48, "fps": 5.0, "workers": 0}


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("espeakng_loader")
    out = tmp_path_factory.mktemp("corpus")
    assert render_corpus(out, **SMALL)["rendered"] == 2
    return out


def test_people_and_sentences_are_in_one_split_only() -> None:
    plans = plan_corpus(40, 3, CorpusSettings())
    splits: dict[int, set[str]] = {plan.identity_seed: set() for plan in plans}
    for plan in plans:
        splits[plan.identity_seed].add(plan.split)
    assert all(len(found) == 1 for found in splits.values())
    assert Counter(next(iter(found)) for found in splits.values()) == {"train": 32, "val": 4, "test": 4}


def test_a_small_corpus_has_all_splits_too() -> None:
    assert [split_of_identity(index, 4) for index in range(4)] == ["train", "train", "val", "test"]


def test_all_moods_appear_and_names_are_unique() -> None:
    plans = plan_corpus(48, 2, CorpusSettings())
    assert set(MOODS) == {(plan.emotion, plan.intensity) for plan in plans}
    assert len({plan.name for plan in plans}) == len(plans)
    assert max(Counter((p.emotion, p.intensity) for p in plans if p.emotion != "neutral").values()) <= 6


def test_the_library_people_are_not_for_training() -> None:
    with pytest.raises(UsageError, match="library"):
        plan_corpus(2, 1, CorpusSettings(seed=FIRST_LIBRARY_SEED - 1))


def test_a_take_says_sentences_of_its_split_for_exactly_its_time() -> None:
    pytest.importorskip("espeakng_loader")
    take = plan_take(5, 0, ("angry", 2), 3.0, "test", (0.7, 0.8), "en")
    assert len(take.speech.audio) == 48_000
    sentences = [part.strip() + mark for part, mark in _sentences(take.speech.text)]
    assert sentences
    assert all(split_of(sentence) == "test" for sentence in sentences)
    assert len(room_sound(take.speech, 1)) == 48_000


def _sentences(text: str) -> list[tuple[str, str]]:
    found, start = [], 0
    for index, letter in enumerate(text):
        if letter in ".!?":
            found.append((text[start:index], letter))
            start = index + 1
    return found


def test_captions_name_the_mood() -> None:
    pytest.importorskip("espeakng_loader")
    take = plan_take(6, 0, ("sad", 3), 1.5, "train", (0.7, 0.8), "en")
    text = describe(take, take.controls(np.arange(30) / 25))
    assert "heartbroken" in text
    assert text.startswith(("A ", "She ", "He ", "Someone "))


def test_a_clip_is_video_sound_and_truth_of_the_same_length(rendered: Path) -> None:
    for row in read_manifest(rendered):
        info = media.probe(rendered / row["video"], need_audio=True)
        assert info.video is not None
        assert (info.video.frames, info.video.width, info.video.height) == (2, 48, 48)
        assert len(media.read_audio(rendered / row["audio"])) == 6400
        truth = read_truth(rendered / row["truth"])
        assert truth.arrays["landmarks"].shape == (2, 106, 2)
        assert truth.arrays["aus"].shape == (2, 20)
        assert truth.phonemes[-1].end_s == pytest.approx(0.4)
        assert row == truth.row
        assert row["sync_offset"] == 0


def test_what_is_finished_is_not_made_again(rendered: Path) -> None:
    files = {path: path.stat().st_mtime_ns for path in rendered.glob("*.mp4")}
    first = read_manifest(rendered)
    (rendered / first[0]["truth"]).unlink()  # as if killed before the clip was whole
    (rendered / corpus.MANIFEST).unlink()
    assert render_corpus(rendered, **SMALL)["rendered"] == 1
    assert read_manifest(rendered) == first
    again = [path for path, before in files.items() if path.stat().st_mtime_ns != before]
    assert [path.name for path in again] == [first[0]["video"]]


def test_a_clip_made_again_is_the_same(rendered: Path, tmp_path: Path) -> None:
    render_corpus(tmp_path, **{**SMALL, "clips_per_identity": 1})
    row = read_manifest(tmp_path)[0]
    one, two = (read_truth(folder / row["truth"]).arrays for folder in (rendered, tmp_path))
    for name in one:
        np.testing.assert_array_equal(one[name], two[name])
    assert (rendered / row["audio"]).read_bytes() == (tmp_path / row["audio"]).read_bytes()
    assert (rendered / row["video"]).read_bytes() == (tmp_path / row["video"]).read_bytes()


def test_other_settings_need_another_folder(rendered: Path) -> None:
    with pytest.raises(UsageError, match="other settings: size"):
        render_corpus(rendered, **{**SMALL, "size": 64})


def test_a_clip_that_fails_costs_itself_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("espeakng_loader")
    whole = corpus.render_clip

    def failing(out: Path, plan: corpus.ClipPlan, **options: object) -> dict[str, object]:
        if plan.number == 0:
            raise RuntimeError("a fault")
        return whole(out, plan, compile_field=False)

    monkeypatch.setattr(corpus, "render_clip", failing)
    counts = render_corpus(tmp_path, **SMALL)
    assert (counts["clips"], counts["rendered"], counts["failed"]) == (1, 1, 1)
    assert len((tmp_path / corpus.MANIFEST).read_text().splitlines()) == 1


def test_rows_by_truth_have_aligned_crops(rendered: Path) -> None:
    rows = list(studio_rows(rendered, crop_size=64, embed=lambda frame, kps: np.full(512, 2.0, np.float32)))
    assert len(rows) == 2
    assert list(studio_rows(rendered, "test", crop_size=64)) == [] or rows[0]["split"] == "test"
    first = rows[0]
    assert first["status"] == "ok"
    assert first["num_frames"] == len(first["crops"]) == len(first["masks"]) == 2
    crop = cv2.imdecode(np.frombuffer(first["crops"][0], np.uint8), cv2.IMREAD_COLOR)
    assert np.shape(crop) == (64, 64, 3)
    landmarks = np.asarray(first["landmarks"]).reshape(2, 106, 2)
    kps = np.asarray(first["kps"]).reshape(2, 5, 2)
    matrices = np.asarray(first["matrices"]).reshape(2, 2, 3)
    eyes = np.stack([crops.transform_points(m, p[:2]) for m, p in zip(matrices, kps, strict=True)])
    np.testing.assert_allclose(eyes[:, :, 1], 0.40 * 64, atol=4)
    lips = landmarks[:, list(landmarks106.LIPS_OUTER)]
    assert (lips > 0).all()
    assert (lips < 64).all()
    assert first["mel_frames"] == 40
    assert len(first["mel"]) == 80 * 40 * 2
    assert np.linalg.norm(first["identity"]) == pytest.approx(1.0)
    assert json.loads((rendered / corpus.SETTINGS).read_text())["size"] == 48


def test_with_moods_neither_light_nor_voice_gives_the_face_away(tmp_path: Path) -> None:
    pytest.importorskip("espeakng_loader")
    render_corpus(tmp_path, **SMALL, moods=True)
    rows = list(studio_rows(tmp_path))
    assert len({row["source_id"] for row in rows}) == 1, "takes of one scene"
    assert len({row["clip_id"] for row in rows}) == 2
    assert all(np.asarray(row["action_units"]).reshape(-1, 20).shape[0] == row["num_frames"] for row in rows)
    with pytest.raises(UsageError, match="moods"):
        render_corpus(tmp_path, **SMALL)
    plans = plan_corpus(40, 2, CorpusSettings(moods=True))
    otherwise = [mood for plan in plans if (mood := corpus._voice_mood(plan)) is not None]
    assert 0.3 < len(otherwise) / len(plans) < 0.7
    assert all(corpus._voice_mood(plan) is None for plan in plan_corpus(10, 1, CorpusSettings()))


def test_a_face_may_feel_otherwise_than_its_voice() -> None:
    pytest.importorskip("espeakng_loader")
    plain, mixed = (plan_take(5, 0, ("happy", 3), 1.0, "train", (0.7, 0.8), "en", voice_mood=mood)
                    for mood in (None, ("angry", 3)))  # fmt: skip
    assert (plain.speech.emotion, mixed.speech.emotion) == ("happy", "angry")
    smiles = [take.controls(np.arange(8) / 8).aus[:, AUS.index("AU12L")].mean() for take in (plain, mixed)]
    assert min(smiles) > 0.3, "both faces smile"
