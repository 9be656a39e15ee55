"""Balance: why a node holds another amount of an asset than its opening and the venue's fills make.

Pure.  Only the comparison of a node's fills with the ledger's, as far as they move one asset, may live here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final

from attrs import frozen

from chaos.checkers.history import NodeHistory, VenueFill
from chaos.report.incident import Line
from chaos.report.left import Left

_SAID = re.compile(r"^(\S+) holds (\S+) (\w+); opening and fills make (\S+)$")
BEFORE: Final = 2  # fills that are shown before the first that differs
BEHIND: Final = 6  # and from it on
ZERO: Final = Decimal(0)
Key = tuple[str, int]


@frozen
class _Asset:
    """One asset of one node, and where each trade stands in the ledger."""

    node: NodeHistory
    asset: str
    places: Mapping[Key, tuple[int, int]]

    def moves(self, fill: VenueFill | None) -> Decimal:
        """How a fill changes what is held of it."""
        if fill is None:
            return ZERO
        base, quote = next(((b, q) for s, b, q in self.node.assets if s == fill.symbol), (fill.symbol, ""))
        bought = fill.quantity if fill.side == "BUY" else -fill.quantity
        moved = bought if self.asset == base else -bought * fill.price if self.asset == quote else ZERO
        return moved - self.fee(fill)

    def fee(self, fill: VenueFill) -> Decimal:
        """What of it was taken for the trade."""
        return fill.fee if fill.fee_asset == self.asset else ZERO

    def line(self, key: Key, venue: VenueFill | None, own: VenueFill | None) -> Line:
        """One trade, as both have it."""
        seq, at = self.places.get(key, (None, None))
        said = "the same" if venue == own or _alike(venue, own) else self._said(own)
        text = f"trade {key[1]} of {key[0]}: the venue has {self._said(venue)}; {self.node.name} has {said}"
        return Line("fills" if seq is None else f"ledger {seq}", at, text)

    def _said(self, fill: VenueFill | None) -> str:
        if fill is None:
            return "none of it"
        fee = f", with a fee of {self.fee(fill)}" if self.fee(fill) else ""
        return f"{fill.side} {fill.quantity} at {fill.price}: {self.moves(fill):+f} {self.asset}{fee}"


def balance(violation: str, left: Left) -> list[Line]:
    """Its opening, the fills around the first that differs, and what the difference amounts to."""
    found = _SAID.match(violation)
    node = next((one for one in left.history.nodes if found and one.name == found[1]), None)
    if found is None or node is None:
        return []
    asset = _Asset(node, found[3], _places(left))
    opening = dict(node.openings).get(asset.asset, ZERO)
    lines = [Line("opening", None, f"{node.name} began with {opening} {asset.asset}")]
    venue, own = _moving(left.history.fills, asset), _moving(node.fills, asset)
    keys = [*venue, *(key for key in own if key not in venue)]
    differ = [place for place, key in enumerate(keys) if not _alike(venue.get(key), own.get(key))]
    first = differ[0] if differ else len(keys)
    shown = keys[max(0, first - BEFORE) : first + BEHIND]
    lines += [asset.line(key, venue.get(key), own.get(key)) for key in shown]
    return [*lines, Line("sum", None, _told(asset, Decimal(found[2]) - Decimal(found[4]), venue, len(differ)))]


def _told(asset: _Asset, off: Decimal, venue: Mapping[Key, VenueFill], differ: int) -> str:
    """What the difference may be: a reader looks for its cause, and these two are the usual ones."""
    same = f"{differ} of {len(venue)} fills differ" if differ else f"all {len(venue)} fills are the same at both"
    fees = sum(map(asset.fee, venue.values()), ZERO)
    told = [f"{same}; the node holds {off:+f} {asset.asset} too much"]
    if fees and off == fees:
        told.append("so much are all fees in it together")
    told += [
        f"so much is what trade {key[1]} of {key[0]} moves"
        for key, fill in venue.items()
        if abs(asset.moves(fill)) == abs(off)
    ][:1]
    return ": ".join(told)


def _moving(fills: Sequence[VenueFill], asset: _Asset) -> dict[Key, VenueFill]:
    return {fill.key: fill for fill in fills if asset.moves(fill) or asset.fee(fill)}


def _alike(venue: VenueFill | None, own: VenueFill | None) -> bool:
    """A node need not know the venue's order id."""
    return (venue and _money(venue)) == (own and _money(own))


def _money(fill: VenueFill) -> tuple[object, ...]:
    return (fill.side, fill.price, fill.quantity, fill.fee, fill.fee_asset)


def _places(left: Left) -> dict[Key, tuple[int, int]]:
    return {
        (str(one["symbol"]), int(one["trade_id"])): (int(one["seq"]), int(one["mono_ns"]))
        for one in left.ledger
        if one["type"] == "fill" and one.get("account") == left.history.account
    }
