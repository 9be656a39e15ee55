"""Acting: what every command that changes something has in common.

Only the options, the confirmation, the call and the showing of its outcome may live here.  On a terminal the
operator is asked; elsewhere `--yes` must be given.  A request id is made once for each command and printed
where the outcome is unknown, so that a repetition is recognised.
"""

from __future__ import annotations

import getpass
import re
import secrets
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import click
import trio

from meltica.api.bodies import ID, TEXT
from meltica.api.outcomes import EXIT, Exit
from meltica.api.ports import OutcomeKind
from meltica.cli.client import NOTHING, Client
from meltica.cli.errors import CliError
from meltica.cli.output import console, output_option, print_json, table_of
from meltica.cli.place import place_of

NO_REASON: Final = "no reason given"
SECOND_MS: Final = 1000
Command = TypeVar("Command", bound=Callable[..., Any])


def acting_options(command: Command) -> Command:
    """--reason, --yes, --dry-run, --request-id and -o."""
    return _options(command, "Why; it goes to the audit trail.")


def logged_options(command: Command) -> Command:
    """The same for what is no command of the replicated log, so that no audit trail has it."""
    return _options(command, "Why; it goes to the log of each node that does it, with who asked.")


def _options(command: Command, why: str) -> Command:
    for option in (
        output_option,
        click.option("--request-id", help="Repeat an earlier request whose outcome was unknown; done once at most."),
        click.option("--dry-run", is_flag=True, help="Say what would happen; change nothing."),
        click.option("--yes", is_flag=True, help="Do not ask."),
        click.option("--reason", help=why),
    ):
        command = option(command)
    return command


def act(
    context: click.Context,
    kind: str,
    wish: Mapping[str, object],
    what: str,
    options: Mapping[str, Any],
    *,
    node: str | None = None,
    token_file: Path | None = None,
) -> None:
    """Ask the operator, ask the cluster, show what came of it, exit with its code.

    `what` says in words what is about to happen; `options` are those of `acting_options`; `token_file`
    that of another role than the operator's.
    """
    body = {
        **hand(options),
        **{key: value for key, value in wish.items() if value is not None},
    }
    client = Client(place_of(context), operator=True, token_file=token_file)
    if not options["dry_run"]:
        confirm(what, yes=options["yes"])
    document = _asked(client, kind, body, node)
    _show(document, options["output"])
    context.exit(int(EXIT.get(_kind(document), Exit.FAILED)))


def _asked(client: Client, kind: str, body: Mapping[str, object], node: str | None = None) -> Mapping[str, Any]:
    """What the cluster answers; raises CliError where somebody interrupts it."""
    try:
        return trio.run(partial(client.act, kind, body, node))
    except KeyboardInterrupt:
        if body["dry_run"]:
            raise CliError(f"interrupted{NOTHING}") from None
        following = f"look at `meltica status`; to try again safely, repeat with --request-id {body['request_id']}"
        raise CliError("interrupted: it may have been done", following, Exit.UNKNOWN) from None


def looked_at(context: click.Context, kind: str, wish: Mapping[str, object], options: Mapping[str, Any]) -> str:
    """What the cluster says that would come of it: what to ask the operator by.  Ends the command where it refuses.

    Without a question it is said on stderr: whoever gave --yes reads it in a script's log.
    """
    if options["dry_run"]:
        return ""  # nothing is asked, and the answer is the same
    answerable(f"`{context.command_path}`", yes=options["yes"])  # whoever can't be asked need not hear what of
    body = {**hand({**options, "dry_run": True}), **{key: value for key, value in wish.items() if value is not None}}
    document = _asked(Client(place_of(context), operator=True), kind, body)
    if _kind(document) is not OutcomeKind.DONE:
        _show(document, options["output"])
        context.exit(int(EXIT.get(_kind(document), Exit.FAILED)))
    told = str(document.get("message"))
    if options["yes"]:
        click.echo(told, err=True)
    return told


def hand(options: Mapping[str, Any]) -> dict[str, object]:
    """What every action's body has: under which id, why, who, and whether in earnest."""
    return {
        "request_id": _request_id(options["request_id"]),
        "reason": checked_reason(options["reason"]),
        "actor": actor(),
        "dry_run": options["dry_run"],
    }


def confirm(what: str, *, yes: bool) -> None:
    """Go on, or raise."""
    answerable(what, yes=yes)
    if not yes:
        click.confirm(f"{what}. Go on?", abort=True, err=True)


def answerable(what: str, *, yes: bool) -> None:
    """Raises CliError where nobody said yes, and nobody can be asked."""
    if not yes and not sys.stdin.isatty():
        raise CliError(f"{what} needs a confirmation, and stdin is no terminal", "add --yes", Exit.USAGE)


def _request_id(given: str | None) -> str:
    if given is None:
        return f"cli-{secrets.token_hex(12)}"
    if not re.fullmatch(ID, given):
        raise CliError(f"--request-id {given!r:.80}", "1 to 64 letters, digits, or _ . : -", Exit.USAGE)
    return given


def checked_reason(given: str | None) -> str:
    """Why, as it is kept; raises CliError for what can't be."""
    reason = (given or NO_REASON).strip() or NO_REASON
    if len(reason) > TEXT or not reason.isprintable():
        raise CliError("--reason is too long or not printable", f"at most {TEXT} characters on one line", Exit.USAGE)
    return reason


def actor() -> str | None:
    """Who acts, as this machine knows them; None where it does not."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError):
        return None
    return name if re.fullmatch(r"[\w.@-]{1,64}", name) else None


def _kind(document: Mapping[str, Any]) -> OutcomeKind:
    try:
        return OutcomeKind(str(document.get("outcome")))
    except ValueError:
        return OutcomeKind.FAILED


def show_fitness(nodes: Sequence[Mapping[str, Any]], *, err: bool = False) -> None:
    """Each node: how far it is behind, and why it is not promotable."""
    columns = ("node", "promotable", "behind", "last heard", "why not")
    rows = [(one["name"], one["promotable"], behind(one), ago(one.get("heard_ms")), one["why_not"]) for one in nodes]
    console(err=err).print(table_of("", columns, rows))


def behind(member: Mapping[str, Any]) -> str | None:
    """A node's lag, in entries and in time."""
    entries, ms = member.get("lag_entries"), member.get("lag_ms")
    if entries is None:
        return None
    return f"{entries:,} entries, {ms:,} ms" if entries else "nothing"


def ago(ms: object) -> str | None:
    """How long ago it was last heard from."""
    if not isinstance(ms, int):
        return None
    return f"{ms} ms ago" if ms < SECOND_MS else f"{ms / SECOND_MS:,.1f} s ago"


def _show(document: Mapping[str, Any], output: str) -> None:
    if output == "json":
        print_json(document)
        return
    done = _kind(document) is OutcomeKind.DONE
    click.echo(f"{document.get('outcome')}: {document.get('message')}", err=not done)
    detail = dict(document.get("detail") or {})
    nodes = detail.pop("nodes", None)
    for key, value in detail.items():
        if value is None or isinstance(value, dict | list):  # for programs; the message says it
            continue
        click.echo(f"  {key}: {value}", err=not done)
    if nodes:
        show_fitness(nodes, err=not done)
    if document.get("next"):
        click.echo(f"  next: {document['next']}", err=not done)
    if _kind(document) is OutcomeKind.UNKNOWN:
        click.echo(f"  to try again safely: repeat with --request-id {document.get('request_id')}", err=True)
