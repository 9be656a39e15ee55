"""The cancel mandate (design.md, section 5): the one exception to *intent first*, and how far it goes.

Pure.  A request under it is a cancel, names one order that was ours and open in the log, and comes from a node that an
operator told to cancel without a quorum, or from the node whose epoch it is, in the life that took it, which has not
committed anything in that epoch for as long as the mandate waits.
"""

from __future__ import annotations

from chaos.checkers.conduct import Conduct, Sent
from chaos.checkers.facts import Done, Ended, Led
from chaos.checkers.history import History, Named, named
from chaos.checkers.verdict import Check


def mandate(history: History, conduct: Conduct) -> Check:
    """Looks at every request that was written, and judges those that are under the mandate."""
    ours = {order.client_order_id for node in history.nodes for order in node.orders}
    placed = {(o.symbol, o.order_id): o.placed_as for o in history.orders}
    requests = {request.client_order_id: request for request in history.requests}
    violations: list[str] = []
    for sent in conduct.sent:
        parts = named(sent.intent, conduct.cluster)
        if parts is None or not parts.mandate:
            continue
        if why := _not_allowed(conduct, sent, parts):
            violations.append(f"{sent.node} wrote {sent.intent} under the mandate, {why}")
        request = requests.get(sent.intent)
        if request is None or request.admitted_ns is None:
            continue
        if not request.is_cancel:
            violations.append(f"request {request.seq} under the mandate is {request.method}")
        elif len(request.names) != 1 or placed.get((request.symbol, request.names[0])) not in ours:
            violations.append(f"request {request.seq} under the mandate names {request.names}, not one order of ours")
    return Check("mandate", len(conduct.sent), tuple(violations))


def _not_allowed(conduct: Conduct, sent: Sent, parts: Named) -> str:
    if any(node == sent.node and at <= sent.at for at, node in conduct.by_hand):
        return ""
    led, newest = False, 0
    for fact in conduct.facts.facts:
        if fact.at >= sent.at:  # in the instant in which a stopped process goes on, it acts before it hears
            break
        if isinstance(fact, Led) and fact.node == sent.node and fact.term == parts.epoch:
            led, newest = True, fact.at  # and it may have led a newer term since, in which it took nothing
        elif isinstance(fact, Ended) and fact.node == sent.node:
            led = False
        elif isinstance(fact, Done) and fact.node == sent.node and fact.term == parts.epoch and led:
            newest = fact.at
    if not led:
        return f"and did not lead in term {parts.epoch} in this life, nor was told to"
    least = conduct.mandate_after - 2 * conduct.mandate_after * conduct.drift_ppm // 1_000_000
    if sent.at - newest < least:
        return f"{(sent.at - newest) / 1e6:.0f} ms after its last commit"
    return ""
