"""Members: who takes part, as an entry of the log says it, and which change of it may follow.

Pure; only the configuration, its bytes and its changes may live here.  Which one is in force is `adopted`'s, the order
in which a node is replaced `replacing`'s.  DESIGN.md, "Members", has the argument.
Pinned by tests/golden/cluster/members.json.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final

import msgpack  # type: ignore[import-untyped] # ships no types
from attrs import evolve, frozen

from cluster import hosts
from cluster.types import NO_NODE_S, Peer
from cluster.wire import CONFIGURATION, WireError

MAX_MEMBERS: Final = 16  # voters and learners
MAX_REMOVED: Final = 1024  # so that an entry stays far below its bound (types.MAX_ENTRY)
NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,30}")  # as in the settings
_ADDRESS: Final = re.compile(r"\S{1,255}:([0-9]{1,5})")
_FINGERPRINT: Final = 32  # bytes: SHA-256
_LIMIT: Final = 2**63
_pack: Final[Callable[[object], bytes]] = msgpack.Packer(use_bin_type=True, autoreset=True).pack


class Refused(Exception):
    """This change is not made; the text says why, and whose move it is."""


class NotYet(Refused):
    """Not now: it will be over by itself, soon."""


@frozen
class Member:
    """A node: its name, for ever, where its peers dial it, and the SHA-256 of its certificate (empty: any that the
    cluster's authority has signed for that name).

    Raises:
        ValueError: no node may be called so, or the address or the fingerprint is none.
    """

    name: Peer
    address: str  # host:port
    fingerprint: bytes = b""

    def __attrs_post_init__(self) -> None:
        _check_name(self.name)
        port = _ADDRESS.fullmatch(self.address)
        if port is None or not 0 < int(port[1]) < 2**16:
            raise ValueError(f"{self.name}'s address is no host:port: {self.address!r:.80}")
        if type(self.fingerprint) is not bytes or len(self.fingerprint) not in {0, _FINGERPRINT}:
            raise ValueError(f"{self.name}'s fingerprint is no SHA-256: {self.fingerprint!r:.80}")


@frozen
class Configuration:
    """Who votes, who learns, and who never comes back.  Each is by name, in its order.

    `number`: one more than that of the configuration which it follows; 0 is what the settings of a new cluster say.
    `newest`: the voter that was a learner last; None where there was none, or where that one was removed.  It is who
    came for another's place, wherever there is a vote too many.

    Raises:
        ValueError: it has no voter, a name twice, another order, or too many; or its newest voter does not vote.
    """

    number: int
    voters: tuple[Member, ...]
    learners: tuple[Member, ...] = ()
    removed: tuple[Peer, ...] = ()
    newest: Peer | None = None

    def __attrs_post_init__(self) -> None:
        if type(self.number) is not int or not 0 <= self.number < _LIMIT:
            raise ValueError(f"no configuration has the number {self.number}")
        if not self.voters:
            raise ValueError("a configuration without a voter")
        for name in self.removed:
            _check_name(name)
        for names in (self.voting, self.learning, self.removed):
            if list(names) != sorted(set(names)):
                raise ValueError(f"not by name, or a name twice: {', '.join(names)}")
        everybody = (*self.voting, *self.learning, *self.removed)
        if len(set(everybody)) != len(everybody):
            raise ValueError("a name that is two of voter, learner and removed")
        if len(self.voters) + len(self.learners) > MAX_MEMBERS or len(self.removed) > MAX_REMOVED:
            raise ValueError(f"more than {MAX_MEMBERS} members, or {MAX_REMOVED} that were removed")
        if self.newest is not None and self.newest not in self.voting:
            raise ValueError(f"the newest voter does not vote: {self.newest!r:.40}")

    @property
    def voting(self) -> tuple[Peer, ...]:
        """The voters' names."""
        return tuple([member.name for member in self.voters])

    @property
    def learning(self) -> tuple[Peer, ...]:
        """The learners' names: they get the log, and count for nothing."""
        return tuple([member.name for member in self.learners])

    @property
    def parts(self) -> tuple[tuple[Peer, ...], tuple[Peer, ...]]:
        """Who votes and who learns, by name."""
        return self.voting, self.learning

    @property
    def majority(self) -> int:
        """How many voters elect and commit."""
        return len(self.voters) // 2 + 1

    def spare(self, healthy: Iterable[Peer]) -> int:
        """How many more voters may fail, if these are healthy; below 0: there is no majority."""
        return len(set(self.voting) & set(healthy)) - self.majority


def _check_name(name: Peer) -> None:
    if name in NO_NODE_S:
        raise ValueError(f"a node can't be called {name!r}: {NO_NODE_S[name]}")
    if not NAME.fullmatch(name):
        raise ValueError(f"a node can't be called {name!r:.40}")


# Its bytes


def encode(configuration: Configuration) -> bytes:
    """The log entry that says it."""
    fields = (
        configuration.number,
        [(member.name, member.address, member.fingerprint) for member in configuration.voters],
        [(member.name, member.address, member.fingerprint) for member in configuration.learners],
        configuration.removed,
    )
    return CONFIGURATION + _pack(fields if configuration.newest is None else (*fields, configuration.newest))


def decode(entry: bytes) -> Configuration:
    """The configuration in an entry.

    Raises:
        WireError: it is none, or not in the one form that `encode` gives it.
    """
    if entry[:1] != CONFIGURATION:
        raise WireError("not a configuration: another type of entry")
    try:
        fields = msgpack.unpackb(entry[1:], use_list=False, strict_map_key=True, max_ext_len=0, max_map_len=0)
        number, voters, learners, removed, *newest = fields
        configuration = Configuration(number, _members(voters), _members(learners), tuple(removed), *newest)
        same = encode(configuration) == entry  # one form, so no field of another type, nor anything left out
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise WireError(f"not a configuration: {error}") from error
    if not same:
        raise WireError("not a configuration: written in another form")
    return configuration


def _members(fields: tuple[tuple[Peer, str, bytes], ...]) -> tuple[Member, ...]:
    return tuple(Member(*field) for field in fields)


# Its changes


@frozen
class AddLearner:
    """A new node gets the log from now on, and counts for nothing."""

    member: Member


@frozen
class Promote:
    """A learner becomes a voter."""

    name: Peer


@frozen
class Remove:
    """A member, voter or learner, takes no part any more, for ever."""

    name: Peer


Change = AddLearner | Promote | Remove


@frozen
class Ground:
    """What a leader knows in the moment in which it is asked for a change."""

    leader: Peer
    placed: int  # index of the entry of the configuration in force; 0: none of the log
    no_op: int  # index of the leader's first entry, which is of its own term
    commit: int
    healthy: frozenset[Peer]  # members that it hears, itself among them
    caught_up: frozenset[Peer]  # learners (see `replacing.CatchUp`)


def allow(configuration: Configuration, change: Change, ground: Ground) -> Configuration:
    """What follows the configuration in force, as far as the leader may append it now.

    Raises:
        Refused: not this change, or not now.
    """
    if ground.commit < ground.placed:
        raise NotYet(
            f"one change at a time: configuration {configuration.number} is not committed yet; ask again when it is"
        )
    if ground.commit < ground.no_op:  # or two leaders may change one former configuration into two without an overlap
        raise NotYet("the leader has not committed an entry of its own term yet; ask again when it has")
    after = follow(configuration, change)
    if isinstance(change, Promote) and change.name not in ground.caught_up & ground.healthy:
        raise NotYet(f"{change.name} has not caught up with the log; it votes once it has")
    if isinstance(change, Remove) and change.name == ground.leader:
        raise Refused(f"{change.name} leads; hand over to another node first (meltica promote)")
    if after.voting != configuration.voting and after.spare(ground.healthy) < 0:
        healthy = [name for name in after.voting if name in ground.healthy]
        raise Refused(
            f"it would leave no majority of healthy voters: of {', '.join(after.voting)} the leader hears "
            f"{', '.join(healthy) or 'none'}, and {after.majority} are needed"
        )
    return after


def follow(configuration: Configuration, change: Change) -> Configuration:
    """What the change makes of a configuration.

    Raises:
        Refused: it can't be made of this one, at any time.
    """
    number = configuration.number + 1
    voters, learners, removed = configuration.voters, configuration.learners, configuration.removed
    if isinstance(change, AddLearner):
        _check_new(configuration, change.member)
        return evolve(configuration, number=number, learners=_by_name((*learners, change.member)))
    if isinstance(change, Promote):
        chosen = [member for member in learners if member.name == change.name]
        if not chosen:
            raise Refused(f"{change.name} is no learner: only a learner becomes a voter")
        others = tuple([member for member in learners if member.name != change.name])
        votes = _by_name((*voters, *chosen))
        return evolve(configuration, number=number, voters=votes, learners=others, newest=change.name)
    if change.name not in {*configuration.voting, *configuration.learning}:
        raise Refused(f"{change.name} is no member")
    if change.name in configuration.voting and len(voters) == 2:  # the core can't be one voter: raft.RaftCore.adopt
        raise Refused(f"one voter would be left without {change.name}; let another node vote first")
    if len(removed) == MAX_REMOVED:
        raise Refused(f"{MAX_REMOVED} nodes were removed from this cluster: it remembers no more; found a new one")
    return Configuration(
        number,
        tuple([member for member in voters if member.name != change.name]),
        tuple([member for member in learners if member.name != change.name]),
        tuple(sorted((*removed, change.name))),
        None if configuration.newest == change.name else configuration.newest,
    )


def _check_new(configuration: Configuration, member: Member) -> None:
    if member.name in configuration.removed:
        raise Refused(f"{member.name} was removed: a removed node never comes back; give the new node another name")
    members = (*configuration.voters, *configuration.learners)
    if member.name in {one.name for one in members}:
        raise Refused(f"{member.name} is a member already")
    if len(members) == MAX_MEMBERS:
        raise Refused(f"there are {MAX_MEMBERS} members already")
    try:  # here and not in Member: what a log says already is to be read, whatever it is
        hosts.split(member.address)
    except ValueError as error:
        raise Refused(f"{member.name}'s address is {error}; correct it") from error


def _by_name(members: Iterable[Member]) -> tuple[Member, ...]:
    return tuple(sorted(members, key=lambda member: member.name))
