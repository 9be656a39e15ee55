"""Scenes: what happens to the product while a rule is broken, each the case in which that rule is what saves us.

Only scenes may live here.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from attrs import evolve

from chaos.checkers.history import named, orders_of
from chaos.checkers.verdict import Check
from chaos.mutants.mutant import Judge, Scene, storm
from chaos.mutants.patches import Patches
from chaos.sim import product
from chaos.sim.exchange import ACCOUNT
from chaos.sim.gather import history_of
from chaos.sim.network import MS, SECOND
from chaos.sim.operators import order_by_hand
from chaos.sim.plan import NAMES
from chaos.sim.run import Run
from cluster.types import Peer, Retention
from meltica.core.commands import By, Halt, Resume, Submit
from meltica.core.values import Epoch, Money, Nanos, NodeName
from meltica.leader.ports import Promote
from meltica.leader.status import Phase

# Picks of `slow_active`: 0 is 60 ms, 1 is 250 ms (within a window), 2 is 600 ms and 3 is 1,500 ms (past any window).
QUIET: Final = Scene("quiet", faults=storm(("bridge", 4, 4.5, 0)))
LATE_WORDS: Final = Scene("late words", faults=storm(("slow_active", 3, 5, 1), ("kill_active", 3.7, 4.4, 0)))
VERY_LATE_WORDS: Final = Scene("very late words", faults=storm(("slow_active", 3, 5, 2), ("kill_active", 3.8, 4.5, 0)))
# Picks of `clock_offset`: 0 sets the clock back by 2 s.
SET_BACK: Final = Scene(
    "very late words to a venue that sets its clock back",
    faults=storm(("slow_active", 3, 6, 3), ("clock_offset", 3.6, 9, 0), ("kill_active", 4.2, 4.8, 0)),
)
SET_BACK_PROMOTED: Final = Scene(
    "promoted, with very late words to a venue that sets its clock back",
    faults=storm(
        ("slow_active", 3, 8, 3),
        ("clock_offset", 3.6, 9, 0),
        *[("promote", 4.5 + place / 4, 4.5 + place / 4, place) for place in range(4)],
    ),
)
CUT_OFF: Final = Scene("cut off", faults=storm(("isolate_active", 3, 5, 0), ("isolate_active", 6, 8, 0)))
NO_ANSWERS: Final = Scene(
    "no answers", faults=storm(("drop_answer", 2.5, 4, 2), ("drop_answer", 4, 6, 2), ("bridge", 14, 14.5, 0))
)
DOUBLED: Final = Scene("doubled events", faults=storm(("duplicate_event", 2.5, 6, 0)))
LOST_REPORTS: Final = Scene(
    "lost reports", faults=storm(*[("lose_event", 2.5 + place / 10, 8, 1) for place in range(40)])
)
NO_WORD: Final = Scene(
    "neither answers nor reports, and the connection breaks",
    faults=storm(
        ("drop_answer", 3, 8, 2),
        *[("lose_event", 3 + place / 10, 8, 1) for place in range(20)],
        ("disconnect_active", 3.6, 4, 0),
    ),
)
STALLED: Final = Scene("stalled engine", faults=storm(("engine_stall", 3, 8, 0), ("kill_active", 3.3, 4, 0)))
BROUGHT_UP: Final = Scene(
    "standbys that were away are sent snapshots",
    faults=storm(("bridge", 3, 3.5, 0), *[("isolate", 4 + place, 7 + place, place) for place in range(0, 12, 4)]),
    retention=Retention(entries=20, most_entries=40),
)
HALTED: Final = Scene("halted", faults=storm(("halt_resume", 3, 7, 0), ("kill_active", 4, 4.7, 0)))
PROMOTED_LATE: Final = Scene(
    "promoted, with late words", faults=storm(("slow_active", 3, 5, 1), ("promote", 3.7, 3.7, 0))
)
RESTARTED: Final = Scene(
    "a node restarts, then a halt",
    faults=storm(("kill_active", 3, 3.5, 0), ("halt_resume", 6, 7, 1), ("halt_resume", 8, 9, 1)),
)
REDUCED: Final = Scene(
    "halted, and reduced meanwhile",
    faults=storm(("halt_resume", 3, 5, 1), ("reduce", 3.5, 6, 0), ("bridge", 6, 6.5, 0)),
)
TWO_HALTS: Final = Scene(
    "two halts, the first lifted earlier", faults=storm(("halt_resume", 3, 3.8, 1), ("halt_resume", 3.2, 5, 1))
)
MANUAL: Final = Scene("manual mode", faults=storm(("manual", 3, 7, 0), ("kill_active", 4, 4.7, 0)))
FAILING: Final = Scene(
    "the active node is killed twice", faults=storm(("kill_active", 3, 3.7, 0), ("kill_active", 5, 5.7, 0))
)
UNPLUGGED: Final = Scene(
    "power cuts", faults=storm(("torn_active", 3, 3.5, 0), ("power_active", 5, 5.5, 0), ("power_all", 7, 7.5, 0))
)
REFUSED: Final = Scene(
    "requests are refused for nothing", faults=storm(*[("reject", 3 + place / 2, 8, 15) for place in range(8)])
)


def _ours_alone(run: Run) -> Judge:
    """What another account was told is in no record: nothing happens here that a node would have to complain of."""

    def judge() -> Check:
        log = max((node.audit for node in history_of(run.product).nodes), key=len)
        told = [record for record in log if record.kind == "balance_seen" and record.accepted]
        odd = [
            f"index {record.index}: {record.command['what']}, {record.command['subject']}: {record.command['found']}"
            for record in log
            if record.kind == "discrepancy" and record.accepted
        ]
        return Check("ours_alone", len(told), tuple(odd))

    return judge


MIXED: Final = Scene(
    "another account's events are mixed in", faults=storm(("mix_events", 2.5, 6, 1)), script=_ours_alone
)


def _in_doubt_at_once(run: Run) -> Judge:
    """The start of an epoch puts all older sends in doubt; nobody has to find out later that an answer is missing."""

    def judge() -> Check:
        log = max((node.audit for node in history_of(run.product).nodes), key=len)
        cluster = product.CLUSTER
        told = [record for record in log if record.kind == "in_doubt" and record.accepted]
        late = [
            f"index {record.index}: {intent} of epoch {sent.epoch} is in doubt only now, in epoch {record.term}"
            for record in told
            if (sent := named(intent := str(record.command["intent"]), cluster)) and sent.epoch < record.term
        ]
        return Check("in_doubt_at_once", sum(record.kind == "epoch_started" for record in log) - 1, tuple(late))

    return judge


LOST_WORDS: Final = Scene(
    "last words are lost",
    faults=storm(("drop_request", 3, 8, 2), ("kill_active", 3.3, 4, 0)),
    script=_in_doubt_at_once,
)


def _asked_twice(run: Run) -> Judge | None:
    """An operator who has missed the answer asks once more, under the same request id."""
    operators, network = run.operators, run.product.network

    def ask() -> None:
        by = operators.by("wish")
        command = order_by_hand(by)
        operators.ask(command, by)
        network.at(500 * MS, again, command, by)

    def again(command: Submit, by: By) -> None:
        operators.ask(command, by)

    network.at(3 * SECOND, ask)
    return None


ASKED_TWICE: Final = Scene("an operator asks twice", faults=storm(("bridge", 4, 4.5, 0)), script=_asked_twice)


def _promoted_early(run: Run) -> Judge | None:
    """The active node is killed; whoever takes over is told, before it has waited, to hand over to the third."""
    product, network = run.product, run.product.network

    def kill() -> None:
        name = product.active()
        if name is not None:
            product.kill(name, power=False)
            network.at(1500 * MS, lambda: product.start(name))
            look(name, 2000)

    def look(gone: Peer, looks: int) -> None:
        for life in product.living():
            name = life.process.name
            if life.leader is not None and life.leader.phase is Phase.RECONCILING:
                (third,) = (NodeName(other) for other in NAMES if other not in {name, gone})
                by = run.operators.by("promote")
                product.act(name, Promote(by, third), lambda _result: None)
                return
        if looks:
            network.at(MS // 5, lambda: look(gone, looks - 1))

    network.at(3 * SECOND, kill)
    return None


PROMOTED_EARLY: Final = Scene(
    "promoted before the wait is over", faults=storm(("bridge", 6, 6.5, 0)), script=_promoted_early
)


def _an_old_look(run: Run) -> Judge | None:
    """An operator lifts a halt by a look at the screen from before a second one of the same name."""
    operators, network = run.operators, run.product.network
    operators.keeps.update({"first", "second"})
    seen: list[int] = []

    def halt(cause: str) -> None:
        by = operators.by("halt")
        operators.ask(Halt(Epoch(0), Nanos(0), cause, by=by), by)

    def look() -> None:
        seen.extend(int(life.machine.state.risk.index) for life in run.product.living())

    def resume() -> None:
        by = operators.by("resume")
        operators.ask(Resume(Epoch(0), Nanos(0), ("first",), max(seen, default=0), by), by)

    network.at(3 * SECOND, lambda: halt("first"))
    network.at(3 * SECOND + 300 * MS, look)
    network.at(3 * SECOND + 400 * MS, lambda: halt("second"))
    network.at(3 * SECOND + 700 * MS, resume)
    network.at(5 * SECOND, operators.keeps.clear)
    return None


OLD_LOOK: Final = Scene("a resume by an old look", faults=storm(("bridge", 5, 5.5, 0)), script=_an_old_look)
DISK_STALLED: Final = Scene("the active node's disk stalls", faults=storm(("disk_stall_active", 3, 6, 0)))


def _little_a_minute(patches: Patches) -> None:
    limits = evolve(product.LIMITS, executed_notional_minute=Money(Decimal(3000)))
    patches.attribute(product, "LIMITS", limits)


LITTLE_A_MINUTE: Final = Scene(
    "lost reports, and little may be executed within a minute",
    faults=LOST_REPORTS.faults,
    known=("liveness",),  # the limit refuses the order that is waited for after the faults
    setting=_little_a_minute,
)


def _everybody_alone(run: Run) -> Judge | None:
    """Nobody hears anybody for four seconds: what the active node quoted must be gone before they are over."""
    network, ledger = run.product.network, run.product.exchange.ledger
    found: list[str] = []
    looked: list[int] = []

    def cut() -> None:
        for pair in network.links:
            network.cut(*pair)

    def look() -> None:
        left = [order for order in orders_of(ledger.records, ACCOUNT) if order.open]
        looked.append(len(left))
        found.extend(f"{order.placed_as} is open, and nobody can speak for it" for order in left)

    def heal() -> None:
        for pair in network.links:
            network.heal(*pair)

    network.at(3 * SECOND, cut)
    network.at(6 * SECOND + 800 * MS, look)
    network.at(7 * SECOND, heal)
    return lambda: Check("quotes_gone", len(looked), tuple(found))


EVERYBODY_ALONE: Final = Scene("everybody alone", faults=storm(("bridge", 6.9, 7.5, 0)), script=_everybody_alone)


def _in_time(run: Run) -> Judge | None:
    """Nothing is admitted after s + W: the venue's own clock is right in this scene."""

    def judge() -> Check:
        history = history_of(run.product)
        ends = {i: c.until_ns for node in history.nodes for c in node.commits for i in c.intents if c.until_ns}
        admitted = [r for r in history.requests if r.admitted_ns is not None and r.client_order_id in ends]
        found = [
            f"request {r.seq} was admitted {((r.admitted_ns or 0) - ends[r.client_order_id]) / MS:.1f} ms after s + W"
            for r in admitted
            if (r.admitted_ns or 0) > ends[r.client_order_id]
        ]
        return Check("in_time", len(admitted), tuple(found))

    return judge


SLOW_COMMITS: Final = Scene(
    "slow commits, and late words", faults=storm(("slow_links", 3, 6, 0), ("slow_active", 3, 6, 1)), script=_in_time
)
STALE: Final = Scene(
    "stale reads",
    faults=storm(("stale_reads", 2.5, 8, 1), *[("disconnect", 3 + place / 2, 8, place) for place in range(6)]),
)
# Pick 10 of `stale_reads`: what is read is six seconds old.  Each disconnection has the balances read.
LAGGING: Final = Scene(
    "reads that are seconds old",
    faults=storm(("stale_reads", 7.5, 15, 10), *[("disconnect", 8 + place, 14, place) for place in range(3)]),
)
