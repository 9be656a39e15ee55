"""Together: what one node lacks for a snapshot's sake the others have, and any other difference is told."""

from __future__ import annotations

import pytest

from cluster.types import Peer
from meltica import verify
from meltica.together import together
from tests.meltica.test_machine import history
from tests.meltica.test_verify import Writer, _lose, change, look

LOG = [commands for _, _, commands in history().log]
GAPS = {"n1": [(4, 7)], "n2": [(7, 9)], "n3": []}  # entries applied before a snapshot, and the one that it brings


def quiet(_what, _done, _most):
    return None


def write(path, gaps, log=LOG):
    """The three nodes' folders; each has installed the snapshots of its gaps, of a node that has all."""
    source = Writer(path / "source", Peer("n9"))
    nodes = {name: Writer(path / name, Peer(name)) for name in gaps}
    for place, commands in enumerate(log, start=1):
        source.entry(1, *commands)
        for name, node in nodes.items():
            if any(last == place for _, last in gaps[name]):
                node.install(source)
            elif not any(first < place < last for first, last in gaps[name]):
                node.entry(1, *commands)
    for node in nodes.values():
        node.store.sync()
        node.store.close()
    source.store.close()
    return {name: path / name for name in gaps}


@pytest.fixture
def folders(tmp_path):
    return write(tmp_path, GAPS)


def found(*paths):
    one_by_one = [verify.verify(path, quiet, replay=False) for path in paths]
    assert [finding.text for one in one_by_one for finding in one.findings if finding.held is False] == []
    return {one.name: one for one in together(one_by_one, quiet)}


def test_three_trails_with_gaps_are_one(folders):
    whole = found(*folders.values())
    assert [one.held for one in whole.values()] == [True, True, True]
    assert "together every record up to index 12" in whole["trails"].text
    assert "n1 3 (entries 5 to 7), n2 2 (entries 8 to 9)" in whole["trails"].text
    assert whole["trails"].looked_at == sum(map(len, LOG))


def test_two_that_have_a_gap_each_may_have_all_together(folders):
    assert found(folders["n1"], folders["n2"])["trails"].held


def test_entries_that_no_folder_has_records_of(tmp_path):
    folders = write(tmp_path, {"n1": [(4, 7)], "n2": [(5, 9)]})
    one = found(*folders.values())["trails"]
    assert not one.held
    assert "n1 installed a snapshot whose chain at index 7 is another" in one.text
    assert "no folder here has some of them" in one.text


def test_a_single_entry_s_at_the_end_of_all_gaps(tmp_path):
    """Nothing follows that a break would show at."""
    folders = write(tmp_path, {"n1": [(4, len(LOG))], "n2": [(7, len(LOG))]})
    assert not found(*folders.values())["trails"].held


def test_a_history_of_its_own_is_told(folders, tmp_path):
    """Each is whole by itself."""
    (tmp_path / "another").mkdir()
    other = write(tmp_path / "another", {"n3": []}, [*LOG[:10], *reversed(LOG[10:])])
    whole = found(folders["n1"], folders["n2"], other["n3"])
    assert not whole["trails"].held
    assert "index 11 place 0: n3 has another chain than the others" in whole["trails"].text
    assert not whole["states"].held
    assert "the states differ at index 12" in whole["states"].text


def test_one_that_was_stopped_earlier_lacks_nothing(folders, tmp_path):
    (tmp_path / "another").mkdir()
    early = write(tmp_path / "another", {"n3": []}, LOG[:10])
    whole = found(folders["n1"], folders["n2"], early["n3"])
    assert [one.held for one in whole.values()] == [True, True, True]
    alone = found(folders["n1"], early["n3"])
    assert alone["states"].held is None


def test_a_record_that_lacks_is_told_by_the_folder_itself(folders):
    """So that what is looked at together has no gap but snapshots'."""
    change(folders["n1"], _lose(3))
    assert look(folders["n1"], replay=False)["audit"].held is False


def test_a_record_that_one_lacks_is_told_of_the_trails_together_too(folders):
    """Whoever looks at these alone must not take another's record for its own."""
    change(folders["n1"], _lose(3))
    one_by_one = [verify.verify(path, quiet, replay=False) for path in folders.values()]
    whole = {one.name: one for one in together(one_by_one, quiet)}
    assert not whole["trails"].held
    assert "n1 lacks the record of index 3 place 0, which another has" in whole["trails"].text
