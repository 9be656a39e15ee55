"""Meetings: whether every answer meets its stream report in time, and every report its answer.

Only pure bookkeeping may live here.  Each side alone proves that the venue acted; that the other does not
come proves that a stream lost something, or that an answer is lost: then nothing that was heard is complete.
"""

from __future__ import annotations

from attrs import define

from meltica.core.values import ClientOrderId, Nanos


@define
class _Waiting:
    answered: Nanos | None = None
    reported: Nanos | None = None

    @property
    def since(self) -> Nanos | None:
        return self.answered if self.answered is not None else self.reported


class Meetings:
    """The sends of this connection that are not yet seen from both sides."""

    def __init__(self, within: Nanos) -> None:
        self._within = within
        self._waiting: dict[ClientOrderId, _Waiting] = {}

    def sent(self, intent: ClientOrderId) -> None:
        """A request was written."""
        self._waiting[intent] = _Waiting()

    def forget(self, intent: ClientOrderId) -> None:
        """No report will come of it: it was refused, or its answer is given up."""
        self._waiting.pop(intent, None)

    def answered(self, intent: ClientOrderId, now: Nanos) -> None:
        """The venue accepted it: its report must come, or has."""
        waiting = self._waiting.get(intent)
        if waiting is None:
            return
        if waiting.reported is not None:
            del self._waiting[intent]
        else:
            waiting.answered = now

    def reported(self, shown_as: str, now: Nanos) -> None:
        """A report names this id; only the first of a send counts, and only ids that were sent here."""
        intent = ClientOrderId(shown_as)
        waiting = self._waiting.get(intent)
        if waiting is None:
            return
        if waiting.answered is not None:
            del self._waiting[intent]
        elif waiting.reported is None:
            waiting.reported = now

    def missed(self, now: Nanos) -> list[str]:
        """What did not meet in time, as text; each is told once."""
        late = [
            (intent, waiting)
            for intent, waiting in self._waiting.items()
            if waiting.since is not None and now - waiting.since > self._within
        ]
        for intent, _ in late:
            del self._waiting[intent]
        return [f"{intent}: {'no report' if waiting.answered is not None else 'no answer'}" for intent, waiting in late]

    def lost_stream(self) -> None:
        """The stream was lost: reports that should have come by it will not; the reconciliation finds them."""
        for intent in [intent for intent, waiting in self._waiting.items() if waiting.answered is not None]:
            del self._waiting[intent]
