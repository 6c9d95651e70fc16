"""Pictures of a run that travel: whole within their own address, small, and there only where there is something."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import cv2
import numpy as np

from tasks.report_pictures import CELL_PX, COLUMNS, MOST, WIDEST_PX, contact_sheet, loss_curve, picture, pictures_of


def coded(colour: tuple[int, int, int], height: int = 64, width: int = 48) -> bytes:
    return cv2.imencode(".jpg", np.full((height, width, 3), colour, np.uint8))[1].tobytes()


def decoded(uri: str) -> np.ndarray:
    head, data = uri.split(",", 1)
    assert head == "data:image/jpeg;base64"
    return cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)


def test_a_contact_sheet_holds_every_face_in_its_place() -> None:
    sheet = decoded(contact_sheet([coded((0, 0, 250)), coded((250, 0, 0)), b"no picture"]))
    assert sheet.shape == (CELL_PX, 2 * CELL_PX, 3)
    middle = CELL_PX // 2
    assert np.allclose(sheet[middle, middle], (0, 0, 250), atol=12)
    assert np.allclose(sheet[middle, CELL_PX + middle], (250, 0, 0), atol=12)
    assert np.allclose(sheet[middle, 3], 255, atol=12), "a face is stretched to its cell"


def test_a_contact_sheet_stays_small_however_many_clips_there_are() -> None:
    uri = contact_sheet(coded((at % 250, 90, 90), 300, 300) for at in range(1000))
    assert decoded(uri).shape == (CELL_PX * -(-MOST // COLUMNS), CELL_PX * COLUMNS, 3)
    assert len(uri) < 300_000
    assert contact_sheet([]) == "" and contact_sheet([b"torn"]) == ""


def test_a_loss_that_falls_is_drawn_falling() -> None:
    uri = loss_curve([(1, 1.0), (10, 0.1), (20, float("nan")), (100, 0.01)])
    svg = base64.b64decode(uri.removeprefix("data:image/svg+xml;base64,")).decode()
    points = [tuple(map(float, pair.split(","))) for pair in re.search(r'points="([^"]+)"', svg)[1].split()]
    assert len(points) == 3
    assert [x for x, _ in points] == sorted(x for x, _ in points)
    assert [y for _, y in points] == sorted(y for _, y in points), "on a screen, down is a greater y"
    assert loss_curve([(1, 0.5)]) == "" and loss_curve([]) == ""


def test_a_picture_is_fitted_and_a_missing_one_is_none(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "wide.png"), np.zeros((100, 4000, 3), np.uint8))
    assert decoded(picture(tmp_path / "wide.png")).shape == (30, WIDEST_PX, 3)
    assert picture(tmp_path / "none.png") == "" and picture(None) == "" and picture("") == ""


def test_a_run_shows_what_it_has(tmp_path: Path) -> None:
    report = tmp_path / "report" / "index.html"
    (report.parent / "media").mkdir(parents=True)
    (report.parent / "media" / "0-0-after.jpg").write_bytes(coded((10, 200, 10)))
    cv2.imwrite(str(tmp_path / "control.jpg"), np.zeros((20, 20, 3), np.uint8))
    clips = [{"status": "ok", "crops": [coded((1, 2, 3))]}, {"status": "rejected", "crops": [coded((1, 2, 3))]}]
    shown = {"clips": clips, "training": {"losses": [(1, 1.0), (2, 0.5)], "samples": None}, "renders": [{}],
             "control": str(tmp_path / "control.jpg")}  # fmt: skip
    found = pictures_of(shown, report)
    assert [entry.key for entry in found] == ["clips", "renders", "loss", "control"]
    assert decoded(found[0].uri).shape == (CELL_PX, CELL_PX, 3), "a clip that was left out is among those kept"
    assert all(entry.title and entry.uri.startswith("data:image/") for entry in found)
    assert pictures_of({}, report) == []
