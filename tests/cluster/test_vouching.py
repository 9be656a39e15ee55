"""Vouching: who is wrong, when digests differ, and when nobody can know."""

from __future__ import annotations

from cluster.types import MonoNs, Peer
from cluster.vouching import AGAIN, KEPT, Vouching
from cluster.wire import Copied, Vouch

N1, N2, N3, N4, N5 = (Peer(f"n{number}") for number in range(1, 6))
GOOD, BAD, WORSE = b"g" * 32, b"b" * 32, b"w" * 32


class Book:
    """One node's vouching, with a clock by hand."""

    def __init__(self, *peers: Peer) -> None:
        self.now = MonoNs(0)
        self.vouching = Vouching(N1, peers or (N2, N3), b"about", lambda: self.now)

    def passed(self, index: int, digest: bytes) -> None:
        self.vouching.passed(index, digest)

    def heard(self, peer: Peer, index: int, digest: bytes, *, ask: bool = False) -> None:
        self.vouching.heard(peer, Vouch(index, digest, index, ask, b""), 1000)

    def heard_copy(self, peer: Peer, index: int, digest: bytes, source: Peer) -> None:
        self.vouching.heard(peer, Copied(index, digest, index, False, b"", source.encode()), 1000)

    def said(self) -> list[tuple[Peer, Vouch]]:
        said, self.vouching.outbox = self.vouching.outbox, []
        return said

    @property
    def found(self) -> tuple[int | None, int | None]:
        return self.vouching.diverged, self.vouching.disputed


def test_all_agree() -> None:
    book = Book()
    book.passed(1000, GOOD)
    assert book.found == (None, None)
    book.heard(N2, 1000, GOOD)
    book.heard(N3, 1000, GOOD)
    assert book.found == (None, None)


def test_the_others_agree_and_this_node_differs() -> None:
    book = Book()
    book.heard(N2, 1000, GOOD)
    book.passed(1000, BAD)
    assert book.found == (None, 1000), "one against one: nobody can know"
    book.heard(N3, 1000, GOOD)
    assert book.found == (1000, None)


def test_one_other_differs_and_this_node_goes_on() -> None:
    book = Book()
    book.passed(1000, GOOD)
    book.heard(N3, 1000, BAD)
    assert book.found == (None, 1000)
    book.heard(N2, 1000, GOOD)
    assert book.found == (None, None)


def test_three_digests_are_a_dispute_for_everybody() -> None:
    book = Book()
    book.passed(1000, GOOD)
    book.heard(N2, 1000, BAD)
    book.heard(N3, 1000, WORSE)
    assert book.found == (None, 1000)


def test_of_five_two_that_differ_wait_for_a_third_word() -> None:
    book = Book(N2, N3, N4, N5)
    book.passed(1000, GOOD)
    book.heard(N2, 1000, BAD)
    book.heard(N3, 1000, BAD)
    assert book.found == (None, 1000)
    book.heard(N4, 1000, GOOD)
    assert book.found == (None, 1000)
    book.heard(N5, 1000, BAD)
    assert book.found == (1000, None)


def test_other_indexes_are_not_compared_and_a_late_word_decides() -> None:
    book = Book()
    book.passed(1000, GOOD)
    book.heard(N2, 2000, BAD)
    book.heard(N3, 2000, BAD)
    assert book.found == (None, None)
    book.passed(2000, GOOD)
    assert book.found == (2000, None)


def test_in_a_dispute_it_asks_again_and_a_question_is_answered_at_its_index() -> None:
    book = Book()
    book.passed(1000, GOOD)
    book.heard(N2, 1000, BAD)
    book.said()
    book.vouching.tick(1007)
    assert book.said() == [], "not yet"
    book.now = MonoNs(AGAIN)
    book.vouching.tick(1007)
    assert book.said() == [(peer, Vouch(1000, GOOD, 1007, True, b"about")) for peer in (N2, N3)]
    book.passed(2000, GOOD)
    book.said()
    book.heard(N3, 1000, GOOD, ask=True)
    assert book.said() == [(N3, Vouch(1000, GOOD, 1000, False, b"about"))]


def test_a_leader_that_stands_before_an_entry_asks_again_as_the_others_may_not_be_past_it_yet() -> None:
    book = Book()
    book.vouching.ask_all(12)
    book.said()
    book.now = MonoNs(AGAIN)
    book.vouching.tick(12)
    assert (book.said(), book.vouching.next_due()) == ([], None), "nothing is in question"
    book.vouching.stands = True
    assert book.vouching.next_due() == AGAIN
    book.vouching.tick(12)
    assert book.said() == [(peer, Vouch(0, b"", 12, True, b"about")) for peer in (N2, N3)]
    assert book.vouching.next_due() == 2 * AGAIN


def test_a_peer_that_says_much_pushes_out_only_its_own_word() -> None:
    book = Book()
    book.passed(1000, GOOD)
    book.heard(N2, 1000, BAD)
    for number in range(KEPT):
        book.heard(N3, 5000 + number, WORSE)
    assert book.found == (None, 1000)
    book.heard(N3, 1000, GOOD)
    assert book.found == (None, 1000), "too old to be kept"


def test_before_anything_was_compared_it_still_says_what_it_is() -> None:
    book = Book()
    book.vouching.tell(N2, 7)
    assert book.said() == [(N2, Vouch(0, b"", 7, False, b"about"))]
    book.heard(N2, 0, b"")
    assert book.found == (None, None)
    assert book.vouching.applied == {N2: 0}


# Copies: a state that a snapshot brought


def test_a_wrong_state_and_its_copy_are_one_word_and_do_not_stop_the_node_that_is_right() -> None:
    book = Book()
    book.passed(1000, GOOD)
    book.heard(N2, 1000, BAD)
    book.heard_copy(N3, 1000, BAD, N2)
    assert book.found == (None, 1000)
    book.heard_copy(N3, 1000, GOOD, N2)  # not the same as its source any more: one of the two has erred since
    assert book.found == (None, None)


def test_a_copy_of_a_copy_is_the_same_word_and_so_are_copies_of_each_other() -> None:
    for copies in ({N2: N3, N3: N4}, {N2: N3, N3: N4, N4: N3}, {N3: N2, N4: N2}, {N2: N4, N4: N3, N3: N4}):
        book = Book(N2, N3, N4, N5)
        book.passed(1000, GOOD)
        for peer in (N2, N3, N4):
            if peer in copies:
                book.heard_copy(peer, 1000, BAD, copies[peer])
            else:
                book.heard(peer, 1000, BAD)
        assert book.found == (None, 1000), copies
        book.heard(N5, 1000, BAD)
        assert book.found == (None, 1000), "two words of five"


def test_a_copy_says_so_until_a_majority_has_borne_it_out() -> None:
    book = Book()
    book.vouching.installed(N2)
    book.passed(1000, GOOD)
    assert {said for _, said in book.said()} == {Copied(1000, GOOD, 1000, False, b"about", b"n2")}
    book.heard(N2, 1000, GOOD)
    book.passed(2000, GOOD)
    assert {type(said) for _, said in book.said()} == {Copied}, "its source alone says nothing of it"
    book.heard(N3, 2000, GOOD)
    book.passed(3000, GOOD)
    assert {type(said) for _, said in book.said()} == {Vouch}
    book.heard(N3, 3000, BAD)
    book.heard(N2, 3000, BAD)
    assert book.found == (3000, None)


def test_where_all_come_from_one_they_are_borne_out_by_being_alike() -> None:
    book = Book()
    book.vouching.installed(N2)
    book.passed(1000, GOOD)
    book.heard_copy(N3, 1000, GOOD, N2)
    assert book.found == (None, None)
    book.said()
    book.heard(N2, 1000, GOOD)
    book.passed(2000, GOOD)
    assert {type(said) for _, said in book.said()} == {Vouch}


def test_what_was_said_of_the_state_that_went_is_void() -> None:
    book = Book()
    book.passed(1000, BAD)
    book.heard(N2, 1000, GOOD)
    book.vouching.installed(N2)
    assert book.found == (None, None)
    book.heard(N3, 1000, GOOD)
    assert book.found == (None, None), "it was wrong, and is that state no more"
    book.said()
    book.vouching.tell(N2, 1500)
    assert book.said() == [(N2, Copied(0, b"", 1500, False, b"about", b"n2"))]


# Which state may be copied


class Lead:
    """What the test says of followers."""

    def __init__(self, *needing: Peer, apart: tuple[Peer, ...] = (), peers: tuple[Peer, ...] = (N2, N3)) -> None:
        self.peers, self.needing, self.apart = peers, needing, apart

    def needs_snapshot(self, peer: Peer) -> bool:
        return peer in self.needing

    def linked(self, peer: Peer) -> bool:
        return peer not in self.apart


def test_a_state_is_copied_once_a_majority_has_its_newest_digest() -> None:
    book = Book()
    assert book.vouching.may_copy(Lead(N3)), "nothing is compared yet"
    book.passed(1000, GOOD)
    assert not book.vouching.may_copy(Lead(N3)), "n2 has not said what its own is"
    book.heard(N2, 1000, GOOD)
    assert book.vouching.may_copy(Lead(N3))
    book.passed(2000, GOOD)
    assert not book.vouching.may_copy(Lead(N3))
    book.heard(N2, 2000, BAD)
    assert (book.vouching.in_question, book.vouching.may_copy(Lead(N3))) == (True, False)
    book.heard(N3, 2000, BAD)
    assert (book.vouching.in_question, book.vouching.may_copy(Lead(N3))) == (True, False)


def test_of_five_a_copy_does_not_make_a_majority() -> None:
    book, lead = Book(N2, N3, N4, N5), Lead(N5, peers=(N2, N3, N4, N5))
    book.passed(1000, GOOD)
    book.heard(N2, 1000, GOOD)
    book.heard_copy(N3, 1000, GOOD, N1)
    assert not book.vouching.may_copy(lead)
    book.heard(N4, 1000, GOOD)
    assert book.vouching.may_copy(lead)


def test_nobody_waits_for_a_word_that_can_t_come() -> None:
    book = Book()
    book.passed(1000, GOOD)
    assert book.vouching.may_copy(Lead(N3, apart=(N2,))), "there is nobody whose state could be outvoted"
    assert book.vouching.may_copy(Lead(N2, N3))
    book.vouching.heard(N2, Vouch(0, b"", 1007, False, b""), 1007)
    assert book.vouching.may_copy(Lead(N3)), "n2 is past it and has started since"


def test_a_word_that_holds_a_copy_up_is_asked_for_again_as_it_may_have_been_lost() -> None:
    book, lead = Book(N2, N3, N4, N5), Lead(N5, peers=(N2, N3, N4, N5))
    book.now = MonoNs(AGAIN)
    book.passed(1000, GOOD)
    book.heard(N2, 1000, GOOD)
    book.said()
    book.vouching.ask_lacking(lead, 1007)
    assert book.said() == [(peer, Vouch(1000, GOOD, 1007, True, b"about")) for peer in (N3, N4)]
    book.vouching.ask_lacking(lead, 1007)
    assert (book.said(), book.vouching.lacking_due()) == ([], 2 * AGAIN), "not yet again"
    book.heard(N3, 1000, GOOD)
    book.vouching.ask_lacking(lead, 1007)
    assert (book.vouching.lacking, book.vouching.lacking_due(), book.said()) == ((), None, [])


def test_in_a_dispute_all_are_asked_and_nobody_holds_a_copy_up() -> None:
    book = Book()
    book.passed(1000, GOOD)
    book.vouching.ask_lacking(Lead(N3), 1007)
    assert list(book.vouching.lacking) == [N2]
    book.heard(N2, 1000, BAD)
    assert list(book.vouching.awaited(Lead(N3))) == []
    book.said()
    book.now = MonoNs(AGAIN)
    book.vouching.tick(1007)
    assert [peer for peer, _ in book.said()] == [N2, N3]
