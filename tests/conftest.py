"""What tests of several folders share: a real cluster, the limit, and what a failed test leaves to look at."""

from __future__ import annotations

import gc
from contextlib import nullcontext
from pathlib import Path

import pytest
from hypothesis import settings

from tests.processes.limits import limited
from tests.processes.rig import Cluster, running

# With CI set Hypothesis would try the same examples every day.  And it fails what takes longer than 200 ms by the
# clock, which says of a machine that does something else that it does: these tests give way to real nodes beside them.
settings.register_profile("ours", settings.get_profile("default"), deadline=None)
settings.load_profile("ours")


@pytest.fixture(scope="module")
def running_cluster(tmp_path_factory) -> Path:
    """The folder of a cluster that runs and trades."""
    with running(tmp_path_factory.mktemp("running") / "cluster") as cluster:
        yield cluster.folder


def pytest_collection_finish():
    """The collector looks between modules only, and never again at the eight thousand tests that were collected.

    A look at those takes 0.2 s and more, and each of some hundred simulated runs begins with one (chaos/sim/collector).
    """
    gc.collect()
    gc.freeze()
    gc.disable()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item, nextitem):
    """See above."""
    ran = yield
    if nextitem is None or nextitem.path != item.path:
        gc.collect()
    return ran


def pytest_collection_modifyitems(items):
    """Of patient ones the longest files come first, so that of two at a time neither waits long for the other's end."""
    items.sort(key=_seconds, reverse=True)  # stable: a module's keep their order


def _seconds(item):
    """What its mark says that all patient ones of its file take."""
    mark = item.get_closest_marker("patient")
    return mark.args[0] if mark else 0


def _limit(item, phase):
    """Tests of real processes may hang where another's would fail; the simulations set their own pace."""
    return limited(f"{phase} of {item.nodeid}") if item.get_closest_marker("processes") else nullcontext()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item):
    with _limit(item, "setup"):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    with _limit(item, "call"):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item):
    with _limit(item, "teardown"):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """What the processes of a failed test's cluster logged last: by the time that somebody looks, it is gone."""
    report = yield
    cluster = getattr(item, "funcargs", {}).get("cluster")
    if report.failed and isinstance(cluster, Cluster):
        report.sections.extend((f"last of {name}'s log", text) for name, text in cluster.last_logged().items())
    return report
