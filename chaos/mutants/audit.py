"""Rule 10, everything is accounted for: an audit trail that lacks something, or proves nothing.

Only mutants of the audit trail may live here.
"""

from __future__ import annotations

from typing import Any

from attrs import evolve

from chaos.mutants.mutant import mutant
from chaos.mutants.patches import Patches
from chaos.mutants.scenes import BROUGHT_UP, FAILING, QUIET, UNPLUGGED
from cluster.memory import MemoryStore
from meltica import machine
from meltica.core import apply
from meltica.machine import Machine


@mutant("10", FAILING, "audit_trail", "state_equal")
def refusals_are_not_recorded(patches: Patches) -> None:
    """A command that was rejected leaves no record."""
    whole = Machine.apply

    def apply_(self: Any, index: Any, term: Any, commands: Any) -> Any:
        outcome = whole(self, index, term, commands)
        results: Any = outcome.results
        kept = [record for record, result in zip(outcome.audit, results, strict=False) if result.rejection is None]
        return evolve(outcome, audit=tuple(kept))

    patches.attribute(Machine, "apply", apply_)


@mutant("10", QUIET, "audit_trail")
def the_chain_does_not_cover_the_command(patches: Patches) -> None:
    """The chain runs over places alone: a record can be changed, and nothing shows it."""
    whole = apply.chained
    patches.everywhere(whole, lambda chain, index, place, _raw: whole(chain, index, place, b""))


@mutant("10", QUIET, "audit_trail")
def the_chain_begins_anew_with_every_entry(patches: Patches) -> None:
    """A record does not depend on those before it: one can be taken out, and nothing shows it."""
    whole = apply.chained
    patches.everywhere(whole, lambda _chain, index, place, raw: whole(bytes(32), index, place, raw))


@mutant("10", UNPLUGGED, "audit_trail", "state_equal")
def records_may_come_later(patches: Patches) -> None:
    """The audit trail is kept behind the state, not in one batch with it: a power cut takes records alone."""
    whole = Machine.apply
    late: dict[int, tuple[bytes, ...]] = {}

    def apply_(self: Any, index: Any, term: Any, commands: Any) -> Any:
        outcome = whole(self, index, term, commands)
        before = late.pop(id(self), ())
        late[id(self)] = outcome.audit
        return evolve(outcome, audit=before)

    patches.attribute(Machine, "apply", apply_)


@mutant("10", QUIET, "intent_first", "accounted")
def the_trail_does_not_say_what_was_sent(patches: Patches) -> None:
    """A record tells the command, not the sends that its apply ordered."""
    whole = machine._said  # noqa: SLF001 # what is broken is inside

    def said(result: Any) -> dict[str, Any]:
        told = whole(result)
        told.pop("intents", None)
        return told

    patches.attribute(machine, "_said", said)


@mutant("10", BROUGHT_UP, "audit_trail")
def what_a_snapshot_left_out_is_not_noted(patches: Patches) -> None:
    """An installation leaves no word of the entries whose records the node does not have."""
    whole = MemoryStore.install

    def install(self: MemoryStore, *of: Any) -> None:
        before = self.disk.gaps
        whole(self, *of)
        self.disk.gaps = before

    patches.attribute(MemoryStore, "install", install)


@mutant("10", BROUGHT_UP, "audit_trail")
def a_gap_ends_with_the_chain_of_another_state(patches: Patches) -> None:
    """What the trail behind a gap goes on from is the chain of the state that the snapshot replaced."""
    patches.attribute(Machine, "mark_in", lambda self, _read: self.mark())


@mutant("10", BROUGHT_UP, "audit_trail")
def an_installation_takes_the_newest_records_with_it(patches: Patches) -> None:
    """The audit records of the last entries before a gap go with the state that a snapshot replaces."""
    whole = MemoryStore.install

    def install(self: MemoryStore, *of: Any) -> None:
        whole(self, *of)
        lost = int(self.disk.gaps[-1].first) - 5
        self.disk.audit[:] = [record for record in self.disk.audit if record[0] < lost]

    patches.attribute(MemoryStore, "install", install)
