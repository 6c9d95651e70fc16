"""Numbers that others have published, to stand beside our own: another protocol, other data, not measured here.

From MF-ETalk (Electronics 2025, 14(13), 2684), tables of MEAD and HDTF. FID is of Inception features, LSE-C and LSE-D
of SyncNet v2, E-FID of 3DMM expression coefficients; the studio's are of other networks (see an evaluation's protocol).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

SOURCE = "MF-ETalk, Electronics 2025, 14(13), 2684"
NOTE = (
    f"published ({SOURCE}), other protocol: on MEAD and HDTF, FID of Inception features, LSE-C and LSE-D of SyncNet, "
    "E-FID of 3DMM coefficients; not measured here, not comparable number by number"
)
METRICS = ("fid", "lse_c", "lse_d", "efid")
"""As our own tables name them; FID, LSE-D and E-FID are better when lower, LSE-C when higher."""

Values = tuple[float, float, float, float]

TABLE: dict[str, tuple[Values, Values]] = {
    "Wav2Lip 2020": ((69.296, 6.535, 7.925, 3.335), (42.681, 6.752, 8.979, 3.837)),
    "PC-AVS 2021": ((128.191, 5.628, 8.836, 8.823), (100.763, 7.413, 8.184, 6.711)),
    "EAMM 2022": ((138.802, 4.351, 9.890, 8.598), (126.153, 4.448, 10.686, 5.419)),
    "SadTalker 2023": ((120.127, 6.709, 8.103, 5.118), (106.031, 7.517, 7.778, 4.095)),
    "DreamTalk 2023": ((148.664, 5.910, 8.278, 8.616), (133.078, 6.503, 8.156, 5.354)),
    "AniPortrait 2024": ((85.708, 3.233, 10.917, 3.753), (54.309, 4.026, 10.537, 4.128)),
    "Hallo 2024": ((46.691, 6.561, 8.201, 2.814), (36.980, 7.535, 7.728, 3.907)),
    "EchoMimic 2024": ((100.182, 5.419, 9.447, 4.571), (81.230, 5.371, 9.594, 3.679)),
    "MF-ETalk 2025": ((43.052, 6.781, 7.962, 2.403), (35.348, 7.501, 7.628, 3.521)),
}
"""METRICS on MEAD and on HDTF, by method."""

ABLATION: dict[str, Values] = {
    "MF-ETalk without fusion and emotion loss": (46.691, 6.561, 8.201, 2.814),
    "MF-ETalk with fusion": (45.179, 6.702, 8.389, 2.637),
    "MF-ETalk with fusion and emotion loss": (43.052, 6.781, 7.962, 2.403),
}
"""METRICS on MEAD."""


def published_rows(ablation: bool = False) -> list[dict[str, Any]]:
    """The published numbers as rows: method, data, METRICS; of the ablation where asked for."""
    if ablation:
        return [_row(method, "MEAD", values) for method, values in ABLATION.items()]
    return [
        _row(method, data, values) for method, both in TABLE.items() for data, values in zip(("MEAD", "HDTF"), both)
    ]


def has_counterpart(metrics: Iterable[str]) -> bool:
    """Whether one of our metrics stands in the published table too."""
    return not set(METRICS).isdisjoint(metrics)


def _row(method: str, data: str, values: Values) -> dict[str, Any]:
    return {"method": method, "data": data, **dict(zip(METRICS, values, strict=True))}
