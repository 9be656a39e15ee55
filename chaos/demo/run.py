"""Running a demo: from the command line's words to the verdict.

Only joining the demo's rooms may live here.
"""

from __future__ import annotations

import json
import secrets
import shutil
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from chaos.demo.conduct import DemoFault, Wish, play
from chaos.demo.document import document
from chaos.demo.plan import BadPlan, plan
from chaos.demo.screen import open_screen, report
from chaos.demo.timeline import marks_of
from chaos.report.folder import VERDICT, incident_in
from chaos.report.page import NAME, write
from chaos.rig.gather import gather, json_lines
from chaos.rig.guarded import Interrupted, run_guarded
from chaos.rig.processes import NODES, RigFault
from chaos.rig.watch import ActRefused
from meltica.marketdata.tapes import TapeError, read_tape
from meltica.paper.market_tape import read_head


class DemoRefused(Exception):
    """Wrong usage: nothing was started; the message says what is allowed."""


def wish_of(
    *,
    duration: float,
    tape: str | None,
    seed: int | None,
    kills: Sequence[float],
    promotes: Sequence[float],
    keep: str | None,
) -> Wish:
    """What the operator's options ask for.  Raises DemoRefused."""
    try:
        steps = plan(duration, kills, promotes)
    except BadPlan as error:
        raise DemoRefused(str(error)) from error
    market, symbols = ("synthetic", ()) if tape is None else (f"tape:{Path(tape).resolve()}", _symbols(Path(tape)))
    chosen = secrets.randbelow(1_000_000) if seed is None else seed
    return Wish(_folder(keep), duration, market, chosen, steps, symbols)


def _symbols(tape: Path) -> tuple[str, ...]:
    """What a capture is of."""
    if not tape.is_file():
        raise DemoRefused(f"--tape {tape}: there is no such file")
    try:
        return (read_head(read_tape(tape)).symbol,)
    except TapeError as error:
        raise DemoRefused(f"--tape {tape}: {error}") from error


def _folder(keep: str | None) -> Path:
    if keep is None:
        return Path(tempfile.mkdtemp(prefix="meltica-demo-"))
    folder = Path(keep)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DemoRefused(f"--keep {keep}: it is there and not an empty folder; name a new one")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


FAULTS = (DemoFault, RigFault, ActRefused, Interrupted)


def run_demo(wish: Wish, console: Console, *, kept: bool, as_json: bool) -> dict[str, Any]:
    """Play, check, show.  Returns the verdict's document; raises one of FAULTS if it could not be played."""
    try:
        with open_screen(console) as screen:
            strikes = run_guarded(partial(play, wish, screen), FAULTS)
        history = gather(wish.folder, NODES)
        marks = [mark for name in NODES for mark in marks_of(name, json_lines(wish.folder / "logs" / f"{name}.jsonl"))]
        found = document(history, strikes, marks, seed=wish.seed, duration=wish.duration, market=wish.market)
        stays = kept or found["verdict"] != "pass"
        if stays:
            (wish.folder / VERDICT).write_text(json.dumps(found, indent=1) + "\n")
            incident = incident_in(wish.folder, found, history)
            write(incident, wish.folder)
            if found["verdict"] != "pass":
                console.print(
                    "what the nodes say of why:", *incident.causes, sep="\n- ", highlight=False, soft_wrap=True
                )
    except BaseException:
        if not kept:
            console.print(f"what the processes left is in {wish.folder}", highlight=False)
        raise
    if not as_json:
        console.print(report(found))
    if not stays:
        shutil.rmtree(wish.folder, ignore_errors=True)
    elif not as_json or found["verdict"] != "pass":
        console.print(f"report: {wish.folder / NAME}; ledger, logs and data beside it", highlight=False, soft_wrap=True)
    return found
