"""Rules 2 and 3, intent first and one id, one send: what is sent, and how often.

Only mutants of dispatch, of ids and of what may be ordered may live here.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from chaos.mutants.mutant import mutant
from chaos.mutants.patches import Patches
from chaos.mutants.scenes import ASKED_TWICE, CUT_OFF, NO_ANSWERS, QUIET
from cluster.journal import Journal
from cluster.raft import RaftCore
from cluster.types import Role
from meltica.core import apply
from meltica.core.turn import Turn
from meltica.core.values import Epoch, Nanos
from meltica.leader import authority
from meltica.leader.authority import Ordered
from meltica.leader.dispatch import Dispatch
from meltica.venues.base import Unknown
from meltica.venues.binance_spot import requests

W: Final = 300_000_000


@mutant("2", QUIET, "intent_first")
def every_node_sends(patches: Patches) -> None:
    """A node sends what another leader's entry ordered."""

    def sends(self: Any, entry: Any, effect: Any) -> None:
        now = self._desk.mono()
        self._send(Ordered(effect, Epoch(entry.term), True, now, Nanos(now + W)), Nanos(now + W))

    patches.attribute(Dispatch, "_ordered", sends)
    patches.attribute(authority, "why_shut", lambda *_args: "")


@mutant("2", CUT_OFF, "intent_first")
def commits_alone(patches: Patches) -> None:
    """A leader takes its own copy for a majority: it applies and sends what may yet be lost."""
    getter: Any = RaftCore.commit
    whole, begin = getter.fget, RaftCore.__init__
    journals: dict[int, Journal] = {}

    def alone(self: RaftCore) -> int:
        commit: int = whole(self)
        return max(commit, journals[id(self)].last) if self.role is Role.LEADER else commit

    def made(self: RaftCore, *args: Any, **more: Any) -> None:
        journals[id(self)] = more["journal"]
        begin(self, *args, **more)

    patches.attribute(RaftCore, "__init__", made)
    patches.attribute(RaftCore, "commit", property(alone))


@mutant("3", NO_ANSWERS, "one_send")
def an_unknown_outcome_is_sent_again(patches: Patches) -> None:
    """A send without an answer is sent once more, under the same id."""
    whole = Dispatch.answered

    def again(self: Any, intent: Any, answer: Any) -> None:
        flight = self._flights.get(intent)
        whole(self, intent, answer)
        if flight is not None and isinstance(answer, Unknown):
            effect = flight.ordered.effect
            port = self._desk.venues[effect.venue]
            port.send(effect, Nanos(self._desk.mono() + W), lambda: True)

    patches.attribute(Dispatch, "answered", again)


@mutant("3", ASKED_TWICE, "operators")
def a_retry_is_not_recognised(patches: Patches) -> None:
    """An operator's request that comes again is done again."""
    patches.attribute(apply, "_asked", lambda turn, _place, command, room, _by: room(turn, command))


@mutant("3", QUIET, "intent_first", "one_send")
def ids_come_again_in_an_entry(patches: Patches) -> None:
    """Every command of an entry counts its sends from the first place on."""
    whole = Turn.begin

    def begin(self: Any) -> None:
        self._intents = 0
        whole(self)

    patches.attribute(Turn, "begin", begin)


@mutant("2", QUIET, "intent_first")
def the_price_is_rounded_on_the_wire(patches: Patches) -> None:
    """What is sent is not what was committed: the price loses its cents."""
    whole = requests.parameters_of

    def rounded(effect: Any) -> dict[str, Any]:
        told = dict(whole(effect))
        return {**told, "price": str(int(Decimal(told["price"])))} if "price" in told else told

    patches.everywhere(whole, rounded)
