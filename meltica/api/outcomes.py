"""Outcomes: how what came of an action is told over HTTP and to a shell.

Only the two tables and the documents made of them may live here.  Pure.
"""

from __future__ import annotations

import enum
from typing import Final

from meltica.api.ports import ActionOutcome, OutcomeKind


class Exit(enum.IntEnum):
    """The exit codes of contracts.md section 10."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    NOT_ALLOWED = 4
    REFUSED = 5
    DEGRADED = 6
    UNKNOWN = 7


HTTP: Final = {
    OutcomeKind.DONE: 200,
    OutcomeKind.FAILED: 500,
    OutcomeKind.NOT_ALLOWED: 403,
    OutcomeKind.REFUSED: 409,
    OutcomeKind.NO_LEADER: 503,
    OutcomeKind.UNKNOWN: 504,
}

EXIT: Final = {
    OutcomeKind.DONE: Exit.DONE,
    OutcomeKind.FAILED: Exit.FAILED,
    OutcomeKind.NOT_ALLOWED: Exit.NOT_ALLOWED,
    OutcomeKind.REFUSED: Exit.REFUSED,
    OutcomeKind.NO_LEADER: Exit.UNREACHABLE,
    OutcomeKind.UNKNOWN: Exit.UNKNOWN,
}

# What an error document's HTTP status means to a shell; any other is FAILED.
EXIT_OF_ERROR: Final = {
    400: Exit.USAGE,
    401: Exit.NOT_ALLOWED,
    403: Exit.NOT_ALLOWED,
    404: Exit.USAGE,
    405: Exit.USAGE,
    413: Exit.USAGE,
    503: Exit.UNREACHABLE,
    504: Exit.UNKNOWN,
}


def action_document(outcome: ActionOutcome, request_id: str, node: str) -> dict[str, object]:
    """What came of an action, as the API answers it."""
    return {
        "schema": "meltica.action/1",
        "outcome": outcome.kind.value,
        "request_id": request_id,
        "node": node,
        "message": outcome.message,
        "next": outcome.next,
        "index": outcome.index,
        "detail": dict(outcome.detail),
    }


def error_document(code: str, message: str, following: str) -> dict[str, object]:
    """Why a request was not even tried, and what to do next."""
    return {"schema": "meltica.error/1", "error": code, "message": message, "next": following}
