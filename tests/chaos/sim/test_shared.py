import pytest

from chaos.sim import shared
from chaos.sim.plan import plan
from chaos.sim.run import run_plan
from meltica.core import apply
from meltica.core.codec import BadCommand, decode_command, encode_command
from meltica.core.commands import ClockTold
from meltica.core.values import Epoch, Nanos

RAW = encode_command(ClockTold(Epoch(1), Nanos(2)))


def test_the_same_bytes_are_read_once_while_it_lasts():
    with shared.worked_out_once():
        assert apply.decode_command(RAW) is apply.decode_command(bytes(bytearray(RAW)))
        assert apply.decode_command(RAW) == decode_command(RAW)
    assert apply.decode_command is decode_command


def test_what_is_no_command_is_none_each_time_and_all_is_put_back():
    with shared.worked_out_once():
        for _ in range(2):
            with pytest.raises(BadCommand):
                apply.decode_command(b"{}")
    assert apply.decode_command is decode_command


def test_a_run_is_the_same_whether_it_shares_or_not(monkeypatch):
    """Nobody changes what he shares: each node comes to what it comes to alone."""
    one = plan(6, "small")
    together = run_plan(one)
    monkeypatch.setattr(shared, "PURE", ())
    assert run_plan(one) == together
