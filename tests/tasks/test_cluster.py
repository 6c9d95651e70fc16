"""Ray as it is started here."""

import os

import pytest
import ray


@pytest.mark.slow
def test_workers_weigh_as_much_as_the_run_that_started_them(ray_session: None) -> None:
    niceness = ray.remote(num_cpus=0)(lambda: os.nice(0))
    assert ray.get(niceness.remote()) == os.nice(0)
