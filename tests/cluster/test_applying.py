"""Applying: an entry whose apply raises stops apply and not replication; what the nodes say of their states."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cluster.applying import ApplyFault
from cluster.types import (
    Applied,
    ApplyOutcome,
    LogIndex,
    NotLeader,
    OutcomeUnknown,
    Peer,
    Recorded,
    Role,
    Term,
    Token,
)
from cluster.wire import Ack, Append, Message, StandNow, Vouch, encode, pack_commands
from tests.cluster.conftest import ListMachine

if TYPE_CHECKING:
    from tests.cluster.conftest import Hand

MS = 1_000_000
SKIP = b"skip it"


class Answering(ListMachine):
    """A list machine that answers for its state; `SKIP` behind a stop passes the entry."""

    def __init__(self) -> None:
        super().__init__()
        self.stops: list[tuple[int, str, str]] = []
        self.heard: list[int] = []
        self.isolated: list[int] = []
        self.state = b"s" * 32
        self.poison = b"poison"

    def about(self) -> bytes:
        return b"it"

    def vouch(self, index: LogIndex) -> bytes | None:
        return self.state if index % 4 == 0 else None

    def stopped(self, index: LogIndex, digest: str, error: Exception) -> str:
        self.stops.append((index, digest, str(error)))
        return f"because {error}"

    def ahead(self, index: LogIndex, _term: Term, commands: tuple[bytes, ...]) -> bool:
        self.heard.append(index)
        return SKIP in commands

    def speaks_of_stop(self, command: bytes) -> bool:
        return command in {SKIP, b"not yet"}

    def isolate(self, index: LogIndex, _term: Term, commands: tuple[bytes, ...]) -> ApplyOutcome:
        self.isolated.append(index)
        return ApplyOutcome(tuple(b"passed" for _ in commands), ((b"last", b"%d" % index),), ())


def node(hand: type[Hand], disk: object = None) -> Hand:
    """Not to be patched into the replica later: what it can do is looked at when it is made."""
    kind = type("Answers", (hand,), {"machine_of": Answering})
    made = kind(disk=disk)
    assert isinstance(made.machine, Answering)
    return made


def leader(made: Hand) -> int:
    term = made.lead()
    commit(made, term)
    return term


def commit(made: Hand, term: int) -> None:
    made.sync()
    made.hears("n2", Ack(term, made.last, True, made.now))


def test_nothing_of_the_entry_counts_and_nobody_behind_it_is_told_that_it_was_done(hand: type[Hand]) -> None:
    made = node(hand)
    term = leader(made)
    for token, command in enumerate((b"a", b"poison", b"b"), 1):
        made.propose(command, token)
    commit(made, term)
    assert made.outcomes[1] == Applied(LogIndex(3), Term(term), b"did a")
    assert made.outcomes[2] == OutcomeUnknown("apply stopped at entry 4")
    assert made.outcomes[3] == OutcomeUnknown("apply stopped at entry 4")
    status = made.replica.status()
    assert (status.applied_index, status.committed_index) == (3, 5)
    assert status.stopped is not None
    assert (status.stopped.index, status.stopped.why) == (4, "because poisoned")
    assert status.stalled is None, "replication goes on"
    assert made.role is Role.LEADER
    assert dict(made.store.state()) == {b"last": b"3"}
    assert made.machine.loaded[-1] == (3, {b"last": b"3"}), "back to what is committed"
    assert made.roles[-1].reason == "apply stopped at entry 4"


def test_meanwhile_only_what_speaks_of_the_stop_is_taken_and_the_skip_lets_all_pass(hand: type[Hand]) -> None:
    made = node(hand)
    term = leader(made)
    made.propose(b"poison", 1)
    commit(made, term)
    made.propose(b"anything", 2)
    assert made.outcomes[2] == NotLeader(None)
    made.propose(b"not yet", 3)
    commit(made, term)
    assert made.outcomes[3] == Recorded(LogIndex(4), Term(term))
    made.propose(SKIP, 4)
    commit(made, term)
    made.wait(1)
    assert made.machine.isolated == [3]
    assert made.machine.heard == [4, 5], "each entry behind it once"
    assert made.outcomes[4] == Applied(LogIndex(5), Term(term), b"did " + SKIP)
    assert [entry.index for entry in made.applied] == [1, 2, 3, 4, 5]
    assert made.replica.status().stopped is None
    assert made.roles[-1].reason == "apply goes on"
    made.propose(b"more", 5)
    commit(made, term)
    assert made.outcomes[5] == Applied(LogIndex(6), Term(term), b"did more")


def test_a_restart_stands_at_the_same_entry_and_finds_the_skip_behind_it(hand: type[Hand]) -> None:
    made = node(hand)
    term = leader(made)
    made.propose(b"poison", 1)
    commit(made, term)
    again = node(hand, made.store.crash(99))
    entries = tuple((pack_commands((one,)), index, term) for index, one in ((4, b"x"), (5, SKIP), (6, b"y")))
    again.hears("n2", Append(term, 6, 3, term, entries, again.now))
    again.sync()
    again.wait(1)
    assert again.machine.isolated == [3]
    assert again.replica.status().applied_index == 6


def test_a_machine_that_cannot_go_back_ends_the_replica(hand: type[Hand]) -> None:
    made = node(hand)
    term = leader(made)
    made.propose(b"poison", 1)
    made.machine.load = _fails  # type: ignore[method-assign] # its disk fails
    made.sync()
    made.replica.received(Peer("n2"), _frame(Ack(term, made.last, True, made.now)))
    with pytest.raises(ApplyFault, match=r"entry 3.*and then OSError"):
        made.replica.step()
    assert made.replica.status().stalled is not None


def _fails(*_: object) -> None:
    raise OSError("no disk")


def _frame(message: Message) -> bytes:
    return encode(message)


def test_a_leader_that_stands_hands_over_to_a_follower_that_went_past(hand: type[Hand]) -> None:
    made = node(hand)
    term = leader(made)
    made.propose(b"poison", 1)
    made.said.clear()
    commit(made, term)
    assert [message.ask for message in made.take(Vouch)] == [True, True], "it asks how far the others are"
    made.hears("n3", Vouch(0, b"", 2, False, b""))
    assert made.take(StandNow) == []
    made.hears("n2", Vouch(0, b"", 3, False, b""))
    made.wait(100)
    assert made.take(StandNow, "n2") == [StandNow(term)]


def test_one_that_does_not_take_over_holds_up_neither_the_next_nor_what_lets_all_pass(hand: type[Hand]) -> None:
    """A node's disk that does not sync, say: it is told to stand and does not, as often as it is told."""
    made = node(hand)
    term = leader(made)
    made.propose(b"poison", 1)
    commit(made, term)

    def wait(ms: int) -> None:
        for _ in range(ms // 50):
            made.wait(50)
            for peer in ("n2", "n3"):
                made.hears(peer, Ack(term, made.last, True, made.now))

    wait(50)
    made.hears("n2", Vouch(0, b"", 3, False, b""))
    made.hears("n3", Vouch(0, b"", 3, False, b""))
    wait(300)
    assert [to for to, message in made.said if isinstance(message, StandNow)] == ["n2"]
    made.propose(SKIP, 2)
    wait(200)
    assert made.last == 4, "given up, it goes on appending"
    made.sync()
    wait(50)
    assert made.machine.isolated == [3]


def test_each_that_went_past_is_told_in_turn(hand: type[Hand]) -> None:
    made = node(hand)
    term = leader(made)
    made.propose(b"poison", 1)
    commit(made, term)
    made.hears("n2", Vouch(0, b"", 3, False, b""))
    made.hears("n3", Vouch(0, b"", 3, False, b""))
    for _ in range(45):
        made.wait(50)
        for peer in ("n2", "n3"):
            made.hears(peer, Ack(term, made.last, True, made.now))
    assert [to for to, message in made.said if isinstance(message, StandNow)] == ["n2", "n3", "n2"]


def test_it_says_what_it_is_and_what_its_state_comes_to(hand: type[Hand]) -> None:
    made = node(hand)
    assert {message.about for message in made.take(Vouch)} == {b"it"}
    term = leader(made)
    for token in range(2):
        made.propose(b"c", token)
        commit(made, term)
    assert made.take(Vouch) == [Vouch(4, b"s" * 32, 4, False, b"it")] * 2
    made.hears("n3", Vouch(0, b"", 4, True, b"that"))
    assert made.take(Vouch, "n3") == [Vouch(4, b"s" * 32, 4, False, b"it")]
    peers = {peer.name: (peer.about, peer.applied) for peer in made.replica.status().peers}
    assert peers == {"n2": (b"", 0), "n3": (b"that", 4)}


def test_a_leader_that_differs_from_the_majority_resigns_and_takes_no_part_any_more(hand: type[Hand]) -> None:
    made = node(hand)
    term = leader(made)
    for token in range(2):
        made.propose(b"c", token)
        commit(made, term)
    made.hears("n2", Vouch(4, b"t" * 32, 4, False, b""))
    assert made.replica.status().disputed == 4
    made.take(Vouch)
    made.wait(250)
    assert [message.ask for message in made.take(Vouch, "n3")] == [True]
    made.hears("n3", Vouch(4, b"t" * 32, 4, False, b""))
    status = made.replica.status()
    assert (status.diverged, status.disputed, status.role) == (4, None, Role.FOLLOWER)
    assert "differs from the majority's at index 4" in (status.stalled or "")
    assert made.roles[-1].role is Role.FOLLOWER
    assert any(type(message).__name__ == "Resign" for _, message in made.said)
    made.said.clear()
    made.replica.propose(b"late", Token(9))
    made.wait(3000)
    assert made.outcomes[9] == NotLeader(None)
    assert made.said == [], "it votes for nobody, and acknowledges nothing"


def test_a_machine_that_answers_for_nothing_says_nothing(hand: type[Hand]) -> None:
    made = hand()
    assert made.take(Vouch) == []
