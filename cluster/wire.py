"""Wire: the messages between nodes, and their bytes.

Pure.  A frame is one msgpack array, its first element the kind.  Decoding checks every field and raises WireError
for anything that is not exactly one of ours: no pickle, no object, no administration verb (hazard 10).
Pinned by tests/golden/cluster/wire.json.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Final

import msgpack  # type: ignore[import-untyped] # ships no types
from attrs import frozen

from cluster.types import MAX_ENTRY

OURS: Final = b"\x10"  # the first byte of an entry of commands: a type that pysyncobj's apply skips
CONFIGURATION: Final = b"\x11"  # the first byte of an entry that says who takes part (`members`): a type it skips, too
NO_OP: Final = b"\x01"  # pysyncobj's own: what a new leader appends first
BATCH: Final = 1024 * 1024  # bytes of commands in one append, before its last entry
MAX_ENTRIES: Final = 8192  # in one append: so that headers can't outgrow a frame
MAX_TOLD: Final = 1024  # bytes of what a node says of itself
_LIMIT: Final = 2**63

Entry = tuple[bytes, int, int]  # command with its type byte, index, term: pysyncobj's order


class WireError(Exception):
    """These bytes are not one of our messages."""


@frozen
class Append:
    """A leader's entries behind `previous`, or none: then it is a heartbeat.

    `sent`: the leader's clock.  `commit_term`: the term of the entry at `commit`, so that a follower that lacks that
    entry can still say how good a log must be that holds it.
    """

    term: int
    commit: int
    previous: int
    previous_term: int
    entries: tuple[Entry, ...]
    sent: int
    commit_term: int = 0


@frozen
class Ack:
    """A follower's answer to one append: `verified` entries of the leader's log it has; `answers`: the append's `sent`.

    Not `success`: the append did not fit; the leader goes on at `verified` + 1.
    """

    term: int
    verified: int
    success: bool
    answers: int


@frozen
class AskVote:
    """A candidate asks for a vote in `term`; it speaks of state that is synced.

    `handed`: the leader of the term before told it to stand, so that who hears that leader votes nevertheless.
    """

    term: int
    last: int
    last_term: int
    handed: bool = False


@frozen
class Vote:
    """A vote given in `term`; it speaks of state that is synced."""

    term: int


@frozen
class StandNow:
    """A leader hands over: stand for election at once, without a pre-vote."""

    term: int


@frozen
class AskPreVote:
    """Would you vote for me?  `round` tells the answers of one question from those of another."""

    round: int
    term: int
    last: int
    last_term: int


@frozen
class PreVote:
    """Answer to AskPreVote, with the answerer's term."""

    round: int
    term: int
    granted: bool


@frozen
class NewerTerm:
    """Answer to an append of an older term: the answerer's term (hazard 22)."""

    term: int


@frozen
class Resign:
    """The leader of `term` steps down by itself: no need to wait for a timeout."""

    term: int


@frozen
class Vouch:
    """What a node says of itself: `digest` of its state at `index` (0: none yet), how far it has applied, what it is.

    `ask`: say yours at `index`.  It promises nothing: what it speaks of is committed, and apply is deterministic.
    """

    index: int
    digest: bytes
    applied: int
    ask: bool
    about: bytes


@frozen
class Copied(Vouch):
    """The same of a state that came by a snapshot of `source`'s and that no majority has borne out since."""

    source: bytes  # its name


@frozen
class Known:
    """What the sender remembers, told when its connection comes up.

    `commit`, `commit_term`: the newest entry that it has heard was committed; `yours`, `yours_term`: the newest entry
    that the receiver has acknowledged to it (0, 0: none that it knows of).
    """

    commit: int
    commit_term: int
    yours: int
    yours_term: int


Message = Append | Ack | AskVote | Vote | StandNow | AskPreVote | PreVote | NewerTerm | Resign | Vouch | Copied | Known

_SIMPLE: Final[dict[int, tuple[type, tuple[type, ...]]]] = {
    2: (Ack, (int, int, bool, int)),
    3: (AskVote, (int, int, int, bool)),
    4: (Vote, (int,)),
    5: (StandNow, (int,)),
    6: (AskPreVote, (int, int, int, int)),
    7: (PreVote, (int, int, bool)),
    8: (NewerTerm, (int,)),
    9: (Resign, (int,)),
    10: (Vouch, (int, bytes, int, bool, bytes)),
    11: (Known, (int, int, int, int)),
    16: (Copied, (int, bytes, int, bool, bytes, bytes)),  # 12 to 15 are the snapshots' own
}
_APPEND: Final = 1
_ACK: Final = 2
_KINDS: Final = {kind: number for number, (kind, _) in _SIMPLE.items()}


def _reader(names: Sequence[str]) -> Callable[[object], tuple[object, ...]]:
    """What reads these fields of a message."""
    read = attrgetter(*names)
    return read if len(names) > 1 else lambda message: (read(message),)


_FIELDS: Final = {kind: _reader([a.name for a in kind.__attrs_attrs__]) for kind in _KINDS}  # type: ignore[attr-defined] # set by attrs


def encode(message: Message) -> bytes:
    """One frame."""
    if type(message) is Append:
        fields: tuple[object, ...] = (
            _APPEND, message.term, message.commit, message.previous, message.previous_term, message.entries,
            message.sent, message.commit_term,
        )  # fmt: skip
    else:
        kind = type(message)
        fields = (_KINDS[kind], *_FIELDS[kind](message))
    return _pack(fields)


def decode(frame: bytes) -> Message:
    """The message in a frame.

    Raises:
        WireError: it is none of ours.
    """
    try:
        fields = msgpack.unpackb(frame, use_list=False, strict_map_key=True, max_ext_len=0, max_map_len=0)
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise WireError(f"not msgpack: {error}") from error
    if not isinstance(fields, tuple) or not fields or type(fields[0]) is not int:
        raise WireError("not an array that begins with its kind")
    if fields[0] == _APPEND:
        return _append(fields[1:])
    return _simple(fields[0], fields[1:])


def pack_commands(commands: tuple[bytes, ...]) -> bytes:
    """Several commands as one entry."""
    return OURS + _pack(commands)


def unpack_commands(entry: bytes) -> tuple[bytes, ...]:
    """The commands of an entry; none for a no-op, or for one that says who takes part.

    Raises:
        WireError: it is not an entry.
    """
    if entry[:1] != OURS:
        if entry == NO_OP or entry[:1] == CONFIGURATION:
            return ()
        raise WireError("not an entry: of no known type")
    try:
        commands = msgpack.unpackb(entry[1:], use_list=False, max_ext_len=0, max_map_len=0)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise WireError(f"not an entry: {error}") from error
    if not isinstance(commands, tuple) or not all(type(c) is bytes for c in commands):
        raise WireError("not an entry: no array of byte strings")
    return commands


_pack: Final[Callable[[object], bytes]] = msgpack.Packer(use_bin_type=True, autoreset=True).pack
ACK: Final = encode(Ack(0, 0, success=True, answers=0))[:2]  # how the frame of every Ack begins, and no other's


def known(command: bytes) -> bool:
    """Whether an entry's command is of a type that there is."""
    return command[:1] in {OURS, CONFIGURATION} or command == NO_OP


def _number(value: object) -> int:
    if type(value) is not int or not 0 <= value < _LIMIT:
        raise WireError(f"not an unsigned number: {value!r:.40}")
    return value


def _simple(number: int, fields: tuple[object, ...]) -> Message:
    if number == _ACK and len(fields) == 4:  # half of all frames
        term, verified, success, answers = fields
        if (
            type(term) is int and type(verified) is int and type(answers) is int and type(success) is bool
            and 0 <= term < _LIMIT and 0 <= verified < _LIMIT and 0 <= answers < _LIMIT
        ):  # fmt: skip
            return Ack(term, verified, success, answers)
    kind, types = _SIMPLE.get(number, (None, ()))
    if kind is None:
        raise WireError(f"unknown kind {number}")
    if len(fields) != len(types):
        raise WireError(f"{kind.__name__} has {len(types)} fields, not {len(fields)}")
    for value, wanted in zip(fields, types, strict=True):
        if wanted is int:
            if type(value) is not int or not 0 <= value < _LIMIT:
                raise WireError(f"not an unsigned number: {value!r:.40}")
        elif wanted is bytes:
            if type(value) is not bytes or len(value) > MAX_TOLD:
                raise WireError(f"not a short byte string: {value!r:.40}")
        elif type(value) is not bool:
            raise WireError(f"not a boolean: {value!r:.40}")
    return kind(*fields)  # type: ignore[no-any-return] # one of Message, by the table above


def _append(fields: tuple[object, ...]) -> Append:
    if len(fields) != 7:
        raise WireError(f"Append has 7 fields, not {len(fields)}")
    term, commit, previous, previous_term, entries, sent, commit_term = fields
    if not isinstance(entries, tuple) or len(entries) > MAX_ENTRIES:
        raise WireError("entries are no array, or too many")
    at = at_first = _number(previous)
    above = _number(previous_term)
    if at < 1:
        raise WireError("an append follows an entry, the first one has index 1")
    highest = _number(term)
    for entry in entries:
        at += 1
        above = _check_entry(entry, at, above, highest)
    committed = _number(commit_term)
    if committed > highest:
        raise WireError(f"a committed entry of term {committed}, above the leader's {highest}")
    return Append(highest, _number(commit), at_first, _number(previous_term), entries, _number(sent), committed)


def _check_entry(entry: object, index: int, above: int, highest: int) -> int:
    """One entry of an append: in sequence, terms never falling, none above the leader's.  Returns its term."""
    if not isinstance(entry, tuple) or len(entry) != 3:
        raise WireError("an entry is a command, an index and a term")
    command, at, term = entry
    if type(command) is not bytes or len(command) > MAX_ENTRY or (command[:1] != OURS and not known(command)):
        raise WireError("an entry's command is of no known type, or too long")
    if at != index or type(at) is not int:
        raise WireError(f"entry {at!r:.20} where {index} belongs")
    if type(term) is not int or not above <= term <= highest:
        raise WireError(f"entry {index} has term {term}, not {above} to {highest}")
    return term
