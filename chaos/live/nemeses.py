"""Nemeses: what can be broken, and what each takes to say how.

Pure: tables, and the toxics of a nemesis.  Where, when and how long are a plan's; who does it is `network`, `nodes`,
`venue`, `hands`, `instants`, `disks`, `folders`,
`fills`, `times` and `straits`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attrs import frozen

from chaos.toxiproxy.toxics import Toxic, toxic

NETWORK, PROCESS, VENUE, OPERATOR = "network", "process", "venue", "operator"
INSTANT, DISK, FOLDER, TIME, STRAIT, VOLUME = "instant", "disk", "folder", "time", "strait", "volume"
INSIDE: Final = (INSTANT, DISK, FOLDER, TIME, VOLUME)  # what only a node that is run by `faulty` can be struck with
REFUSE: Final = "refuse"
KILL, TERM, PAUSE = "kill", "term", "pause"
FILLED: Final = "volume_filled"  # it takes a small file system under every node's data
HALT, PROMOTE, CANCEL = "halt", "promote", "cancel"


@frozen
class Nemesis:
    """One kind of fault."""

    kind: str
    room: str  # who does it
    does: str
    takes: Mapping[str, tuple[int, int]]  # parameters, all needed, with what they may be
    toxic: str = ""  # the server's word, or the venue's
    as_told: Mapping[str, str] = {}  # our word for a parameter -> the server's


_ALL: tuple[Nemesis, ...] = (
    Nemesis("hold", NETWORK, "no word passes; what was said arrives in a burst when it heals", {}, "bandwidth"),
    Nemesis("cut", NETWORK, "no word passes; what was said is lost, connections end when it heals", {}, "timeout"),
    Nemesis(
        "slow",
        NETWORK,
        "each word, one way, comes so much later, give or take the jitter",
        {"delay_ms": (0, 10_000), "jitter_ms": (0, 10_000)},
        "latency",
        {"delay_ms": "latency", "jitter_ms": "jitter"},
    ),
    Nemesis("narrow", NETWORK, "no more than so much a second", {"kb_s": (1, 100_000)}, "bandwidth", {"kb_s": "rate"}),
    Nemesis(
        "slice",
        NETWORK,
        "everything comes in crumbs, with a pause between",
        {"bytes": (8, 65_536), "give_or_take": (0, 65_535), "pause_us": (0, 100_000)},
        "slicer",
        {"bytes": "average_size", "give_or_take": "size_variation", "pause_us": "delay"},
    ),
    Nemesis("reset", NETWORK, "whoever says something is hung up on", {}, "reset_peer"),
    Nemesis(
        "slow_close",
        NETWORK,
        "a connection that ends, ends so much later",
        {"delay_ms": (1, 60_000)},
        "slow_close",
        {"delay_ms": "delay"},
    ),
    Nemesis(REFUSE, NETWORK, "connections end, and nobody answers a new one", {}),
    Nemesis(KILL, PROCESS, "SIGKILL; started again when it heals", {}),
    Nemesis(TERM, PROCESS, "SIGTERM; started again when it heals", {}),
    Nemesis(PAUSE, PROCESS, "SIGSTOP; SIGCONT when it heals", {}),
    Nemesis(HALT, OPERATOR, "trading is halted by hand; resumed by hand when it heals", {}),
    Nemesis(PROMOTE, OPERATOR, "trading is handed to a standby by hand, whichever can take it", {}),
    Nemesis(CANCEL, OPERATOR, "orders that rest are asked for by hand, and cancelled by hand, again and again", {}),
)
_OFTEN: Final[dict[str, tuple[int, int]]] = {"percent": (1, 100)}
_LATE: Final[dict[str, tuple[int, int]]] = {"delay_ms": (1, 30_000)}
_AT_THE_VENUE: Final[tuple[tuple[str, str, Mapping[str, tuple[int, int]]], ...]] = (
    ("drop_answer", "it does what is asked, and does not answer", _OFTEN),
    ("delay_answer", "it answers so much later", _OFTEN | _LATE),
    ("drop_request", "it never does what is asked, and does not answer", _OFTEN),
    ("reject", "it refuses what is asked, with a code", _OFTEN | {"code": (-9999, -1)}),
    ("duplicate_event", "it tells an event twice", _OFTEN),
    ("reorder_events", "it tells an event behind the next one, or so much later", _OFTEN | _LATE),
    ("lose_event", "it never tells an event", _OFTEN),
    ("mix_events", "behind an event it tells one of somebody else's account, on the same connection", _OFTEN),
    ("silence", "connections stay up, and nothing comes", {}),
    ("disconnect", "it ends the connections, and each new one, until it heals", {}),
    (
        "rate_limit",
        "it refuses (429), after so many refusals bans the address (418); all nodes here share one",
        {"refusals": (0, 100), "ban_seconds": (1, 600), "pause_seconds": (1, 60)},
    ),
    ("maintenance", "it refuses everything (503)", {}),
    ("clock_offset", "its clock is off by so much", {"offset_ms": (-600_000, 600_000)}),
    ("slow", "it takes so much longer for a request", _LATE),
    ("stale_reads", "what it shows is so old", {"lag_ms": (1, 60_000)}),
    ("engine_stall", "what it has admitted waits, 15 s at most", {}),
)
_ALL += tuple(Nemesis(f"venue_{kind}", VENUE, does, takes, kind) for kind, does, takes in _AT_THE_VENUE)
_INSTANTS: Final[tuple[tuple[str, str], ...]] = (
    ("appended", "an entry is in its write-ahead log, and not synced"),
    ("synced", "an entry is synced, and nobody was told"),
    ("committed", "an order's intent is committed, and not sent"),
    ("sent", "an order is written to the venue, and its answer not read"),
    ("answered", "the venue's answer to an order is read, and not committed"),
    ("elected", "it is elected, and has proposed nothing"),
    ("epoch_started", "its epoch is committed, and nothing read yet"),
    ("reading", "an answer of a venue is taken in before it has authority, and what it teaches is not committed"),
    ("looked_up", "a venue's word on an order in doubt is taken in before it has authority, and not committed"),
    ("learnt", "a fill, or how an order stands, is committed that it learnt before it had authority"),
    ("reconciled", "venues are read and the wait is over, and authority is not asked for"),
    ("taking", "authority is proposed, and not committed"),
    ("authority", "authority is committed, and nothing sent in it"),
    ("first_order", "the first order of its epoch is accepted, which is not committed"),
    ("staging", "a part of a snapshot is staged, and not synced"),
    ("staged", "a whole snapshot is staged, and not read back"),
    ("verified", "a whole snapshot is read back, and not installed"),
    ("installed", "a snapshot is installed, which is not synced"),
)
_ALL += (
    Nemesis("disk_full", DISK, "writes are refused (ENOSPC): the node ends; started again when it heals", {}),
    Nemesis(
        FILLED,
        VOLUME,
        "the small file system under its data is filled but for so much; what filled it is gone when it heals",
        {"left_mib": (0, 1024)},
    ),
    Nemesis("disk_write_error", DISK, "writes are refused (EIO): the node ends; started again when it heals", {}),
    Nemesis("disk_sync_error", DISK, "syncs are refused (EIO): the node ends; started again when it heals", {}),
    Nemesis(
        "disk_slow",
        DISK,
        "each sync takes so much longer, and each write, for which the whole node waits",
        {"sync_ms": (0, 60_000), "write_ms": (0, 60_000)},
    ),
    Nemesis(
        "power_cut",
        FOLDER,
        "SIGKILL, and what was not synced is lost but for so many hundredths of it; started again when it heals",
        {"kept": (0, 100)},
    ),
    Nemesis(
        "bit_flip", FOLDER, "SIGKILL, and a bit of an old file is flipped: it may not start; mended when it heals", {}
    ),
    Nemesis("folder_deleted", FOLDER, "SIGKILL, and its data are gone: it may not start; put back then", {}),
    Nemesis(
        "folder_read_only",
        FOLDER,
        "SIGKILL, and its data can't be written: it may not start; writable when it heals",
        {},
    ),
)
_DAY_MS: Final = 86_400_000
_ALL += (
    Nemesis("clock_jump", TIME, "its wall clock is off by so much", {"by_ms": (-_DAY_MS, _DAY_MS)}),
    Nemesis(
        "clock_strobe",
        TIME,
        "its wall clock is off by so much every other so many milliseconds",
        {"by_ms": (-_DAY_MS, _DAY_MS), "every_ms": (10, 60_000)},
    ),
    Nemesis(
        "loop_stall",
        TIME,
        "its event loop stands still for so long, again and again, with so much between",
        {"stall_ms": (1, 60_000), "every_ms": (1, 60_000)},
    ),
    Nemesis("cpu_taken", STRAIT, "one processor for it and for so many that never let go of it", {"hogs": (1, 32)}),
    Nemesis(
        "memory_limit",
        STRAIT,
        "so much more address space and no more; one that ends of it is started again when it heals",
        {"more_mib": (0, 4096)},
    ),
    Nemesis(
        "descriptors_gone",
        STRAIT,
        "no new descriptor; one that ends of it is started again when it heals",
        {},
    ),
)
_ALL += tuple(
    Nemesis(
        f"kill_{instant}", INSTANT, f"SIGKILL when {does}; started again when it heals", {"after": (0, 10_000)}, instant
    )
    for instant, does in _INSTANTS
)
NEMESES: Final[Mapping[str, Nemesis]] = {one.kind: one for one in _ALL}

SAYS: Final[Mapping[str, str]] = {  # by the kind of a fault, the next step that the node's last words must name
    "disk_full": "free space on its disk",
    "disk_write_error": "free space on its disk or replace the disk",
    "disk_sync_error": "check its disk",
    "bit_flip": "restore this node's folder from a copy",
    "folder_deleted": "do not start this node",
    "folder_read_only": "writable",
}


def toxic_of(kind: str, name: str, stream: str, parameters: Mapping[str, int]) -> Toxic:
    """The toxic of a network nemesis, with its parameters.  Raises BadToxic."""
    nemesis = NEMESES[kind]
    told = {nemesis.as_told[word]: value for word, value in parameters.items()}
    return toxic(name, nemesis.toxic, stream, **told)
