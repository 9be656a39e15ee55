"""The node's own files: a state that is known to be wrong does not come back."""

from __future__ import annotations

import pytest
from attrs import evolve

from cluster.store import StoreFault
from cluster.types import LogIndex, Peer, Role, Status, Term
from meltica.node import mark_diverged, refuse_diverged

STATUS = Status(Peer("n1"), Role.FOLLOWER, Term(3), None, *[LogIndex(9)] * 4, ())


def test_a_node_that_diverged_is_not_started_again(tmp_path):
    mark_diverged(tmp_path, STATUS)
    refuse_diverged(tmp_path)
    mark_diverged(tmp_path, evolve(STATUS, diverged=LogIndex(1000)))
    mark_diverged(tmp_path, evolve(STATUS, diverged=LogIndex(2000)))
    with pytest.raises(StoreFault, match=r"differed from the majority's at index 1000: do not start it.*states-differ"):
        refuse_diverged(tmp_path)
