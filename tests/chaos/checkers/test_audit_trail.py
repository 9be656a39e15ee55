"""The audit trail: whole, in order, chained; each way of breaking it is seen."""

from __future__ import annotations

from hashlib import blake2b

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos.checkers.audit_trail import BEGINNING, audit_trail, link
from chaos.checkers.history import AuditRecord
from meltica.core.apply import chained
from meltica.core.values import Index
from tests.chaos.checkers import honest as h
from tests.chaos.checkers.honest import fails as failed


def fails(audit: tuple[AuditRecord, ...], word: str) -> None:
    """With this trail on one node, the others honest."""
    failed(audit_trail(h.with_node(h.honest(), "n2", audit=audit)), word)


def test_it_holds_on_an_honest_history_and_counts_every_record() -> None:
    check = audit_trail(h.honest())
    assert (check.violations, check.looked_at) == ((), 3 * len(h.AUDIT))


@pytest.mark.parametrize("place", range(len(h.AUDIT)))
def test_a_record_that_is_gone(place: int) -> None:
    kept = h.AUDIT[:place] + h.AUDIT[place + 1 :]
    fails(kept, f"lacks the record of index {h.AUDIT[place].index} place 0")
    fails(h.linked(*kept), "lacks the record")  # chained anew, so that nothing breaks


def test_a_node_that_has_applied_less_lacks_nothing() -> None:
    history = h.with_node(h.honest(), "n2", audit=h.AUDIT[:-1], applied_index=20)
    assert audit_trail(history).held


@settings(deadline=None)
@given(place=st.integers(0, len(h.AUDIT) - 1), what=st.sampled_from(["command", "chain", "kind", "index"]))
def test_a_record_that_was_changed(place: int, what: str) -> None:
    one = h.AUDIT[place]
    changed = {
        "command": evolve(one, command={**one.command, "more": 1}),
        "chain": evolve(one, chain="00" * 32),
        "kind": evolve(one, kind="garbage", command={"blake2b": "11" * 32}),
        "index": evolve(one, index=one.index + 1000),
    }[what]
    audit = (*h.AUDIT[:place], changed, *h.AUDIT[place + 1 :])
    fails(audit, f"the chain breaks at index {changed.index}")


def test_records_in_another_order() -> None:
    swapped = (*h.AUDIT[:3], h.AUDIT[4], h.AUDIT[3], *h.AUDIT[5:])
    fails(h.linked(*swapped), "index 11 place 0 of term 1 follows index 12")


def test_an_entry_whose_places_have_a_gap() -> None:
    extra = h.record(22, 2, "halt")
    fails(h.linked(*h.AUDIT, extra, evolve(extra, place=2)), "index 22 place 2")
    fails(h.linked(*h.AUDIT, evolve(extra, place=1)), "index 22 place 1")
    more = h.linked(*h.AUDIT, extra, evolve(extra, place=1))
    history = h.honest()
    for name in ("n1", "n2", "n3"):
        history = h.with_node(history, name, audit=more)
    assert audit_trail(history).held


def test_a_term_that_goes_back() -> None:
    fails(h.linked(*h.AUDIT, h.record(22, 1, "halt")), "of term 1 follows index 21 place 0 of term 2")


def test_the_chain_is_the_products() -> None:
    record = h.record(7, 1, "submit", b=1, a="x")
    raw = b'{"a":"x","b":1}'
    assert link(BEGINNING, record) == chained(BEGINNING, Index(7), 0, raw)
    garbage = evolve(record, kind="garbage", command={"blake2b": blake2b(b"\xff", digest_size=32).hexdigest()})
    assert link(BEGINNING, garbage) == chained(BEGINNING, Index(7), 0, b"\xff")
