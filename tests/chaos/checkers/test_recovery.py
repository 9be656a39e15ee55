"""A group out of what one node has left: what may be lost, what may not, and each group judged by its own facts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chaos.checkers.all import check_replication
from chaos.checkers.facts import (
    APPLIED,
    KILL,
    POWER,
    REFUSED,
    UNKNOWN,
    Answered,
    Committed,
    Done,
    Ended,
    Fact,
    Facts,
    Founded,
    GoesBy,
    Healed,
    Led,
    Met,
    Proposed,
    Recovered,
    Started,
    Synced,
    Voted,
    Wrote,
)
from chaos.checkers.lives import holds, kept, left, lives
from chaos.checkers.members import members, replaced
from chaos.checkers.recovery import recovery
from chaos.checkers.registers import Operation, encode
from chaos.checkers.verdict import Check, together
from chaos.sim.desk import founding, member
from cluster.members import Configuration
from cluster.members import encode as encode_members
from cluster.types import Peer
from cluster.wire import pack_commands
from tests.chaos.checkers.honest import fails as failed
from tests.chaos.checkers.test_members import FOUR, LEARNS, N1, N2, N3, N4, NO_OP, ROOT, SETTINGS, Run

N5 = Peer("n5")
X, Y, Z = (encode(Operation(b"k", value), name) for name, value in ((11, b"x"), (12, b"y"), (13, b"z")))
HAD = (ROOT, NO_OP, (1, pack_commands((X,))))  # n3's log: it never had Y, which the two others acknowledged
TERM = 1_000_000
NEW = (N3, N4, N5)
FOUNDING = (TERM, pack_commands((b"recovered",)))
SETTINGS_NEW = Configuration(0, tuple(member(node) for node in NEW))
RECOVERED = Recovered(
    9, N3, NEW, "sim", "c0ffee", TERM, SETTINGS_NEW, ((1, 4),), ((2, b"s2"), (3, b"s3"), (4, b"s4n")), 2, 1, ((1, 4),)
)


def before() -> list[Fact]:
    """n1 leads; x is on all three, y on n1 and n2 alone; both are acknowledged."""
    run = Run()
    for token, what, nodes in ((11, X, (N1, N2, N3)), (12, Y, (N1, N2))):
        run.add(Proposed(1, N1, token, what))
        run.write(nodes, (1, pack_commands((what,))))
        run.commit(1, nodes[:2])
        run.add(Answered(2, token, APPLIED, run.last, 1, b"" if what == X else b"x"))
    states: dict[int, bytes] = {1: b"s1", 2: b"s2", 3: b"s3", 4: b"s4"}
    commands = {3: (X,), 4: (Y,)}
    told = [
        fact._replace(state=states[fact.place], commands=commands.get(fact.place, ()))
        if isinstance(fact, Done)
        else fact
        for fact in run.facts
    ]
    return [*told, Ended(5, N1, POWER), Ended(5, N2, KILL), Ended(5, N3, KILL)]


def found(*more: Fact) -> list[Fact]:
    """n3's disk is read, and a group of n3, n4 and n5 made of it; n2 comes back, and is refused."""
    facts: list[Fact] = [Started(8, N3, HAD, 2, b"s2"), Ended(8, N3, KILL), RECOVERED]
    facts += [Founded(9, node, (*HAD, FOUNDING), 4, b"s4n") for node in NEW]
    facts += [Started(10, node, (*HAD, FOUNDING), 4, b"s4n") for node in NEW]
    facts += [GoesBy(10, node, 0, NEW, ()) for node in NEW]
    facts += [Started(11, N2, (*HAD, (1, pack_commands((Y,)))), 4, b"s4"), GoesBy(11, N2, 0, (N1, N2, N3), ())]
    facts += [Met(11, N3, N2, let_in=False)]
    return [*facts, *more]


def after() -> list[Fact]:
    """n3 leads the new group; z is acknowledged, and saw x."""
    run = Run()
    run.facts, run.at, run.last, run.ticket = [], 12, 4, 100
    run.applied = dict.fromkeys(NEW, 4)
    run.lead(N3, TERM + 1, (N3, N4))
    run.add(Proposed(13, N3, 13, Z))
    run.write(NEW, (TERM + 1, b"no-op"), (TERM + 1, pack_commands((Z,))))
    run.commit(TERM + 1, NEW)
    run.add(Answered(14, 13, APPLIED, 6, TERM + 1, b"x"))
    commands = {6: (Z,)}
    return [
        fact._replace(term=TERM + 1, commands=commands.get(fact.place, ())) if isinstance(fact, Done) else fact
        for fact in run.facts
    ]


def honest() -> list[Fact]:
    return [*before(), *found(), *after(), Healed(20), Ended(21, N2, KILL)]


def facts_of(facts: list[Fact]) -> Facts:
    return Facts(tuple(sorted({N1, N2, N3, N4, N5})), tuple(facts), SETTINGS)


def judged(facts: list[Fact]) -> Check:
    return recovery(facts_of(facts))


def swapped(old: Fact, *new: Fact) -> list[Fact]:
    facts = honest()
    at = facts.index(old)
    facts[at : at + 1] = list(new)
    return facts


def said(**changed: Any) -> list[Fact]:
    return swapped(RECOVERED, RECOVERED._replace(**changed))


def test_what_the_survivor_never_had_may_be_lost_and_every_check_holds() -> None:
    checks = check_replication(facts_of(honest()), registers=True)
    assert [(check.name, check.violations) for check in checks if check.violations] == []
    assert {check.name: check.looked_at for check in checks}["recovery"] >= 8
    assert all(check.looked_at for check in checks)


def test_each_group_has_its_own_facts() -> None:
    old, new = lives(facts_of(honest()))
    assert (old.nodes, new.nodes) == ((N1, N2, N3), (N3, N4, N5))
    assert (old.members, new.members) == (SETTINGS, SETTINGS_NEW)
    assert [fact.token for fact in old.only(Answered)] == [11, 12]
    assert [fact.token for fact in new.only(Answered)] == [13]
    assert [fact.node for fact in old.only(Started)][-2:] == [N3, N2]
    assert new.only(Healed)
    assert left(old, N3) == HAD
    one = facts_of(before())
    assert lives(one) == (one,)
    assert kept(one) is one


def test_a_log_that_begins_above_one_is_told_whole() -> None:
    short = [fact._replace(log=fact.log[2:], base=3) if isinstance(fact, Founded) else fact for fact in honest()]
    _, new = lives(facts_of(short))
    assert {(fact.log, fact.base) for fact in new.only(Founded)} == {((*HAD, FOUNDING), 1)}
    assert judged(short).held
    unknown = [
        fact._replace(log=((1, b"else"), FOUNDING), base=3) if isinstance(fact, Founded) else fact for fact in honest()
    ]
    failed(judged(unknown), "n3 of the group that was founded out of n3 at 3 has that log up to 0 alone")
    assert any(
        "n3 was founded with a log from 3 on" in violation
        for check in check_replication(facts_of(unknown))
        for violation in check.violations
    )


def test_what_is_lost_has_no_known_outcome_and_the_rest_keeps_it() -> None:
    told = {fact.token: fact.how for fact in kept(facts_of(honest())).only(Answered)}
    assert told == {11: APPLIED, 12: UNKNOWN, 13: APPLIED}
    assert holds(HAD, Answered(0, 0, APPLIED, 3, 1, None))
    assert not holds(HAD, Answered(0, 0, APPLIED, 3, 2, None))
    assert not holds(HAD, Answered(0, 0, APPLIED, 4, 1, None))


def test_a_value_that_was_kept_must_be_seen() -> None:
    """Also over the founding: x was acknowledged and is in the log."""
    answered = Answered(14, 13, APPLIED, 6, TERM + 1, b"x")
    checks = check_replication(facts_of(swapped(answered, answered._replace(result=b""))), registers=True)
    assert [check.name for check in checks if check.violations] == ["linearizable"]


def test_a_vote_of_the_older_group_is_none_in_the_new_one() -> None:
    vote = next(fact for fact in after() if isinstance(fact, Voted) and fact.node == N4)
    checks = check_replication(facts_of(swapped(vote, vote._replace(node=N2))))
    assert "election_safety" in {check.name for check in checks if check.violations}


def test_a_copy_of_the_older_group_is_none_in_the_new_one() -> None:
    facts = [
        fact._replace(node=N2) if isinstance(fact, Wrote | Synced) and fact.at >= 12 and fact.node != N3 else fact
        for fact in honest()
    ]
    assert "durability" in {check.name for check in check_replication(facts_of(facts)) if check.violations}


def test_the_older_group_elects_nobody_by_the_new_one_s_votes() -> None:
    facts = [*honest()[:-1], Voted(20, N2, 9, 2, N2), Synced(20, N2, 9), Voted(20, N3, 200, 2, N2), Led(20, N2, 2)]
    assert "election_safety" in {check.name for check in check_replication(facts_of(facts)) if check.violations}


LOST = (*HAD[:2], FOUNDING)
CASES: dict[str, tuple[Callable[[], list[Fact]], str]] = {
    "an entry of the survivor's": (
        lambda: [fact._replace(log=LOST, applied=3) if isinstance(fact, Founded) else fact for fact in honest()],
        "n3 of the group that was founded out of n3 at 3 has that log up to 2 alone",
    ),
    "one disk": (
        lambda: swapped(Founded(9, N4, (*HAD, FOUNDING), 4, b"s4n"), Founded(9, N4, (*HAD, FOUNDING), 4, b"else")),
        "n4 and n3 of the group that was founded out of n3 at 3 are not alike",
    ),
    "nothing founds it": (
        lambda: [fact._replace(log=HAD, applied=3) if isinstance(fact, Founded) else fact for fact in honest()],
        "has applied 3 of 3",
    ),
    "not applied": (
        lambda: [fact._replace(applied=3) if isinstance(fact, Founded) else fact for fact in honest()],
        "has applied 3 of 4",
    ),
    "a node without a disk": (
        lambda: swapped(Founded(9, N5, (*HAD, FOUNDING), 4, b"s4n")),
        "has other nodes than disks",
    ),
    "a state": (lambda: said(states=((3, b"else"),)), "comes to another state at 3"),
    "a state later": (
        lambda: [*honest(), Done(22, N4, 3, 1, (X,), b"else")],
        "comes to another state at 3",
    ),
    "the term": (lambda: said(term=1), "is founded in term 1; n3 knew of term 1"),
    "another term": (
        lambda: said(term=TERM + 7),
        "n3 of the group that was founded out of n3 at 3 was founded in other",
    ),
    "a term that it remembers": (lambda: said(remembered=((TERM, 4),)), f"n3 knew of term {TERM}"),
    "the name": (lambda: said(cluster="sim"), "is called sim, as a group before it was"),
    "who votes": (lambda: said(members=SETTINGS), "vote n1, n2, n3"),
    "what is whole": (lambda: said(said_whole=4), "lacks entry 4, which was acknowledged in term 1"),
    "nothing lacks": (lambda: said(said_missing=0, said_lacks=()), "remembers 4 of term 1: at least 1 lack"),
    "too few lack": (lambda: said(remembered=((1, 9),), said_lacks=((1, 9),)), "at least 6 lack, and it was said: 1"),
    "what never was": (lambda: said(said_lacks=((1, 4), (3, 9))), "entry 9 of term 3 was said to lack"),
    "what is there": (lambda: said(said_lacks=((1, 4), (1, 3))), "entry 3 of term 1 was said to lack"),
    "too many": (lambda: said(said_missing=2), "2 were said to lack; there were never more than 1"),
    "what was refused": (
        lambda: [Proposed(0, N1, 30, X), Answered(0, 30, REFUSED, 0, 0, None), *honest()],
        "proposal 30 was refused, and the group that was founded out of n3 at 3 has it",
    ),
    "let in": (lambda: swapped(Met(11, N3, N2, let_in=False), Met(11, N3, N2, let_in=True)), "n3 let in n2"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_may_not_be(case: str) -> None:
    facts, told = CASES[case]
    failed(judged(facts()), told)


def test_who_votes_is_what_the_founded_log_says() -> None:
    """Where the old log said who took part, the founding says it anew, and what goes before counts as no step of it."""
    removed = (N1, N2)
    anew = Configuration(FOUR.number + 1, SETTINGS_NEW.voters, (), removed)
    log = (ROOT, NO_OP, (1, encode_members(LEARNS)), (1, encode_members(FOUR)), (TERM, encode_members(anew)), FOUNDING)
    facts: list[Fact] = [RECOVERED, *[Founded(9, node, log, 6, b"s") for node in NEW]]
    facts += [Started(9, node, log, 6, b"s") for node in NEW]
    facts += [GoesBy(9, node, anew.number, NEW, ()) for node in NEW]
    facts += [Wrote(10, N3, 1, 6, ((TERM + 1, b"no-op"),)), Committed(10, N3, 7, TERM + 1)]
    new = Facts(NEW, tuple(facts), SETTINGS_NEW)
    assert replaced(new) == 0
    joined = Facts((*NEW, "n6"), (*facts, Started(11, "n6", (), 0, b""), Wrote(12, "n6", 1, 0, log)), SETTINGS_NEW)
    assert members(joined).violations == ()


def test_one_that_was_founded_twice_is_looked_at_twice() -> None:
    """The second time out of n4; its name may be none of those before."""
    facts = honest()[:-2]
    had = (*HAD, FOUNDING, (TERM + 1, b"no-op"), (TERM + 1, pack_commands((Z,))))
    again = RECOVERED._replace(
        at=30, node=N4, former="c0ffee", cluster="decade", term=2 * TERM, remembered=(), states=(), said_whole=6,
        said_missing=0, said_lacks=(),
    )  # fmt: skip
    log = (*had, (2 * TERM, FOUNDING[1]))
    more: list[Fact] = [*[Ended(29, node, POWER) for node in NEW], Started(29, N4, had, 6, b""), Ended(29, N4, KILL)]
    more += [again, *[Founded(30, node, log, 7, b"s7") for node in NEW]]
    assert judged([*facts, *more]).held
    assert len(lives(facts_of([*facts, *more]))) == 3
    for name in ("sim", "c0ffee"):
        reused = [fact._replace(cluster=name) if fact is again else fact for fact in (*facts, *more)]
        failed(judged(reused), f"is called {name}, as a group before it was")


def test_what_was_looked_at_in_two_places_is_one_check() -> None:
    assert together([Check("a", 1, ()), Check("a", 2, ("x",))]) == Check("a", 3, ("x",))
    with pytest.raises(ValueError, match="too many values"):
        together([Check("a", 1, ()), Check("b", 2, ())])


def test_the_settings_of_the_first_group_are_n1_to_n3() -> None:
    assert founding(3) == SETTINGS
