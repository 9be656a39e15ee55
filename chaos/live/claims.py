"""Claims: what a scenario says of the lead and of sends while its faults are in force, by elections and the ledger.

Pure.  A sent order names its epoch, which is the term of its node's election; times are the machine's monotonic clock.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from chaos.checkers.verdict import Check
from chaos.live.nemeses import KILL, NEMESES, TIME
from chaos.live.pauses import HEALING_NS
from chaos.live.plan import MS, Fault
from chaos.live.scenarios import EVERY
from chaos.live.strike import Struck
from chaos.rig.blame import Timers

Sent = tuple[int, int]  # when the venue admitted an order, and its epoch
Elected = Sequence[Mapping[str, Any]]


def long_enough(faults: Iterable[Fault], slower: int, window_ms: int) -> frozenset[int]:
    """The numbers of the faults that are to cost whoever trades the lead.

    With the timers as they are shipped all are; with longer ones those that strike whoever leads for longer than all of
    an election's timers and the window take: a shorter one may cost nobody anything.
    """
    least = (Timers().slower(slower).election_max + window_ms) * MS
    return frozenset(
        one.number for one in faults if slower == 1 or (one.target in {"leader", EVERY} and one.lasts > least)
    )


def leader_lost(done: Sequence[Struck], elected: Elected, sent: Sequence[Sent]) -> Check:
    """Each fault of whoever traded cost it the lead: another was elected, and traded.  Looks at these faults."""
    hit = [one for one in done if one.led in one.aim.nodes]
    told = []
    for one in hit:
        until = one.end_ns + HEALING_NS
        others = {
            int(change["term"])
            for change in elected
            if change["node"] != one.led and one.begin_ns <= int(change["mono_ns"]) <= until
        }
        if not others:
            told.append(f"{one}: no other than {one.led}, which traded, became leader")
        elif not any(one.begin_ns <= at <= until and epoch in others for at, epoch in sent):
            told.append(f"{one}: another became leader in term {min(others)}, and no other traded")
    return Check("leader_lost", len(hit), tuple(told))


def silent(done: Sequence[Struck], sent: Sequence[Sent], nodes: Collection[str], within_ms: int) -> Check:
    """Whom a fault hits sends nothing more after so long, until it heals; of all nodes, nobody does.

    Nor does anybody while a majority of them is killed at once, whoever they are.  Looks at the faults that hit whoever
    traded, and at those times.
    """
    hit = [one for one in done if one.led in one.aim.nodes]
    told = []
    for one in hit:
        since = one.set_ns + within_ms * 1_000_000
        late = [
            at
            for at, epoch in sent
            if since < at < one.end_ns and (epoch == one.epoch or set(one.aim.nodes) >= set(nodes))
        ]
        if late:
            last = (late[-1] - one.set_ns) / 1e6
            told.append(f"{one}: {len(late)} orders later than {within_ms} ms, the last {last:.0f} ms after it began")
        if since >= one.end_ns:
            told.append(f"{one}: it was over before anybody had to be silent")
    lone = _without_majority(done, nodes)
    told += [text for last, down, end in lone if (text := _not_silent(last, down, end, sent, within_ms))]
    return Check("silent", len(hit) + len(lone), tuple(told))


def _without_majority(done: Sequence[Struck], nodes: Collection[str]) -> list[tuple[Struck, set[str], int]]:
    """The kills behind which a majority was down, by more faults than one; who was down then, and surely until when."""
    killed = sorted((one for one in done if one.fault.kind == KILL), key=lambda one: one.set_ns)
    found = []
    for place, last in enumerate(killed):
        before = [one for one in killed[:place] if last.set_ns < _started(one)]
        all_down = [*before, last]
        if 2 * len(_nodes(before)) < len(nodes) < 2 * len(_nodes(all_down)):
            until = next(
                at
                for at in sorted(map(_started, all_down))
                if 2 * len(_nodes(one for one in all_down if _started(one) > at)) < len(nodes)
            )
            found.append((last, _nodes(all_down), until))
    return found


def _started(one: Struck) -> int:
    """When its nodes are started again, at the earliest: it ends when they are ready."""
    return one.set_ns + one.fault.lasts


def _nodes(killed: Iterable[Struck]) -> set[str]:
    return {node for one in killed for node in one.aim.nodes}


def _not_silent(last: Struck, down: Collection[str], until: int, sent: Sequence[Sent], within_ms: int) -> str:
    since = last.set_ns + within_ms * MS
    who = f"{last}, so that {' and '.join(sorted(down))} were down"
    late = [at for at, _ in sent if since < at < until]
    if late:
        behind = (late[-1] - last.set_ns) / MS
        return f"{who}: {len(late)} orders later than {within_ms} ms, the last {behind:.0f} ms behind it"
    return f"{who}: one was back before anybody had to be silent" if since >= until else ""


def no_authority(done: Sequence[Struck], elected: Elected, sent: Sequence[Sent]) -> Check:
    """A node whose clock is wrong sends nothing in an epoch that it began meanwhile.  Looks at the faults of clocks."""
    wrong = [one for one in done if NEMESES[one.fault.kind].room == TIME]
    told = []
    for one in wrong:
        epochs = {
            int(change["term"]): change["node"]
            for change in elected
            if change["node"] in one.aim.nodes and one.set_ns <= int(change["mono_ns"]) < one.end_ns
        }
        told += [
            f"{one}: {epochs[epoch]} traded in epoch {epoch}, {(at - one.set_ns) / 1e6:.0f} ms after it began"
            for at, epoch in sent
            if epoch in epochs and at < one.end_ns
        ][:1]
    return Check("no_authority", len(wrong), tuple(told))


def unseen_fills(done: Sequence[Struck], filled: Sequence[int]) -> Check:
    """The venue filled orders of ours while each fault was in force; `filled`: when it did.  Looks at these fills."""
    found = [[at for at in filled if one.set_ns < at < one.end_ns] for one in done]
    told = [f"{one}: nothing of ours was filled meanwhile" for one, own in zip(done, found, strict=True) if not own]
    return Check("unseen_fills", sum(map(len, found)), tuple(told))


def filled(ledger: Iterable[Mapping[str, Any]], account: str) -> list[int]:
    """When the venue filled an order of ours."""
    return [int(one["mono_ns"]) for one in ledger if one["type"] == "fill" and one.get("account") == account]
