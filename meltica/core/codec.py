"""Codec: a command as bytes, and bytes as a command.

Only the forms of commands may live here.  One command is one canonical JSON object (`wire`) with its wire word in
`kind`.  The decoder is strict: unknown fields, missing fields, floats, wrong types, sizes beyond reason and every
form but the canonical one are a BadCommand, so encode and decode are inverse both ways.  A command whose shape
changes takes a new wire word, so that an old log keeps its meaning.
"""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal
from typing import Any, Final

from attrs import evolve

from meltica.core.commands import Command, Submit
from meltica.core.kinds import KINDS
from meltica.core.spelling import Spelling
from meltica.core.values import BadValue, Epoch, Nanos, Price
from meltica.core.wire import Form, Pair, bytes_reader, parse, write_text

MAX_CHECKPOINT: Final = 64 * 1024  # bytes, as UTF-8
_SPECIAL: Final[dict[str, dict[str, Pair]]] = {"checkpoint": {"data": (bytes_reader(MAX_CHECKPOINT), write_text)}}

FORMS: Final[dict[str, Form[Any]]] = {
    kind: Form(cls, kind=kind, special=_SPECIAL.get(kind)) for kind, cls in KINDS.items()
}
KIND_OF: Final[dict[type, str]] = {cls: kind for kind, cls in KINDS.items()}
_KIND: Final = '"kind":"'  # nowhere else in canonical JSON: in a text its marks are escaped


def _spellings() -> dict[str, Spelling[Any]]:
    found = {}
    for kind, form in FORMS.items():
        with suppress(LookupError):  # it holds a list or an object
            found[kind] = Spelling(form)
    return found


SPELLINGS: Final = _spellings()


class BadCommand(BadValue):
    """Bytes that are no command, or a command that has no bytes; the message says which field, and why."""


def encode_command(command: Command) -> bytes:
    """The canonical bytes of `command`; raises BadCommand if they could not be read back."""
    kind = KIND_OF[type(command)]
    form = FORMS[kind]
    try:
        text = form.text(command)
        raw = text.encode("ascii")
        spelling = SPELLINGS.get(kind)
        if spelling is None or not spelling.matches(text):
            form.read(parse(raw))
    except (BadValue, TypeError, ValueError) as error:
        raise BadCommand(f"{form.kind}: {error}") from error
    return raw


def decode_command(raw: bytes) -> tuple[str, Command]:
    """The wire word and the command that `raw` writes; raises BadCommand on anything else."""
    return _spelt(raw) or _read(raw)


def _spelt(raw: bytes) -> tuple[str, Command] | None:
    """The quick way; None: it is not for this command, or this is none."""
    if not raw.isascii():
        return None
    text = raw.decode("ascii")
    _, _, rest = text.partition(_KIND)
    kind, _, _ = rest.partition('"')
    spelling = SPELLINGS.get(kind)
    command = None if spelling is None else spelling.read(text)
    return None if command is None else (kind, command)


def _read(raw: bytes) -> tuple[str, Command]:
    try:
        found = parse(raw)
        kind = found.get("kind")
        form = FORMS.get(kind) if type(kind) is str else None
        command = None if form is None else form.read(found)
    except BadValue as error:
        raise BadCommand(str(error)) from None
    if command is None or not isinstance(kind, str):
        raise BadCommand(f"kind: expected one of {', '.join(FORMS)}, found {kind!r:.60}")
    return kind, command


def content_of(command: Command) -> bytes:
    """What a retry of `command` repeats: its bytes with neither epoch nor time.

    Nor, of a Submit, the market that it was proposed in: the leader fills that in anew at each try.
    """
    plain = evolve(command, epoch=Epoch(0), at=Nanos(0))
    if isinstance(plain, Submit):
        plain = evolve(plain, reference=Price(Decimal(0)), book_age=Nanos(0))
    return FORMS[KIND_OF[type(command)]].write(plain)
