"""Suite: plans played one after the other, and what is kept and told of each, whatever becomes of it.

Only the order, and what is told, may live here; the files are `kept`, the sums `total`.  A run that can't be played,
judged or told has failed, and the next goes on: an hour of runs is never lost to one of them.
"""

from __future__ import annotations

import shutil
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Protocol

from attrs import define, evolve, field

from chaos.checkers.verdict import Check, verdict
from chaos.live import kept
from chaos.live.document import SCHEMA, Played, one
from chaos.live.kept import put
from chaos.live.pauses import spread
from chaos.live.plan import Fault, Plan
from chaos.live.run import FAULTS, Runner, Wish
from chaos.live.scenarios import SUITES
from chaos.live.total import Total
from chaos.report.again import again_all
from chaos.report.folder import NoRun, incident_in
from chaos.report.page import write, write_overview
from chaos.report.told import told as of_incident
from chaos.rig.broken import words
from chaos.rig.guarded import Interrupted, run_guarded

GOING_ON: Final = "it has not come to its end: it is being played, or was ended by force"

Say = Callable[[str], None]
Play = Callable[[Wish, Say], Played]


class Stopped(Interrupted):
    """Somebody ended a run; `wrong` tells what of it was wrong by then: nothing before its first fault."""

    def __init__(self, why: object, wrong: Callable[[], Sequence[str]] = tuple) -> None:
        super().__init__(str(why))
        self.wrong = wrong


class Plays(Protocol):
    """Whoever plays one run."""

    begun: list[Fault]

    async def run(self) -> Played:
        """To its end."""

    def failed(self, check: str, error: BaseException) -> Played:
        """All that can be told of a run that `error` broke off."""

    def so_far(self) -> tuple[str, ...]:
        """What of a run that somebody ended is wrong at any moment."""


def played(
    wish: Wish,
    say: Say,
    by: Callable[[Wish, Say], Plays] = Runner,
    known: tuple[type[Exception], ...] = FAULTS,
) -> Played:
    """One run to its end, or to what broke it off.  Raises Stopped; every process has ended all the same."""
    runner = by(wish, say)
    try:
        return run_guarded(runner.run, known)
    except Interrupted as error:
        raise Stopped(error, runner.so_far if runner.begun else tuple) from error
    except known as error:
        return runner.failed("played", error)
    except Exception as error:  # noqa: BLE001 - a fault of our own: shown whole, and the other runs go on
        say(traceback.format_exc())
        return runner.failed("played", error)


@define
class Suite:
    """One or many runs; `say` is told what happens."""

    name: str  # a suite's, or a scenario's
    seed: int  # the first run's
    keep: Path | None  # every run is kept there
    slower: int
    say: Say
    alone: bool  # it is one run: that run's document is all there is
    until_stopped: bool  # endless runs: only somebody who stops it can end it well, and one that fails ends it
    play: Play = played
    mutant: str = ""  # what is broken in the product
    only_failed: bool = False  # of a run that passed only its document and its page are kept
    goes_on: bool = False  # what came to its end in `keep` is taken as it is
    product: str = ""  # which code is played
    look: Callable[[], None] = lambda: None  # raises Changed, where it is not that code any more
    cluster: str = ""  # somebody else's, by its six digits; "": a fresh one for each run
    place: str = ""  # the file that tells of that one
    rounds: int | None = None  # as they were asked for
    skipped: Mapping[str, Any] = field(factory=dict)  # scenarios of which nothing could be done there, and why
    total: Total = field(factory=Total)
    only: dict[str, Any] | None = None  # the document of the one run
    broken: str = ""  # why it did not come to its end
    interrupted: str = ""  # the run that somebody ended
    _plays: str = ""  # the run that is being played

    def run(self, plans: Iterable[Plan]) -> None:
        """Each to its end; until it is interrupted or, of endless runs, one fails."""
        self.broken = GOING_ON
        try:
            with _heeding_sigterm():
                self._put_so_far()
                self._all(plans)
        except (Interrupted, KeyboardInterrupt) as error:
            self.say(words(error))
            self._stopped(error)
        except kept.Changed as error:
            self.broken = str(error)
            self.say(self.broken)
        else:
            self.broken = ""

    def _stopped(self, error: BaseException) -> None:
        """Endless runs may be ended between two, or in one of which nothing is wrong so far; nothing else may."""
        self.interrupted = self._plays
        wrong: Sequence[str] = ()
        if self.until_stopped and self.total.played:
            wrong = self._wrong_by_then(error)
            if not wrong:
                self.broken = ""
                return
        where = f" in {self._plays}" if self._plays else ""
        self.broken = "; ".join((f"interrupted{where}: {words(error)}", *wrong))

    def _wrong_by_then(self, error: BaseException) -> Sequence[str]:
        if not self._plays:
            return ()
        try:
            return error.wrong() if isinstance(error, Stopped) else ("what it had done by then is not known",)
        except KeyboardInterrupt:
            return ("what it had done by then was not judged to its end",)

    def _all(self, plans: Iterable[Plan]) -> None:
        for each in plans:
            before = self._ended(each)
            if before is not None:
                self._add(before)
                continue
            failed = self.total.failed
            self._one(each)
            self._put_so_far()
            self.look()
            if self.until_stopped and self.total.failed > failed:
                break  # of what was played now: whoever goes on behind an old failure has seen it

    def _ended(self, each: Plan) -> dict[str, Any] | None:
        """What is known of a run that came to its end before; what is left of one that did not is put aside."""
        if not self.goes_on or self.keep is None:
            return None
        folder = self.keep / _label(each)
        found = kept.ended(folder, each)
        if found is None:
            kept.aside(folder)
        return found

    def _add(self, document: dict[str, Any]) -> None:
        self.total.add(document)
        self.only = document if self.alone else None

    def _put_so_far(self) -> None:
        """So that a suite that is ended by force has left what it had found."""
        if self.keep is None or self.alone:
            return
        try:
            self.keep.mkdir(parents=True, exist_ok=True)
            put(self.document(), self.keep)
        except OSError as error:  # as of a full disk: the document is told in the end
            self.say(words(error))

    def document(self) -> dict[str, Any]:
        """Of all runs so far (contracts.md section 8); `broken_off`: why there are no more; `interrupted`: in which."""
        found = self._of_many() if self.only is None else dict(self.only)
        found |= {"interrupted": self.interrupted} if self.interrupted else {}
        return found | ({"verdict": "fail", "broken_off": self.broken} if self.broken else {})

    def _of_many(self) -> dict[str, Any]:
        head = {"schema": SCHEMA, "scenario": self.name, "seed": self.seed, "slower": self.slower}
        head |= {"mutant": self.mutant, "product": self.product, "cluster": self.cluster}
        left = {"left_out": dict(self.skipped), "place": self.place} if self.cluster else {}
        head |= {"again": again_all(head | left, suite=self.name in SUITES, rounds=self.rounds)}
        return head | {"report": str(self.keep or "")} | self.total.document() | left

    def store(self) -> bool:
        """Put the document, and an overview of many runs, into the folder that keeps them; whether it could be told."""
        if self.keep is None:
            return True
        document = self.document()
        try:
            put(document, self.keep)
            if not self.alone:
                self.say(f"report: {write_overview(document, self.keep)}")
        except Exception:  # noqa: BLE001 - whatever it is, it is shown whole; the document has been told
            self.say(traceback.format_exc())
            return False
        return True

    def _one(self, each: Plan) -> None:
        """Played, and added as soon as it is, whatever keeps it from being told."""
        label = _label(each)
        try:
            folder = self._folder(label)
        except OSError as error:  # as of a full disk
            self.say(f"{label}: {words(error)}")
            self._add(one(Played(each, (), (Check("played", 1, (words(error),)),), self.slower, "")))
            return
        began = time.monotonic()

        def say(text: str) -> None:
            self.say(f"{time.monotonic() - began:6.1f} s  {text}")

        self.say(f"{each.scenario.name}, seed {each.seed}: {each.scenario.shows}")
        self._plays = f"{each.scenario.name}, seed {each.seed}"
        try:
            found = self.play(Wish(each, folder, self.slower, kept=self.keep is not None, mutant=self.mutant), say)
        except BaseException:
            self.say(f"what the processes left is in {folder}")
            raise
        self._plays = ""
        try:
            found = told(found, folder, say)
        finally:  # a signal may come while it is told
            self._add(one(found))
        if verdict(found.checks) == "pass":
            self._cleared(folder)

    def _cleared(self, folder: Path) -> None:
        """What nobody will look at goes."""
        if self.keep is None:
            shutil.rmtree(folder, ignore_errors=True)
        elif self.only_failed:
            kept.thinned(folder)

    def _folder(self, label: str) -> Path:
        return Path(tempfile.mkdtemp(prefix=f"meltica-chaos-{label}-")) if self.keep is None else self.keep / label


def _label(each: Plan) -> str:
    return f"{each.scenario.name}-{each.seed}"


def told(found: Played, folder: Path, say: Say) -> Played:
    """The run's verdict and page in its folder, and a line of it; where they can't be made, the run has failed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        put(one(found), folder)
        incident = incident_in(folder, one(found))
        page = str(write(incident, folder))
        found = evolve(found, told=of_incident(incident))
        put(one(found), folder)
    except NoRun as error:
        page = str(error)  # it was broken off before there was anything to draw
    except Exception as error:  # noqa: BLE001 - a full disk, or a fault of our own: told, never the run's loss
        page = words(error)
        found = evolve(found, checks=(*found.checks, Check("told", 1, (page,))))
    if verdict(found.checks) == "pass":
        say(f"pass: every check held; gaps {spread(found.pauses)}")
        return found
    found = evolve(found, report=str(folder))  # it is kept
    with suppress(OSError):  # then it was not written before either, and that has been told
        put(one(found), folder)
    say(f"fail: {_wrong(found)}; gaps {spread(found.pauses)}")
    say(f"report: {page}; ledger, logs and data are in {folder}")
    return found


def _wrong(found: Played) -> str:
    return "; ".join(f"{check.name}: {list(check.violations[:2])}" for check in found.checks if not check.held)


@contextmanager
def _heeding_sigterm() -> Iterator[None]:
    """Between two runs it interrupts as Ctrl-C does; in one, Trio's own receiver hears both."""
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(*_: object) -> None:
    """As Ctrl-C does; where a shell put this into the background that is ignored, and SIGTERM still is not."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        raise KeyboardInterrupt
    signal.raise_signal(signal.SIGINT)
