"""Forward: carrying an action from a standby to the leader.

Only that one hop may live here.  It is carried once: the header `Meltica-Forwarded-By` stops a second hop.
What was surely not delivered is NO_LEADER; what may have been is UNKNOWN, and is never sent again from here.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final, Protocol

import httpx
import trio
from attrs import frozen

from meltica.api.calls import ask, calling
from meltica.api.outcomes import action_document
from meltica.api.ports import ActionOutcome, OutcomeKind

FORWARDED_BY: Final = "Meltica-Forwarded-By"
CONNECT_S: Final = 1.0  # on one network; longer means that the leader is gone
ANSWER_S: Final = 30.0  # the leader itself answers UNKNOWN well before
RETRY: Final = "Look at `meltica status`, then try again with the same request id: a retry is recognised."


@frozen
class Answer:
    """What the leader answered, or what stands for it: an HTTP status and a JSON body."""

    status: int
    body: bytes


class Forwarder(Protocol):
    """Whoever can carry an action to another node."""

    async def __call__(self, leader: str, url: str, authorization: str, body: bytes) -> Answer | ActionOutcome:
        """POST it to the node `leader`; an outcome instead of an answer where none came."""
        ...


@frozen
class HttpsForwarder:
    """Carries over TLS, with the caller's own token; the leader decides what it allows."""

    node: str
    ca: Path
    context: ssl.SSLContext

    async def __call__(self, leader: str, url: str, authorization: str, body: bytes) -> Answer | ActionOutcome:
        """POST it to the node `leader`; an outcome instead of an answer where none came."""
        headers = {
            "Authorization": authorization,
            "Content-Type": "application/json",
            FORWARDED_BY: self.node,
        }
        try:
            with trio.fail_after(ANSWER_S):
                async with calling(self.context, timeout=None) as client:  # the scope bounds it
                    timeout = httpx.Timeout(None, connect=CONNECT_S)
                    answer = await ask(client, "POST", leader, url, content=body, headers=headers, timeout=timeout)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            message = f"the leader {leader} at {url} could not be reached ({type(error).__name__}), so nothing was done"
            return ActionOutcome(OutcomeKind.NO_LEADER, message, RETRY)
        except (httpx.HTTPError, trio.TooSlowError) as error:
            message = f"the leader {leader} at {url} did not answer ({type(error).__name__}), so it may have been done"
            return ActionOutcome(OutcomeKind.UNKNOWN, message, RETRY)
        return Answer(answer.status_code, answer.content)


def make_forwarder(node: str, ca: Path) -> HttpsForwarder:
    """A forwarder that trusts the cluster's own authority and no other."""
    return HttpsForwarder(node, ca, ssl.create_default_context(cafile=str(ca)))


def no_leader(request_id: str, node: str) -> dict[str, object]:
    """The document of an action that found nobody to do it."""
    outcome = ActionOutcome(OutcomeKind.NO_LEADER, "no node is known to lead now, so nothing was done", RETRY)
    return action_document(outcome, request_id, node)
