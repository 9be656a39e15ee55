import json

import pytest

from meltica.paper.ledger import FileLedger, MemoryLedger, Recorder, fault_fields, request_fields
from meltica.paper.ports import Times


def fill(sink, count):
    recorder = Recorder(sink)
    for number in range(count):
        recorder.write(fault_fields("slow", "begin", str(number)), Times(number, number))


@pytest.fixture(params=["memory", "file", "small file"])
def sink(request, tmp_path, monkeypatch):
    if request.param == "memory":
        yield MemoryLedger()
        return
    if request.param == "small file":
        monkeypatch.setattr("meltica.paper.ledger.IN_MEMORY", 3)
    ledger = FileLedger(tmp_path / "deep" / "ledger")
    yield ledger
    ledger.close()


def test_every_ledger_pages_alike(sink):
    assert (sink.last_seq, sink.query(0, 5)) == (0, [])
    fill(sink, 10)
    assert sink.last_seq == 10
    for after, limit in ((0, 3), (3, 100), (7, 2), (10, 5), (50, 5), (9, 1)):
        assert [each["seq"] for each in sink.query(after, limit)] == list(range(after + 1, min(10, after + limit) + 1))


def test_a_line_is_in_the_file_at_once_and_a_torn_one_is_cut_at_the_next_start(tmp_path):
    path = tmp_path / "ledger"
    first = FileLedger(path)
    fill(first, 2)
    assert [json.loads(line)["seq"] for line in path.read_text().splitlines()] == [1, 2]
    first.close()
    with path.open("a") as file:
        file.write('{"seq": 3, "to')
    again = FileLedger(path)
    fill(again, 1)
    again.close()
    assert [json.loads(line)["seq"] for line in path.read_text().splitlines()] == [1, 2, 3]


def test_another_file_is_not_written_over(tmp_path):
    path = tmp_path / "notes"
    path.write_text("dear diary\n")
    with pytest.raises(ValueError, match="is no ledger"):
        FileLedger(path)
    assert path.read_text() == "dear diary\n"


def test_a_request_record_has_no_other_fields():
    with pytest.raises(KeyError):
        request_fields(colour="red")
