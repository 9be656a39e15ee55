"""Judge: what a run on a deployed cluster shows, by the venue's ledger and by what the nodes tell over their API.

Pure.  It is less than a rig's folders show: which of the usual checks can't be made, and why, is in `unjudged`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from chaos.abroad.faces import Face
from chaos.abroad.reach import LEDGER, PROCESSES
from chaos.checkers.every_fill_once import every_fill_once
from chaos.checkers.history import History, fills_of, orders_of, requests_of
from chaos.checkers.one_send import one_send
from chaos.checkers.one_trader import one_trader
from chaos.checkers.orders_equal import orders_equal
from chaos.checkers.verdict import Check
from chaos.live.judge import found_some
from chaos.live.nemeses import HALT
from chaos.live.strike import Struck
from chaos.live.workload import Denied, Told
from meltica.core.ids import parse_id

GRACE_NS: Final = 1_000_000_000  # behind a halt's acknowledgement, for what was ordered before and is still on its way
FOLDERS: Final = "it takes the nodes' data folders: `meltica cluster verify` looks at copies of them"
LOGS: Final = "it takes the nodes' logs"
OF_FOLDERS: Final = (
    "intent_first",
    "state_equal",
    "positions",
    "accounted",
    "halt_survives",
    "audit_trail",
    "worst_case",
    "in_authority",
    "windows_apart",
)
OF_A_LEDGER: Final = ("ledger_whole", "one_trader", "one_send", "every_fill_once", "orders_equal", "halt_kept")

Ledger = Sequence[Mapping[str, Any]]


def unjudged(*, ledger: bool) -> tuple[tuple[str, str], ...]:
    """The checks of every run on a rig that are not made, and why; of what one scenario claims, its plan says it."""
    lacking = [
        *((name, FOLDERS) for name in OF_FOLDERS),
        *((name, LOGS) for name in ("tightened", "mandate")),
        *((name, PROCESSES) for name in ("ended_well", "through_proxies", "links_used")),
    ]
    return (*lacking, *(() if ledger else ((name, LEDGER) for name in OF_A_LEDGER)))


def history_of(ledger: Ledger, account: str, cluster: str, faces: Sequence[Face]) -> History:
    """What was asked for in this run, and what came of that at the venue and in each node."""
    requests = requests_of(ledger, account)
    ours = {one.client_order_id for one in requests if not one.is_cancel}
    return History(
        account=account,
        cluster=cluster,
        requests=requests,
        fills=tuple(one for one in fills_of(ledger, account) if one.client_order_id in ours),
        orders=tuple(one for one in orders_of(ledger, account) if one.placed_as in ours),
        nodes=tuple(face.history(ours) for face in faces),
    )


def by_ledger(history: History) -> tuple[Check, ...]:
    """The shared checks that need no log."""
    return tuple(check(history) for check in (one_trader, one_send, every_fill_once, orders_equal))


def cancelled(history: History, told: Sequence[Told], asked: Mapping[int, Collection[str]]) -> Check:
    """By hand some order was cancelled; `asked`: by a fault's number, its requests that were acknowledged.

    A cancel at the venue has a name of our making, which says the index at which it was decided.
    """
    names = [parse_id(one.client_order_id) for one in history.requests if one.is_cancel]
    decided = {int(name.index) for name in names if name is not None}
    found = {one.request for one in told if one.index in decided}
    return found_some(found, asked)


def halt_kept(done: Iterable[Struck], sent: Sequence[int]) -> Check:
    """Nothing was sent from soon behind a halt by hand until it began to be lifted; `sent`: orders' admissions.

    Looks at these halts.
    """
    halts = [one for one in done if one.fault.kind == HALT and not one.not_done]
    told = []
    for one in halts:
        lifted = min(one.end_ns, one.set_ns + one.fault.lasts)  # not before that; it has ended when all know of it
        late = [at for at in sent if one.set_ns + GRACE_NS < at < lifted]
        if late:
            told.append(f"{one}: {len(late)} orders, the last {(late[-1] - one.set_ns) / 1e6:.0f} ms behind it")
    return Check("halt_kept", len(halts), tuple(told))


def trails_equal(faces: Sequence[Face]) -> Check:
    """All nodes' trails say the same, record by record, as their chains are equal.  Looks at each node's records.

    Who installed a snapshot lacks what it says that it lacks, and nothing else.
    """
    found = {face: {(int(row["index"]), int(row["place"])): str(row["chain"]) for row in face.audit} for face in faces}
    last = min((max(rows, default=(0, 0)) for rows in found.values()), default=(0, 0))
    told = list[str]()
    for place in sorted({place for rows in found.values() for place in rows if place <= last}):
        lack = [face.node for face, rows in found.items() if place not in rows and not face.excuses(place[0])]
        chains = {face.node: rows[place] for face, rows in found.items() if place in rows}
        if lack:
            told.append(f"{', '.join(lack)} has no record of index {place[0]}, and others do")
        if len(set(chains.values())) > 1:
            told.append(f"the trails part at index {place[0]}: {chains}")
        if told:
            break  # what follows differs because of it
    return Check("trails_equal", sum(map(len, found.values())), tuple(told))


def acknowledged(faces: Sequence[Face], told: Sequence[Told]) -> Check:
    """What an operator was told is done is in every node's trail, at its place; the reason there names the request."""
    violations = []
    for face in faces:
        reasons: dict[int, list[str]] = {}
        for row in face.audit:
            reasons.setdefault(int(row["index"]), []).append(str(row["reason"]))
        violations += [
            f"{face.node} lacks {one.request}, acknowledged at index {one.index}"
            for one in told
            if not any(one.request in reason for reason in reasons.get(one.index, ()))
        ]
    return Check("acknowledged", len(told), tuple(violations))


def denied(faces: Sequence[Face], refused: Sequence[Denied], told: Sequence[Told]) -> Check:
    """What an operator was told was not done is in no trail as done.  Looks at all requests."""
    violations = []
    for face in faces:
        done = " ".join(str(row["reason"]) for row in face.audit if row["rejection"] is None)
        violations += [
            f"{face.node} has done {one.request}, of which {one.status} was answered, that nothing was done"
            for one in refused
            if one.request in done
        ]
    return Check("denied", len(refused) + len(told), tuple(violations))
