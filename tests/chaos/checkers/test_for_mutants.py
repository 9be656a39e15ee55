"""Checks that surviving mutants asked for: windows apart, in authority, a resume by an old look, a takeover's guess."""

from __future__ import annotations

from decimal import Decimal

from attrs import evolve

from chaos.checkers.accounted import accounted
from chaos.checkers.halt_survives import halt_survives
from chaos.checkers.history import AuditRecord, History, LocalCommit, NodeHistory, Request, VenueOrder
from chaos.checkers.in_authority import in_authority
from chaos.checkers.windows_apart import windows_apart
from meltica.core.ids import make_id
from meltica.core.values import Epoch, Index

CLUSTER = "51ed00"
MS = 1_000_000


def request(epoch: int, received: int) -> Request:
    name = make_id(CLUSTER, Epoch(epoch), Index(9), 0)
    return Request(1, "n1", "order.place", name, received * MS, received * MS, "ok", None)


def node(*commits: tuple[int, int], released: tuple[int, ...] = (), taken: bool = True) -> NodeHistory:
    return NodeHistory(
        name="n1",
        applied_index=9,
        state_digest="",
        replayed_digest="",
        common_digest="",
        audit=tuple(
            AuditRecord(5, term, 0, kind, {}, True, (), "00")
            for term in released
            for kind in (("authority_taken",) * taken + ("authority_released",))
        ),
        commits=tuple(LocalCommit(4, term, 0, (), until * MS) for term, until in commits),
        fills=(),
        orders=(),
    )


def history(nodes: NodeHistory, *requests: Request) -> History:
    return History("main", CLUSTER, requests, (), (), (nodes,))


def test_a_successor_that_waits_is_let_be() -> None:
    check = windows_apart(history(node((1, 400), (3, 900)), request(1, 390), request(2, 401), request(3, 500)))
    assert check.looked_at == 2
    assert check.held


def test_a_successor_that_does_not_is_seen() -> None:
    check = windows_apart(history(node((1, 400), (2, 300)), request(3, 399)))
    assert check.violations == ("request 1 of epoch 3 was received 1000000 ns before an older epoch's window ended",)


def test_a_release_excuses_from_what_is_not_newer_than_it() -> None:
    assert not windows_apart(history(node((1, 400), (2, 500), released=(2,)), request(3, 100))).violations
    assert windows_apart(history(node((1, 400), (2, 500), released=(1,)), request(3, 450))).violations
    assert windows_apart(history(node((1, 400), released=(2,)), request(2, 100))).violations


def test_the_release_of_what_was_never_taken_excuses_nobody() -> None:
    late = request(3, 450)
    assert windows_apart(history(node((1, 500), released=(2,), taken=False), late)).violations
    assert not windows_apart(history(node((1, 500), released=(2,)), late)).violations


def test_what_is_not_known_is_not_judged() -> None:
    bare = evolve(node(), commits=(LocalCommit(4, 1, 0, ()),))
    assert windows_apart(history(bare, request(2, 1))).looked_at == 0


def told(index: int, kind: str, term: int = 2, *intents: str, **command: object) -> AuditRecord:
    return AuditRecord(index, term, 0, kind, command, True, intents, "00")


def test_sends_are_ordered_in_authority_alone() -> None:
    started = [told(1, "epoch_started", epoch=2), told(2, "authority_taken"), told(3, "submit", 2, "a")]
    assert in_authority(history(evolve(node(), audit=tuple(started)))).held
    by_hand = [started[0], told(2, "authority_taken", promoted=True), started[2]]
    assert in_authority(history(evolve(node(), audit=(told(0, "mode_set", mode="manual"), *by_hand)))).held
    for wrong in (
        [started[0], started[2]],
        [*started[:2], told(3, "authority_released"), told(4, "submit", 2, "a")],
        [*started[:2], told(3, "submit", 3, "a")],
        [started[0], told(2, "authority_taken", cancels_only=True), started[2]],
        [told(0, "configured", mode="manual"), *started],  # in full, and nobody promoted it
        [told(0, "mode_set", mode="manual"), *started],
    ):
        assert in_authority(history(evolve(node(), audit=tuple(wrong)))).violations


def test_a_resume_by_an_old_look_is_seen() -> None:
    log = [told(5, "halt", cause="a"), told(6, "halt", cause="b")]
    by = {"causes": ["a"], "risk_index": 5}
    assert halt_survives(history(evolve(node(), audit=(*log, told(7, "resume", **by))))).violations == (
        "index 7 resumes by a look at index 5; a cause was added at 6",
    )
    assert not halt_survives(
        history(evolve(node(), audit=(*log, told(7, "resume", **{**by, "risk_index": 6}))))
    ).violations


def test_what_was_told_to_be_refused_and_is_at_the_venue_is_seen() -> None:
    name = make_id(CLUSTER, Epoch(1), Index(9), 0)
    log = (told(9, "submit", 1, name), told(12, "answered", intent=name, accepted=False))
    doctored = evolve(history(evolve(node(), audit=log)), orders=(VenueOrder("BTCUSDT", "1", name, "NEW", Decimal(0)),))
    assert f"n1: {name} was told to be refused, and the venue had it" in accounted(doctored).violations
    assert not [text for text in accounted(evolve(doctored, orders=())).violations if "refused" in text]
