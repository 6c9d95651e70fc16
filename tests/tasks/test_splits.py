"""Splits: by person, stable while a dataset grows, none empty where it can be helped."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from storage.ids import content_id
from tasks.splits import assign_splits, plan_splits

SHARES = (0.8, 0.1, 0.1)


def clip(source: str, speaker: str | None = None, identity: np.ndarray | None = None, split: str | None = None) -> dict:
    return {
        "source_id": source, "speaker": speaker, "split": split,
        "identity": None if identity is None else identity.tolist(),
    }  # fmt: skip


def ids(count: int) -> list[str]:
    return [content_id(number) for number in range(count)]


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 8)), min_size=1, max_size=60))
def test_no_speaker_is_in_two_splits(pairs: list[tuple[int, int]]) -> None:
    names = ids(41)
    splits = assign_splits([clip(names[source], f"s{speaker}") for source, speaker in pairs], SHARES, 0.35)
    for speaker in {speaker for _, speaker in pairs}:
        assert len({splits[names[source]] for source, other in pairs if other == speaker}) == 1


def test_a_face_without_a_label_stays_on_one_side() -> None:
    faces = np.eye(512, dtype=np.float32)
    names = ids(60)
    splits = assign_splits([clip(name, identity=faces[number % 12]) for number, name in enumerate(names)], SHARES, 0.35)
    for face in range(12):
        assert len({splits[name] for number, name in enumerate(names) if number % 12 == face}) == 1


def test_a_dataset_that_grows_keeps_its_splits() -> None:
    names = ids(300)
    before = assign_splits([clip(name) for name in names[:200]], SHARES, 0.35)
    after = assign_splits([clip(name, split=before.get(name)) for name in names], SHARES, 0.35)
    assert all(after[name] == split for name, split in before.items())


def test_shares_are_about_those_asked_for() -> None:
    splits = list(assign_splits([clip(name) for name in ids(1000)], SHARES, 0.35).values())
    assert 0.75 < splits.count("train") / 1000 < 0.85
    assert 0.06 < splits.count("test") / 1000 < 0.14


def test_three_people_fill_three_splits() -> None:
    for start in range(20):
        splits = assign_splits([clip(name) for name in ids(100)[start : start + 3]], SHARES, 0.35)
        assert sorted(splits.values()) == ["test", "train", "val"]


def test_what_the_corpus_says_is_kept() -> None:
    names = ids(3)
    splits = assign_splits([clip(names[0], split="test"), clip(names[1], split="test"), clip(names[2])], SHARES, 0.35)
    assert splits[names[0]] == splits[names[1]] == "test"
    assert assign_splits([clip(names[0], split="train")], SHARES, 0.35) == {names[0]: "train"}


def test_no_clips_no_splits() -> None:
    assert assign_splits([], SHARES, 0.35) == {}


@given(st.integers(0, 10_000), st.integers(1, 2))
def test_few_people_are_there_to_be_trained_on(first: int, count: int) -> None:
    splits = assign_splits([clip(content_id(first + number)) for number in range(count)], SHARES, 0.35)
    assert "train" in splits.values()


def test_a_clip_that_joins_two_splits_keeps_training_data_out_of_the_tests() -> None:
    names = ids(40)
    before = {names[0]: "test", names[1]: "train", names[2]: "val", names[3]: "test"}
    rows = [clip(names[0], "Ada", split="test"), clip(names[1], "Ben", split="train")]
    rows += [clip(names[2], "Cleo", split="val"), clip(names[3], "Dan", split="test")]
    joins = [clip(names[4], "Ada"), clip(names[4], "Ben"), clip(names[5], "Cleo"), clip(names[5], "Dan")]
    plan = plan_splits([*rows, *joins], SHARES, 0.35)
    assert {plan.of[names[i]] for i in (0, 1, 4)} == {"train"}
    assert {plan.of[names[i]] for i in (2, 3, 5)} == {"val"}
    assert plan.moved == {names[0]: ("test", "train"), names[3]: ("test", "val")}
    assert plan_splits(rows, SHARES, 0.35).moved == {}
    assert plan_splits(rows, SHARES, 0.35).of == before


def test_splits_do_not_depend_on_the_order_of_the_clips() -> None:
    rng = np.random.default_rng(3)
    faces = np.eye(512, dtype=np.float32)[rng.integers(0, 30, 90)] + 0.02 * rng.standard_normal((90, 512))
    rows = [
        clip(name, identity=face / np.linalg.norm(face)) | {"clip_id": name}
        for name, face in zip(ids(90), faces, strict=True)
    ]
    assert assign_splits(rows, SHARES, 0.35) == assign_splits(rows[::-1], SHARES, 0.35)
