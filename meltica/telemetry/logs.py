"""Logs: structlog, one JSON object a line on stderr.

Only the making of a logger may live here.  Each line has `wall` (UTC, ISO 8601), `node`, `level` and `event`
(a short sentence that does not change; what varies is in fields of its own).  Fields that could carry a secret
are blanked by name, so that a slip of the caller does not leak one.  Nothing is configured globally: a logger
is made by whoever starts a process, and passed in.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, MutableMapping
from typing import Final, TextIO, cast

import structlog
from structlog.typing import FilteringBoundLogger, WrappedLogger

LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
SECRET_WORDS: Final = ("secret", "token", "password", "signature", "api_key", "authorization", "private")
BLANK: Final = "(hidden)"


def make_logger(node: str, level: str = "info", stream: TextIO | None = None) -> FilteringBoundLogger:
    """A logger of this node that writes to `stream` (stderr by default) from `level` up."""
    bound = structlog.wrap_logger(
        structlog.WriteLogger(stream or sys.stderr),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="wall"),
            structlog.processors.format_exc_info,
            hide_secrets,
            structlog.processors.JSONRenderer(default=str),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        cache_logger_on_first_use=False,
    )
    return cast("FilteringBoundLogger", bound.bind(node=node))


def hide_secrets(_logger: WrappedLogger, _method: str, event: MutableMapping[str, object]) -> Mapping[str, object]:
    """A structlog processor: blank every field, at any depth, whose name says that it is a secret."""
    return {key: _hidden(key, value) for key, value in event.items()}


def _hidden(key: str, value: object) -> object:
    lowered = key.lower()
    if any(word in lowered for word in SECRET_WORDS) and not lowered.endswith("_file"):
        return BLANK
    if isinstance(value, Mapping):
        return {inner: _hidden(str(inner), one) for inner, one in value.items()}
    return value
