"""Struck: a node that kills itself at a named moment of a snapshot's installation.

`python -m chaos.demo.struck POINT SEED MARK node run ...`: only the patching before the product's own command line
runs, and the strike, may live here.  What is shipped knows nothing of it; a rig starts the node by this instead of
`meltica`.  Before it dies it writes into MARK where it was: a mark that is not there is a strike that missed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any, Final

from attrs import define, field

from chaos.mutants.patches import Patches
from cluster.replica import Replica
from cluster.sides import SidedStore
from cluster.snapshot.preparing import Making
from cluster.snapshot.receiving import Receiving
from cluster.snapshot.words import Offer
from meltica.cli.main import commands

STAGING: Final = "staging"
READING_BACK: Final = "reading_back"
MAKING: Final = "making"
RANDOM: Final = "random"
POINTS: Final = (
    "begun",  # the place for it is made, nothing is staged
    STAGING,  # a drawn part of it is staged, not yet in a batch
    "whole",  # all of it is staged
    READING_BACK,  # a drawn part of it was read back
    "verified",  # the digest is right, nothing is made of it
    MAKING,  # a drawn part of the machine's next state is made
    "made",  # all of that is made, not installed
    "buffered",  # the batch that installs it is full, not written
    "committed",  # written, not synced
    "synced",  # durable; the old state is there too
    "dropped",  # the old state is gone, its sender has not heard so
    RANDOM,  # a drawn time after the offer, whatever is done then
)
WITHIN: Final = 0.3  # seconds from the offer to a random strike at most


def killed() -> object:
    """No chance to say anything."""
    os.kill(os.getpid(), signal.SIGKILL)
    return None


@define
class Strike:
    """When, and how far the installation has come."""

    point: str
    seed: int
    mark: Path
    end: Callable[[], object] = killed
    drawn: float = 0.0  # 0 to 1: which part, or when
    offer: Offer | None = None
    stage: str = ""  # the last point that was passed
    done: bool = False
    lock: Any = field(factory=threading.Lock)  # a random strike comes from a thread of its own

    def __attrs_post_init__(self) -> None:
        self.drawn = Random(f"{self.point}-{self.seed}").random()

    def passed(self, stage: str, share: float = 1.0) -> None:
        """It is there now; `share`: how much of what this stage lasts."""
        self.stage = stage
        if stage == self.point and share >= self.drawn:
            self.now()

    def begun(self, offer: Offer) -> None:
        """A snapshot is offered, and taken up."""
        first, self.offer = self.offer is None, offer
        if first and self.point == RANDOM:
            timer = threading.Timer(self.drawn * WITHIN, self.now)
            timer.daemon = True
            timer.start()
        self.passed("begun")

    def now(self) -> None:
        """Strike, unless it is over: once at most."""
        with self.lock:
            if self.done or self.offer is None:
                return
            self.done = True
            said = {"index": self.offer.index, "digest": self.offer.digest.hex(), "size": self.offer.size}
            self.mark.write_text(json.dumps({"point": self.point, "stage": self.stage, **said}))
            self.end()

    def over(self) -> None:
        """The installation has ended."""
        with self.lock:
            self.done = True


def patch(patches: Patches, strike: Strike) -> None:
    """Have all that an installation passes tell the strike."""
    _receiving(patches, strike)
    _making(patches, strike)
    _installing(patches, strike)


def _receiving(patches: Patches, strike: Strike) -> None:
    begin, part, step = Receiving._begin, Receiving.part, Receiving.step  # noqa: SLF001 # the moment is inside

    def _begin(self: Any, peer: Any, offer: Any) -> Any:
        begin(self, peer, offer)
        strike.begun(offer)

    def _part(self: Any, peer: Any, part_: Any, place: Any) -> Any:
        part(self, peer, part_, place)
        now = self._now
        if now is None:
            return
        if strike.offer is None:
            strike.begun(now.offer)  # one that an earlier process began
        strike.passed("whole" if now.whole else STAGING, now.taken / max(1, now.offer.size))

    def _step(self: Any, place: Any) -> Any:
        before = self._now is not None and self._now.verified
        found = step(self, place)
        now = self._now
        if now is not None and now.back is not None and not now.verified:
            strike.passed(READING_BACK, now.back.sum.size / max(1, now.offer.size))
        if now is not None and now.verified and not before:
            strike.passed("verified")
        if found is not None:
            strike.passed("made")
        return found

    patches.attribute(Receiving, "_begin", _begin)
    patches.attribute(Receiving, "part", _part)
    patches.attribute(Receiving, "step", _step)


def _making(patches: Patches, strike: Strike) -> None:
    begin, step = Making.__init__, Making.step

    def _begin(self: Any, coming: Any, applied: Any, read: Any, most: Any) -> None:
        def counted(after: Any, size: Any) -> Any:
            pairs = read(after, size)
            self.came += len(pairs)
            return pairs

        self.came = 0
        begin(self, coming, applied, counted, most)

    def _step(self: Any) -> Any:
        whole = step(self)
        taken = self.came - len(self._pairs)  # what it read ahead is in no state yet
        if not whole and strike.offer is not None:
            strike.passed(MAKING, taken / max(1, strike.offer.pairs))
        return whole

    patches.attribute(Making, "__init__", _begin)
    patches.attribute(Making, "step", _step)


def _installing(patches: Patches, strike: Strike) -> None:
    install, drop = SidedStore.install, SidedStore.drop_leftovers
    whole = Replica._install  # noqa: SLF001 # the moment is inside

    def _buffer(self: Any, *given: Any, **named: Any) -> Any:
        install(self, *given, **named)
        strike.passed("buffered")

    def _install(self: Any) -> Any:
        found = whole(self)
        if found is not None:
            strike.passed("committed")
        return found

    def _drop(self: Any) -> Any:
        installed = strike.stage == "committed"
        if installed and self._left <= self._synced:
            strike.passed("synced")
        found = drop(self)
        if installed and found:
            strike.passed("dropped")
            strike.over()
        return found

    patches.attribute(SidedStore, "install", _buffer)
    patches.attribute(Replica, "_install", _install)
    patches.attribute(SidedStore, "drop_leftovers", _drop)


def product(words: Sequence[str]) -> object:
    """The command line of `meltica`."""
    return commands.main(list(words), prog_name="meltica")


def launch(words: Sequence[str], run: Callable[[Sequence[str]], object] = product) -> None:
    """A point, a seed, a file for the mark, and the product's words.  Raises LookupError if no point is called so."""
    point, seed, mark, *rest = words
    if point not in POINTS:
        raise LookupError(f"no point is called {point!r}: {', '.join(POINTS)}")
    with Patches() as patches:
        patch(patches, Strike(point, int(seed), Path(mark)))
        run(rest)


if __name__ == "__main__":
    launch(sys.argv[1:])
