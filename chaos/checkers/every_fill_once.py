"""Every fill once (rule 4): the venue's trades of our account are every node's, no more and no fewer.

Pure; compares by symbol and trade id, and each field that a position is made of.
"""

from __future__ import annotations

from collections import Counter

from chaos.checkers.history import History, NodeHistory, VenueFill
from chaos.checkers.verdict import Check


def every_fill_once(history: History) -> Check:
    """Each node's fills equal the venue's, and its log counts each once."""
    venue = {fill.key: fill for fill in history.fills}
    violations = []
    if len(venue) != len(history.fills):
        violations.append("the venue's ledger itself repeats a trade id")
    for node in history.nodes:
        violations.extend(_missing_or_extra(node, venue))
        violations.extend(_counted_twice(node))
    return Check("every_fill_once", len(venue) * len(history.nodes), tuple(violations))


def _missing_or_extra(node: NodeHistory, venue: dict[tuple[str, int], VenueFill]) -> list[str]:
    held = {fill.key: fill for fill in node.fills}
    faults = [f"{node.name} lacks trade {key[1]} of {key[0]}" for key in sorted(venue.keys() - held.keys())]
    faults += [
        f"{node.name} has trade {key[1]} of {key[0]}, which the venue never made"
        for key in sorted(held.keys() - venue.keys())
    ]
    faults += [
        f"{node.name} has trade {key[1]} of {key[0]} as {_money(held[key])}, the venue as {_money(venue[key])}"
        for key in sorted(held.keys() & venue.keys())
        if _money(held[key]) != _money(venue[key])
    ]
    return faults


def _money(fill: VenueFill) -> tuple[object, ...]:
    return (fill.side, fill.price.normalize(), fill.quantity.normalize(), fill.fee.normalize(), fill.fee_asset)


def _counted_twice(node: NodeHistory) -> list[str]:
    counted = Counter(
        (str(record.command.get("symbol")), int(record.command.get("trade_id", -1)))
        for record in node.audit
        if record.kind == "fill_seen" and record.accepted and not record.duplicate
    )
    return [f"{node.name} counted trade {key[1]} of {key[0]} {n} times" for key, n in sorted(counted.items()) if n > 1]
