"""`meltica cluster members` and `rotate`: who belongs to it, until when, and new certificates."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta

import pytest

from cluster import pki

from .conftest import meltica

DAY = timedelta(days=1)


@pytest.fixture
def folder(cluster_folder, tmp_path):
    """A cluster's folder that the test may change; nothing runs."""
    return shutil.copytree(cluster_folder, tmp_path / "demo")


def expiring(folder, name, days):
    """Its certificate is one that ends in so many days."""
    pki.renew(folder / "pki", name, datetime.now(UTC) - pki.LIFE + days * DAY + DAY / 2)


def document(folder, code=0):
    done = meltica("cluster", "members", "-o", "json", folder=folder)
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


def test_from_the_folder_where_nothing_runs(folder):
    found = document(folder)
    assert (found["schema"], found["source"], found["warnings"]) == ("meltica.members/1", "folder", [])
    assert [(one["name"], one["voter"], one["reachable"]) for one in found["members"]] == [
        (name, None, False) for name in ("n1", "n2", "n3")
    ]
    first = found["members"][0]
    assert first["peer"].startswith("127.0.0.1:")
    assert first["api"].startswith("https://127.0.0.1:")
    own = pki.read_certificate((folder / "pki" / "n1.pem").read_bytes())
    assert (first["certificate"], first["on_disk"]) == (None, own.document())
    assert [one["name"] for one in found["certificates"]] == ["operator", "authority"]


def test_the_table(folder):
    done = meltica("cluster", "members", folder=folder)
    assert done.returncode == 0
    assert "as its folder has it" in done.stdout
    for name in ("n1", "n2", "n3", "operator", "authority"):
        (line,) = [line for line in done.stdout.splitlines() if line.startswith(f" {name} ")]
        assert "3649" in line


def members(*names, number=3, learners=(), removed=()):
    def rows(some):
        return [{"name": name, "peer": f"10.0.0.{name[1:]}:7400"} for name in some]

    return {"configuration": number, "voters": rows(names), "learners": rows(learners), "removed": list(removed)}


def test_who_votes_learns_and_was_removed_is_as_the_newest_node_says_it(cluster):
    cluster.nodes["n1"].members = members("n1", "n2", learners=("n4",), removed=("n3",))
    cluster.nodes["n3"].members = members("n1", "n2", "n3", number=0)  # it has not heard of it
    found = json.loads(cluster.run("cluster", "members", "-o", "json").stdout)
    assert (found["configuration"], found["removed"]) == (3, ["n3"])
    assert [(one["name"], one["part"], one["voter"]) for one in found["members"]] == [
        ("n1", "voter", True),
        ("n2", "voter", True),
        ("n3", "removed", False),
        ("n4", "learner", False),
    ]
    assert (found["members"][3]["peer"], found["members"][3]["api"]) == ("10.0.0.4:7400", None)
    text = cluster.run("cluster", "members").stdout
    assert "configuration 3; removed: n3" in text
    assert "learner" in next(line for line in text.splitlines() if line.startswith(" n4 "))


def test_without_a_running_node_nobody_knows_who_votes_or_was_removed(folder):
    """Everybody was called a voter: a removed node too, and one that never joined (review of 2026-11-30)."""
    found = document(folder)
    assert (found["configuration"], found["removed"]) == (None, [])
    assert [(one["part"], one["voter"]) for one in found["members"]] == [(None, None)] * 3
    text = meltica("cluster", "members", folder=folder).stdout
    assert "not known" in next(line for line in text.splitlines() if line.startswith(" n1 "))


def test_a_removed_node_s_certificate_worries_nobody(cluster):
    mine = pki.read_certificate((cluster.folder / "pki" / "n1.pem").read_bytes()).document()
    cluster.nodes["n1"].members = members("n1", "n2", removed=("n3",))
    cluster.nodes["n3"].more = {"certificate": {**mine, "sha256": "0" * 64, "refused": "the key is another's"}}
    assert cluster.run("cluster", "members").returncode == 0


def test_a_removed_node_that_is_silent_is_no_trouble_and_one_that_runs_is(cluster):
    for name in ("n1", "n2"):
        cluster.nodes[name].members = members("n1", "n2", removed=("n3",))
    runs = cluster.run("status")
    assert runs.returncode == 6
    assert "! n3 was removed from this cluster, and runs: stop it" in runs.stdout
    cluster.stop("n3")
    done = cluster.run("status")
    assert (done.returncode, "!" in done.stdout) == (0, False)


def test_a_member_that_the_folder_does_not_name_is_told(cluster):
    cluster.nodes["n1"].members = members("n1", "n2", "n4", removed=("n3",))
    cluster.stop("n3")
    done = cluster.run("status")
    assert done.returncode == 6
    assert "! n4 takes part, and cluster.toml does not name it" in done.stdout


def test_a_node_that_is_dialled_where_it_is_not_is_told_by_both_commands(cluster):
    """By its own word it was where it says, so that `members` looked right; `status` said that there is no link."""
    for name in ("n1", "n2", "n3"):
        others = [other for other in ("n1", "n2", "n3") if other != name]
        links = [{"name": other, "address": f"10.0.0.{other[1]}:7", "up": True, "why": ""} for other in others]
        cluster.nodes[name].more = {"peer": f"10.0.0.{name[1]}:7", "links": links}
    cluster.nodes["n1"].more["peer"] = "10.9.9.1:7"
    assert cluster.run("status").returncode == 0  # a forwarded port leads there
    cluster.nodes["n2"].more["links"][0]["up"] = False
    cluster.nodes["n2"].more["links"][1]["up"] = False  # n3 is where it is dialled: that is another trouble
    sentence = (
        "n2 dials n1 at 10.0.0.1:7, in vain, and n1 is at 10.9.9.1:7 by its own word: put that into [peers.n1] of the "
        "settings of n2 and restart it (runbooks/changed-addresses.md)"
    )
    done = cluster.run("status")
    assert (done.returncode, [line for line in done.stdout.splitlines() if line[:1] == "!"]) == (6, [f"! {sentence}"])
    assert json.loads(cluster.run("cluster", "members", "-o", "json").stdout)["warnings"] == [sentence]
    cluster.nodes["n2"].more["removed"] = "n2 was removed"
    assert "dials" not in cluster.run("status").stdout


def test_what_the_running_nodes_say_comes_first(cluster):
    mine = pki.read_certificate((cluster.folder / "pki" / "n1.pem").read_bytes()).document()
    cluster.nodes["n1"].more = {"peer": "10.0.0.1:7", "certificate": {**mine, "refused": ""}}
    cluster.nodes["n2"].more = {"certificate": {**mine, "sha256": "0" * 64, "refused": ""}}
    cluster.nodes["n3"].more = {"certificate": {**mine, "sha256": "0" * 64, "refused": "the key is another's"}}
    done = cluster.run("cluster", "members", "-o", "json")
    assert done.returncode == 6
    found = json.loads(done.stdout)
    assert (found["source"], found["members"][0]["peer"]) == ("running", "10.0.0.1:7")
    assert found["members"][0]["reachable"] is True
    assert found["warnings"] == [
        "n2 does not use the certificate that its file holds: see runbooks/certificates.md",
        "n3 refuses its new certificate (the key is another's) and uses the old one: runbooks/certificates.md",
    ]
    assert "an older one" in cluster.run("cluster", "members").stdout


@pytest.mark.parametrize(("days", "code", "told"), [(30, 0, []), (29, 6, "expires in 29 days"), (-2, 6, "has expired")])
def test_a_certificate_that_ends_soon_is_told(folder, days, code, told):
    expiring(folder, "n2", days)
    warnings = document(folder, code)["warnings"]
    if told:
        assert warnings == [
            f"the certificate of n2 {told}: `meltica cluster rotate DIR n2`; see runbooks/certificates.md"
        ]
    else:
        assert warnings == []


def test_rotate_mends_it(folder):
    expiring(folder, "n2", 3)
    others = {file.name: file.read_bytes() for file in (folder / "pki").iterdir() if not file.name.startswith("n2.")}
    dry = meltica("cluster", "rotate", folder, "n2", "--dry-run")
    assert (dry.returncode, "n2: its certificate is valid for 3 days more" in dry.stdout) == (0, True)
    assert document(folder, 6)["warnings"]
    done = meltica("cluster", "rotate", folder, "n2", "--yes")
    assert done.returncode == 0, done.stderr
    assert document(folder)["warnings"] == []
    assert others == {
        file.name: file.read_bytes() for file in (folder / "pki").iterdir() if not file.name.startswith("n2.")
    }


def test_rotate_makes_those_of_a_node_that_has_none_here_only_if_it_is_said(folder):
    """As the runbook of two lost nodes asks for: they were on the machine that burned, or the node has a new name."""
    (folder / "pki" / "n2.pem").unlink()
    (folder / "pki" / "n2.key").unlink()
    for name in ("n2", "n7"):
        refused = meltica("cluster", "rotate", folder, name, "--yes")
        assert (refused.returncode, "--make" in refused.stderr) == (5, True), refused.stderr
        dry = meltica("cluster", "rotate", folder, name, "--make", "--dry-run")
        assert (dry.returncode, (folder / "pki" / f"{name}.pem").exists()) == (0, False)
        done = meltica("cluster", "rotate", folder, name, "--make", "--yes")
        assert done.returncode == 0, done.stderr
        made = pki.read_certificate((folder / "pki" / f"{name}.pem").read_bytes())
        assert made.names == (name, "localhost")
        assert (folder / "pki" / f"{name}.key").stat().st_mode & 0o077 == 0
    for wrong, code in (("../n2", 2), ("operator", 5), ("N2", 2)):
        (folder / "pki" / "operator.pem").unlink(missing_ok=True)
        assert meltica("cluster", "rotate", folder, wrong, "--make", "--yes").returncode == code, wrong
    assert meltica("cluster", "rotate", folder, "--make", "--yes").returncode == 2, "of whom?"


def test_rotate_replaces_all_if_none_is_named_and_never_the_authority(folder):
    before = {file.name: file.read_bytes() for file in (folder / "pki").iterdir()}
    assert meltica("cluster", "rotate", folder, "--yes").returncode == 0
    after = {file.name: file.read_bytes() for file in (folder / "pki").iterdir()}
    assert {name for name in before if before[name] == after[name]} == {"ca.pem", "ca.key"}


def test_without_the_authority_s_key_nothing_is_replaced_and_where_it_is_is_said(folder):
    (folder / "pki" / "ca.key").unlink()
    before = {file.name: file.read_bytes() for file in (folder / "pki").iterdir()}
    done = meltica("cluster", "rotate", folder, "--yes")
    assert done.returncode == 5
    assert "kept elsewhere" in done.stderr
    assert before == {file.name: file.read_bytes() for file in (folder / "pki").iterdir()}


def test_what_is_no_cluster_s_folder_no_member_or_not_confirmed(folder, tmp_path):
    assert meltica("cluster", "rotate", tmp_path / "nowhere", "n1", "--yes").returncode == 2
    assert meltica("cluster", "rotate", folder, "n9", "--yes").returncode == 5
    assert meltica("cluster", "rotate", folder, "n1").returncode == 2
