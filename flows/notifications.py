"""Who is told what: automations on the server that speak up when a run fails, falls silent, waits, or works again."""

from __future__ import annotations

import datetime
from typing import Any

from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState, SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.exceptions import ObjectNotFound
from prefect.types import SecretDict

from flows.deployments import TAG
from storage.errors import ConfigError, UsageError

BLOCK = "dubwright-notify"
"""Name of the block that is made of an address."""
HEARTBEAT_S = 30
"""Seconds between two signs of life of a run, as prefect.yaml asks for; Prefect takes no fewer."""
SILENT_S = 8 * HEARTBEAT_S
WAITS_S = 600
REMEMBERED = datetime.timedelta(days=30)
"""How long after a failure a success is still news."""

_ENDED = {f"prefect.flow-run.{state}" for state in ("Completed", "Failed", "Crashed", "Cancelled", "TimedOut")}
_TAKEN = {"prefect.flow-run.Pending", "prefect.flow-run.Running"}
_WRONG = {f"prefect.flow-run.{state}" for state in ("Failed", "Crashed", "TimedOut")}
_RUN = "{{ deployment.name }} ({{ flow_run.name }})"
_WHERE = "{{ flow_run|ui_url }}"


def notify_through(target: str) -> list[str]:
    """Create the automations, or bring them up to date; `target` is told.

    Args:
        target: ``TYPE/NAME`` of a notification block that is on the server (slack-webhook/ops, email/…), or an http(s)
            address that takes JSON with "subject", "body" and "text" (both); it is kept as a secret.

    Returns:
        Names of the automations.

    Raises:
        ConfigError: the server has no such block.
        UsageError: neither an address nor TYPE/NAME.
    """
    with get_client(sync_client=True) as client:
        block = _block_for(client, target)
        made = automations(block)
        for automation in made:
            there = client.read_automations_by_name(automation.name)
            if there:
                client.update_automation(there[0].id, automation)
            else:
                client.create_automation(automation)
    return [automation.name for automation in made]


def automations(block: Any) -> list[AutomationCore]:
    """The automations, with the id of the notification block that they speak through."""

    def tell(subject: str, body: str) -> SendNotification:
        return SendNotification(block_document_id=block, subject=f"dubwright: {subject}", body=f"{body}\n{_WHERE}")

    return [
        AutomationCore(
            name="dubwright: a run failed",
            trigger=_trigger(expect=_WRONG, for_each={"prefect.resource.id"}),
            actions=[tell(f"{_RUN} {{{{ flow_run.state.name|lower }}}}", "{{ flow_run.state.message }}")],
        ),
        AutomationCore(
            name="dubwright: it works again",
            description="The first run that completes after one that did not, of each deployment.",
            trigger=_trigger(
                after=_WRONG, expect={"prefect.flow-run.Completed"}, within=REMEMBERED,
                for_each={"related:deployment:prefect.resource.id"},
            ),
            actions=[tell(f"{_RUN} works again", "completed, after a run that did not")],
        ),
        AutomationCore(
            name="dubwright: a run fell silent",
            description="Its process or machine is gone without a word: the run is crashed, and its slot is free.",
            trigger=_trigger(
                after={"prefect.flow-run.Running", "prefect.flow-run.heartbeat"},
                expect={"prefect.flow-run.heartbeat", *_ENDED},
                within=datetime.timedelta(seconds=SILENT_S), for_each={"prefect.resource.id"}, absent=True,
            ),
            actions=[
                ChangeFlowRunState(
                    state=StateType.CRASHED, message=f"no sign of life for {SILENT_S} s", name=None, force=False
                )
            ],
        ),
        AutomationCore(
            name="dubwright: nobody takes a run",
            trigger=_trigger(
                after={"prefect.flow-run.Late"}, expect={*_TAKEN, *_ENDED},
                within=datetime.timedelta(seconds=WAITS_S), for_each={"prefect.resource.id"}, absent=True,
            ),
            actions=[tell(f"{_RUN} waits", "no worker has taken it: is one running for its work pool?")],
        ),
    ]  # fmt: skip


def _trigger(
    expect: set[str], for_each: set[str], after: set[str] | None = None,
    within: datetime.timedelta = datetime.timedelta(0), absent: bool = False,
) -> EventTrigger:  # fmt: skip
    """Of runs of our deployments: `expect` happened (or was `absent` for `within`), after `after` where it is given."""
    return EventTrigger(
        match={"prefect.resource.id": "prefect.flow-run.*"},
        match_related={"prefect.resource.id": f"prefect.tag.{TAG}", "prefect.resource.role": "tag"},
        after=after or set(), expect=expect, for_each=for_each, threshold=1, within=within,
        posture=Posture.Proactive if absent else Posture.Reactive,
    )  # fmt: skip


def _block_for(client: SyncPrefectClient, target: str) -> Any:
    """The id of the block that `target` means."""
    kind, slash, name = target.partition("/")
    if target.startswith(("http://", "https://")):
        kind, name = "custom-webhook", BLOCK
        # An address of a chat service is a key to it: it goes among the secrets, which the server encrypts.
        webhook = CustomWebhookNotificationBlock(
            name=BLOCK, url="{{address}}", secrets=SecretDict({"address": target}),
            json_data={"subject": "{{subject}}", "body": "{{body}}", "text": "{{subject}}\n{{body}}"}, headers=None,
            cookies=None,
        )  # fmt: skip
        webhook.save(BLOCK, overwrite=True)
    elif not slash or not kind or not name:
        raise UsageError(f"--notify {target}: neither an address nor TYPE/NAME of a block", "slack-webhook/ops")
    try:
        return client.read_block_document_by_name(name, kind).id
    except ObjectNotFound:
        raise ConfigError(
            f"the server has no notification block {target}", f"make one: prefect block create {kind}"
        ) from None
