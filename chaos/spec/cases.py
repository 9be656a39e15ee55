"""Cases: what the specification of authority is asked: the protocol within bounds, and each way of breaking it.

Only the table may live here.  The specification itself is in `meltica/leader/spec`: `Replication.tla` says what each
bound means; a mutation is named there, or in `Authority.tla`, as `Bug("...")`.
"""

from __future__ import annotations

from typing import Any, Final

from attrs import evolve, field, frozen


@frozen
class Case:
    """One question.  `expect`: what must be hit (properties violated, or states reached); empty: nothing may be."""

    name: str
    why: str  # a sentence for a person
    expect: frozenset[str] = frozenset()
    broken: str = ""
    terms: int = 2
    intents: int = 1
    others: int = 0
    wiped: int = 0
    windows: frozenset[int] = frozenset({2})
    cancels: frozenset[int] = frozenset()
    handover: bool = False
    mandate: int = 0
    stage: int = 0
    changes: int = 0
    snapshots: frozenset[str] = field(default=frozenset())
    unit: int = 1
    slow: int = 1
    fast: int = 2
    venue: frozenset[str] = frozenset({"deadline", "delay"})
    process: frozenset[str] = field(default=frozenset())


RATIO: Final = {"unit": 2, "slow": 1, "fast": 3}  # clocks that err both ways by half


def _holds(name: str, why: str, **bounds: Any) -> Case:
    return evolve(Case(name, why), **bounds)


def _breaks(name: str, hit: str, why: str, **bounds: Any) -> Case:
    return evolve(Case(name, why, frozenset({hit}), name, venue=frozenset({"deadline"})), **bounds)


def _set(*members: str) -> frozenset[str]:
    return frozenset(members)


ONE: Final = {"windows": frozenset({1})}  # a tick of authority
LATE: Final = _set("deadline", "delay")
PAUSE: Final = _set("pause")
RESTART: Final = _set("restart")
SNAPSHOTS: Final = _set("install", "compact")
SHORT: Final = {"windows": frozenset({1}), "venue": _set("deadline")}  # a tick of authority, and no late packet

# The protocol: nothing may be violated.
HOLDS: Final = (
    _holds("core", "hand-over, two epochs, two intents", intents=2, handover=True),
    _holds("three-epochs", "three epochs", terms=3, handover=True),
    _holds("pause", "a process stops between its check and its write", intents=2, process=PAUSE),
    _holds("restart", "processes end and start again", intents=2, process=RESTART),
    _holds(
        "disk", "syncs are steps of their own; a power cut loses what was not synced", process=_set("disk", "restart")
    ),
    _holds(
        "eager",
        "a leader proposes whatever it holds for itself: apply and gate alone decide",
        intents=2,
        handover=True,
        process=_set("eager"),
    ),
    _holds("others", "entries that order no send start no wait", others=1, intents=1, handover=True),
    _holds("windows", "an older epoch had another window", windows=frozenset({2, 3}), handover=True),
    _holds("suspend", "a clock may stand still, its machine with it", handover=True, process=_set("suspend")),
    _holds("ratio", "clocks err both ways, and the venue has no deadline", handover=True, venue=frozenset(), **RATIO),
    _holds("mandate", "the last active node, without a majority, cancels its quotes", intents=2, mandate=2),
    _holds("manual", "authority for cancels alone, then a promote", intents=2, cancels=frozenset({2})),
    _holds("snapshots", "snapshots are installed, and logs begin higher", snapshots=SNAPSHOTS),
    _holds("snapshots-3", "the same in three epochs", terms=3, snapshots=SNAPSHOTS, **SHORT),
    _holds("replace", "a node is replaced, in any order: leader completeness alone", intents=0, changes=3),
    _holds("learner", "a learner votes, or goes", stage=1, changes=1, **SHORT),
    _holds("four", "one of four voters goes", stage=2, changes=1, **SHORT),
    _holds(
        "deposed", "the same, and a leader that was left goes on", stage=2, changes=1, process=_set("deposed"), **SHORT
    ),
    _holds("newcomer", "a new node gets a snapshot, and votes", intents=0, changes=2, snapshots=_set("newcomer")),
)

# Not vacuous: these must be reachable.
REACHES: Final = (
    Case("HandedOver", "a release spares the successor its wait", _set("HandedOver"), handover=True),
    Case("Overlap", "a deposed leader's order is accepted beside a newer leader", _set("Overlap")),
    Case("Traded", "each epoch trades", _set("Traded"), intents=2),
    Case("Installed", "who leads knows of a send by a snapshot alone", _set("Installed"), snapshots=_set("install")),
    Case("Replaced", "the new node leads in the removed one's place", _set("Replaced"), changes=3, intents=0),
)

# Ways to change who takes part by which a leader lacks what was committed: seen at the log alone.
MEMBERS: Final = (
    _breaks(
        "RemovedNodeVotes", "Incomplete", "the vote of a removed node counts", intents=0, others=1, stage=2, changes=1
    ),
    _breaks(
        "TwoChangesAtOnce",
        "Incomplete",
        "a change before the former one is committed",
        intents=0,
        stage=1,
        changes=2,
    ),
)

# Broken on purpose: each must violate what it names.
BREAKS: Final = (
    _breaks("NoWait", "P4Quiet", "the successor waits for nothing"),
    _breaks("WaitFromMissed", "P4Quiet", "the wait counts from when the leader was missed"),
    _breaks("SAtCommit", "P4Quiet", "s is taken when the entry commits"),
    _breaks(
        "NoDeadlinePause",
        "P4Quiet",
        "no deadline at the venue, and a pause",
        broken="",
        venue=frozenset(),
        process=PAUSE,
    ),
    _breaks(
        "NoDeadlineDelay", "P4Quiet", "no deadline at the venue, and a late packet", broken="", venue=_set("delay")
    ),
    _breaks("DeadlineFromWrite", "P4Quiet", "the deadline counts from the write", process=PAUSE),
    _breaks("ReleaseInFlight", "P5", "a release with a send in flight", terms=1, handover=True, venue=LATE),
    _breaks(
        "UnknownIsAnswer", "P5", "a connection that closed is taken for an answer", terms=1, handover=True, venue=LATE
    ),
    _breaks("DrainWithoutDrift", "P5", "the drain's clock is taken for exact", terms=1, handover=True, venue=LATE),
    _breaks(
        "GateShutsLate",
        "P5",
        "the gate shuts when the release commits, not when the drain begins",
        terms=1,
        handover=True,
    ),
    _breaks("ReopenAfterRelease", "P5", "the node sends again in an epoch that it released", terms=1, handover=True),
    _breaks("DriftIgnored", "P4Quiet", "the successor's clock is taken for exact"),
    _breaks(
        "DriftOfEachClock",
        "P4Quiet",
        "the drift of one clock is taken for that of their ratio",
        venue=frozenset(),
        **RATIO,
    ),
    _breaks("RestartForgetsWait", "P4Quiet", "entries that were loaded at start are not waited for", process=RESTART),
    _breaks("EarlyReadIsAbsence", "Absent", "absence is concluded from a read before the wait's end"),
    _breaks("SendBeforeCommit", "P2", "a send before its intent is committed", terms=1),
    _breaks("OlderIntentsSent", "P3", "a new leader sends what its log holds of older epochs"),
    _breaks("WipedDiskVotes", "P4Known", "a lost disk comes back under the old identity", wiped=1),
    _breaks("TieSends", "P4Quiet", "at the tie, s + W, both may send"),
    _breaks("OwnWindow", "P4Quiet", "an older epoch is waited for with the own window", windows=frozenset({2, 3})),
    _breaks("MandateAtOnce", "Mandate", "the mandate does not wait", terms=1, mandate=2),
    _breaks("MandateByStandby", "Mandate", "a standby cancels, and the leader may be healthy", terms=1, mandate=2),
    _breaks("PromoteIgnored", "InFull", "in manual mode orders are sent before the promote", cancels=frozenset({2})),
    _breaks(
        "SnapshotForgetsWait", "P4Quiet", "a snapshot's sends are not waited for", snapshots=_set("install"), **ONE
    ),
    _breaks(
        "CompactionForgetsWait", "P4Quiet", "what compaction drops is not waited for", snapshots=_set("compact"), **ONE
    ),
    _breaks("LearnerCounts", "P4Known", "a learner's copy counts for a commit", stage=1, **ONE),
    _breaks("LearnerVotes", "P4Known", "a learner's vote counts", stage=1, **ONE),
    *MEMBERS,
)

# The same, where it takes more steps to see.
SLOW_BREAKS: Final = (
    _breaks(
        "ChangeBeforeOwnTerm",
        "Incomplete",
        "a change before an entry of the leader's own term is committed",
        intents=0,
        terms=3,
        stage=2,
        changes=1,
    ),
    _breaks("MandateCancelsAll", "Mandate", "the mandate names no order: it hits a newer epoch's", mandate=2),
    _breaks("LeadingIsEnough", "P1", "being the leader is a reason to send", intents=2),
    _breaks(
        "ReplicatedNotCounted",
        "P4Quiet",
        "an entry of an older epoch that came from a newer leader counts not",
        terms=3,
    ),
    _breaks("AnyReleaseRelieves", "P4Quiet", "any older epoch's release is taken as an excuse", terms=3, handover=True),
    _breaks("ReleaseWhileWaiting", "P4Quiet", "an epoch is released that was never taken", terms=3, handover=True),
    _breaks("AckBeforeSync", "P4Known", "a copy counts before it is synced", process=_set("disk", "restart")),
)
# What a trader would see of it: an older epoch's order after a newer one's.
HARM: Final = tuple(
    evolve(case, name=f"{case.name}-P1", expect=frozenset({"P1"}), intents=2)
    for case in BREAKS
    if case.name in {"NoWait", "SAtCommit", "DriftIgnored", "TieSends", "DeadlineFromWrite", "SnapshotForgetsWait"}
)
# And what its leader would: a send that may still be accepted, and that it does not know.
UNKNOWN: Final = tuple(
    evolve(
        case, name=f"{case.name}-P4Known", expect=frozenset({"P4Known"}), intents=1, others=0, windows=frozenset({1})
    )
    for case in MEMBERS
)

QUICK: Final = (
    _holds("core-1", "hand-over, two epochs, one intent", handover=True),
    _holds("snapshots-1", "snapshots are installed, and logs begin higher", snapshots=SNAPSHOTS, **SHORT),
    _holds("four-0", "one of four voters goes: leader completeness alone", intents=0, stage=2, changes=1),
    REACHES[1],
    *BREAKS,
)
ALL: Final = (*HOLDS, *REACHES, *BREAKS, *SLOW_BREAKS, *HARM, *UNKNOWN)
# Not in `all`: hours, or a good part of one, on a busy machine.
DEEP: Final = (
    _holds("manual-handover", "manual mode and hand-over", intents=2, cancels=frozenset({2}), handover=True),
    _holds("core-3", "three epochs, two intents", terms=3, intents=2, handover=True),
    _holds("disk-2", "two intents on disks that lose what was not synced", intents=2, process=_set("disk", "restart")),
    _holds("replace-1", "a node is replaced, and one intent", changes=3, **SHORT),
    _holds("replace-3", "a node is replaced, in three terms", intents=0, terms=3, changes=3),
)
GROUPS: Final = {
    "quick": QUICK,
    "all": ALL,
    "holds": HOLDS,
    "breaks": (*BREAKS, *SLOW_BREAKS, *HARM, *UNKNOWN),
    "deep": DEEP,
}


def chosen(words: list[str]) -> list[Case]:
    """The cases that these words name: groups and names.

    Raises:
        ValueError: a word names nothing.
    """
    named = {case.name: case for case in (*QUICK, *ALL, *DEEP)}
    found: dict[str, Case] = {}
    for word in words:
        if word not in GROUPS and word not in named:
            known = ", ".join([*GROUPS, *sorted(named)])
            raise ValueError(f"no case is called {word}; there are {known}")
        for case in GROUPS.get(word, (named.get(word),)):
            if case is not None:
                found[case.name] = case
    return list(found.values())
