"""Who takes part: the check holds on an honest replacement and fails on each doctored one; others go by the log too."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from attrs import evolve

from chaos.checkers.all import check_replication
from chaos.checkers.durability import durability
from chaos.checkers.election_safety import election_safety
from chaos.checkers.facts import (
    APPLIED,
    KILL,
    REFUSED,
    Answered,
    Committed,
    Done,
    Ended,
    Fact,
    Facts,
    GoesBy,
    Healed,
    Installed,
    Led,
    Moved,
    Proposed,
    Started,
    Synced,
    Voted,
    Wished,
    Wrote,
)
from chaos.checkers.liveness import liveness
from chaos.checkers.members import members, replaced
from chaos.checkers.outcomes import outcomes
from chaos.checkers.verdict import Check
from chaos.sim.desk import founding, member
from cluster.members import AddLearner, Change, Configuration, Promote, Remove, encode, follow
from cluster.types import Peer
from tests.chaos.checkers.honest import fails as failed

MS = 1_000_000
N1, N2, N3, N4 = (Peer(f"n{number}") for number in range(1, 5))
ROOT, NO_OP = (0, b"root"), (1, b"no-op")
SETTINGS = founding(3)
CHANGES: tuple[Change, ...] = (AddLearner(member(N4)), Promote(N4), Remove(N3))
LEARNS = follow(SETTINGS, CHANGES[0])
FOUR = follow(LEARNS, CHANGES[1])
WITHOUT_3 = follow(FOUR, CHANGES[2])


class Run:
    """n1 leads in term 1; n4 takes n3's place, a change every two seconds; n1 leads again in term 2."""

    def __init__(self) -> None:
        self.facts: list[Fact] = []
        self.at = 0
        self.last = 0
        self.ticket = 0
        self.applied: dict[Peer, int] = {}
        for node in (N1, N2, N3):
            self.start(node, SETTINGS)
        self.write((N1, N2, N3), ROOT)
        self.lead(N1, 1, (N1, N2))
        self.write((N1, N2, N3), NO_OP)
        self.commit(1, (N1, N2, N3))

    def add(self, fact: Fact) -> None:
        self.facts.append(fact)

    def start(self, node: Peer, force: Configuration) -> None:
        self.add(Started(self.at, node, (), 0, b""))
        self.goes_by(node, force)

    def goes_by(self, node: Peer, force: Configuration) -> None:
        learning = tuple(name for name in force.learning if name != node)
        self.add(GoesBy(self.at, node, force.number, force.voting, learning))

    def lead(self, node: Peer, term: int, voters: tuple[Peer, ...]) -> None:
        self.ticket += 1
        for voter in voters:
            self.add(Voted(self.at, voter, self.ticket, term, node))
            self.add(Synced(self.at, voter, self.ticket))
        self.add(Led(self.at, node, term))

    def write(self, nodes: tuple[Peer, ...], *entries: tuple[int, bytes], behind: int | None = None) -> None:
        """In the order of nodes, each synced."""
        at = self.last if behind is None else behind
        self.ticket += 1
        for node in nodes:
            self.add(Wrote(self.at, node, self.ticket, at, entries))
            self.add(Synced(self.at, node, self.ticket))
        self.last = at + len(entries)

    def commit(self, term: int, nodes: tuple[Peer, ...]) -> None:
        for node in nodes:
            self.add(Committed(self.at, node, self.last, term))
            for place in range(self.applied.get(node, 0) + 1, self.last + 1):
                self.add(Done(self.at, node, place, 1, (), b""))
            self.applied[node] = self.last

    def catch_up(self, node: Peer, *entries: tuple[int, bytes]) -> None:
        """A new node gets the log from its beginning on."""
        self.start(node, SETTINGS)
        self.ticket += 1
        self.add(Wrote(self.at, node, self.ticket, 0, entries))
        self.add(Synced(self.at, node, self.ticket))

    def change(self, token: int, force: Configuration, nodes: tuple[Peer, ...]) -> None:
        """It is appended by n1, and written, synced and committed by these, n1 first."""
        self.at += 2000 * MS
        self.add(Wished(self.at, N1, token, CHANGES[token - 1]))
        self.write(nodes, (1, encode(force)))
        for node in nodes:
            self.goes_by(node, force)
        self.at += MS
        self.commit(1, nodes)
        self.add(Answered(self.at, token, APPLIED, self.last, 1, None))


def honest() -> list[Fact]:
    run = Run()
    run.change(1, LEARNS, (N1, N2, N3))
    run.catch_up(N4, ROOT, NO_OP, (1, encode(LEARNS)))
    run.goes_by(N4, LEARNS)
    run.commit(1, (N4,))
    run.change(2, FOUR, (N1, N2, N3, N4))
    run.change(3, WITHOUT_3, (N1, N2, N4))
    run.at += 1000 * MS
    run.lead(N1, 2, (N1, N4))
    run.write((N1, N2, N4), (2, b"no-op"))
    run.commit(2, (N1, N2, N4))
    return run.facts


def judged(facts: list[Fact], check: Callable[[Facts], Check] = members) -> Check:
    return check(Facts((N1, N2, N3, N4), tuple(facts), SETTINGS))


def fails(facts: list[Fact], word: str, check: Callable[[Facts], Check] = members) -> None:
    failed(judged(facts, check), word)


def without(*gone: Fact) -> list[Fact]:
    facts = honest()
    for fact in gone:
        facts.remove(fact)
    return facts


def place_of(facts: list[Fact], kind: type, node: str, content: bytes | None = None) -> int:
    """Where the first fact of this kind and node is; of one that writes, of this content."""
    return next(
        place
        for place, fact in enumerate(facts)
        if type(fact) is kind
        and fact.node == node  # type: ignore[union-attr] # of its kind
        and (content is None or (isinstance(fact, Wrote) and content in {entry[1] for entry in fact.entries}))
    )


def test_all_hold_on_an_honest_replacement() -> None:
    facts = honest()
    checks = check_replication(Facts((N1, N2, N3, N4), tuple(facts), SETTINGS))
    assert [(check.name, check.violations) for check in checks if check.violations] == []
    found = next(check for check in checks if check.name == "members")
    assert found.looked_at > 15
    assert replaced(Facts((N1, N2, N3, N4), tuple(facts), SETTINGS)) == 1


def test_where_nobody_comes_or_goes_nothing_is_looked_at() -> None:
    facts = Facts((N1, N2, N3, N4), tuple(honest()))
    assert members(facts) == Check("members", 0, ())
    assert "members" not in {check.name for check in check_replication(facts)}


# What is appended


def swapped(old: Configuration, new: bytes) -> list[Fact]:
    """One configuration is written otherwise by everybody; who goes by what is not told."""
    return [
        fact._replace(
            entries=tuple((term, new if content == encode(old) else content) for term, content in fact.entries)
        )
        if isinstance(fact, Wrote)
        else fact
        for fact in honest()
        if not isinstance(fact, GoesBy)
    ]


@pytest.mark.parametrize(
    ("new", "word"),
    [
        (encode(evolve(FOUR, number=7)), "configuration 7 at entry 4 follows 1"),
        (encode(Configuration(2, FOUR.voters[1:])), "has the voters n2, n3, n4, behind n1, n2, n3"),
        (encode(Configuration(2, FOUR.voters[2:])), "has the voters n3, n4, behind n1, n2, n3"),
        (encode(FOUR) + b"!", "entry 4 can't be read"),
    ],
)
def test_what_does_not_follow(new: bytes, word: str) -> None:
    fails(swapped(FOUR, new), word)


def test_one_that_was_removed_and_comes_back() -> None:
    run = Run()
    run.facts = honest()
    run.last = 6
    run.at = 9000 * MS
    back = Configuration(4, WITHOUT_3.voters, (member(N3),))
    run.write((N1,), (2, encode(back)))
    fails(run.facts, "brings back n3")


def test_a_change_before_the_last_one_is_committed() -> None:
    facts = honest()
    commit = next(fact for fact in facts if isinstance(fact, Committed) and fact.node == N1 and fact.place == 4)
    facts.remove(commit)
    fails(facts, "configuration 3 was appended by n1 in term 1 before configuration 2 was committed")


def test_a_change_before_an_entry_of_the_own_term() -> None:
    facts = [fact for fact in honest() if not (isinstance(fact, Committed) and fact.at == 0)]
    fails(facts, "configuration 1 was appended by n1 in term 1 before it had committed an entry of its own term")


def test_a_leader_that_removes_itself() -> None:
    gone = follow(FOUR, Remove(N1))
    fails(swapped(WITHOUT_3, encode(gone)), "which does not vote by it")


def test_a_change_that_leaves_too_few_who_are_there() -> None:
    facts = honest()
    place = place_of(facts, Wrote, N1, encode(WITHOUT_3))
    at = facts[place].at
    dead: list[Fact] = [Ended(at - 600 * MS, node, KILL) for node in (N2, N4)]
    fails([*facts[:place], *dead, *facts[place:]], "of its voters n1, n2, n4 only n1 are there")
    just: list[Fact] = [Ended(at - 300 * MS, node, KILL) for node in (N2, N4)]
    assert "are there" not in str(judged([*facts[:place], *just, *facts[place:]]).violations)
    back: list[Fact] = [*dead, *(Started(at - 1, node, (), 0, b"") for node in (N2, N4))]
    assert "are there" not in str(judged([*facts[:place], *back, *facts[place:]]).violations)
    never = [fact for fact in facts if not isinstance(fact, Started) or fact.node != N4]
    place = place_of(never, Wrote, N1, encode(WITHOUT_3))
    fails([*never[:place], dead[0], *never[place:]], "of its voters n1, n2, n4 only n1 are there")


def test_a_learner_that_lags_and_votes() -> None:
    facts = honest()
    late = facts[place_of(facts, Wrote, N4)]
    assert isinstance(late, Wrote)
    facts[facts.index(late)] = late._replace(entries=late.entries[:2])
    fails(facts, "lets n4 vote, which has not entry 3 of the leader's; it has 2")


def test_a_learner_need_not_have_what_is_a_moment_old() -> None:
    facts = honest()
    place = place_of(facts, Wrote, N1, encode(FOUR))
    news = Wrote(facts[place].at - 10 * MS, N1, 90, 3, ((1, b"x"),))
    for at, fact in enumerate(facts):
        if isinstance(fact, Wrote) and fact.behind >= 3:
            facts[at] = fact._replace(behind=fact.behind + 1)
    found = judged([*facts[:place], news, *facts[place:]])
    assert "lets n4 vote" not in str(found.violations)


# Who goes by what


@pytest.mark.parametrize("force", [SETTINGS, FOUR, evolve(LEARNS, number=2), evolve(LEARNS, learners=())])
def test_a_node_that_does_not_go_by_its_log(force: Configuration) -> None:
    facts = honest()
    place = next(place for place, fact in enumerate(facts) if isinstance(fact, GoesBy) and fact.number == 1)
    facts[place] = GoesBy(facts[place].at, N1, force.number, force.voting, force.learning)
    fails(facts, "its log says configuration 1, voters n1, n2, n3, learners n4")


def test_what_a_snapshot_brings_is_held_against_the_log_that_it_stands_for() -> None:
    facts = honest()
    taken: list[Fact] = [
        Started(9000 * MS, "n5", (), 0, b""),
        Installed(9000 * MS, "n5", 1, 5, (1, encode(WITHOUT_3)), b""),
    ]
    right = GoesBy(9000 * MS, "n5", 3, WITHOUT_3.voting, ())
    names = (N1, N2, N3, N4, "n5")
    assert members(Facts(names, (*facts, *taken, right), SETTINGS)).violations == ()
    wrong = right._replace(number=0, voters=SETTINGS.voting)
    assert members(Facts(names, (*facts, *taken, wrong), SETTINGS)).violations


def test_one_that_leads_and_does_not_vote() -> None:
    facts = honest()
    place = place_of(facts, Wrote, N1, encode(FOUR))
    led = Led(facts[place].at, N4, 2)
    fails([*facts[:place], led, *facts[place:]], "n4 leads in term 2, and does not vote")


def test_one_that_leads_after_its_removal_was_committed() -> None:
    at = 9000 * MS
    fails([*honest(), Led(at, N3, 3)], "n3 leads in term 3; its removal was committed in term 1")
    assert "its removal" not in str(judged([*honest(), Led(at, N3, 1)]).violations)


def test_a_commit_that_too_few_of_those_who_vote_have_synced() -> None:
    """Four vote from the fourth entry on: two are not enough, whoever has the entry besides."""
    facts = honest()
    promoted = [fact for fact in facts if isinstance(fact, Wrote) and fact.entries == ((1, encode(FOUR)),)]
    lost = {(fact.node, fact.ticket) for fact in promoted if fact.node in {N3, N4}}
    facts = [fact for fact in facts if not (isinstance(fact, Synced) and (fact.node, fact.ticket) in lost)]
    fails(facts, "n1 holds 4 for committed in term 1; of n1, n2, n3, n4, who vote by its log, n1, n2 have synced it")
    fails(facts, "proposal 2, acknowledged at index 4 of term 1, was synced on 2 of 4 then", durability)


def test_what_a_learner_has_synced_does_not_count() -> None:
    facts = honest()
    place = place_of(facts, Wrote, N1, encode(FOUR))
    at = facts[place].at - 100 * MS
    news: list[Fact] = [Wrote(at, node, 90, 3, ((1, b"x"),)) for node in (N1, N4)]
    synced: list[Fact] = [Synced(at, node, 90) for node in (N1, N4)]
    asked: list[Fact] = [Proposed(at, N1, 9, b"x"), Answered(at, 9, APPLIED, 4, 1, None)]
    found: list[Fact] = [*facts[:place], asked[0], *news, *synced, Committed(at, N1, 4, 1), asked[1]]
    fails(found, "n1 holds 4 for committed in term 1; of n1, n2, n3, who vote by its log, n1 have synced it")
    fails(found, "proposal 9, acknowledged at index 4 of term 1, was synced on 1 of 3 then", durability)


def test_what_waited_is_committed_by_those_who_stay() -> None:
    """Of four two have x; n3 goes; of three two are enough, and they are while it is not acknowledged yet."""
    run = Run()
    run.change(1, LEARNS, (N1, N2, N3))
    run.catch_up(N4, ROOT, NO_OP, (1, encode(LEARNS)))
    run.change(2, FOUR, (N1, N2, N3, N4))
    run.at += 1000 * MS
    run.add(Proposed(run.at, N1, 9, b"x"))
    run.write((N1, N2), (1, b"x"))
    told: list[Fact] = [Committed(run.at, N1, run.last, 1), Answered(run.at, 9, APPLIED, run.last, 1, None)]
    fails([*run.facts, *told], "of n1, n2, n3, n4, who vote by its log, n1, n2 have synced it")
    run.at += 100 * MS
    run.write((N1, N2), (1, encode(WITHOUT_3)))
    run.commit(1, (N1, N2))
    run.add(Answered(run.at, 9, APPLIED, run.last - 1, 1, None))
    assert [text for text in judged(run.facts).violations if "committed" in text] == []
    assert "was synced on" not in str(judged(run.facts, durability).violations)


def test_a_change_that_is_acknowledged_and_is_another() -> None:
    facts = [
        fact._replace(change=Remove(N2)) if isinstance(fact, Wished) and fact.token == 3 else fact for fact in honest()
    ]
    fails(facts, "was acknowledged at 5, and is not there")


# The other checks


def test_votes_of_those_who_do_not_vote_elect_nobody() -> None:
    facts = honest()
    vote = next(fact for fact in facts if isinstance(fact, Voted) and fact.term == 2 and fact.node == N4)
    facts[facts.index(vote)] = vote._replace(node=N3)
    synced = next(fact for fact in facts if isinstance(fact, Synced) and (fact.node, fact.ticket) == (N4, vote.ticket))
    facts[facts.index(synced)] = synced._replace(node=N3)
    fails(facts, "n1 leads in term 2 by 1 votes that were synced", election_safety)


def test_who_was_removed_owes_nothing_and_who_stays_all() -> None:
    assert judged(honest(), durability).held
    lost = [fact for fact in honest() if not (isinstance(fact, Done) and fact.node == N4 and fact.place > 3)]
    fails(lost, "is not in the final state of n4", durability)


def test_a_change_has_one_outcome() -> None:
    assert judged(honest(), outcomes).held
    again = Answered(9000 * MS, 3, REFUSED, 0, 0, None)
    fails([*honest(), again], "proposal 3 was answered refused, and is not one that waited", outcomes)


def test_an_acknowledged_change_that_nobody_passed() -> None:
    fails([fact for fact in honest() if not (isinstance(fact, Done) and fact.place == 5)], "by nobody", durability)


def test_an_election_that_somebody_asked_for_is_not_late() -> None:
    second = 1000 * MS
    after: list[Fact] = [
        Healed(10 * second),
        Proposed(11 * second, N1, 9, b"x"),
        Answered(11 * second, 9, APPLIED, 7, 2, None),
    ]
    late: list[Fact] = [*honest(), *after, Led(20 * second, N2, 3)]
    fails(late, "n2 was elected in term 3, 10.0 s after everything healed", liveness)
    assert judged([*late[:-1], Moved(19 * second, N1), late[-1]], liveness).held
