"""The deployments of prefect.yaml on a server: work pool, concurrency limits, schedules, checked parameters."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import fields
from importlib import import_module
from typing import Any

import yaml
from prefect import Flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate, WorkPoolCreate
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyOptions
from prefect.client.schemas.schedules import construct_schedule
from prefect.exceptions import ObjectAlreadyExists
from prefect.workers.utilities import get_default_base_job_template_for_infrastructure_type

from flows.options import Options
from flows.stages import slot
from storage.errors import ConfigError
from storage.layout import Root
from tasks.config import PROJECT

FILE = PROJECT / "prefect.yaml"
POOL = "dubwright"
TAG = "dubwright"
"""Every deployment has it, and so has every run of one."""

Entry = Mapping[str, Any]


def entries() -> list[Entry]:
    """The deployments of prefect.yaml."""
    found: list[Entry] = yaml.safe_load(FILE.read_text(encoding="utf-8"))["deployments"]
    return found


def flow_of(entry: Entry) -> Flow[..., Any]:
    """The flow that a deployment runs."""
    module, _, name = entry["entrypoint"].partition(":")
    found: Flow[..., Any] = getattr(import_module(module), name)
    return found


def deploy(
    options: Options, pool: str = POOL, kind: str = "process", cron: str | None = None,
    job_variables: Mapping[str, Any] | None = None,
) -> list[str]:  # fmt: skip
    """Register everything on the server that PREFECT_API_URL names; what is there already is brought up to date.

    Args:
        options: of every run, unless its parameters say otherwise.
        kind: type of the work pool: process, kubernetes, …
        cron: another time for the nightly deployment (UTC).
        job_variables: for the work pool's template: image, namespace, working_dir, …

    Returns:
        Full names: ``nightly/nightly``, …

    Raises:
        ConfigError: no such type of work pool, or a schedule that is none.
    """
    with get_client(sync_client=True) as client:
        make_pool(client, pool, kind)
        make_limits(client, options)
        return [_register(client, entry, options, pool, cron, job_variables or {}) for entry in entries()]


def make_pool(client: SyncPrefectClient, pool: str, kind: str) -> None:
    """The work pool; one that is there stays as somebody may have set it up."""
    template = asyncio.run(get_default_base_job_template_for_infrastructure_type(kind))
    if template is None:
        raise ConfigError(f"there is no type of work pool named {kind!r}", "for example --type process or kubernetes")
    try:
        client.create_work_pool(WorkPoolCreate(name=pool, type=kind, base_job_template=template))
    except ObjectAlreadyExists:
        there = client.read_work_pool(pool).type
        if there != kind:
            raise ConfigError(f"work pool {pool} is of type {there}, not {kind}", "choose another --pool") from None


def make_limits(client: SyncPrefectClient, options: Options) -> None:
    """As many slots for stages of each kind as the configuration says; runs of deployments hold them strictly."""
    for kind, limit in options.config().serving.slots().items():
        client.upsert_global_concurrency_limit_by_name(slot(kind), limit)


def parameters_of(entry: Entry, options: Options) -> dict[str, Any]:
    """Parameters of a deployment under these options; folders that prefect.yaml names under ``data`` are the root's."""
    root = Root(options.root or "./data")
    given = {field.name: getattr(options, field.name) for field in fields(options) if field.name != "json"}
    given = {name: value for name, value in given.items() if value} | {"root": root.uri}
    given = {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}
    own = {name: value for name, value in entry.get("parameters", {}).items() if name != "options"}
    if "sources" in own:
        own["sources"] = [_under(root, source) for source in own["sources"]]
    return {**own, "options": given}


def _under(root: Root, source: str) -> str:
    inside = source.removeprefix("data/")
    if inside == source:
        return source
    return str(root.local / inside) if root.is_local else f"{root.uri}/{inside}"


def schema_of(flow: Flow[..., Any]) -> dict[str, Any]:
    """The JSON schema of a flow's parameters, as Prefect makes it; and a name that it does not have is refused."""
    return {**flow.parameters.model_dump(exclude_unset=True), "additionalProperties": False}


def _register(
    client: SyncPrefectClient, entry: Entry, options: Options, pool: str, cron: str | None,
    job_variables: Mapping[str, Any],
) -> str:  # fmt: skip
    flow = flow_of(entry)
    limit = ConcurrencyLimitConfig.model_validate(entry["concurrency_limit"])
    client.create_deployment(
        flow_id=client.create_flow(flow), name=entry["name"], description=entry["description"], tags=entry["tags"],
        entrypoint=entry["entrypoint"].replace(":", "."), work_pool_name=pool, schedules=_schedules(entry, cron),
        parameters=parameters_of(entry, options), parameter_openapi_schema=schema_of(flow),
        enforce_parameter_schema=True, concurrency_limit=limit.limit,
        concurrency_options=ConcurrencyOptions(
            collision_strategy=limit.collision_strategy, grace_period_seconds=limit.grace_period_seconds
        ),
        job_variables=job_variables_of(entry, job_variables), paused=False,
    )  # fmt: skip
    return f"{flow.name}/{entry['name']}"


def job_variables_of(entry: Entry, more: Mapping[str, Any]) -> dict[str, Any]:
    """Those of prefect.yaml, and `more` over them; environments are joined."""
    own = entry["work_pool"].get("job_variables", {})
    return {**own, **more, "env": {**own.get("env", {}), **more.get("env", {})}}


def _schedules(entry: Entry, cron: str | None) -> list[DeploymentScheduleCreate]:
    made = []
    for schedule in entry.get("schedules", ()):
        when = cron or schedule["cron"]
        try:
            plan = construct_schedule(cron=when, timezone=schedule.get("timezone", "UTC"))
        except ValueError as error:
            raise ConfigError(
                f"--cron {when!r} is no schedule", "minute hour day month weekday: '0 2 * * *'"
            ) from error
        made.append(DeploymentScheduleCreate(schedule=plan, active=True))
    return made
