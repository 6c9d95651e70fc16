"""How long a search of 100,000 clips takes, by the calls that `dubwright catalog search` makes. Run by `make bench`.

The indexes are those that the catalog makes of itself while the rows are written; nothing is prepared for the searches.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from flows.cli_catalog import SHOWN
from models.text import load_text
from storage.catalog import Catalog
from storage.catalog_columns import VECTORS
from tasks.queries import Filter
from tests.bench.catalog_rows import clip_rows, people, seen_again

ROWS = 100_000
MOST_MS = 50.0
SEARCHES = 40
FEELINGS = (
    "quietly happy", "angry and loud", "speaks slowly with deep sadness", "a man who is afraid", "nodding with delight",
)  # fmt: skip

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    catalog = Catalog(tmp_path_factory.mktemp("root"))
    spent = []
    for rows in clip_rows(ROWS):
        began = time.perf_counter()
        catalog.upsert("clips", rows)
        spent.append(time.perf_counter() - began)
    print(f"\n{ROWS} rows written in {sum(spent):.0f} s, the longest write {max(spent):.1f} s")  # noqa: T201
    return catalog


def timed(name: str, questions: Sequence[Any], ask: Callable[[Any], Rows]) -> float:
    """p50 in ms, printed with p95 and the processor time of a search; every answer must have rows."""
    answers, spent, worked = [len(ask(questions[0]))], [], time.process_time()
    for number in range(SEARCHES):
        began = time.perf_counter()
        found = ask(questions[number % len(questions)])
        spent.append(1000 * (time.perf_counter() - began))
        answers.append(len(found))
    worked = 1000 * (time.process_time() - worked) / SEARCHES
    p50, p95 = np.percentile(spent, [50, 95])
    print(f"{name:<32} p50 {p50:6.1f} ms  p95 {p95:6.1f} ms  CPU {worked:5.1f} ms  {np.mean(answers):.0f} rows")  # noqa: T201
    assert min(answers) > 0, name
    return float(p50)


def questions(catalog: Catalog) -> Iterator[tuple[str, Sequence[Any], Callable[[Any], Rows]]]:
    """What is asked, by kind."""
    every = [name for name in catalog.columns("clips").names if name not in VECTORS]
    shown = SHOWN["clips"]
    encoder = load_text()
    meanings = [[float(x) for x in encoder.encode([text])[1][0]] for text in FEELINGS]
    faces = seen_again(people(np.random.default_rng(1))[:8], np.random.default_rng(2)).tolist()
    said = [row["transcript"].split() for row in catalog.rows("clips", limit=400, columns=["transcript"])[::40]]
    words = [" ".join(line[2:4]) for line in said] + ["rising anger", "loudly smiling"]
    filters = (
        Filter(emotion="happy", status="ok"), Filter("sync_confidence > 12"), Filter("speaker = 'speaker77'"),
        Filter(since="1d", where="split = 'val' AND intensity = 3"), Filter("source_uri LIKE '%film-1234.mp4'"),
    )  # fmt: skip
    conditions = [asked.sql("clips", catalog) for asked in filters]

    def search(columns: Sequence[str] = shown, **given: Any) -> Rows:
        return catalog.search("clips", columns=columns, **given)

    yield "text: meaning", meanings, lambda vector: search(vector=vector)
    yield "text: words", words, lambda text: search(text=text)
    yield "text: words, filtered", words[-2:], lambda text: search(text=text, where=conditions[0])
    yield "face", faces, lambda vector: search(vector=vector, column="identity")
    yield "face, filtered", faces, lambda vector: search(vector=vector, column="identity", where=conditions[0])
    yield "filter", conditions, lambda where: search(where=where)
    yield (
        "filter, sorted",
        conditions,
        lambda where: catalog.rows("clips", where, 20, shown, order_by="-sync_confidence"),
    )
    yield "face, for --json", faces, lambda vector: search(every, vector=vector, column="identity")
    yield "words, for --json", words, lambda text: search(every, text=text)


def test_every_kind_of_search_is_quick(catalog: Catalog) -> None:
    assert catalog.count("clips") == ROWS
    slow = {}
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")  # noqa: T201
    for name, asked, ask in questions(catalog):
        p50 = timed(name, asked, ask)
        if p50 > MOST_MS:
            slow[name] = round(p50, 1)
    assert slow == {}


def test_the_nearest_faces_are_found(catalog: Catalog) -> None:
    batches = catalog.batches("clips", columns=["clip_id", "identity"])
    names, parts = [], []
    for batch in batches:
        names += batch["clip_id"].to_pylist()
        parts.append(batch["identity"].flatten().to_numpy().reshape(-1, 512))
    held = np.concatenate(parts)
    random = np.random.default_rng(3)
    hits = []
    for number in random.integers(0, ROWS, 20):
        face = seen_again(held[number : number + 1], random)[0]
        nearest = {names[index] for index in np.argsort(held @ face)[-20:]}
        found = catalog.search("clips", vector=face.tolist(), column="identity", columns=["clip_id"])
        hits.append(len(nearest & {row["clip_id"] for row in found}) / 20)
    print(f"of the 20 nearest faces {100 * np.mean(hits):.1f} % are found")  # noqa: T201
    assert np.mean(hits) > 0.95


def test_a_row_more_costs_what_it_cost_when_there_were_few(catalog: Catalog) -> None:
    [rows] = clip_rows(40)
    spent = []
    for number, row in enumerate(rows):
        began = time.perf_counter()
        catalog.upsert("clips", {**row, "clip_id": f"later{number}"})
        spent.append(1000 * (time.perf_counter() - began))
        assert catalog.search("clips", vector=row["identity"], column="identity", limit=2)[0]["_score"] > 0.999
    print(f"one row more: p50 {np.median(spent):.0f} ms, the longest {max(spent):.0f} ms")  # noqa: T201
    assert np.median(spent) < 1000
