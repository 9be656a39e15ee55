"""Gathering: what a simulated run leaves behind, as a `History` for the checkers, and as one hash.

Only reading may live here.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from attrs import define, field

from chaos.checkers.conduct import Conduct
from chaos.checkers.facts import Answered, Ended, Facts, Installed, Led, Synced, Voted
from chaos.checkers.history import AuditRecord, History, audit_of, replayed
from chaos.checkers.stored import Stored, gaps_of, history_from
from chaos.sim.exchange import ACCOUNT
from chaos.sim.product import CLUSTER, DRIFT, WINDOW, Product, configuration
from cluster.types import LogIndex, Peer


def trace_of(product: Product) -> str:
    """A hash over all that the venue recorded, all that happened to the nodes, and what they came to."""
    seen = hashlib.blake2b(json.dumps(product.exchange.ledger.records, sort_keys=True).encode(), digest_size=16)
    seen.update(repr(product.trace).encode())
    told = product.recorder.history().only(Answered, Ended, Led, Synced, Voted)
    seen.update(repr(told).encode())
    for name, life in product.here().items():
        state = life.machine.state
        seen.update(f"{name} {state.index} {state.chain} {state.digest()}".encode())
    return seen.hexdigest()


def history_of(product: Product) -> History:
    """What the checkers read; of the nodes, those that are there at the end."""
    reader = _Reader(product)
    return history_from(
        product.exchange.ledger.records,
        ACCOUNT,
        CLUSTER,
        [reader.stored(name) for name in product.here()],
        gone={name: tuple(product.commits.get(name, ())) for name in sorted(product.away)},
        steps=tuple(product.sights.steps),
        sights=product.sights.found,
        replay=reader.replay,
        audit=reader.audit,
    )


def conduct_of(product: Product, facts: Facts) -> Conduct:
    """What the nodes did towards the venue."""
    policy = configuration().venues[0]
    return product.conduct.conduct(
        facts, cluster=CLUSTER, window=WINDOW, drift_ppm=int(DRIFT * 1e6), mandate_after=int(policy.mandate_after)
    )


@define(eq=False)
class _Reader:
    """Reads the nodes' stores; what is the same on all three is parsed and replayed once."""

    product: Product
    rows: dict[bytes, dict[str, Any]] = field(factory=dict)
    records: dict[int, AuditRecord] = field(factory=dict)  # by the id of its row, which `rows` keeps
    replays: list[tuple[list[dict[str, Any]], tuple[object, ...], tuple[str, str]]] = field(factory=list)

    def stored(self, name: Peer) -> Stored:
        store = self.product.network.processes[name].store
        pairs = list(store.state()) if store is not None else []
        audit = store.audit(LogIndex(0), 1 << 30) if store is not None else []
        state, commits = self.product.lives[name].machine.state, tuple(self.product.commits.get(name, ()))
        gaps = gaps_of(store.gaps()) if store is not None else ()
        seen = self.product.recorder.history().only(Installed)
        installed = frozenset(fact.place for fact in seen if fact.node == name)
        return Stored(name, pairs, [self._row(raw) for _, _, raw in audit], state, commits, gaps, installed)

    def _row(self, raw: bytes) -> dict[str, Any]:
        row = self.rows.get(raw)
        if row is None:
            row = self.rows[raw] = json.loads(raw)
        return row

    def audit(self, rows: list[dict[str, Any]]) -> tuple[AuditRecord, ...]:
        """What one row says is worked out once, whoever holds it."""
        news = [row for row in rows if id(row) not in self.records]
        self.records.update(zip(map(id, news), audit_of(news), strict=True))
        return tuple([self.records[id(row)] for row in rows])

    def replay(self, audit: list[dict[str, Any]], common: int, end: tuple[int, int]) -> tuple[str, str]:
        asked = (common, end)
        for known, at, digests in self.replays:
            if at == asked and len(known) == len(audit) and all(a is b for a, b in zip(known, audit, strict=True)):
                return digests
        digests = replayed(audit, common, end)
        self.replays.append((audit, asked, digests))
        return digests
