"""Linearizability: honest histories of registers hold, doctored ones do not; a search that gave up has not passed."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos.checkers.facts import APPLIED, REFUSED, UNKNOWN, Answered, Fact, Facts, Proposed
from chaos.checkers.linearizable import linearizable
from chaos.checkers.registers import NOTHING, Operation, decode, encode

W1, W2, READ = Operation(b"k", b"1"), Operation(b"k", b"2"), Operation(b"k", None)


def call(token: int, operation: Operation, began: int, ended: int, saw: bytes | None) -> list[Fact]:
    """A call that was answered with what it saw; with None its outcome is unknown."""
    how = UNKNOWN if saw is None else APPLIED
    return [Proposed(began, "n1", token, encode(operation, token)), Answered(ended, token, how, 0, 0, saw)]


def holds(*calls: list[Fact]) -> bool:
    return linearizable(Facts(("n1",), tuple(fact for each in calls for fact in each))).held


def test_an_order_in_time() -> None:
    assert holds(call(1, W1, 1, 2, NOTHING), call(2, READ, 3, 4, b"1"), call(3, W2, 5, 6, b"1"))


def test_a_stale_read() -> None:
    assert not holds(call(1, W1, 1, 2, NOTHING), call(2, READ, 3, 4, NOTHING))
    assert holds(call(1, W1, 1, 4, NOTHING), call(2, READ, 2, 3, NOTHING))  # they overlap


def test_a_lost_update() -> None:
    assert not holds(call(1, W1, 1, 5, NOTHING), call(2, W2, 2, 4, NOTHING))


def test_a_value_out_of_nowhere() -> None:
    assert not holds(call(1, W1, 1, 2, NOTHING), call(2, READ, 3, 4, b"7"))


def test_reads_that_go_back() -> None:
    wrote = [call(1, W1, 1, 2, NOTHING), call(2, W2, 3, 10, b"1")]
    assert holds(*wrote, call(3, READ, 4, 5, b"1"), call(4, READ, 6, 7, b"2"))
    assert not holds(*wrote, call(3, READ, 4, 5, b"2"), call(4, READ, 6, 7, b"1"))


def test_an_unknown_write_may_take_effect_late_or_never() -> None:
    lost = call(1, W1, 1, 2, None)
    assert holds(lost, call(2, READ, 3, 4, NOTHING))
    assert holds(lost, call(2, READ, 3, 4, NOTHING), call(3, READ, 5, 6, b"1"))
    assert not holds(lost, call(2, READ, 3, 4, b"1"), call(3, READ, 5, 6, NOTHING))


def test_an_unknown_write_takes_effect_once_and_not_before_it_was_proposed() -> None:
    lost = call(9, W1, 3, 4, None)
    assert not holds(call(1, READ, 1, 2, b"1"), lost)
    seen = [call(1, READ, 5, 6, b"1"), call(2, W2, 7, 8, b"1")]
    assert holds(lost, *seen, call(3, READ, 9, 10, b"2"))
    assert not holds(lost, *seen, call(3, READ, 9, 10, b"1"))


def test_what_was_never_answered_is_unknown() -> None:
    assert holds(call(1, W1, 1, 2, None)[:1], call(2, READ, 3, 4, b"1"))


def test_what_was_refused_took_no_effect() -> None:
    refused: list[Fact] = [Proposed(1, "n1", 1, encode(W1, 1)), Answered(2, 1, REFUSED, 0, 0, None)]
    assert holds(refused, call(2, READ, 3, 4, NOTHING))
    assert not holds(refused, call(2, READ, 3, 4, b"1"))


def test_a_swap_of_another_value_changes_nothing() -> None:
    swap = Operation(b"k", b"3", b"2")
    assert holds(call(1, W1, 1, 2, NOTHING), call(2, swap, 3, 4, b"1"), call(3, READ, 5, 6, b"1"))
    assert not holds(call(1, W1, 1, 2, NOTHING), call(2, swap, 3, 4, b"1"), call(3, READ, 5, 6, b"3"))
    assert holds(call(1, W2, 1, 2, NOTHING), call(2, swap, 3, 4, b"2"), call(3, READ, 5, 6, b"3"))


def test_registers_are_independent() -> None:
    other = Operation(b"other", None)
    assert holds(call(1, W1, 1, 2, NOTHING), call(2, other, 3, 4, NOTHING))


def test_nothing_to_look_at() -> None:
    assert not holds()
    assert not holds(call(1, W1, 1, 2, None))


def test_giving_up_is_not_passing() -> None:
    facts = [fact for token in range(1, 30) for fact in call(token, Operation(b"k", b"%d" % token), 1, 100, NOTHING)]
    found = linearizable(Facts(("n1",), tuple(facts)), most=5)
    assert not found.held
    reads = [fact for token in range(1, 30) for fact in call(token, READ, 1, 100, NOTHING)]
    found = linearizable(Facts(("n1",), tuple(reads)), most=5)
    assert "could not be judged in 5 steps" in found.violations[0]


@pytest.mark.parametrize("operation", [W1, READ, Operation(b"k", b"3", b"2")])
def test_operations_are_commands(operation: Operation) -> None:
    assert decode(encode(operation, 7)) == operation
    assert decode(b"c7c7") is None


def _simulated(seed: int, number: int) -> list[Fact]:
    """Calls that each take effect at one moment between their ends, some of them unanswered, some never."""
    facts: list[Fact] = []
    random, value = Random(seed), NOTHING  # noqa: S311 # a simulation's
    moments = sorted(random.sample(range(1000), number))
    for token, moment in enumerate(moments, 1):
        operation = random.choice((READ, Operation(b"k", b"v%d" % token), Operation(b"k", b"v%d" % token, value)))
        known, happens = random.random() < 0.8, random.random() < 0.5
        began, ended = moment - random.randint(0, 60), moment + random.randint(0, 60)
        facts += call(token, operation, began, ended, value if known else None)
        if known or happens:
            value = operation.after(value)
    return sorted(facts, key=lambda fact: fact.at)


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10**6), number=st.integers(1, 40))
def test_whatever_has_an_order_is_found_to_have_one(seed: int, number: int) -> None:
    assert linearizable(Facts(("n1",), tuple(_simulated(seed, number)))).violations == ()


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10**6), number=st.integers(8, 30))
def test_a_stale_answer_anywhere_is_found(seed: int, number: int) -> None:
    """Behind everything known, a write and two reads, the second of which sees what was there before the first."""
    facts = _simulated(seed, number)
    last = Operation(b"k", b"last")
    end = max(fact.at for fact in facts) + 1
    final = [
        *call(900, Operation(b"k", b"now"), end, end + 1, _final(facts)),
        *call(901, last, end + 2, end + 3, b"now"),
        *call(902, READ, end + 4, end + 5, b"now"),
    ]
    assert not linearizable(Facts(("n1",), (*facts, *final))).held


def _final(facts: list[Fact]) -> bytes:
    """Any value that may be there at the end: the newest that someone saw."""
    seen = [fact.result for fact in facts if isinstance(fact, Answered) and isinstance(fact.result, bytes)]
    return seen[-1] if seen else NOTHING
