"""Configuration: limits, policies and instruments enter as commands (design.md, rule 7).

Only their application may live here.
"""

from __future__ import annotations

from typing import Final

from attrs import evolve

from meltica.core.apply_accounts import open_position
from meltica.core.apply_authority import MAX_LOSSES, window_of_new_venues
from meltica.core.apply_strategies import stop_orders
from meltica.core.commands import Configured, InstrumentSeen, Limits, ModeSet
from meltica.core.events import Rejection
from meltica.core.ids import is_cluster
from meltica.core.records import Settings, StrategyRecord
from meltica.core.state import State
from meltica.core.turn import Turn
from meltica.core.values import Money

MAX_COLLAR: Final = 100_000  # ten times the price: beyond that it is no collar


def configured(turn: Turn, command: Configured) -> Rejection | None:
    """Limits and policies from here on; a changed window counts from the next epoch."""
    state = turn.state
    refused = _config_refused(state, command)
    if refused is not None:
        return refused
    settings = Settings(
        cluster=command.cluster,
        digest=command.digest,
        limits=command.limits,
        ramp=command.ramp,
        storm_takeovers=command.storm_takeovers,
        storm_window=command.storm_window,
        mode=command.mode,
    )
    state.put_settings(settings)
    policies = {policy.venue: policy for policy in command.venues}
    for venue in sorted({*state.venues, *policies}):
        state.put_venue(venue, policies.get(venue))
    window_of_new_venues(state)
    _strategies(turn, command)
    return None


def _config_refused(state: State, command: Configured) -> Rejection | None:
    if not is_cluster(command.cluster):
        return Rejection("bad_config", "cluster: expected six lower-case hex digits")
    if state.cluster not in ("", command.cluster):
        return Rejection("cluster_changed", f"this log is of cluster {state.cluster}: ids must not change their maker")
    venues = [policy.venue for policy in command.venues]
    strategies = [policy.strategy for policy in command.strategies]
    if len(set(venues)) != len(venues) or len(set(strategies)) != len(strategies):
        return Rejection("bad_config", "a venue or a strategy is named twice")
    if any(policy.window <= 0 for policy in command.venues):
        return Rejection("bad_config", "window: expected more than 0")
    if command.limits.collar_bps > MAX_COLLAR:
        return Rejection("bad_config", f"collar_bps: expected at most {MAX_COLLAR}")
    if command.storm_takeovers > MAX_LOSSES:
        return Rejection("bad_config", f"storm_takeovers: expected at most {MAX_LOSSES}")
    if any(value < 0 for value in _amounts(command.limits)):
        return Rejection("bad_config", "limits: expected none below 0")
    return None


def _amounts(limits: Limits) -> tuple[Money, ...]:
    return (limits.order_notional, limits.position, limits.gross_notional, limits.executed_notional_minute)


def _strategies(turn: Turn, command: Configured) -> None:
    """A strategy keeps its checkpoint and that it is stopped, also while it is gone; its orders are to be gone then."""
    state = turn.state
    policies = {policy.strategy: policy for policy in command.strategies}
    for strategy in sorted({*state.strategies, *policies}):
        policy, record = policies.get(strategy), state.strategies.get(strategy)
        if policy is None:
            if record is not None and (record.stopped or record.checkpoint):
                state.put_left(strategy, record)
            state.put_strategy(strategy, None)
            stop_orders(turn, strategy, "strategy gone")
        elif record is None:
            left = state.left.get(strategy, StrategyRecord(policy))
            state.put_strategy(strategy, evolve(left, policy=policy))
            if strategy in state.left:
                state.put_left(strategy, None)
        else:
            state.put_strategy(strategy, evolve(record, policy=policy))


def instrument_seen(turn: Turn, command: InstrumentSeen) -> Rejection | None:
    """An instrument's rules from here on; its assets never change."""
    state = turn.state
    policy = state.venues.get(command.venue)
    if policy is None:
        return Rejection("unknown_venue", f"no venue {command.venue} is configured")
    if command.tick <= 0 or command.step <= 0 or command.min_notional < 0 or command.base == command.quote:
        return Rejection("bad_instrument", "tick and step are above 0, base and quote differ")
    before = state.instruments.get((command.venue, command.symbol))
    if before is not None and (before.base, before.quote) != (command.base, command.quote):
        return Rejection("instrument_changed", f"{command.symbol} was {before.base} for {before.quote}")
    state.put_instrument(command)
    open_position(turn, (command.venue, policy.account), command.symbol)
    return None


def mode_set(turn: Turn, command: ModeSet) -> Rejection | None:
    """Automatic or manual takeover from here on."""
    turn.state.put_settings(evolve(turn.state.settings, mode=command.mode))
    return None
