"""Rule 7 with real processes, as the pages `apply-stopped.md` and `upgrade.md` have it: poison, and a rolling upgrade.

The nodes run as builds that a launcher makes of this installation (`builds.py`).
"""

from __future__ import annotations

import re
import shlex

import pytest

from tests.processes.builds import NEW, OLD, POISON, words
from tests.processes.rig import NODES, EndedEarly, eventually, made_cluster, wait_for
from tests.test_runbooks import FOLDER, blocks_of

pytestmark = [pytest.mark.processes, pytest.mark.patient(70)]

REQUEST = "poison-1"
AHEAD = "--in-advance"
DIGEST = "3f1c0e5d9a7b2846c1d0f9e8a7b6c5d43f1c0e5d9a7b2846c1d0f9e8a7b6c5d4"  # the page's example of a configuration's
OPEN = ("NEW", "PARTIALLY_FILLED")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Three nodes of the old build, trading."""
    with made_cluster(tmp_path_factory.mktemp("versions") / "cluster") as found:
        found.wraps.update(dict.fromkeys(NODES, words(OLD)))
        found.start_venue()
        found.start_nodes()
        found.until_trading()
        yield found


def told_by(page, beginning, example="", real=""):
    """The words of the one command line of a page that begins so, with the real thing for the page's example."""
    lines = [line for block in blocks_of((FOLDER / page).read_text()) for line in block.lines]
    (line,) = [line for line in lines if line.startswith(f"meltica {beginning}")]
    return shlex.split(line.replace(example, real) if example else line)[1:]


def placed(cluster):
    """How many orders the venue admitted."""
    records = (one for one in cluster.ledger() if one["type"] == "request" and one["method"] == "order.place")
    return sum(1 for one in records if one["admitted_mono_ns"])


def trades_on(cluster, what):
    before = placed(cluster)
    wait_for(f"an order, {what}", lambda: placed(cluster) > before)


def stops(cluster):
    """Where each node's apply stands, by its own word; nothing of those that go on."""
    return {name: row["stopped"] for name in NODES if (row := cluster.own(name)).get("stopped")}


def equal(cluster):
    """All nodes have one state."""
    rows = [cluster.own(name) for name in NODES]
    assert len({(row["digest_index"], row["state_digest"]) for row in rows}) == 1, rows


# --- poison ---------------------------------------------------------------------------------------------------


def poisoned(cluster):
    """A halt that no node can apply; where they stand then, once all do.  It is never acknowledged."""
    codes = []

    def look():
        found = stops(cluster)
        if len(found) == len(NODES):
            return found
        wish = ("halt", "--cause", POISON, "--yes", "--reason", "a drill", "--request-id", REQUEST)
        codes.append(cluster.cli(*wish).returncode)  # with one id: however often it is asked, it is one wish
        return None

    found = wait_for("every node stands before the poison", look)
    assert 7 in codes, codes  # outcome unknown
    assert 0 not in codes, codes
    return found


def left_open(cluster):
    """What of ours lies in the market, by the venue's own word."""
    shown = {}
    for record in cluster.ledger():
        if record["type"] == "order" and record["account"] == "trader":
            shown[record["symbol"], record["order_id"]] = record["status"]
    assert shown
    return [order for order, status in shown.items() if status in OPEN]


def test_an_entry_that_no_node_can_apply_stops_all_before_it_until_two_roles_pass_it(cluster):
    cluster.settle()
    found = poisoned(cluster)
    index, digest = found["n1"]["index"], found["n1"]["digest"]
    assert all((one["index"], one["digest"]) == (index, digest) for one in found.values()), found
    assert [cluster.own(name)["applied_index"] for name in NODES] == [index - 1] * 3
    shown = cluster.cli(*told_by("apply-stopped.md", "log show")).stdout
    for name in NODES:
        assert f"{name}: apply stopped at entry {index} (digest {digest})" in shown
    assert "ZeroDivisionError: a fault of the program" in shown
    assert "asked for its isolation: nobody" in shown
    assert f"meltica log skip {index}" in shown
    status = cluster.status()
    assert (status["active"], status["risk"]["halts"]) == (None, [])
    wait_for("no quote lies unattended", lambda: not left_open(cluster))
    before = placed(cluster)

    def page(beginning):
        return cluster.act(*told_by("apply-stopped.md", beginning, "12345", str(index)))

    dry = page("log skip 12345 --dry-run")
    assert dry.returncode == 0, dry.stderr
    assert "once both roles have said so; said: none" in dry.stdout
    assert cluster.act("log", "skip", str(index + 1)).returncode == 5
    assert cluster.act("submit", "paper", "BTCUSDT", "buy", "0.001").returncode == 5
    first = page("log skip 12345 --yes")
    assert first.returncode == 0, first.stderr
    wait_for(
        "one role is heard by all", lambda: {tuple(one["asked"]) for one in stops(cluster).values()} == {("operator",)}
    )
    assert len(stops(cluster)) == len(NODES)
    second = page("log skip 12345 --approve")
    assert second.returncode == 0, second.stderr
    cluster.until(
        "all go on, and are halted", lambda s: [one["cause"] for one in s["risk"]["halts"]] == ["entry_isolated"]
    )
    assert stops(cluster) == {}
    # How many commands share the entry is the batching's affair: a quote that came meanwhile goes with it.
    isolated = rf"entry {index} was isolated: [1-9]\d* commands, digest {digest}\n"
    assert re.search(isolated, cluster.cli("log", "show").stdout)
    assert placed(cluster) == before
    resumed = page("resume")
    assert resumed.returncode == 0, resumed.stderr
    trades_on(cluster, "after the resume")


# --- a rolling upgrade ------------------------------------------------------------------------------------------


def told(cluster):
    """What each running node has of versions and builds."""
    return [document["apply"] for document in map(cluster.quick, NODES) if document]


def all_run(cluster, build, newest):
    """Every node has said that it is this build, and all know it."""
    crew = [(name, build, 1, newest) for name in NODES]
    for one in told(cluster):
        assert [(each["node"], each["build"], each["oldest"], each["newest"]) for each in one["nodes"]] == crew


def refused(cluster):
    """The new version, while not every node has it."""
    done = cluster.act(*told_by("upgrade.md", "version activate"))
    assert done.returncode == 5, done.stdout + done.stderr
    assert "does not have version 2" in done.stderr


def restarted(cluster, name, build):
    """It runs as that build, while the others trade, and could take over."""
    cluster.settle()
    cluster.children[name].stop()
    trades_on(cluster, f"while {name} is down")
    cluster.wraps[name] = words(build)
    cluster.start_node(name)
    wait_for(f"{name} of build {build} could take over", lambda: cluster.own(name).get("promotable"))


def approved(cluster, how):
    (config,) = {one["config"] for one in told(cluster)[0]["nodes"]}
    words = told_by("upgrade.md", f"version approve {NEW} {DIGEST} {how} --yes", DIGEST, config)
    unsaid = cluster.act(*[word for word in words if word != how], "--dry-run")
    assert unsaid.returncode == (5 if how == AHEAD else 0), "what no node has is refused unless it is meant"
    done = cluster.act(*words)
    assert done.returncode == 0, done.stderr


def passed_over(cluster, name):
    """Nobody can promote that standby of the old build while it is not approved; then it is approved again."""
    (config,) = {one["config"] for one in told(cluster)[0]["nodes"]}
    assert cluster.act("version", "approve", NEW, config, "--only").returncode == 0
    why = f"{name} is not promotable: build {OLD} with configuration {config[:12]} is not approved"

    def look():
        done = cluster.cli("promote", name, "--dry-run")
        return done.returncode == 5 and why in done.stdout + done.stderr

    wait_for(f"a promote is refused: {why}", look)
    assert cluster.act("version", "approve", OLD, config).returncode == 0


def test_a_new_version_is_rolled_out_while_trading_goes_on_and_a_build_without_it_stops(cluster):
    cluster.settle()
    eventually(lambda: all_run(cluster, OLD, 1))
    shown = cluster.cli(*told_by("upgrade.md", "version show")).stdout
    assert "apply decides by version 1" in shown
    assert f"n1: versions 1 to 1, build {OLD}" in shown
    refused(cluster)
    wrong = cluster.act("version", "approve", OLD, DIGEST, "--only")
    assert wrong.returncode == 5, wrong.stdout + wrong.stderr
    assert f"n1, n2 and n3 have build {OLD}" in wrong.stderr
    approved(cluster, AHEAD)
    last = cluster.active()
    standbys = [name for name in NODES if name != last]
    for name in standbys:
        restarted(cluster, name, NEW)
    refused(cluster)
    cluster.promoted(standbys[0])
    passed_over(cluster, last)
    restarted(cluster, last, NEW)
    eventually(lambda: all_run(cluster, NEW, 2))
    approved(cluster, "--only")
    cluster.children[last].stop()  # and somebody puts the old build back
    done = cluster.act(*told_by("upgrade.md", "version activate"))
    assert done.returncode == 0, done.stdout + done.stderr
    trades_on(cluster, "by version 2")
    cluster.start_node(last, words(OLD))
    stop = wait_for("the old build stops before the new version", lambda: stops(cluster).get(last))
    assert (stop["next"], f"start build {NEW}" in stop["why"]) == (f"start build {NEW}", True)
    assert f"next: start build {NEW}" in cluster.cli("log", "show").stdout
    assert list(stops(cluster)) == [last]
    trades_on(cluster, "without it")
    cluster.children[last].stop()
    cluster.start_node(last)
    assert cluster.act("halt", "--cause", POISON).returncode == 0  # by version 1 nobody could
    cluster.until("all have applied it", lambda s: s["orders"] == {"open": 0, "in_doubt": 0} and halted(s))
    assert [one["version"] for one in told(cluster)] == [2, 2, 2]
    eventually(lambda: equal(cluster))
    cluster.children[last].stop()
    with pytest.raises(EndedEarly, match="start a newer build"):
        cluster.start_node(last, words(OLD))


def halted(status):
    return [one["cause"] for one in status["risk"]["halts"]] == [POISON]
