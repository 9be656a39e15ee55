"""Each check of replication holds on an honest run and fails on one doctored to break its promise."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from chaos.checkers.all import REPLICATION, check_replication
from chaos.checkers.durability import durability
from chaos.checkers.election_safety import election_safety
from chaos.checkers.facts import (
    APPLIED,
    COPY,
    KILL,
    POWER,
    REFUSED,
    UNKNOWN,
    Answered,
    Committed,
    Denied,
    Done,
    Ended,
    Fact,
    Facts,
    Healed,
    Installed,
    Led,
    Proposed,
    Started,
    Synced,
    Voted,
    Wrote,
)
from chaos.checkers.leader_completeness import leader_completeness
from chaos.checkers.liveness import liveness
from chaos.checkers.log_matching import log_matching
from chaos.checkers.outcomes import outcomes
from chaos.checkers.state_machine_safety import state_machine_safety
from chaos.checkers.verdict import Check
from tests.chaos.checkers.honest import fails as failed

NODES = ("n1", "n2", "n3")
ROOT, NO_OP, X, Y = (0, b"root"), (1, b"no-op"), (1, b"x"), (2, b"y")


def honest() -> list[Fact]:
    """n1 leads in term 1, x is acknowledged; n1 loses power, n2 leads in term 2, y is acknowledged; n1 comes back."""
    facts: list[Fact] = [Started(0, n, (), 0, b"") for n in NODES]
    facts += [Wrote(1, n, 1, 0, (ROOT,)) for n in NODES] + [Synced(2, n, 1) for n in NODES]
    facts += [Voted(3, n, 2, 1, "n1") for n in NODES] + [Synced(4, n, 2) for n in NODES]
    facts += [Led(5, "n1", 1), Proposed(6, "n1", 1, b"x")]
    facts += [Wrote(7, n, 3, 1, (NO_OP, X)) for n in NODES] + [Synced(8, n, 3) for n in NODES]
    facts += [Committed(9, n, 3, 1) for n in NODES]
    for n in NODES:
        facts += [Done(9, n, 1, 0, (), b"s1"), Done(9, n, 2, 1, (), b"s2"), Done(9, n, 3, 1, (b"x",), b"s3")]
    facts += [Answered(10, 1, APPLIED, 3, 1, b""), Ended(11, "n1", POWER)]
    facts += [Voted(12, n, 4, 2, "n2") for n in NODES[1:]] + [Synced(13, n, 4) for n in NODES[1:]]
    facts += [Led(14, "n2", 2), Proposed(15, "n2", 2, b"y"), Proposed(15, "n3", 3, b"z")]
    facts += [Answered(15, 3, REFUSED, 0, 0, None)]
    facts += [Wrote(16, n, 5, 3, (Y,)) for n in NODES[1:]] + [Synced(17, n, 5) for n in NODES[1:]]
    facts += [Committed(18, n, 4, 2) for n in NODES[1:]] + [Done(18, n, 4, 2, (b"y",), b"s4") for n in NODES[1:]]
    facts += [Answered(19, 2, APPLIED, 4, 2, b""), Started(20, "n1", (ROOT, NO_OP, X), 3, b"s3")]
    facts += [Voted(21, "n1", 1, 2, ""), Wrote(21, "n1", 1, 3, (Y,)), Synced(22, "n1", 1)]
    facts += [Committed(23, "n1", 4, 2), Done(23, "n1", 4, 2, (b"y",), b"s4")]
    return facts


def judged(check: Callable[[Facts], Check], facts: list[Fact]) -> Check:
    return check(Facts(NODES, tuple(facts)))


def swapped(old: Fact, *new: Fact) -> list[Fact]:
    """The honest run with one fact replaced."""
    facts = honest()
    at = facts.index(old)
    facts[at : at + 1] = list(new)
    return facts


def fails(check: Callable[[Facts], Check], facts: list[Fact], word: str) -> None:
    failed(judged(check, facts), word)


def test_all_hold_on_an_honest_run() -> None:
    checks = check_replication(Facts(NODES, tuple(honest())))
    assert [(check.name, check.violations, check.looked_at) for check in checks if not check.held] == []
    assert len(checks) == 6


def test_a_check_that_looked_at_nothing_has_not_held() -> None:
    assert not any(check(Facts(NODES, ())).held for check in REPLICATION)


# --- election safety ---------------------------------------------------------------------------------------------


def test_two_leaders_of_one_term() -> None:
    fails(election_safety, [*honest(), Led(30, "n3", 2)], "n3 leads in term 2, which n2 led already")


def test_a_node_that_leads_its_term_again_after_a_restart() -> None:
    fails(election_safety, [*honest(), Ended(30, "n2", POWER), Led(31, "n2", 2)], "n2 leads in term 2")


def test_an_election_without_a_majority_of_synced_votes_is_seen() -> None:
    facts = [Voted(12, "n3", 4, 2, "") if fact == Voted(12, "n3", 4, 2, "n2") else fact for fact in honest()]
    fails(election_safety, facts, "n2 leads in term 2 by 1 votes that were synced")


def test_a_proposal_that_waited_for_a_later_lead_is_seen() -> None:
    facts = [*honest(), Led(30, "n2", 3), Answered(31, 4, APPLIED, 5, 3, b"")]
    facts.insert(facts.index(Led(14, "n2", 2)) + 1, Proposed(14, "n2", 4, b"w"))
    fails(outcomes, facts, "proposal 4 was acknowledged in term 3; its node led in term 2 when it was asked")


def test_two_votes_in_one_term() -> None:
    again = [Voted(30, "n3", 9, 2, "n1"), Synced(31, "n3", 9)]
    fails(election_safety, [*honest(), *again], "n3 voted for n2 and for n1 in term 2")


def test_a_vote_that_a_power_cut_took_binds_nobody() -> None:
    again = [
        Voted(30, "n3", 9, 3, "n1"),
        Ended(31, "n3", POWER),
        Started(32, "n3", (ROOT, NO_OP, X, Y), 4, b"s4"),
        Voted(33, "n3", 10, 3, "n2"),
        Synced(34, "n3", 10),
    ]
    assert judged(election_safety, [*honest(), *again]).held
    again[1] = Ended(31, "n3", KILL)
    fails(election_safety, [*honest(), *again], "n3 voted for n1 and for n2 in term 3")


def test_a_vote_taken_back() -> None:
    fails(election_safety, [*honest(), Voted(30, "n3", 9, 2, ""), Synced(31, "n3", 9)], "for nobody in term 2")


def test_a_term_that_goes_back() -> None:
    fails(election_safety, [*honest(), Voted(30, "n3", 9, 1, ""), Synced(31, "n3", 9)], "back from term 2 to 1")


# --- log matching ------------------------------------------------------------------------------------------------


def test_one_entry_with_two_contents() -> None:
    facts = swapped(Wrote(7, "n3", 3, 1, (NO_OP, X)), Wrote(7, "n3", 3, 1, (NO_OP, (1, b"other"))))
    fails(log_matching, facts, "n3 and n1 hold index 3 of term 1")


def test_one_entry_behind_two_logs() -> None:
    facts = swapped(Wrote(16, "n3", 5, 3, (Y,)), Wrote(16, "n3", 5, 2, ((2, b"no"), Y)))
    fails(log_matching, facts, "n3 and n2 hold index 4 of term 2")


def test_a_divergence_that_was_truncated_later() -> None:
    more = [Wrote(30, "n3", 9, 2, ((1, b"other"),)), Wrote(31, "n3", 10, 2, (X, Y))]
    fails(log_matching, [*honest(), *more], "index 3 of term 1")


def test_a_log_found_at_a_start() -> None:
    facts = swapped(
        Started(20, "n1", (ROOT, NO_OP, X), 3, b"s3"), Started(20, "n1", (ROOT, NO_OP, (1, b"!")), 3, b"s3")
    )
    fails(log_matching, facts, "n1 and n1 hold index 3")


# --- leader completeness -----------------------------------------------------------------------------------------


def test_a_leader_without_what_was_committed() -> None:
    facts = swapped(Led(14, "n2", 2), Wrote(14, "n2", 5, 2, ()), Led(14, "n2", 2))
    fails(leader_completeness, facts, "n2, elected in term 2, lacks index 3, which n1 held for committed in term 1")


def test_a_leader_with_another_entry_there() -> None:
    facts = swapped(Led(14, "n2", 2), Wrote(14, "n2", 5, 2, ((1, b"other"),)), Led(14, "n2", 2))
    fails(leader_completeness, facts, "lacks index 3")


def test_a_commit_that_is_learnt_of_later_counts_too() -> None:
    facts = [fact for fact in honest() if not isinstance(fact, Committed)]
    facts = [Wrote(13, "n2", 5, 2, ()) if fact == Led(14, "n2", 2) else fact for fact in facts]
    facts.insert(facts.index(Wrote(13, "n2", 5, 2, ())) + 1, Led(14, "n2", 2))
    assert judged(leader_completeness, facts).violations == ()
    fails(leader_completeness, [*facts, Committed(40, "n3", 3, 1)], "lacks index 3")


def test_a_commit_index_beyond_the_log() -> None:
    fails(leader_completeness, [*honest(), Committed(30, "n3", 9, 2)], "its log ends at 4")


# --- state-machine safety ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        (Done(18, "n3", 4, 1, (b"y",), b"s4"), "term"),
        (Done(18, "n3", 4, 2, (b"!",), b"s4"), "commands"),
        (Done(18, "n3", 4, 2, (b"y",), b"!"), "state"),
        (Done(18, "n3", 5, 2, (b"y",), b"s4"), "index 5 after 3"),
        (Done(18, "n3", 3, 1, (b"x",), b"s3"), "index 3 after 3"),
    ],
)
def test_an_entry_applied_otherwise(wrong: Done, word: str) -> None:
    fails(state_machine_safety, swapped(Done(18, "n3", 4, 2, (b"y",), b"s4"), wrong), word)


@pytest.mark.parametrize(
    ("applied", "state", "word"),
    [(3, b"!", "a state that nobody had there"), (9, b"s3", "which nobody had applied"), (4, b"s4", "a log of 3")],
)
def test_a_state_found_at_a_start(applied: int, state: bytes, word: str) -> None:
    log = (ROOT, NO_OP, X)
    facts = swapped(Started(20, "n1", log, 3, b"s3"), Started(20, "n1", log, applied, state))
    fails(state_machine_safety, facts, word)


def test_a_state_that_nobody_told_is_not_compared() -> None:
    facts = swapped(Done(9, "n1", 3, 1, (b"x",), b"s3"), Done(9, "n1", 3, 1, (b"x",), b""))
    assert judged(state_machine_safety, facts).held


# --- durability --------------------------------------------------------------------------------------------------


def test_an_acknowledgement_before_a_majority_has_synced() -> None:
    facts = [fact for fact in honest() if fact not in {Synced(8, "n2", 3), Synced(8, "n3", 3)}]
    fails(durability, facts, "proposal 1, acknowledged at index 3 of term 1, was synced on 1 of 3 then")


def test_a_minority_that_has_not_synced_is_none() -> None:
    facts = [fact for fact in honest() if fact != Synced(8, "n3", 3)]
    assert judged(durability, facts).held


@pytest.mark.parametrize(("how", "synced", "held"), [(COPY, True, True), (COPY, False, False), (POWER, True, False)])
def test_a_disk_that_is_replaced_by_a_copy_after_it_had_synced(how: str, *, synced: bool, held: bool) -> None:
    """Simulated, everything-483: the leader was frozen meanwhile, and answers when it wakes."""
    facts: list[Fact] = [fact for fact in honest() if fact != Synced(8, "n3", 3)]
    gone = [*([Synced(8, "n2", 3)] if synced else []), Ended(8, "n2", how), Started(8, "n2", (ROOT, NO_OP), 0, b"")]
    place = facts.index(Synced(8, "n2", 3))
    found = durability(Facts(NODES, (*facts[:place], *gone, *facts[place + 1 :])))
    early = [text for text in found.violations if text.startswith("proposal 1,") and "was synced on 1 of 3" in text]
    assert (early == []) == held, found


@pytest.mark.parametrize(
    ("heard", "early"),
    [
        ((Denied(9, "n1", "n2", 2, 1),), True),
        ((Denied(9, "n1", "n2", 3, 1),), False),  # it is behind what comes after this entry
        ((Denied(9, "n1", "n3", 2, 1),), False),  # somebody else
        ((Denied(9, "n1", "n2", 2, 0),), False),  # to the leader of an older term
        ((Denied(9, "n3", "n2", 2, 1),), False),  # to somebody else
        ((Committed(9, "n1", 3, 1), Denied(9, "n1", "n2", 2, 1)), False),  # it was committed before
        ((Committed(9, "n1", 2, 1), Denied(9, "n1", "n2", 2, 1)), True),
        ((Denied(9, "n1", "n2", 2, 1), Committed(9, "n1", 3, 1), Denied(9, "n1", "n2", 2, 1)), True),
        ((Denied(9, "n1", "n2", 2, 1), Ended(9, "n2", KILL), Started(9, "n2", (ROOT, NO_OP), 0, b"")), True),
        ((Denied(9, "n1", "n2", 2, 1), Ended(9, "n2", COPY), Started(9, "n2", (ROOT, NO_OP), 0, b"")), False),
    ],
)
def test_a_leader_that_has_heard_what_a_copy_lacks(heard: tuple[Fact, ...], early: object) -> None:
    """From then on it may count on that disk no more, unless the entry is there again, or was committed before."""
    facts = [fact for fact in honest() if not isinstance(fact, Committed) and fact != Synced(8, "n3", 3)]
    place = facts.index(Synced(8, "n2", 3)) + 1
    gone = (Ended(8, "n2", COPY), Started(8, "n2", (ROOT, NO_OP), 0, b""))
    found = durability(Facts(NODES, (*facts[:place], *gone, *heard, *facts[place:])))
    told = [text for text in found.violations if text.startswith("proposal 1,") and "was synced on 1 of 3" in text]
    assert bool(told) is early, found


def test_an_acknowledgement_of_what_is_in_no_log() -> None:
    facts = swapped(Answered(10, 1, APPLIED, 3, 1, b""), Answered(10, 1, APPLIED, 4, 1, b""))
    fails(durability, facts, "is in no log")


@pytest.mark.parametrize("log", [(ROOT, NO_OP), (), (ROOT, NO_OP, X, Y), (ROOT, NO_OP, (1, b"!"))])
def test_a_disk_that_comes_back_without_what_it_had_synced_or_with_more(log: tuple[tuple[int, bytes], ...]) -> None:
    facts = swapped(Started(20, "n1", (ROOT, NO_OP, X), 3, b"s3"), Started(20, "n1", log, 0, b""))
    fails(durability, facts, "n1 came back (power)")


def test_a_power_cut_may_keep_any_prefix_of_what_was_not_synced_a_kill_keeps_all() -> None:
    torn: list[Fact] = [Wrote(30, "n3", 6, 4, ((2, b"a"),)), Wrote(31, "n3", 7, 5, ((2, b"b"),))]
    base = (ROOT, NO_OP, X, Y)
    for kept in ((), ((2, b"a"),), ((2, b"a"), (2, b"b"))):
        after = [Started(33, "n3", base + kept, 4, b"s4")]
        assert judged(durability, [*honest(), *torn, Ended(32, "n3", POWER), *after]).held
        killed = judged(durability, [*honest(), *torn, Ended(32, "n3", KILL), *after])
        assert killed.held == (len(kept) == 2)
    wrong = Started(33, "n3", (*base, (2, b"b")), 4, b"s4")
    fails(durability, [*honest(), *torn, Ended(32, "n3", POWER), wrong], "none of what may be left")


def test_a_vote_that_comes_late_makes_a_leader_of_a_term_that_is_over() -> None:
    """Simulated, small-1857: it owes what was acknowledged before its term, not what is in a newer one."""
    facts = honest()
    place = next(n for n, fact in enumerate(facts) if isinstance(fact, Answered) and fact.how == APPLIED)
    told = facts[place]
    assert isinstance(told, Answered)
    for term, held in ((told.term, True), (told.term + 1, False)):
        late = [Wrote(told.at, "n3", 2, 2, ()), Led(told.at, "n3", term)]
        found = durability(Facts(NODES, (*facts[: place + 1], *late)))
        lacks = [text for text in found.violations if "acknowledged before" in text]
        assert (lacks == []) == held, (term, found)


def test_a_later_leader_without_what_was_acknowledged() -> None:
    facts = swapped(Led(14, "n2", 2), Wrote(14, "n2", 5, 2, ()), Led(14, "n2", 2))
    fails(durability, facts, "lacks index 3, which was acknowledged before")


def test_a_final_log_without_it() -> None:
    fails(durability, [*honest(), Wrote(30, "n3", 9, 3, ())], "is not in the final log of n3")


def test_a_final_state_without_it() -> None:
    facts = [fact for fact in honest() if fact != Done(23, "n1", 4, 2, (b"y",), b"s4")]
    fails(durability, facts, "is not in the final state of n1, which is of index 3")


def test_a_node_that_is_gone_for_good_owes_nothing() -> None:
    facts = [fact for fact in honest() if fact.at < 20 or getattr(fact, "node", "") != "n1"]
    assert judged(durability, facts).held


def test_an_acknowledged_command_that_nobody_applied() -> None:
    facts = [
        fact._replace(commands=(b"!",)) if isinstance(fact, Done) and fact.place == 4 else fact for fact in honest()
    ]
    fails(durability, facts, "was applied by nobody")


# --- outcomes ----------------------------------------------------------------------------------------------------


def test_a_refused_command_that_was_applied() -> None:
    facts = [fact._replace(command=b"y") if fact == Proposed(15, "n3", 3, b"z") else fact for fact in honest()]
    assert judged(outcomes, facts).held  # proposed twice, so the place may be the other's
    facts = [fact for fact in facts if getattr(fact, "token", 0) != 2]
    fails(outcomes, facts, "proposal 3 was refused as not done, and applied at 4")


def test_an_acknowledgement_of_another_place() -> None:
    facts = swapped(Answered(19, 2, APPLIED, 4, 2, b""), Answered(19, 2, APPLIED, 5, 2, b""))
    fails(outcomes, facts, "acknowledged at 5, and applied at 4")


def test_two_outcomes() -> None:
    fails(outcomes, [*honest(), Answered(30, 2, UNKNOWN, 0, 0, None)], "proposal 2 was answered unknown")


def test_an_outcome_of_nothing() -> None:
    fails(outcomes, [*honest(), Answered(30, 9, REFUSED, 0, 0, None)], "proposal 9")


def test_a_command_applied_twice() -> None:
    again = [Done(30, node, 5, 2, (b"y",), b"s5") for node in NODES]
    fails(outcomes, [*honest(), *again], "b'y' was applied at 4 and at 5")
    facts = [
        fact._replace(commands=(b"y", b"y")) if isinstance(fact, Done) and fact.place == 4 else fact
        for fact in honest()
    ]
    fails(outcomes, facts, "b'y' was applied at 4 and at 4")


def test_a_proposal_that_goes_behind_what_was_acknowledged_before_it() -> None:
    late = [Proposed(30, "n2", 4, b"w"), Answered(31, 4, APPLIED, 3, 1, b"")]
    fails(outcomes, [*honest(), *late], "4 was acknowledged before it")
    lost = [Proposed(30, "n2", 4, b"w"), Done(31, "n2", 3, 1, (b"w",), b""), Answered(31, 4, UNKNOWN, 0, 0, None)]
    fails(outcomes, [*honest(), *lost], "4 was acknowledged before it")


# --- liveness ----------------------------------------------------------------------------------------------------

SECOND = 1_000_000_000
AFTER: list[Fact] = [Healed(100), Proposed(SECOND, "n2", 7, b"l"), Answered(2 * SECOND, 7, APPLIED, 5, 2, b"")]


def test_liveness() -> None:
    assert judged(liveness, [*honest(), *AFTER]).held
    assert not judged(liveness, honest()).held  # nothing was healed: nothing was looked at
    fails(liveness, [*honest(), *AFTER[:2]], "nothing that was proposed")
    fails(liveness, [*honest(), *AFTER[:2], AFTER[2]._replace(at=9 * SECOND)], "the first acknowledgement came 9.0 s")
    fails(liveness, [*honest(), *AFTER, Led(5 * SECOND, "n3", 3)], "n3 was elected in term 3, 5.0 s after")
    fails(liveness, [*honest(), *AFTER, Ended(5 * SECOND, "n3", "fault")], "n3 ended (fault)")
    fails(liveness, AFTER, "nobody was ever elected")


# --- snapshots ---------------------------------------------------------------------------------------------------

# n1 was away for longer than the others' logs reach back: it has installed the state after y, and goes on from there.
INSTALLED = Installed(21, "n1", 2, 4, Y, b"s4")


def by_snapshot(*installed: Fact) -> list[Fact]:
    """The honest run, in which n1 gets its last entry by a snapshot instead of the log."""
    facts = [fact for fact in honest() if fact.at < 21 or getattr(fact, "node", "") != "n1"]
    return [*facts, Voted(21, "n1", 1, 2, ""), *(installed or (INSTALLED,)), Synced(22, "n1", 2)]


def test_all_hold_where_a_state_jumped() -> None:
    again = [Ended(30, "n1", POWER), Started(31, "n1", (Y,), 4, b"s4", 4), Wrote(32, "n1", 1, 4, ((2, b"w"),))]
    checks = check_replication(Facts(NODES, (*by_snapshot(), Committed(23, "n1", 4, 2), *again)))
    assert [(check.name, check.violations) for check in checks if not check.held] == []


def test_an_installation_that_a_power_cut_took_back() -> None:
    facts = by_snapshot()[:-1]  # it was not synced
    old = Started(31, "n1", (ROOT, NO_OP, X), 3, b"s3")
    found = judged(durability, [*facts, Ended(30, "n1", POWER), old])
    assert [text for text in found.violations if "came back" in text] == []
    fails(durability, [*facts, Ended(30, "n1", KILL), old], "n1 came back (kill)")
    fails(durability, [*facts, Synced(29, "n1", 2), Ended(30, "n1", POWER), old], "n1 came back (power)")


def test_an_acknowledgement_that_counts_an_installation_before_it_is_synced() -> None:
    asked = [Proposed(15, "n2", 2, b"y"), Proposed(15, "n3", 3, b"z")]
    facts = [fact for fact in by_snapshot() if (fact not in asked and not isinstance(fact, Answered)) or fact.at < 15]
    facts = [fact for fact in facts if fact != Synced(17, "n3", 5)]
    late = [Proposed(15, "n2", 2, b"y"), Answered(23, 2, APPLIED, 4, 2, b"")]
    assert judged(durability, [*facts, *late]).violations == ()
    before = [fact for fact in facts if fact != Synced(22, "n1", 2)]
    fails(durability, [*before, *late], "was synced on 1 of 3 then")


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        (INSTALLED._replace(state=b"s3"), "that nobody had there"),
        (INSTALLED._replace(place=9), "which nobody had applied"),
        (INSTALLED._replace(entry=(1, b"y")), "others applied one of term 2 there"),
        (INSTALLED._replace(place=3, entry=X, state=b"s3"), "and had applied 3"),
    ],
)
def test_a_state_that_jumped_to_where_nobody_was(wrong: Installed, word: str) -> None:
    fails(state_machine_safety, by_snapshot(wrong), word)


def test_what_is_applied_behind_an_installation_goes_on_there() -> None:
    facts = [*by_snapshot(), Done(30, "n2", 5, 2, (), b"s5"), Done(30, "n1", 5, 2, (), b"s5")]
    assert judged(state_machine_safety, facts).held
    fails(state_machine_safety, [*facts[:-1], Done(30, "n1", 6, 2, (), b"s6")], "n1 applied index 6 after 4")


def test_a_log_of_a_snapshot_beside_a_state_that_is_not_its_own() -> None:
    torn = [Ended(30, "n1", POWER), Started(31, "n1", (Y,), 4, b"s3", 4)]
    fails(state_machine_safety, [*by_snapshot(), *torn], "a state that nobody had there")
    torn = [Ended(30, "n1", POWER), Started(31, "n1", (Y,), 3, b"s3", 4)]
    fails(state_machine_safety, [*by_snapshot(), *torn], "a log that begins at 4")


def test_a_base_that_nobody_wrote() -> None:
    fails(durability, by_snapshot(INSTALLED._replace(entry=(2, b"!"))), "n1's log begins at 4 with an entry of term 2")
    strange = Started(31, "n1", ((2, b"!"),), 4, b"s4", 4)
    fails(durability, [*by_snapshot(), Ended(30, "n1", POWER), strange], "that nobody wrote")


def test_an_installation_that_costs_what_was_acknowledged() -> None:
    """Hazard 27: n2 goes back to a state before y."""
    late = [Installed(30, "n2", 9, 3, X, b"s3"), Synced(31, "n2", 9)]
    fails(durability, [*honest(), *late], "is not in the final log of n2")
    fails(durability, [*honest(), *late, Led(32, "n2", 3)], "n2, elected in term 3, lacks index 4")
    fails(leader_completeness, [*honest(), *late, Led(32, "n2", 3)], "lacks index 4")


def test_what_is_written_behind_a_base_is_compared() -> None:
    facts = [*by_snapshot(), Wrote(30, "n2", 9, 4, ((2, b"w"),)), Wrote(31, "n1", 9, 4, ((2, b"!"),))]
    fails(log_matching, facts, "n1 and n2 hold index 5 of term 2")
