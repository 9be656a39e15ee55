"""Unknown counts at its worst (rule 5): every order that the log let through fits every limit, with all that is not
known to have ended counted as fully executed.

Pure.  The model (`exposure`) and the limits (`limits`) are made here of the log's commands alone.  Limits in force are
those of the newest `configured`.
"""

from __future__ import annotations

from decimal import Decimal

from chaos.checkers.exposure import ZERO, Exposure
from chaos.checkers.history import AuditRecord, History, NodeHistory
from chaos.checkers.limits import broken, wish_of
from chaos.checkers.verdict import Check


def worst_case(history: History) -> Check:
    """Looks at every order that was let through, on the longest log."""
    node = max(history.nodes, key=lambda each: len(each.audit), default=None)
    if node is None:
        return Check("worst_case", 0, ())
    model, violations, judged = _model(node), list[str](), 0
    for record in node.audit:
        model.clock.take(record)
        if not record.accepted or record.duplicate:  # what was known before changes nothing
            continue
        if record.kind == "submit":
            judged += bool(model.limits)
            violations += _submitted(model, record)
        else:
            model.take(record)
    return Check("worst_case", judged, tuple(violations))


def _model(node: NodeHistory) -> Exposure:
    openings = dict(node.openings)
    assets = {symbol: (base, quote) for symbol, base, quote in node.assets}
    positions = {symbol: openings.get(base, Decimal(0)) for symbol, (base, _) in assets.items()}
    held = {asset: openings.get(asset, ZERO) for pair in assets.values() for asset in pair}
    return Exposure(assets, positions, {**held, **openings})


def _submitted(model: Exposure, record: AuditRecord) -> list[str]:
    """One more order: with it everything must fit."""
    wish = wish_of(record.command, model.limits)
    found = [
        f"index {record.index}: {', '.join(record.intents)} was let through; with all that may still be executed {what}"
        for what in (broken(model, wish) if model.limits else ())
    ]
    model.submit(record, wish.worst)
    return found
