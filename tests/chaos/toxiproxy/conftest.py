"""A real Toxiproxy server for the tests of this folder; where it is not to be had they are skipped, but not in CI."""

from __future__ import annotations

import pytest

from chaos.rig.processes import claimed_ports
from chaos.rig.warden import open_warden
from chaos.toxiproxy import build
from chaos.toxiproxy.server import open_toxiproxy
from tests.ci import lacking

FIRST_PORT = 25400


@pytest.fixture(scope="session")
def here():
    """That there is one.  In CI it must be."""
    try:
        build.checked()
    except build.Missing as why:
        lacking(why)


@pytest.fixture
def ports(here):
    """A base above which ports are ours."""
    with claimed_ports(FIRST_PORT) as base:
        yield base


@pytest.fixture
async def server(here, ports, tmp_path):
    """What asks a real one."""
    with open_warden() as warden:
        async with open_toxiproxy(ports, tmp_path / "toxiproxy.log", warden) as client:
            yield client
