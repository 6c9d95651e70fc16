"""Long tracks are cut into equal parts."""

import numpy as np

from tasks.analysis import Analysis
from tasks.shots import shots_between
from tasks.steps.tracking import spans
from tests.tasks.test_speakers import burst, tracks_with_motion


def test_a_long_track_is_cut_into_equal_parts_that_share_no_frame() -> None:
    (track,) = tracks_with_motion(burst(0, 200))
    pts = np.arange(200) / 25
    analysis = Analysis(pts, 8.0, shots_between([], pts, 8.0), [track], [], 200)
    (whole,) = spans(analysis, 10.0)
    assert (whole.first, whole.last, whole.end_s) == (0, 200, 8.0)
    parts = spans(analysis, 3.0)
    assert [(part.first, part.last) for part in parts] == [(0, 67), (67, 133), (133, 200)]
    assert all(part.end_s - part.start_s <= 3.0 for part in parts)
    assert parts[0].end_s == parts[1].start_s
