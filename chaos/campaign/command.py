"""The command `meltica-chaos campaign`: many seeds of many profiles, kept piece by piece, gone on with when run again.

Only the command line, the processes that play, and what is told meanwhile may live here.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait
from pathlib import Path
from types import FrameType
from typing import Any, Final

import click

from chaos.campaign.kept import BadCampaign, Kept
from chaos.campaign.product import fingerprint
from chaos.campaign.total import total
from chaos.sim.collector import put_off
from chaos.sim.command import outcomes
from chaos.sim.document import Tally
from chaos.sim.profiles import ALONE, EVERYTHING, PROFILES
from chaos.storm.outcome import StormTally, play

PIECE: Final = 25  # seeds
STOPPED: Final = 130  # as a shell counts an interrupted command

Document = dict[str, Any]
Place = tuple[str, int, int]  # profile, first seed, end


def played(place: Place) -> Document:
    """One piece, in this process."""
    profile, first, end = place
    if profile in ALONE:
        storms = StormTally(profile)
        for seed in range(first, end):
            storms.add(play(profile, seed))
        return storms.document(first, end, 0.0)
    tally = Tally(profile)
    for outcome, cpu_s in outcomes(profile, first, end, 1):
        tally.add(outcome, cpu_s)
    return tally.document(first, end, 0.0)


def places(profiles: Sequence[str], first: int, end: int) -> list[Place]:
    """The pieces of a campaign, profiles in turn, so that one that is stopped has played of each."""
    starts = range(first, end, PIECE)
    return [(profile, start, start + PIECE) for start in starts for profile in profiles]


@click.command("campaign")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--seeds", help=f"FIRST:END, multiples of {PIECE}; without it only what FILE holds is told.")
@click.option(
    "--profile",
    "profiles",
    type=click.Choice([*sorted(PROFILES), *ALONE]),
    multiple=True,
    default=[EVERYTHING],
    show_default=True,
    help="May be given more than once.",
)
@click.option("--processes", type=click.IntRange(min=1), default=os.cpu_count() or 1, show_default=True)
@click.option("-o", "output", type=click.Choice(["table", "json"]), default="table", show_default=True)
def campaign(*, file: Path, seeds: str | None, profiles: Sequence[str], processes: int, output: str) -> None:
    """Seeds by the thousand, as `sim` plays them, kept in FILE by the piece: stop it, and run it again to go on.

    Ctrl-C (or SIGTERM) lets the pieces under way end, at most a minute or two, and keeps them; a second one stops at
    once.  FILE is of one build: on another one nothing is added to it.
    """
    wanted = places(profiles, *_range(seeds)) if seeds is not None else []
    if not wanted and not file.exists():
        raise click.UsageError(f"{file} does not exist: give --seeds to begin a campaign")
    try:
        here = fingerprint()
        with Kept.open(file, here if wanted else None) as kept:
            whole = _play(kept, [place for place in wanted if not kept.has(*place)], processes)
            document = total(kept.pieces, kept.product)
        if kept.product != here:
            print(f"played on another build, {kept.product}; this one is {here}", file=sys.stderr)
    except BadCampaign as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(
            f"{file}: {error}: what was played before is kept; make room and run it again"
        ) from error
    print(json.dumps(document, indent=1) if output == "json" else _table(document))
    if not whole:
        print(f"stopped; run the same command again to go on with {file}", file=sys.stderr)
        sys.exit(STOPPED)
    sys.exit(1 if document["failed"] or not document["passed"] else 0)


def _range(text: str) -> tuple[int, int]:
    first, _, end = text.partition(":")
    good = first.isdecimal() and end.isdecimal() and int(first) < int(end)
    if not good or int(first) % PIECE or int(end) % PIECE:
        message = f"found {text!r}, allowed: FIRST:END, both multiples of {PIECE}, as 0:1000"
        raise click.BadParameter(message, param_hint="--seeds")
    return int(first), int(end)


# --- playing ----------------------------------------------------------------------------------------------------


def _play(kept: Kept, left: Sequence[Place], processes: int) -> bool:
    """Play what is left and keep it; whether nothing is left now."""
    if not left:
        return True
    forked = multiprocessing.get_context("fork")
    try:
        with ProcessPoolExecutor(processes, forked, _begun) as pool:
            futures = [pool.submit(played, place) for place in left]
            with _stopped_gently(futures):
                for number, document in enumerate(_ended(futures), 1):
                    kept.add(document)
                    _tell(document, number, len(left), sum(len(piece["failed"]) for piece in kept.pieces))
    except BrokenProcessPool as error:
        message = (
            "a process that played was ended from outside (too little memory?): what had ended is kept, run it again"
        )
        raise click.ClickException(message) from error
    return not any(future.cancelled() for future in futures)


def _ended(futures: Sequence[Future[Document]]) -> Iterator[Document]:
    for future in as_completed(futures):
        try:
            yield future.result()
        except CancelledError:
            continue


def _begun() -> None:
    """In each process that plays: Ctrl-C is the first one's to judge, and nobody outlives it."""
    put_off()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


@contextmanager
def _stopped_gently(futures: Sequence[Future[Document]]) -> Iterator[None]:
    """Until the block ends, the first signal to stop cancels what nobody has begun, the second ends this process."""
    stopping: list[int] = []

    def stop(number: int, _: FrameType | None) -> None:
        if stopping:
            os._exit(STOPPED)
        stopping.append(number)
        print("\nstopping when the pieces under way have ended; once more to stop at once", file=sys.stderr, flush=True)
        for future in futures:
            future.cancel()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# --- telling ----------------------------------------------------------------------------------------------------


def _tell(document: Document, number: int, of: int, failed: int) -> None:
    """`failed`: seeds of all that FILE holds; said in each line, as what failed scrolls away."""
    for entry in document["failed"]:
        print(f"seed {entry['seed']}: {entry['check']}: {entry['message']}  {entry['replay']}", file=sys.stderr)
    first, end = document["seeds"]
    so_far = f"{failed} FAILED so far" if failed else "none failed so far"
    print(f"{number:5} of {of} pieces: {document['profile']} {first}:{end}, {so_far}", file=sys.stderr, flush=True)


def _table(document: Document) -> str:
    names = ("passed", "failed", "did_not_count", "commands", "orders", "fills", "virtual_s", "cpu_s")
    rows = [("profile", "seeds", *names)]
    for entry in [*document["profiles"], {"profile": "all", "seeds": [], **document}]:
        told = (len(entry[name]) if isinstance(entry[name], list) else entry[name] for name in names)
        seeds = " ".join(f"{first}:{end}" for first, end in entry["seeds"])
        rows.append((entry["profile"], seeds, *(f"{value:,}" for value in told)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows]
    failures = [f"{entry['replay']}    {entry['check']}: {entry['message']}" for entry in document["failed"]]
    return "\n".join([*lines, *failures, f"trace digest {document['trace_digest']}, product {document['product']}"])
