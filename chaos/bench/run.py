"""Run: one bench from what was asked to its document.

Only choosing the systems, the folder, and what of the machine is noted may live here.
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from attrs import field, frozen

from chaos.bench import apply, counted, etcd, heal, laden, memory, stock
from chaos.bench.catalogue import BENCHES, GROWTH
from chaos.bench.child import BenchFault
from chaos.bench.commit import Commit
from chaos.bench.disk import Syncs, check_on_disk
from chaos.bench.document import Build, Measured, document
from chaos.bench.etcd import ROOT, Etcd, Missing
from chaos.bench.failover import HOWS, KINDS, Failover, OursStruck, PeerStruck
from chaos.bench.figures import Row
from chaos.bench.growth import ORDERS, Commits, applies
from chaos.bench.machine import interpreter, quiet, used
from chaos.bench.profiled import Profile
from chaos.bench.restart import Restart
from chaos.bench.snapshot import Snapshot
from chaos.bench.stock import Stock
from chaos.bench.systems import Ours, System
from chaos.rig.broken import so_far
from chaos.rig.interrupted import heeding
from chaos.rig.processes import RigFault

VARIANTS: Final = ("defaults", "tuned")
VERSIONS: Final = {"etcd": etcd.version, "pysyncobj": stock.version}
Say = Callable[[str], None]
FAULTS: Final = (BenchFault, RigFault, OSError)  # ways in which a bench can fail by no fault of the program


@frozen
class Wish:
    """What was asked."""

    what: str
    against: tuple[str, ...]
    rounds: int
    samples: int
    folder: Path | None  # where its files go; None: a new one in the current directory
    extras: Mapping[str, Any] = field(factory=dict)  # the bench's own options


class BadWish(Exception):
    """It can't be measured like that; the text says what can."""


def wish_of(
    what: str,
    against: str = "",
    rounds: int | None = None,
    samples: int | None = None,
    folder: str | None = None,
    **extras: Any,
) -> Wish:
    """The defaults filled in.  Raises BadWish for what can't be measured, Missing where a peer is not installed."""
    bench = BENCHES[what]
    peers = _several(against)
    for peer in peers:
        if peer not in bench.against:
            can = ", ".join(bench.against) or "nothing"
            raise BadWish(f"{what} is measured against {can}, not against {peer!r}")
    if "etcd" in peers and not bench.alone:
        etcd.check_installed()
    wanted = bench.samples if samples is None else samples
    if wanted < bench.fewest:
        raise BadWish(f"{what} needs at least {bench.fewest} samples")
    wrong = sorted({*_several(str(extras.get("of") or ""))} - {*GROWTH})
    if wrong:
        raise BadWish(f"{what} is of {', '.join(GROWTH)}, not of {', '.join(wrong)}")
    own = {name: each.usual if extras.get(name) is None else extras[name] for name, each in bench.extras.items()}
    return Wish(what, peers, rounds or bench.rounds, wanted, None if folder is None else Path(folder), own)


def _several(text: str) -> tuple[str, ...]:
    return tuple(one.strip() for one in text.split(",") if one.strip())


def run_bench(wish: Wish, say: Say) -> dict[str, Any]:
    """Measure.  Raises one of FAULTS where it can't."""
    busy = quiet(wish.extras["wait"], say) if "wait" in wish.extras else 0.0
    alone = (BENCHES[wish.what].alone or None) if wish.against else None
    if alone:
        say(f"{wish.what}: no peer is measured: {alone}")
    peers = {} if alone else {peer: VERSIONS[peer]() for peer in wish.against}
    before, began, code = used(), dt.datetime.now(dt.UTC).isoformat(timespec="seconds"), commit()
    with _folder(wish.folder) as folder:
        syncs = Syncs(folder)
        syncs.look()
        found = RUNS[wish.what](wish, syncs, say)
        syncs.look()
    if found.profile is not None:
        Path(wish.extras["profile"]).write_text(found.profile.text())
    appended, in_place = syncs.p50(syncs.appended), syncs.p50(syncs.in_place)
    cores = os.cpu_count() or 1
    machine = Measured(cores, appended, in_place, round(busy, 3), round(before.others(used(), cores), 3), interpreter())
    why = found.broken_off or _changed(code, commit())
    return document(
        Build(wish.what, began, code, alone, found.profile is not None, peers),
        machine,
        found.rows,
        found.disturbed,
        why,
    )


def _changed(before: str | None, after: str | None) -> str:
    """What is wrong with figures of code that was changed meanwhile: processes are started all through a run."""
    return "" if before == after else f"the checkout went from {before} to {after} meanwhile: use one of its own"


def commit() -> str | None:
    """Which commit this is, and whether anything of it was changed; None where nobody knows."""
    git = shutil.which("git")
    if git is None:
        return None
    words = [git, "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    said = subprocess.run(words, check=False, capture_output=True, text=True)  # noqa: S603 - our own command line
    return said.stdout.strip() or None


@frozen
class Found:
    """What came of one."""

    rows: list[Row]
    disturbed: int = 0
    broken_off: str = ""  # what ended it in the middle; "": nothing did
    profile: Profile | None = None  # where processor time went, if that was asked for


def _profile(wish: Wish) -> Profile | None:
    return Profile() if wish.extras["profile"] else None


def _commit(wish: Wish, syncs: Syncs, say: Say) -> Found:
    profile = _profile(wish)
    ours = [Ours(machine, profiled=profile is not None) for machine in ("nothing", "core")]
    systems: list[System] = [*ours, *_peers(wish.against)]
    run = Commit(syncs.folder, syncs, systems, wish.samples, say, wish.extras["seconds"], profile)
    return Found(run.run(wish.rounds), run.disturbed, run.broken.why, profile)


def _apply(wish: Wish, _syncs: Syncs, say: Say) -> Found:
    profile = _profile(wish)
    return Found(apply.measure(wish.samples, wish.rounds, say, profile), profile=profile)


def _failover(wish: Wish, syncs: Syncs, say: Say) -> Found:
    ours = [OursStruck(kind) for kind in KINDS[wish.what]]
    theirs = [PeerStruck(one, wish.what, how) for how in HOWS[wish.what] for one in _peers(wish.against)]
    struck: list[OursStruck | PeerStruck] = [*ours, *theirs]
    run = Failover(syncs.folder, syncs, struck, say)
    return Found(run.run(wish.rounds), run.disturbed, run.broken.why)


def _heal(wish: Wish, syncs: Syncs, say: Say) -> Found:
    seconds, within, systems = wish.extras["seconds"], syncs.folder.parent, list[heal.Ours | heal.Theirs]()
    for lost in heal.KINDS:
        systems.append(heal.Ours(lost, seconds, within))
        systems += [heal.Theirs(one, lost, seconds) for one in _peers(wish.against)]
    run = heal.Heal(syncs.folder, syncs, systems, say)
    return Found(run.run(wish.rounds), 0, run.broken.why)


def _snapshot(wish: Wish, syncs: Syncs, say: Say) -> Found:
    run = Snapshot(syncs.folder, syncs, wish.samples, say)
    return Found(run.run(wish.extras["orders"], wish.rounds), run.disturbed, run.broken.why)


def _growth(wish: Wish, syncs: Syncs, say: Say) -> Found:
    most = wish.extras["most"]
    orders, opens, doubts = ([one for one in each if one <= most] for each in (ORDERS, laden.OPEN, laden.IN_DOUBT))
    commits = Commits(syncs.folder, wish.samples, wish.rounds, say)
    nodes = memory.Nodes(syncs.folder, say)
    kinds: dict[str, Callable[[], Iterable[Row]]] = {
        "commit": lambda: commits.rows(orders),
        "apply": lambda: applies(orders, wish.samples, wish.rounds, say),
        "failover": lambda: laden.rows(opens, doubts, wish.rounds, syncs.folder.parent, say),
        "memory": lambda: memory.rows(nodes, wish.extras["commands"]),
    }
    rows, why = list[Row](), list[str]()
    for each in _several(wish.extras["of"]):
        with so_far([each]) as broken:  # each by itself: what ends one says nothing of the next
            for row in kinds[each]():
                rows.append(row)
        why += [f"{each}: {broken.why}"] if broken.why else []
        if broken.interrupted:
            break
    if why and not rows:
        raise BenchFault("; ".join(why))
    return Found(rows, commits.disturbed + nodes.disturbed, "; ".join(why))


def _restart(wish: Wish, syncs: Syncs, say: Say) -> Found:
    run = Restart(syncs.folder, syncs, say, _profile(wish))
    return Found(run.run(wish.samples, wish.rounds), run.disturbed, run.broken.why, run.profile)


RUNS: Final[dict[str, Callable[[Wish, Syncs, Say], Found]]] = {
    "commit": _commit,
    "apply": _apply,
    "failover": _failover,
    "promote": _failover,
    "freeze": _failover,
    "heal": _heal,
    "snapshot": _snapshot,
    "growth": _growth,
    "restart": _restart,
    "counts": lambda _wish, _syncs, _say: Found(list(counted.rows(counted.count_all()))),
}


def _peers(against: Sequence[str]) -> list[Etcd | Stock]:
    found: list[Etcd | Stock] = []
    for variant in VARIANTS:
        if "etcd" in against:
            found.append(Etcd(variant))
    for variant in VARIANTS:
        if "pysyncobj" in against:
            found.append(Stock(variant))
    return found


@contextmanager
def _folder(wanted: Path | None) -> Iterator[Path]:
    """A new folder on a disk, gone afterwards."""
    if wanted is not None:
        wanted.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="meltica-bench-", dir=wanted or Path.cwd())).resolve()
    try:
        check_on_disk(folder)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


__all__ = ["FAULTS", "BadWish", "Missing", "Wish", "heeding", "run_bench", "wish_of"]
