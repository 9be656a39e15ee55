"""One running cluster a module."""

from __future__ import annotations

import pytest

from tests.processes.rig import Cluster, running


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Cluster:
    """Three nodes and a venue, trading; shared by a module's tests, each of which leaves them trading."""
    with running(tmp_path_factory.mktemp("processes") / "cluster") as found:
        yield found
