"""The pictures of a run in a form that travels: small, and whole within their own address (data URI)."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

CELL_PX = 96
COLUMNS = 12
MOST = 36
"""Pictures on a contact sheet."""
WIDEST_PX = 1200
QUALITY = 80
_CURVE = (600, 160)

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Picture:
    """key: lower case letters and dashes. title: for people. uri: the picture itself, as a data URI."""

    key: str
    title: str
    uri: str


def pictures_of(shown: Mapping[str, Any], report: Path) -> list[Picture]:
    """What there is to see of a run: faces of clips, stills of renders, the loss, samples, what the conditions change.

    Args:
        shown: the parts of the run's report (`tasks.report.Report`).
        report: the report's page; the stills of renders lie beside it.
    """
    training = shown.get("training") or {}
    found = [
        ("clips", "Faces of the clips that were kept", contact_sheet(_faces(shown.get("clips") or ()))),
        ("renders", "Stills of what was rendered, as filmed and as dubbed", _stills(shown, report)),
        ("loss", "Training loss over the steps", loss_curve(training.get("losses") or ())),
        ("samples", "Samples of the training", picture(training.get("samples"))),
        ("control", "What each condition changes, on people held out", picture(shown.get("control"))),
    ]
    return [Picture(key, title, uri) for key, title, uri in found if uri]


def contact_sheet(coded: Iterable[bytes]) -> str:
    """Pictures (JPEG or PNG) as one, `COLUMNS` in a row, as a data URI; "" where there are none."""
    cells = []
    for data in coded:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        if image is not None:
            cells.append(_fitted(image))
        if len(cells) == MOST:
            break
    if not cells:
        return ""
    columns = min(COLUMNS, len(cells))
    blank = np.full_like(cells[0], 255)
    cells += [blank] * (-len(cells) % columns)
    rows = [np.concatenate(cells[at : at + columns], axis=1) for at in range(0, len(cells), columns)]
    return _jpeg(np.concatenate(rows, axis=0))


def picture(path: Any) -> str:
    """A picture of a file, no wider than `WIDEST_PX`, as a data URI; "" where there is none."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR) if path and Path(path).is_file() else None
    if image is None:
        return ""
    if image.shape[1] > WIDEST_PX:
        height = round(image.shape[0] * WIDEST_PX / image.shape[1])
        image = cv2.resize(image, (WIDEST_PX, max(1, height)), interpolation=cv2.INTER_AREA)
    return _jpeg(image)


def loss_curve(losses: Sequence[Sequence[float]]) -> str:
    """The loss (logarithmic) over the steps as SVG in a data URI; "" with fewer than two points."""
    points = [(float(step), math.log10(loss)) for step, loss in losses if math.isfinite(loss) and loss > 0]
    if len(points) < 2:
        return ""
    steps, logs = zip(*points, strict=True)
    (left, right), (low, high) = (min(steps), max(steps)), (min(logs), max(logs))
    width, height = _CURVE
    across, up = (width - 80) / max(right - left, 1e-9), (height - 50) / max(high - low, 1e-9)
    path = " ".join(f"{60 + (x - left) * across:.1f},{15 + (high - y) * up:.1f}" for x, y in points)
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" '
        f'font-size="12"><rect width="100%" height="100%" fill="#fff"/>'
        f'<polyline points="{path}" fill="none" stroke="#2563eb" stroke-width="1.5"/>'
        f'<text x="54" y="20" text-anchor="end">{10**high:.3g}</text>'
        f'<text x="54" y="{height - 34}" text-anchor="end">{10**low:.3g}</text>'
        f'<text x="60" y="{height - 12}">step {left:g}</text>'
        f'<text x="{width - 20}" y="{height - 12}" text-anchor="end">{right:g}</text></svg>'
    )
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def _faces(clips: Iterable[Row]) -> Iterable[bytes]:
    """The middle crop of every clip that was kept."""
    for clip in clips:
        crops = clip.get("crops")
        if clip.get("status") == "ok" and crops:
            yield crops[len(crops) // 2]


def _stills(shown: Mapping[str, Any], report: Path) -> str:
    if not shown.get("renders"):
        return ""
    files = sorted(path for path in (report.parent / "media").glob("*.jpg") if not path.name.startswith("samples-"))
    return contact_sheet(path.read_bytes() for path in files[:MOST])


def _fitted(image: NDArray[Any]) -> NDArray[np.uint8]:
    """Within a square cell, the rest white."""
    height, width = image.shape[:2]
    scale = CELL_PX / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    cell = np.full((CELL_PX, CELL_PX, 3), 255, np.uint8)
    top, left = (CELL_PX - size[1]) // 2, (CELL_PX - size[0]) // 2
    cell[top : top + size[1], left : left + size[0]] = small
    return cell


def _jpeg(image: NDArray[Any]) -> str:
    coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]
    return "data:image/jpeg;base64," + base64.b64encode(coded.tobytes()).decode()
