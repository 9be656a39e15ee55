"""Trace: everything that happened in one run, in the order of time, a JSON object a line.

Only writing it down may live here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from heapq import merge
from pathlib import Path
from typing import Any

from chaos.sim.plan import document_of
from chaos.sim.product import Product
from chaos.sim.run import Outcome


def write_trace(path: Path, outcome: Outcome, product: Product) -> None:
    """The plan first, what happened, the verdict last."""
    with path.open("w") as file:
        for line in _lines(outcome, product):
            file.write(json.dumps(line, default=str) + "\n")


def _lines(outcome: Outcome, product: Product) -> Iterator[dict[str, Any]]:
    yield document_of(outcome.plan)
    nodes = ((event[0], {"at": event[0], "what": event[1], "of": event[2:]}) for event in product.trace)
    records = product.exchange.ledger.records
    venue = ((record["mono_ns"], {"at": record["mono_ns"], "what": "venue", "of": record}) for record in records)
    yield from (line for _, line in merge(nodes, venue, key=_time))
    checks = [check.document() for check in outcome.checks]
    yield {"violations": outcome.violations, "checks": checks, "virtual_ns": outcome.virtual_ns, "trace": outcome.trace}


def _time(line: tuple[Any, dict[str, Any]]) -> int:
    return int(line[0])
