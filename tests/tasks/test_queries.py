"""A search by face: a person is found from a picture of theirs, and from a film in which others pass by."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from storage import media
from storage.errors import InputFailed, InputRejected
from tasks.config import load_config
from tasks.queries import embed_face, most_seen


def test_who_is_seen_most_is_searched_for() -> None:
    random = np.random.default_rng(0)
    who, other = (vector / np.linalg.norm(vector) for vector in random.standard_normal((2, 512)).astype(np.float32))
    frames = [who + 0.03 * random.standard_normal(512) for _ in range(5)]
    frames[2:2] = [other + 0.03 * random.standard_normal(512) for _ in range(3)]
    faces = np.stack([frame / np.linalg.norm(frame) for frame in frames]).astype(np.float32)
    found = most_seen(faces)
    assert float(found @ who) > 0.9 > 0.2 > abs(float(found @ other))
    assert np.isclose(np.linalg.norm(found), 1.0, atol=1e-5)


@pytest.mark.slow
def test_a_person_is_known_by_a_picture_and_by_a_film(library: Path, tmp_path: Path) -> None:
    config = load_config()
    film = library / "footage" / "person1_happy.mp4"
    _, _, frame = next(media.iter_frames(library / "footage" / "person1_surprised.mp4", start_s=1.0))
    picture = tmp_path / "person.png"
    cv2.imwrite(str(picture), cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    seen, shown, other = (
        np.array(embed_face(path, config)) for path in (film, picture, library / "footage" / "person5_angry.mp4")
    )
    assert seen @ shown > max(0.5, seen @ other + 0.2)
    cv2.imwrite(str(picture), np.full((200, 200, 3), 90, np.uint8))
    with pytest.raises(InputRejected, match="no face"):
        embed_face(picture, config)
    for wrong in (library / "README.txt", tmp_path / "missing.mp4"):
        with pytest.raises(InputFailed):
            embed_face(wrong, config)
