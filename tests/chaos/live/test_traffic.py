"""Whether words go through the proxies: a link that a node goes around is told."""

from __future__ import annotations

import pytest
import trio

from chaos.live.links import links_of
from chaos.live.traffic import SELDOM, STANDING, Traffic, looked, over, ports, through_proxies, touched

NODES = ("n1", "n2", "n3")
PORTS = dict.fromkeys((*NODES, "rest", "ws_api", "stream"), 7401)
LINKS = links_of(NODES, 7420, PORTS, PORTS, PORTS)
STAND = [link.port for link in LINKS if link.what in STANDING]
HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


def table(established, listening=()):
    rows = [(port, "01") for port in established] + [(port, "0A") for port in listening]
    return HEAD + "".join(f"   {n}: 0100007F:{port:04X} 0100007F:9999 {st} 0 0\n" for n, (port, st) in enumerate(rows))


def test_a_port_at_which_one_only_listens_carries_nothing():
    assert ports(table([7420, 7421], [7422])) == {7420, 7421}
    assert ports(HEAD) == frozenset()


def test_a_link_that_is_gone_around_is_told():
    assert through_proxies(LINKS, frozenset(STAND)).looked_at == 6 + 6
    assert through_proxies(LINKS, frozenset(STAND)).held
    found = through_proxies(LINKS, frozenset(STAND[1:]))
    assert found.violations == ("n1-n2-peer: no connection goes through its proxy",)


async def test_a_connection_that_is_made_anew_is_waited_for_and_no_longer(tmp_path, autojump_clock):
    path = tmp_path / "tcp"
    path.write_text(table(STAND[1:]))

    async def later():
        await trio.sleep(3)
        path.write_text(table(STAND))

    assert not (await looked(LINKS, 10, path)).held
    assert trio.current_time() == 10
    async with trio.open_nursery() as nursery:
        nursery.start_soon(later)
        assert (await looked(LINKS, 10, path)).held


def row(local, remote, state):
    return f"   0: 0100007F:{local:04X} 0100007F:{remote:04X} {state} 0 0\n"


def test_a_connection_touches_both_its_ports_also_when_it_has_just_ended_and_not_before_it_is_made():
    assert touched(HEAD + row(7420, 40000, "01") + row(40001, 7421, "06")) == {7420, 40000, 40001, 7421}
    assert touched(HEAD + row(7420, 0, "0A") + row(40000, 7421, "02")) == frozenset()


def test_what_the_run_before_on_the_same_ports_has_left_in_the_kernel_s_list_is_no_traffic_of_this_one(tmp_path):
    path = tmp_path / "tcp"
    left = "".join(row(40000 + place, link.port, "06") for place, link in enumerate(LINKS))
    path.write_text(HEAD + left + row(50000, 7499, "01"))
    traffic = Traffic(LINKS, path, over(path.read_text()))
    traffic.look()
    found = traffic.used()
    assert len(found.violations) == 3 + 3 + 1  # rest, operator, and no action was carried on
    rest = next(link for link in LINKS if link.what == "rest")
    path.write_text(HEAD + left + row(50001, rest.port, "06"))  # it came and went between two looks
    traffic.look()
    assert f"{rest.name}: nothing ever went through its proxy" not in traffic.used().violations


@pytest.mark.parametrize(
    ("lacks", "violations"),
    [
        ((), ()),
        (("n1-venue-rest",), ("n1-venue-rest: nothing ever went through its proxy",)),
        (("operator-n2-operator",), ("operator-n2-operator: nothing ever went through its proxy",)),
        (("n1-n2-api", "n1-n3-api", "n2-n3-api"), ()),  # n1 leads all the time
        (
            ("n1-n2-api", "n1-n3-api", "n2-n1-api", "n2-n3-api"),
            ("n1, n2: no action was ever carried on through a proxy",),
        ),
    ],
)
def test_a_link_that_carried_nothing_in_a_whole_run_is_told(tmp_path, lacks, violations):
    path = tmp_path / "tcp"
    traffic = Traffic(LINKS, path)
    for link in LINKS:  # each for a moment
        if link.what in SELDOM and link.name not in lacks:
            path.write_text(HEAD + row(40000, link.port, "06"))
            traffic.look()
    found = traffic.used()
    assert (found.violations, found.looked_at) == (violations, 6 + 3 + 3)
