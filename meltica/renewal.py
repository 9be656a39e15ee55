"""Renewal: a node's certificate, replaced while it runs.

Only noticing a new pair of files, judging it and having it used may live here.  The files are looked at every two
seconds, so nobody has to signal anything: `meltica cluster rotate`, or whatever else puts new files in their place, is
all that there is to do.  What can't be used is told once it has stayed so for two looks, as two files do not change at
the same moment; the old pair is used until there is a good one.
"""

from __future__ import annotations

import datetime as dt
import ssl
from collections.abc import Callable
from typing import Final

import trio
from attrs import define, field, frozen

from cluster.pki import Certificate, Credentials, check

EVERY_S: Final = 2.0
SOON: Final = 30  # days left at which an operator is told

Signature = tuple[tuple[int, int, int], ...]  # inode, time of change and size of each file
MISSING: Final[Signature] = ((0, 0, 0),)


@frozen
class Found:
    """A pair of files that was not there before."""

    signature: Signature
    certificate: Certificate | None
    context: ssl.SSLContext | None
    why: str = ""  # it can't be used


@define(eq=False)
class Renewal:
    """`certificate` is the one in use; `newest()` gives the API its context."""

    files: Credentials
    name: str
    use: Callable[[], None]  # has the peer links use the files as they are; raises if it can't
    make: Callable[[], ssl.SSLContext]  # the API's, of the files as they are
    say: Callable[[str, str], None]  # what happened ("renewed", "refused"), in words
    now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC)
    certificate: Certificate | None = None
    refused: str = ""  # why the newer pair of files is not used
    _context: ssl.SSLContext | None = None
    _used: Signature = ()
    _doubtful: Signature = ()
    _told: Signature = field(default=())

    def start(self) -> None:
        """What the files hold at the start is in use; that they can be used was checked by who reads them."""
        found = self.look()
        if found is not None:
            self._used, self.certificate = found.signature, found.certificate

    def document(self) -> dict[str, object] | None:
        """What is in use, as documents tell it; None where it could not be read."""
        return None if self.certificate is None else {**self.certificate.document(), "refused": self.refused}

    def newest(self) -> ssl.SSLContext | None:
        """None as long as the pair of the start is used."""
        return self._context

    def look(self) -> Found | None:
        """Read the files, if they changed; None where they did not, or do so just now.  May block."""
        try:
            signature = self._signature()
        except OSError as error:
            return Found(MISSING, None, None, str(error))
        if signature == self._used:
            return None
        try:
            certificate = check(self.files, self.name, self.now())
            context = self.make()
            return Found(signature, certificate, context) if self._signature() == signature else None
        except (OSError, ValueError, TypeError) as error:
            return Found(signature, None, None, str(error))

    def take(self, found: Found | None) -> None:
        """Use it, or say why not."""
        if found is None:
            self._doubtful = ()
            self.refused = ""
            return
        why = found.why or self._used_by_peers()
        if why:
            self._refuse(found.signature, why)
            return
        self._used, self.certificate, self._context = found.signature, found.certificate, found.context
        self._doubtful = self._told = ()
        self.refused = ""
        if found.certificate is not None:
            self.say("renewed", f"valid until {found.certificate.not_after:%Y-%m-%d}")

    def _used_by_peers(self) -> str:
        try:
            self.use()
        except Exception as error:  # noqa: BLE001 # whatever it is, the old pair goes on
            return str(error)
        return ""

    def _refuse(self, signature: Signature, why: str) -> None:
        if signature == self._doubtful and signature != self._told:
            self._told = signature
            self.refused = why
            self.say("refused", f"{self.files.certificate} and {self.files.key} can't be used ({why})")
        self._doubtful = signature

    def _signature(self) -> Signature:
        stats = (file.stat() for file in (self.files.certificate, self.files.key))
        return tuple((stat.st_ino, stat.st_mtime_ns, stat.st_size) for stat in stats)


async def keep_renewing(renewal: Renewal) -> None:
    """Look every two seconds, in a thread: a disk that hangs holds nobody up."""
    while True:
        await trio.sleep(EVERY_S)
        renewal.take(await trio.to_thread.run_sync(renewal.look, abandon_on_cancel=True))
