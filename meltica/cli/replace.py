"""Replace: `meltica cluster replace`, a new node put in another's place, step by step.

Only the asking for one step after another, and the showing of how far it is, may live here.  Every step is the leader's
to do or refuse, and it knows by the log which one is next: so the same command, given again, goes on where it stands.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import click
import trio
from attrs import define, field

from meltica.api.outcomes import EXIT, Exit
from meltica.api.ports import OutcomeKind
from meltica.cli.acting import act, acting_options, confirm, hand
from meltica.cli.client import NOTHING, Client, Document
from meltica.cli.errors import CliError
from meltica.cli.output import print_json
from meltica.cli.place import ClusterPlace, place_of, read_place
from meltica.config import ConfigErrors, load

SCHEMA: Final = "meltica.replace/1"
PAUSE_S: Final = 0.2  # from one step's outcome to the next one's asking
SETTLE_S: Final = 15.0  # a refusal that may pass by itself (an election, a node's start) is asked again for so long
AGAIN: Final = "give the same command again: it goes on where it stands"
SEE: Final = "look at `meltica cluster members` and `meltica cluster status`, and start the nodes that do not answer"
_REFUSALS: Final = (OutcomeKind.REFUSED.value, OutcomeKind.NOT_ALLOWED.value)
UNANSWERED: Final = (int(Exit.UNREACHABLE), int(Exit.UNKNOWN))


@click.command()
@click.argument("old")
@click.option("--with", "new", required=True, metavar="NEW", help="A new node, under a name that no node ever had.")
@click.option("--address", metavar="HOST:PORT", help="Where its peers dial it; by default as its settings in DIR say.")
@click.option(
    "--wait", type=click.IntRange(1), default=600, show_default=True, help="Seconds to wait without progress."
)
@click.option(
    "--give-up", is_flag=True, help="Take NEW out again, which does not vote yet, or is one vote too many: OLD stays."
)
@acting_options
@click.pass_context
def replace(
    context: click.Context, /, old: str, new: str, address: str | None, wait: int, *, give_up: bool, **options: Any
) -> None:
    """Put the node NEW, which runs already, in the place of OLD, dead or alive; OLD never comes back.

    NEW gets the log, and counts for nothing until it has caught up; then it votes, and OLD is removed, in the order in
    which more losses are survived meanwhile.  Nothing is done that would leave no majority of healthy nodes, trading
    goes on, and if OLD leads it hands over first.  Interrupted, or if the leader changes, the same command goes on
    where it stands.  `meltica cluster prepare` makes the folder of NEW.  What was begun and is not wanted any more is
    ended with --give-up, as long as OLD was not removed, or as many vote without NEW as should.  OLD stays for as long
    as it is fit to trade and NEW is not.
    """
    place = place_of(context)
    if give_up:
        act(context, "replace", {"old": old, "new": new, "give_up": True}, _given_up(old, new), options)
        return
    if address is not None:
        address = str(read_place("--address", address))
    wish = {"old": old, "new": new, "address": address or _address(place, new)}
    what = f"{new} at {wish['address']} takes the place of {old}, which is removed FOR EVER"
    if options["dry_run"]:
        act(context, "replace", wish, what, options)
        return
    client = Client(place, operator=True)
    body = {**hand(options), **wish}
    confirm(what, yes=options["yes"])
    watch = Progress(wait, json=options["output"] == "json")
    try:
        last = trio.run(partial(_go_on, client, body, watch))
    except KeyboardInterrupt:
        raise CliError("interrupted", AGAIN, Exit.UNKNOWN) from None
    _end(context, place, wish, watch, last)


def _given_up(old: str, new: str) -> str:
    return f"{new}, which was to take the place of {old}, is removed FOR EVER, and {old} stays"


def _address(place: ClusterPlace, new: str) -> str:
    file = place.folder / "nodes" / new / "meltica.toml"
    try:
        return str(load(file, check_files=False).own.peer)
    except (ConfigErrors, OSError):
        raise CliError(f"{file} does not say where {new} listens", "give --address HOST:PORT", Exit.USAGE) from None


@define
class Progress:
    """What was done and seen, since when nothing has moved, and since when it has been refused.

    What moves is a step or a configuration that was not seen before, or a lag that is smaller than ever before: a lag
    that only changes, as under load, is none, nor are answers that take turns.
    """

    wait: float  # seconds
    json: bool
    steps: list[dict[str, object]] = field(factory=list)
    moved: float = 0.0
    refused: float | None = None
    lost: str = ""  # of an asking whose answer never came, and no other since
    _seen: set[tuple[object, ...]] = field(factory=set)
    _least: int | None = None  # entries
    _said: str = ""

    def saw(self, document: Document, now: float) -> None:
        """Another answer."""
        self.lost = ""
        detail = document.get("detail") or {}
        members = detail.get("members") or {}
        step, says = str(detail.get("step", document.get("outcome"))), str(document.get("message"))
        seen, lag = (step, members.get("configuration")), detail.get("lag_entries")
        nearer = lag is not None and (self._least is None or lag < self._least)
        if nearer:
            self._least = lag
        if nearer or seen not in self._seen:
            self.moved = now
        self._seen.add(seen)
        if document.get("outcome") not in _REFUSALS:
            self.refused = None
        elif self.refused is None:
            self.refused = now
        if says != self._said:
            self._said = says
            click.echo(says, err=self.json)
            self.steps.append({"step": step, "says": says, "configuration": members.get("configuration")})

    def over(self, document: Document, now: float) -> bool:
        """Whether this answer is the last: it is done, refused for good or for too long, or nothing moves."""
        detail = document.get("detail") or {}
        if detail.get("done"):
            return True
        if self.refused is not None:
            return not detail.get("passing") or now - self.refused > SETTLE_S
        return now - self.moved > self.wait

    def unanswered(self, error: CliError) -> None:
        """No answer, this time."""
        if error.exit_code == Exit.UNKNOWN:
            self.lost = self.lost or error.message
        says = f"no answer: {error.message.removesuffix(NOTHING)}; asked again"
        if says != self._said:
            self._said = says
            click.echo(says, err=True)


async def _go_on(client: Client, body: Mapping[str, object], watch: Progress) -> Document:
    """Ask for one step after another; the last answer.  Raises CliError."""
    watch.moved = trio.current_time()
    while True:
        try:
            document = await client.act("replace", body)
        except CliError as error:
            if error.exit_code not in UNANSWERED:
                raise
            watch.unanswered(error)
            if trio.current_time() - watch.moved > watch.wait:
                raise _ended(error, watch.lost) from None
            await trio.sleep(PAUSE_S)
            continue
        now = trio.current_time()
        watch.saw(document, now)
        if watch.over(document, now):
            return document
        await trio.sleep(PAUSE_S)


def _ended(error: CliError, lost: str) -> CliError:
    """What is true of an order that was never answered; `lost`: an asking that may have been done."""
    if not lost:
        return CliError(error.message, AGAIN, Exit(error.exit_code))
    message = f"{lost}; nobody who could say more has answered since: what came of it is not known"
    return CliError(message, f"{SEE}, before the same command is given again: it goes on where it stands", Exit.UNKNOWN)


def _end(context: click.Context, place: ClusterPlace, wish: Mapping[str, str], watch: Progress, last: Document) -> None:
    """What came of it, and what is left to an operator."""
    detail = last.get("detail") or {}
    done = bool(detail.get("done"))
    following = _left(place, wish) if done else [str(last.get("next") or AGAIN)]
    if watch.json:
        head = {"schema": SCHEMA, **wish, "done": done, "outcome": last.get("outcome"), "message": last.get("message")}
        print_json({**head, "next": following, "steps": watch.steps, "members": detail.get("members")})
    else:
        for line in following:
            click.echo(f"  next: {line}", err=not done)
    if not done:
        kind = OutcomeKind(str(last.get("outcome")))
        context.exit(int(Exit.FAILED if kind is OutcomeKind.DONE else EXIT.get(kind, Exit.FAILED)))


def _left(place: ClusterPlace, wish: Mapping[str, str]) -> list[str]:
    old, new = wish["old"], wish["new"]
    file = Path(place.folder) / "cluster.toml"
    found = [f"stop {old}, if it still runs, and keep its folder until nothing of it is needed"]
    if old in place.apis:
        found.append(f"take [nodes.{old}] out of {file}")
    if new not in place.apis:
        found.append(f'put [nodes.{new}] with its api = "https://HOST:PORT" into {file}')
    return found
