"""Positions (rule 4): what a node holds is its opening balance and the venue's fills, net of fees in the asset itself.

Pure; the sums are made here, from the venue's ledger alone.
"""

from __future__ import annotations

from collections import defaultdict
from decimal import Context, Decimal, Inexact

from chaos.checkers.history import History, NodeHistory, VenueFill
from chaos.checkers.verdict import Check

EXACT = Context(prec=80, traps=[Inexact])


def positions(history: History) -> Check:
    """Every asset of every node."""
    violations: list[str] = []
    looked_at = 0
    for node in history.nodes:
        expected = _expected(node, history.fills)
        held = dict(node.holdings)
        looked_at += len(expected)
        violations.extend(
            f"{node.name} holds {held.get(asset, Decimal(0))} {asset}; opening and fills make {amount}"
            for asset, amount in sorted(expected.items())
            if held.get(asset, Decimal(0)) != amount
        )
    return Check("positions", looked_at, tuple(violations))


def _expected(node: NodeHistory, fills: tuple[VenueFill, ...]) -> dict[str, Decimal]:
    amounts: defaultdict[str, Decimal] = defaultdict(Decimal, node.openings)
    assets = {symbol: (base, quote) for symbol, base, quote in node.assets}
    for fill in fills:
        base, quote = assets.get(fill.symbol, (fill.symbol, "?"))
        bought = fill.quantity if fill.side == "BUY" else -fill.quantity
        amounts[base] = EXACT.add(amounts[base], bought)
        amounts[quote] = EXACT.subtract(amounts[quote], EXACT.multiply(bought, fill.price))
        amounts[fill.fee_asset] = EXACT.subtract(amounts[fill.fee_asset], fill.fee)
    return dict(amounts)
