"""Inside: what is wanted of the node that this process is, as its door says; whoever patches it asks here.

Only reading the door, and what an order needs to remember, may live here.  A thread of its own looks, so that a loop
that stands still takes orders too.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from attrs import define, field

from chaos.live.doors import claim_at, found, put, taken_at, wanted_at

EVERY: Final = 0.02  # seconds between two looks
KILL: Final = "kill_"  # how a kind begins that kills at an instant


def kill_self() -> None:
    """SIGKILL: nothing of this process gets a word in."""
    os.kill(os.getpid(), signal.SIGKILL)


@define
class Order:
    """One, and how often its instant may still pass."""

    number: int
    kind: str
    values: Mapping[str, Any]
    left: int = 0
    struck: int = 0  # so often it came to pass: a write refused, a sync delayed, a clock read wrong, a loop held
    since: float = field(factory=time.monotonic)

    def value(self, name: str) -> int:
        """A parameter."""
        return int(self.values.get(name, 0))


@define
class Inside:
    """One node's orders; `watchers` hear of each change, in the thread that looks."""

    folder: Path
    node: str
    kill: Callable[[], None] = kill_self
    orders: dict[int, Order] = field(factory=dict)
    watchers: list[Callable[[], None]] = field(factory=list)
    _version: int = 0
    _told: dict[int, int] = field(factory=dict)  # what was said last of how often each has struck
    _counting: threading.Lock = field(factory=threading.Lock)

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Look again and again as long as the block lasts, beside whatever this process does."""
        over = threading.Event()
        thread = threading.Thread(target=self._run, args=(over,), daemon=True, name="door")
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _run(self, over: threading.Event) -> None:
        while not over.wait(EVERY):
            with suppress(MemoryError):  # that is one of the things that a node is struck with: there may be some again
                self.look()
                self.count()

    def look(self) -> None:
        """Take in what is wanted now, and say so; one that stays keeps what it remembers."""
        wanted = found(wanted_at(self.folder, self.node))
        if wanted.get("version", 0) <= self._version:
            return
        listed = {int(one["number"]): one for one in wanted["orders"]}
        before = found(taken_at(self.folder, self.node)).get("struck", {})  # of an earlier life of this node, too
        known = {number: int(before.get(str(number), 0)) for number in listed}
        self.orders = {number: self.orders.get(number) or _order(one, known[number]) for number, one in listed.items()}
        self._version = int(wanted["version"])
        for watch in self.watchers:
            watch()
        self.say()

    def count(self) -> None:
        """Say how often each has struck; again whenever that has doubled, as a clock is read all the time."""
        now = {number: order.struck for number, order in tuple(self.orders.items())}
        if any(struck.bit_length() != self._told.get(number, 0).bit_length() for number, struck in now.items()):
            with suppress(OSError):
                self._put(now)

    def say(self) -> None:
        """That it is taken in.  A process that has no room, descriptor or memory left for it says it later."""
        try:
            self._put({number: order.struck for number, order in self.orders.items()})
        except (OSError, MemoryError):
            self._version -= 1

    def _put(self, struck: dict[int, int]) -> None:
        put(taken_at(self.folder, self.node), {"version": self._version, "pid": os.getpid(), "struck": struck})
        self._told = struck

    def of(self, kind: str) -> Iterator[Order]:
        """The orders of a kind, now."""
        return (one for one in tuple(self.orders.values()) if one.kind == kind)

    def come(self, instant: str) -> None:
        """This instant is now: whoever is to die at it does, if no other node was before it."""
        for order in self.of(f"{KILL}{instant}"):
            with self._counting:  # a sync ends in another thread than an append
                order.left -= 1
                if order.left == -1 and self._claims(order):
                    self.kill()

    def _claims(self, order: Order) -> bool:
        path = claim_at(self.folder, order.number)
        try:
            with path.open("x") as file:
                file.write(f'{{"node": "{self.node}", "mono_ns": {time.monotonic_ns()}}}')
        except FileExistsError:
            return False
        return True


def _order(one: Mapping[str, Any], struck: int) -> Order:
    return Order(int(one["number"]), str(one["kind"]), one, left=int(one.get("after", 0)), struck=struck)
