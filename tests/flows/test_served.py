"""`dubwright up` as it is used: a real server, worker and Ray head; schedules, limits, failures, kills, and the end.

The tests share one `up` and follow each other, so that it is started once.
"""

from __future__ import annotations

import datetime
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.schedules import CronSchedule
from prefect.exceptions import PrefectHTTPStatusError

from flows.server import is_healthy
from flows.services import MARK, marked
from flows.stages import slot
from storage.layout import Root
from storage.registry import Registry
from storage.versions import show_version
from tests.flows.serving import CLEAN, Served, command, until, up
from tests.flows.test_jobs import cut
from tests.flows.webhook import Webhook, webhook_server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def webhook() -> Iterator[Webhook]:
    with webhook_server() as found:
        yield found


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, webhook: Webhook) -> Iterator[Served]:
    root = Root(tmp_path_factory.mktemp("served") / "root").create()
    with up(root, "--notify", webhook.url, "--set", "serving.train_slots=3") as found:
        yield found


def test_everything_is_registered_and_told_where(served: Served) -> None:
    assert served.facts["prefect"] == f"http://127.0.0.1:{served.port}"
    assert served.facts["deployments"] == [
        "nightly/nightly", "preprocess/preprocess", "train/train", "evaluate/evaluate", "dub/dub-library",
        "animate/animate",
    ]  # fmt: skip
    assert served.client.read_work_pool("dubwright").type == "process"
    assert served.client.read_global_concurrency_limit_by_name(slot("train")).limit == 3
    night = served.client.read_deployment_by_name("nightly/nightly")
    assert [entry.schedule.cron for entry in night.schedules] == ["0 2 * * *"]
    assert night.tags == ["dubwright", "training", "scheduled"]
    assert night.parameters["sources"] == [str(served.root.local / "incoming")]
    properties = night.parameter_openapi_schema["properties"]
    assert all(properties[name]["description"] for name in ("sources", "dataset"))


def test_a_second_up_on_the_same_root_says_that_it_is_up(served: Served) -> None:
    told = command(served.root.local, "up")
    assert told.returncode == 2
    assert "is up on" in told.stderr and str(served.port) in told.stderr and "dubwright down" in told.stderr


@pytest.mark.parametrize(("name", "wrong"), [
    ("nightly/nightly", {"sources": "not a list"}), ("train/train", {"stage": "nonsense"}),
    ("train/train", {"options": {"rot": "typo"}}), ("dub/dub-library", {"manifets": "typo.csv"}),
])  # fmt: skip
def test_a_wrong_parameter_is_refused_before_there_is_a_run(served: Served, name: str, wrong: dict[str, Any]) -> None:
    with pytest.raises(PrefectHTTPStatusError) as refused:
        served.begin(name, **wrong)
    assert refused.value.response.status_code == 409
    assert next(iter(wrong)) in refused.value.response.text or "rot" in refused.value.response.text


KILLED: list[UUID] = []


def test_worker_and_run_are_killed_and_the_next_run_is_clean(served: Served, episode: Path, tmp_path: Path) -> None:
    video = cut(episode, tmp_path / "short.mp4", 1.0, 1.2)
    asked = {"sources": [str(video)], "dataset": "kept"}
    run = served.begin("preprocess/preprocess", **asked)
    KILLED.append(run.id)
    until(lambda: served.client.read_flow_run(run.id).state_name == "Running", "it does not run")
    old = workers_of(served)
    for pid in [*old, *processes_of_run(served, run.id)]:
        os.kill(pid, signal.SIGKILL)
    until(lambda: bool(set(workers_of(served)) - set(old)), "no other worker was started")

    again = served.begin("preprocess/preprocess", **asked)
    done = served.ended(again.id)
    assert done.state is not None and done.state.is_completed(), done.state
    assert show_version(served.root, "kept").rows >= 1
    left = served.artifacts(again.id)
    assert {"preprocess-items", "preprocess-summary", "preprocess-report", "preprocess-clips"} <= left.keys()
    assert str(left["preprocess-clips"].data).startswith("data:image/jpeg;base64,")
    assert served.facts["reports"] in str(left["preprocess-report"].data), "a link that a browser does not follow"
    until(lambda: bool(lineage_events(served, "prefect.asset.materialization.succeeded")), "no asset was recorded")
    (event,) = lineage_events(served, "prefect.asset.materialization.succeeded")
    dataset = show_version(served.root, "kept").dataset_id
    assert event["resource"]["prefect.resource.id"] == f"dubwright://datasets/{dataset}"


def test_a_run_outlives_its_worker(served: Served, episode: Path, tmp_path: Path) -> None:
    video = cut(episode, tmp_path / "other.mp4", 1.0, 1.2)
    run = served.begin("preprocess/preprocess", sources=[str(video)], dataset="outlived")
    until(lambda: bool(processes_of_run(served, run.id)), "it does not begin")
    old = workers_of(served)
    for pid in old:
        os.kill(pid, signal.SIGKILL)
    done = served.ended(run.id)
    assert done.state is not None and done.state.is_completed(), done.state
    assert show_version(served.root, "outlived").rows >= 1
    until(lambda: bool(set(workers_of(served)) - set(old)), "no other worker was started")


def workers_of(served: Served) -> list[int]:
    return [pid for pid in marked(served.note()["token"]) if b"worker\0start" in cmdline(pid)]


def processes_of_run(served: Served, run: UUID) -> list[int]:
    wanted = str(run).encode()
    return [
        pid for pid in marked(served.note()["token"]) if b"prefect.engine" in cmdline(pid) and wanted in environ(pid)
    ]


def cmdline(pid: int) -> bytes:
    return _read(pid, "cmdline")


def environ(pid: int) -> bytes:
    return _read(pid, "environ")


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def lineage_events(served: Served, name: str) -> list[dict[str, Any]]:
    answer = served.client.request("POST", "/events/filter", json={"filter": {"event": {"name": [name]}}})
    found: list[dict[str, Any]] = answer.json()["events"]
    return found


def test_a_failed_night_is_told_and_changes_nothing(served: Served, webhook: Webhook) -> None:
    before = Registry(served.root).models()
    done = served.ended(served.begin("nightly/nightly", sources=["/nonexistent/footage"]).id)
    assert done.state is not None and done.state.is_failed()
    until(lambda: webhook.has("nightly", "failed", "/nonexistent/footage"), f"nobody was told: {webhook.heard}", 120)
    said = next(entry for entry in webhook.heard if "failed" in entry["subject"])
    assert f"http://127.0.0.1:{served.port}/" in said["body"], "it does not say where to look"
    assert said["text"] == f"{said['subject']}\n{said['body']}"
    assert Registry(served.root).models() == before


def test_of_two_nights_at_once_one_runs_and_the_other_is_left_out(served: Served, webhook: Webhook) -> None:
    both = [served.begin("nightly/nightly").id for _ in range(2)]
    states = [served.ended(run).state for run in both]
    assert sorted(state.name for state in states if state) == ["Cancelled", "Completed"]
    left_out = next(state for state in states if state and state.is_cancelled())
    assert "concurrency limit" in (left_out.message or "")
    until(lambda: webhook.has("nightly", "works again"), f"nobody was told that it works again: {webhook.heard}", 120)


def test_the_schedule_starts_a_night_also_after_the_server_was_killed(served: Served) -> None:
    (server,) = [pid for pid in marked(served.note()["token"]) if b"uvicorn" in cmdline(pid)]
    os.kill(server, signal.SIGKILL)
    url = f"http://127.0.0.1:{served.port}/api"
    until(lambda: not is_healthy(url), "it is not dead")
    until(lambda: is_healthy(url), "the server was not started again")

    night = served.client.read_deployment_by_name("nightly/nightly")
    due = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=150)
    soon = CronSchedule(cron=f"{due.minute} {due.hour} * * *", timezone="UTC")
    served.client.create_deployment_schedules(night.id, [(soon, True)])
    due = due.replace(second=0, microsecond=0)

    def scheduled() -> list[FlowRun]:
        runs = served.client.read_flow_runs(limit=200)
        return [run for run in runs if run.deployment_id == night.id and run.expected_start_time == due]

    until(lambda: bool(scheduled()), "the night was not scheduled")
    (run,) = scheduled()
    done = served.ended(run.id)
    assert done.state is not None and done.state.is_completed(), done.state
    assert done.auto_scheduled
    assert done.start_time is not None and done.start_time >= due
    assert {"nightly-summary", "nightly-report"} <= served.artifacts(run.id).keys()
    assert "no footage" in str(served.artifacts(run.id)["nightly-summary"].data)


def test_a_run_that_was_killed_with_its_worker_is_noticed_and_told(served: Served, webhook: Webhook) -> None:
    done = served.ended(KILLED[0])
    assert done.state is not None and done.state.is_crashed()
    assert "its process is gone" in (done.state.message or "")
    until(lambda: webhook.has("preprocess", "crashed", "its process is gone"), f"nobody was told: {webhook.heard}", 120)


def test_down_ends_what_a_killed_up_left_and_nothing_else(served: Served) -> None:
    note = served.note()
    other = subprocess.Popen(["sleep", "600"], env={**CLEAN, MARK: "another"})
    try:
        os.kill(note["pid"], signal.SIGKILL)
        told = command(served.root.local, "down", "--json")
        assert told.returncode == 0, told.stderr
        assert marked(note["token"]) == []
        assert not is_healthy(f"http://127.0.0.1:{served.port}/api")
        assert other.poll() is None
        assert "nothing is up" in command(served.root.local, "down").stdout
    finally:
        other.kill()
        other.wait()
