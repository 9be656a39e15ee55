"""Replica: one node's replication as a synchronous object.  Inputs go in, `step()` says what to do.

Only the pump lives here: it hands inputs to the guard, commits one store batch a step, applies what is committed
and says which frames may leave.  No Trio, no clock but the one passed in, no I/O but the Store.  See DESIGN.md.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from attrs import frozen

from cluster.store import Store, Ticket
from cluster.types import AppliedEntry, MonoNs, Outcome, Peer, RoleChanged, StateMachine, Status, Timers, Token


class Busy(Exception):
    """Too many proposals wait already: surely not done; propose again later (back-pressure)."""


class ApplyFault(Exception):
    """The state machine raised: a fault of the program.  The node must stop; `index` says at which entry."""


@frozen
class Ready:
    """What one step asks of its driver.

    `sends` leave at once (what had to wait for a sync is only here once it is synced).  `ticket`: a sync is wanted,
    at least up to it; call `synced` with what `Store.sync` returned.  Call `step` again after the next input, and
    at `wake_at` at the latest.
    """

    sends: tuple[tuple[Peer, bytes], ...]
    ticket: Ticket | None
    applied: tuple[AppliedEntry, ...]
    outcomes: tuple[tuple[Token, Outcome], ...]
    roles: tuple[RoleChanged, ...]
    wake_at: MonoNs


class Replica:
    """One node of the cluster (signatures; the body is being written)."""

    def __init__(
        self,
        name: Peer,
        peers: Sequence[Peer],
        timers: Timers,
        store: Store,
        machine: StateMachine,
        clock: Callable[[], MonoNs],
        random: random.Random,
    ) -> None:
        """`peers` are the others' names (two, or four).  Loads the machine from the store."""

    def connected(self, peer: Peer) -> None:
        """Our own dialled connection to `peer` is up: frames to it can be sent."""

    def disconnected(self, peer: Peer) -> None:
        """Our own dialled connection to `peer` ended."""

    def inbound_up(self, peer: Peer) -> None:
        """The connection that `peer` dialled to us is up."""

    def inbound_down(self, peer: Peer) -> None:
        """The connection that `peer` dialled to us ended: its process died, or it closed it.

        A leader counts as lost when our connection to it is down and its connection to us is not up.
        """

    def received(self, peer: Peer, frame: bytes) -> None:
        """A frame from `peer`; one that is not ours is dropped and counted in `bad_frames`, never raised."""

    def propose(self, command: bytes, token: Token) -> None:
        """Queue a command; its outcome comes from a later `step`, under `token`.

        Raises:
            ValueError: the command does not fit into an entry (256 KiB).
            Busy: too many commands wait.
        """

    def synced(self, ticket: Ticket) -> None:
        """Everything up to `ticket` is durable."""

    def sync_failed(self, reason: str) -> None:
        """A sync failed: this replica takes no further part; the process must end (rule 8)."""

    def transfer(self, to: Peer) -> None:
        """As leader, hand over to `to` as soon as it has every entry; given up after the shortest election timeout."""

    def stop_leading(self, reason: str) -> None:
        """As leader, step down now, in a new term, and tell the others."""

    def step(self) -> Ready:
        """Advance.  Raises ApplyFault or StoreFault: then stop the process."""
        raise NotImplementedError

    def status(self) -> Status:
        """This node's view, now."""
        raise NotImplementedError
