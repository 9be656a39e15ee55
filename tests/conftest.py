"""What tests of several folders share: a real cluster, for the pages whose commands are executed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.processes.rig import running


@pytest.fixture(scope="module")
def running_cluster(tmp_path_factory) -> Path:
    """The folder of a cluster that runs and trades."""
    with running(tmp_path_factory.mktemp("running") / "cluster") as cluster:
        yield cluster.folder
