"""Many sources into a dataset version: Ray Data over files, resumable, and every input ends as a row.

A worker takes one file through the steps (`tasks.steps`), which leave their results under keys made of everything that
shaped them; only a verdict of a few words travels back. The driver then joins them to shards (`tasks.assembly`). So a
run that was killed, a disk that was full, a dataset that grows or a setting that changes costs what it touches only.
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from storage import versions
from storage.atomic import FileLock
from storage.errors import WorkersFailed, outcome
from storage.fetching import local_path
from storage.ids import content_id
from storage.layout import Root
from storage.ledger import Ledger
from storage.step_parts import OUTCOME
from tasks import cluster
from tasks.assembly import Built, Item, assemble, previous_version, verdict_rows
from tasks.cluster_nodes import died_with_its_node, node_id, node_ids
from tasks.config import Config
from tasks.experts import Experts, expert_versions, load_experts
from tasks.probe import at_hand, know_remote, probe_source, source_key
from tasks.sources import Source
from tasks.steps.keys import Inputs, step_keys
from tasks.steps.recipe import STEPS, TRACKS
from tasks.steps.store import VERDICTS, Store
from tasks.steps.tally import Tally
from tasks.steps.verdict import source_row_of, verdict_key, write_verdict
from tasks.steps.walk import Walker
from tasks.steps.watch import DIED, Watch

OnRow = Callable[[str, dict[str, Any]], None]
"""Told ("sources", SOURCES row) as each source comes to its end."""
_LOCK_S = 3600.0
_MOST_DEATHS = 8
"""Rounds in which a source may take workers down before it is left out whole: each round settles a clip at most."""


class SourceWorker:
    """A Ray actor: loads the experts once, then takes sources through the steps, one after the other. Never raises."""

    def __init__(self, config: dict[str, Any], journal: str, retry: bool = False) -> None:
        self._config = Config.model_validate(config)
        self._retry = retry
        limit_s = 0.0 if self._config.runtime.in_process else self._config.runtime.clip_limit_s
        tries = self._config.runtime.max_attempts
        self._watch = Watch(Path(journal), limit_s, tries, node_id(), died_with_its_node)
        self._experts: Experts | None = None

    def __call__(self, task: dict[str, Any]) -> dict[str, Any]:
        key = task["key"]
        error: dict[str, Any] | None = None
        tally: dict[str, Any] = {}
        try:
            self._watch.open(key)
            tally = self._take(Source(**task["source"]), key, json.loads(task["steps"]))
        except Exception as caught:  # noqa: BLE001 - a source costs itself alone
            error = {name: outcome(caught, "preprocess")[name] for name in OUTCOME}
        self._watch.close("failed" if error else "ok")
        return {"key": key, "error": json.dumps(error), "tally": json.dumps(tally)}

    def _take(self, source: Source, key: str, keys: Mapping[str, str]) -> dict[str, Any]:
        store = Store.of(self._config)
        with at_hand(source, self._config) as here:
            source_row, info = probe_source(here, "", self._config)
            walk = None if info is None else self.walker(store).walk(here, info, keys)
        if walk is not None:
            walk.tell_by_address(here.uri, source.uri)
        elif source_row["reason"]:
            source_row["reason"] = source_row["reason"].replace(here.uri, source.uri)
        write_verdict(store, key, source_row, walk, self._config)
        return {} if walk is None else {name: counts.as_dict() for name, counts in walk.tally.items()}

    def walker(self, store: Store) -> Walker:
        """What takes sources through the steps; the experts are loaded with the first source that needs them."""
        if self._experts is None:
            self._experts = load_experts(self._config)
        return Walker(self._config, self._experts, store, self._watch, self._retry)


def preprocess_many(
    sources: Sequence[Source],
    dataset: str,
    config: Config,
    *,
    run_id: str = "",
    on_row: OnRow | None = None,
    message: str = "",
    retry_failed: bool = False,
) -> Built:
    """Build `dataset`, or extend it with these sources, and commit the result as a version.

    Rows in = rows out: every source has one SOURCES row and at least one CLIPS row. A source that the dataset has
    already is replaced by what it comes to now.

    Args:
        retry_failed: do again what failed in an earlier run, quarantined clips too; otherwise they stay as they are.

    Raises:
        ConfigError: an expert is missing.
        StorageFull: no room for the joined shards.
        WorkersFailed: Ray's workers cannot work; no version is made, and the next run goes on.
    """
    root, store = Root(config.root).create(), Store.of(config)
    items, repeated = listed(sources, config)
    run_id = run_id or secrets.token_hex(8)
    journal = Ledger(store.journal(run_id))
    folder = root.cache / "staging" / content_id(dataset, run_id)
    try:
        state = _build(items, dataset, config, store, journal, on_row, retry_failed)
        # Two runs at once: the one that comes later builds on what the other left.
        with FileLock(root.datasets / dataset / ".assembly.lock", _LOCK_S):
            before = previous_version(root, dataset)
            built = assemble(items, repeated, state.lost, dataset, config, folder, before.path if before else None)
            built.steps, built.done = state.tally, state.done
            built.version = versions.commit_version(
                root, dataset, folder if built.clips else None, message or f"{len(sources)} sources",
                base=before.version if before and built.stays else "", without=built.gone, changes=built.changes,
            )  # fmt: skip
        built.folder = versions.show_version(root, f"{dataset}@{built.version}").path
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        journal.path.unlink(missing_ok=True)
    return built


def listed(sources: Sequence[Source], config: Config) -> tuple[list[Item], list[Item]]:
    """Items by content, and those whose content came before in the list.

    A file left out unread has an id of its own, so that it never takes the place of the same bytes under a right name.
    """
    items: dict[str, Item] = {}
    repeated = []
    experts = expert_versions(config)
    know_remote((source for source in sources if source.refused is None), config)
    for source in sources:
        source_id = source_key(source.uri, config, fetch=source.refused is None)
        if source.refused is not None:
            source_id = content_id("refused", source_id, source.uri)
        inputs = Inputs.of(source, config, fetch=source.refused is None)
        keys = step_keys(STEPS, inputs, config, experts)
        item = Item(source, source_id, inputs.picture, verdict_key(source, source_id, keys, config), keys)
        if source_id in items:
            repeated.append(item)
        else:
            items[source_id] = item
    return list(items.values()), repeated


@dataclass
class _State:
    """What became of the items: outcome columns of those that have no verdict even then, by key; the keys of those
    done now; what was done at each step."""

    lost: dict[str, dict[str, Any]] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)
    tally: dict[str, Tally] = field(default_factory=dict)


def _build(
    items: Sequence[Item],
    dataset: str,
    config: Config,
    store: Store,
    journal: Ledger,
    on_row: OnRow | None,
    retry: bool,
) -> _State:
    """Takes the sources through the steps that have no verdict yet."""
    state = _State()
    todo: dict[str, Item] = {}
    for item in items:
        verdict = store.part(VERDICTS, item.key) if item.source.refused is None else None
        if item.source.refused is not None:
            state.lost[item.key] = _refused(item.source.refused)
            _tell_lost(on_row, item, state.lost[item.key], dataset, config)
        elif verdict is not None and not (retry and _has_failed(verdict)):
            for name in verdict.facts["keys"]:
                state.tally.setdefault(name, Tally()).kept += len(verdict.clips) if name != TRACKS else 1
            _tell(on_row, item, store, dataset)
        else:
            todo[item.key] = item
    if todo and not config.runtime.in_process:
        cluster.start(config, (local_path(item.source.uri) for item in todo.values()))
    deaths: Counter[str] = Counter()
    while todo:
        before, nodes = {key: journal.last(key) for key in todo}, node_ids()
        for answer in _answers(list(todo.values()), config, journal.path, retry):
            item = todo.pop(answer["key"])
            state.done.add(item.key)
            for name, counts in json.loads(answer["tally"]).items():
                state.tally.setdefault(name, Tally()).add(counts)
            error = json.loads(answer["error"])
            if error is not None:
                state.lost[item.key] = error
                _tell_lost(on_row, item, error, dataset, config)
            else:
                _tell(on_row, item, store, dataset)
        if nodes - node_ids():
            continue  # they went with their nodes: those that are left take them up
        begun = [key for key in todo if journal.last(key) != before[key]]
        # What a pool that lost its workers left untouched gets a fresh pool; where that one does nothing at all either,
        # its nodes have gone, and nothing is held against the films.
        if len(todo) == len(before) > 0 and not begun:
            raise WorkersFailed(
                f"the workers of Ray went before they took up any of the films left ({len(todo)})",
                "run it again: it goes on; if they go again, give them memory or fewer runtime.actors",
            )
        deaths.update(begun)
        for key in [key for key in begun if deaths[key] >= _MOST_DEATHS]:
            state.lost[key] = _died(deaths[key])
            _tell_lost(on_row, todo.pop(key), state.lost[key], dataset, config)
    return state


def _answers(items: list[Item], config: Config, journal: Path, retry: bool) -> Iterator[dict[str, Any]]:
    arguments = (cluster.settings(config), str(journal), retry)
    rows = [task_of(item) for item in items]
    yield from cluster.map_rows(rows, SourceWorker, arguments, config)


def task_of(item: Item) -> dict[str, Any]:
    """What a worker is told of an item: plain values."""
    return {"key": item.key, "source": item.source.as_dict(), "steps": json.dumps(dict(item.steps))}


def _has_failed(verdict: Any) -> bool:
    film = verdict.facts["film"]
    if film is not None:
        return bool(film["status"] == "failed")
    return any((verdict.work(clip) or {}).get("status") == "failed" for clip in verdict.clips)


def _tell(on_row: OnRow | None, item: Item, store: Store, dataset: str) -> None:
    verdict = store.part(VERDICTS, item.key)
    if on_row is not None and verdict is not None:
        on_row("sources", source_row_of(verdict, item.source, item.source_id, dataset))


def _tell_lost(on_row: OnRow | None, item: Item, verdict: dict[str, Any], dataset: str, config: Config) -> None:
    if on_row is not None:
        on_row("sources", verdict_rows(item, verdict, dataset, config)[1])


def _died(deaths: int) -> dict[str, Any]:
    return {
        "status": "failed", "stage": "preprocess", "error_type": DIED,
        "reason": f"its worker died (crash or out of memory) in {deaths} rounds "
        "(preprocess with --retry failed tries it again, or replace the file)",
    }  # fmt: skip


def _refused(reason: str) -> dict[str, Any]:
    return {"status": "rejected", "stage": "corpus", "measure": "name", "reason": reason}
