"""Stock node: one process of stock PySyncObj in a bench, `python -m chaos.bench.stock_node SETTINGS`.

PySyncObj as it is installed, with a class of its own kind of replicated method; nothing of ours is in it, and nothing
is synced.  Callers live on its callbacks, which is its fastest way.  Asked and answered by lines of JSON.
"""

from __future__ import annotations

import itertools
import json
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from attrs import define, field
from pysyncobj import SyncObj, SyncObjConf, replicated

SUCCESS: Final = 0  # PySyncObj's code of a command that was applied
AGAIN: Final = 0.002  # seconds between two tries of a put in a failover, or of a hand-over
BEAT: Final = 0.1  # seconds between two puts of a beat
PATIENCE: Final = 60.0
TUNED: Final[Mapping[str, Any]] = {
    "appendEntriesUseBatch": False,  # a command is sent when it comes, not at the next period
    "appendEntriesPeriod": 0.05,
    "raftMinTimeout": 0.4,
    "raftMaxTimeout": 0.6,
    "leaderFallbackTimeout": 0.35,
    "connectionRetryTime": 0.2,
    "connectionTimeout": 1.0,
    "autoTickPeriod": 0.005,
}


class Store(SyncObj):  # type: ignore[misc] # PySyncObj ships no types
    """Keeps the last value."""

    def __init__(self, own: str, others: list[str], **conf: Any) -> None:
        super().__init__(own, others, SyncObjConf(**conf))
        self.value = b""

    @replicated  # type: ignore[untyped-decorator] # the same
    def put(self, value: bytes) -> None:
        """Replace it."""
        self.value = value


@define
class Run:
    """So many callers, each with its next put when the last is done; all in PySyncObj's own thread."""

    store: Store
    value: bytes
    count: int
    deadline_ns: int
    running: int
    took_us: list[float] = field(factory=list)
    proposed: int = 0
    disturbed: str = ""
    ended: threading.Event = field(factory=threading.Event)

    def propose(self) -> None:
        """The next one of a caller."""
        began = time.perf_counter_ns()
        if self.disturbed or self.proposed >= self.count or began >= self.deadline_ns:
            self.running -= 1
            if not self.running:
                self.ended.set()
            return
        self.proposed += 1

        def heard(_result: object, error: int) -> None:
            if error == SUCCESS:
                self.took_us.append((time.perf_counter_ns() - began) / 1e3)
            else:
                self.disturbed = f"PySyncObj's failure {error}"
            self.propose()

        self.store.put(self.value, callback=heard)


def commit(store: Store, asked: Mapping[str, Any]) -> dict[str, Any]:
    """A measurement in this process, which leads."""
    callers = int(asked["callers"])
    began = time.perf_counter_ns()
    end = began + int(asked["seconds"] * 1e9)
    run = Run(store, b"x" * int(asked["size"]), int(asked["count"]), end, callers)
    for _ in range(callers):
        run.propose()
    if not run.ended.wait(asked["seconds"] + PATIENCE):
        return {"disturbed": "a put had no outcome"}
    if run.disturbed:
        return {"disturbed": run.disturbed}
    seconds = (time.perf_counter_ns() - began) / 1e9
    return {"us": run.took_us, "commands": len(run.took_us), "seconds": seconds}


def first_put(store: Store, old: str) -> dict[str, Any]:
    """Put, again and again, until one is done under another leader than `old`; the moment of it."""
    done = threading.Event()
    at: list[int] = []
    deadline = time.monotonic() + PATIENCE

    def heard(_result: object, error: int) -> None:
        if error == SUCCESS:
            at.append(time.monotonic_ns())
            done.set()

    while time.monotonic() < deadline:
        if str(store._getLeader()) != old:  # noqa: SLF001 - its own way to ask
            store.put(b"first", callback=heard)
        if done.wait(AGAIN):
            return {"at_ns": at[0]}
    return {"at_ns": time.monotonic_ns()}  # late: over every budget, and a figure all the same


def transfer(store: Store, _asked: Mapping[str, Any]) -> dict[str, Any]:
    """Hand over, asked again until it is taken; it is refused until the other has everything."""
    errors: list[int] = []
    deadline = time.monotonic() + PATIENCE
    while SUCCESS not in errors and time.monotonic() < deadline:
        store.transferLeadership(callback=lambda _result, error: errors.append(error))
        time.sleep(AGAIN)
    return {}


def beat(store: Store, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Puts at a steady pace, whether the last was done or not; the longest time without one that was, and the terms."""
    began = time.monotonic()
    end = began + asked["seconds"]
    done, terms = [began], list[int]()

    def heard(_result: object, error: int) -> None:
        at = time.monotonic()
        if error == SUCCESS and at < end:
            done.append(at)
            if (term := store.getStatus()["raft_term"]) not in terms:
                terms.append(term)

    due = began
    while due < end:
        time.sleep(max(0.0, due - time.monotonic()))
        store.put(b"beat", callback=heard)
        due += BEAT
    time.sleep(max(0.0, end - time.monotonic()))
    moments = [*done, end]
    longest = max(later - earlier for earlier, later in itertools.pairwise(moments))
    return {"gap_ms": 1000 * longest, "terms": terms}


def answering(store: Store) -> Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]]:
    """What this process does when it is asked."""
    return {
        "status": lambda _asked: {
            "leads": bool(store._isLeader()),  # noqa: SLF001 - its own way to ask
            "leader": str(store._getLeader()),  # noqa: SLF001 - the same
            "links": sum(store.isNodeConnected(node) for node in store.otherNodes),
        },
        "commit": lambda asked: commit(store, asked),
        "first_put": lambda asked: first_put(store, str(asked["old"])),
        "transfer": lambda asked: transfer(store, asked),
        "beat": lambda asked: beat(store, asked),
    }


def main() -> None:
    """Serve until stdin ends."""
    settings = json.loads(sys.argv[1])
    conf = TUNED if settings["variant"] == "tuned" else {}
    store = Store(settings["own"], settings["others"], bindAddress=settings["bind"], **conf)
    answers = answering(store)
    print(json.dumps({"ready": settings["own"]}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(answers[asked["do"]](asked)), flush=True)
    store.destroy()


if __name__ == "__main__":
    main()
