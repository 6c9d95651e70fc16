"""prefect.yaml on a server: registered once however often, limits that exist, secrets that stay secret."""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.events.schemas.automations import EventTrigger
from prefect.states import Pending, Running
from prefect.utilities.schema_tools.validation import ValidationError, validate

from flows import deployments
from flows.cut_off import close_cut_off
from flows.deployments import (
    deploy,
    entries,
    flow_of,
    job_variables_of,
    make_pool,
    parameters_of,
    schema_of,
)
from flows.notifications import BLOCK, HEARTBEAT_S, SILENT_S, automations, notify_through
from flows.options import Options
from flows.stages import slot
from storage.errors import ConfigError, UsageError
from storage.layout import Root
from tasks.config import load_config
from tasks.config_serving import KINDS
from tests.conftest import PROJECT


@pytest.fixture
def client(prefect_url: str) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as found:
        yield found


def test_every_deployment_says_what_it_is_and_has_a_limit() -> None:
    names = [entry["name"] for entry in entries()]
    assert names == ["nightly", "preprocess", "train", "evaluate", "dub-library", "animate"]
    for entry in entries():
        assert deployments.TAG in entry["tags"] and entry["description"]
        assert entry["concurrency_limit"]["limit"] >= 1 and entry["work_pool"]["name"] == deployments.POOL
    assert entries()[0]["concurrency_limit"]["collision_strategy"] == "CANCEL_NEW"


@pytest.mark.parametrize("name", [entry["name"] for entry in entries()])
def test_every_parameter_is_described_and_a_typo_is_refused(name: str) -> None:
    entry = next(entry for entry in entries() if entry["name"] == name)
    schema = schema_of(flow_of(entry))
    assert [
        title for title, kind in schema["properties"].items() if title != "options" and not kind.get("description")
    ] == []
    options = schema["definitions"]["Options"]["properties"]
    assert [title for title, kind in options.items() if not kind.get("description")] == []
    given = parameters_of(entry, Options(root="/films", settings=("render.steps=2",)))
    validate(given, schema, raise_on_error=True, preprocess=True, ignore_required=True)
    for wrong in ({**given, "typo": 1}, {**given, "options": {"profil": "studio"}}, {**given, "options": "studio"}):
        with pytest.raises(ValidationError):
            validate(wrong, schema, raise_on_error=True, preprocess=True, ignore_required=True)


def test_the_given_root_takes_the_place_of_the_one_in_the_file(tmp_path: str) -> None:
    night = entries()[0]
    local = parameters_of(night, Options(root=str(tmp_path), profile="sd15", json=True))
    assert local["sources"] == [f"{Root(tmp_path).local}/incoming"]
    assert local["options"] == {"root": str(tmp_path), "profile": "sd15"}
    assert parameters_of(night, Options(root="s3://bucket/films"))["sources"] == ["s3://bucket/films/incoming"]


@pytest.mark.slow
def test_deploying_twice_leaves_one_of_each(client: SyncPrefectClient, root: Root) -> None:
    pool = f"pool-{uuid.uuid4().hex[:8]}"
    options = Options(root=root.uri, settings=("serving.preprocess_slots=5",))
    names = deploy(options, pool=pool, cron="5 3 * * *")
    assert deploy(options, pool=pool, cron="6 4 * * *") == names
    night = client.read_deployment_by_name("nightly/nightly")
    assert [entry.schedule.cron for entry in night.schedules] == ["6 4 * * *"]
    assert (night.work_pool_name, night.enforce_parameter_schema) == (pool, True)
    assert night.global_concurrency_limit is not None and night.global_concurrency_limit.limit == 1
    assert night.parameters["options"]["root"] == root.uri
    limits = {kind: client.read_global_concurrency_limit_by_name(slot(kind)).limit for kind in KINDS}
    assert limits == {**load_config().serving.slots(), "preprocess": 5}
    with pytest.raises(ConfigError, match="is no schedule"):
        deploy(options, pool=pool, cron="every night")
    with pytest.raises(ConfigError, match="is of type process"):
        make_pool(client, pool, "kubernetes")
    with pytest.raises(ConfigError, match="no type of work pool"):
        make_pool(client, "another", "toaster")


@pytest.mark.slow
def test_runs_that_were_cut_off_are_closed_and_their_place_is_free(client: SyncPrefectClient, root: Root) -> None:
    deploy(Options(root=root.uri), pool=f"pool-{uuid.uuid4().hex[:8]}")
    night = client.read_deployment_by_name("nightly/nightly")

    def begun() -> str:
        run = client.create_flow_run_from_deployment(night.id)
        client.set_flow_run_state(run.id, Pending())
        return str(run.id)

    cut_off = begun()
    client.set_flow_run_state(cut_off, Running())
    state = client.read_flow_run(begun()).state
    assert state is not None and state.is_cancelled(), "two nights at once"
    by_hand = client.create_flow_run(flow_of(entries()[0]), state=Running(), parameters={})
    assert [str(run.id) for run in close_cut_off(datetime.datetime.now(datetime.UTC))] == [cut_off]
    closed = client.read_flow_run(cut_off).state
    assert closed is not None and closed.is_crashed() and "process is gone" in (closed.message or "")
    other = client.read_flow_run(by_hand.id).state
    assert other is not None and other.is_running(), "a command by hand is nobody else's business"
    state = client.read_flow_run(begun()).state
    assert state is not None and state.is_pending(), "the place of the one that was cut off is still taken"


@pytest.mark.slow
def test_a_run_is_cut_off_once_no_process_works_on_it(client: SyncPrefectClient, root: Root) -> None:
    deploy(Options(root=root.uri), pool=f"pool-{uuid.uuid4().hex[:8]}")
    deployment = client.read_deployment_by_name("preprocess/preprocess")
    before = datetime.datetime.now(datetime.UTC)
    asked = {"sources": ["x"], "dataset": "x"}
    runs = [client.create_flow_run_from_deployment(deployment.id, parameters=asked) for _ in range(3)]
    worked_on, gone, waiting = (run.id for run in runs)
    for run in runs:
        client.set_flow_run_state(run.id, Pending(), force=True)
    for run in (worked_on, gone):
        client.set_flow_run_state(run, Running(), force=True)
    carries = {**os.environ, "PREFECT__FLOW_RUN_ID": str(worked_on)}
    working = subprocess.Popen(["sleep", "600"], env=carries)
    try:
        assert gone in [run.id for run in close_cut_off(before)]
        states = {run: client.read_flow_run(run).state_name for run in (worked_on, gone, waiting)}
        assert states == {worked_on: "Running", gone: "Crashed", waiting: "Pending"}
        later = datetime.datetime.now(datetime.UTC)
        assert [run.id for run in close_cut_off(later)] == [waiting], "the worker that took it is gone"
    finally:
        working.kill()
        working.wait()
    assert [run.id for run in close_cut_off(later)] == [worked_on]


@pytest.mark.slow
def test_prefect_itself_takes_the_file(client: SyncPrefectClient) -> None:
    make_pool(client, deployments.POOL, "process")
    told = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"],
        cwd=PROJECT, capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    assert told.returncode == 0, told.stdout + told.stderr
    for entry in entries():
        found = client.read_deployment_by_name(f"{flow_of(entry).name}/{entry['name']}")
        assert set(found.tags) == set(entry["tags"]) and found.work_pool_name == deployments.POOL
        assert found.global_concurrency_limit is not None
        assert found.job_variables == job_variables_of(entry, {})
        assert found.concurrency_options is not None
        assert found.concurrency_options.collision_strategy == entry["concurrency_limit"]["collision_strategy"]


@pytest.mark.slow
def test_an_address_is_kept_as_a_secret_and_automations_are_made_once(client: SyncPrefectClient) -> None:
    names = notify_through("http://127.0.0.1:9/hook?key=very-secret")
    assert notify_through("http://127.0.0.1:9/hook?key=very-secret") == names
    assert all(len(client.read_automations_by_name(name)) == 1 for name in names)
    shown = client.read_block_document_by_name(BLOCK, "custom-webhook", include_secrets=False)
    assert "very-secret" not in shown.model_dump_json()
    with pytest.raises(ConfigError, match="no notification block"):
        notify_through("slack-webhook/nobody")
    with pytest.raises(UsageError, match="neither an address"):
        notify_through("nobody")


def test_silence_is_noticed_in_minutes_and_only_of_our_runs() -> None:
    made = {entry.name: entry.trigger for entry in automations(uuid.uuid4())}
    assert len(made) == 4
    for trigger in made.values():
        assert isinstance(trigger, EventTrigger)
        assert "prefect.tag.dubwright" in str(trigger.match_related)
    silent = made["dubwright: a run fell silent"]
    assert isinstance(silent, EventTrigger)
    assert silent.within.total_seconds() == SILENT_S and "prefect.flow-run.heartbeat" in silent.expect
    assert "prefect.flow-run.Running" in silent.after, "a run that dies before its first heartbeat is never noticed"
    for entry in entries():  # else a run that is well would be taken for dead
        env = job_variables_of(entry, {"image": "x", "env": {"A": "1"}})["env"]
        assert env == {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_S), "A": "1"}
    assert SILENT_S >= 4 * HEARTBEAT_S
