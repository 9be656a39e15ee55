"""Intake: what is checked of every request before anything is done, and who does it then.

Sans-IO.  In this order: faults that strike at the door, a ban, key and signature, the deadline (first check), the
parameters, the weight, the symbol.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from meltica.paper import errors, params, signing
from meltica.paper.admission import read_deadline
from meltica.paper.answers import Answers
from meltica.paper.calls import Call
from meltica.paper.desk import Desk, slowness
from meltica.paper.errors import ApiError, error
from meltica.paper.floor import Floor
from meltica.paper.hub import Hub
from meltica.paper.limits import SECOND as MICROSECONDS
from meltica.paper.methods import weigh
from meltica.paper.ports import Times
from meltica.paper.reads import Reads
from meltica.paper.users import UserDesk

MAINTENANCE = -1016


class Intake:
    """The door."""

    def __init__(self, floor: Floor, hub: Hub) -> None:
        self._floor = floor
        self._answers = Answers(floor)
        self._reads = Reads(floor, hub)
        self._users = UserDesk(floor)
        self.desk = Desk(floor, self._answers, hub)

    def receive(self, call: Call, now: Times) -> None:
        """A request has come in whole."""
        try:
            if self._floor.faults.kinds and self._lost_at_the_door(call, now):
                return
            self._check(call, now)
            self._dispatch(call, now)
        except ApiError as no:
            self._answers.refuse(call, no, now, wait=slowness(self._floor, call))

    def refuse(self, call: Call, no: ApiError, now: Times) -> None:
        """A request that could not even be read; it weighs 1."""
        self._floor.address(call.conn).charge(1, self._floor.clock(now))
        self._answers.refuse(call, no, now)

    # --- checks ---------------------------------------------------------------------------------------------

    def _lost_at_the_door(self, call: Call, now: Times) -> bool:
        """Whether it is lost without an answer; raises what faults say at the door."""
        faults, subject = self._floor.faults, self._account_known(call).subject()
        if faults.strike("drop_request", subject) is not None:
            self._answers.forget(call, now)
            return True
        if faults.strike("maintenance", subject) is not None:
            raise error(MAINTENANCE)
        limited = faults.strike("rate_limit", subject)
        if limited is not None:
            self._limited(call, limited.struck, limited.params, now)
        return False

    def _limited(self, call: Call, struck: int, asked: Mapping[str, int], now: Times) -> None:
        clock = self._floor.clock(now)
        address = self._floor.address(call.conn)
        if struck > asked["refusals"]:
            address.ban(asked["ban_seconds"] * MICROSECONDS, clock)
        address.used(clock)
        until = (clock // 1000 // 60_000 + 1) * 60_000
        if asked["pause_seconds"]:
            until = clock // 1000 + asked["pause_seconds"] * 1000
        raise errors.over_weight(self._floor.limits.weight_per_minute, until, clock // 1000)

    def _account_known(self, call: Call) -> Call:
        """Faults may name the account before the signature has proved it."""
        owner = self._floor.keys.get(call.key or "")
        if owner is not None:
            call.account = owner.name
        return call

    def _check(self, call: Call, now: Times) -> None:
        floor, operation = self._floor, call.operation
        clock = floor.clock(now)
        address = floor.address(call.conn)
        address.ask(0, clock)
        try:
            if operation.signed:
                self._authenticate(call)
                call.deadline = read_deadline(call.raw)
                call.deadline.check(clock)
            call.values = params.read(operation.fields, call.raw)
            symbol = call.values.get("symbol")
            if symbol is not None and symbol not in floor.exchange.rules:
                raise error(-1121)
        except ApiError:
            if not operation.trades:
                address.charge(1, clock)
            raise
        address.ask(weigh(operation, call.values), clock)
        struck = floor.faults.strike("reject", call.subject())
        if struck is not None:
            raise error(struck.params["code"], struck.msg or None)

    def _authenticate(self, call: Call) -> None:
        if not call.key:
            raise error(-2014) if call.rest else errors.missing("apiKey")
        for name in ("timestamp", "signature"):
            if not call.raw.get(name):
                raise errors.missing(name)
        owner = self._floor.keys.get(call.key)
        if owner is None:
            raise error(-2015)
        call.account = owner.name
        if not signing.matches(owner.secret, call.payload, call.raw["signature"]):
            raise error(-1022)

    # --- who does it ----------------------------------------------------------------------------------------

    def _dispatch(self, call: Call, now: Times) -> None:
        operation, floor = call.operation, self._floor
        if operation.trades:
            self.desk.take(call, now)
        elif operation.name == "userDataStream.subscribe.signature":
            self._answers.accept(call, self._users.subscribe(call), now)
        elif operation.name == "userDataStream.unsubscribe":
            self._answers.accept(call, self._users.unsubscribe(call, now), now)
        elif operation.signed:
            wait = floor.draw(floor.delays.read) + slowness(floor, call)
            floor.agenda.put(now.mono_ns + wait, partial(self._read, call))
        else:
            self._answers.accept(call, self._reads.answer(call, now), now, wait=slowness(floor, call))

    def _read(self, call: Call, now: Times) -> None:
        try:
            result = self._reads.answer(call, now)
        except ApiError as no:
            self._answers.refuse(call, no, now)
            return
        self._answers.accept(call, result, now)
