import pytest

from meltica.paper.admission import Deadline, read_deadline
from meltica.paper.errors import ApiError

NOW = 1_700_000_000_000_000


def code_of(call, *args):
    with pytest.raises(ApiError) as caught:
        call(*args)
    return caught.value.code


def test_milliseconds_and_microseconds_mean_the_same():
    assert read_deadline({"timestamp": "1700000000000"}) == read_deadline({"timestamp": "1700000000000000"})


@pytest.mark.parametrize(
    ("text", "window"), [("5000", 5_000_000), ("250.5", 250_500), ("0.001", 1), ("60000", 60_000_000)]
)
def test_the_window_has_microseconds(text, window):
    assert read_deadline({"timestamp": "1700000000000", "recvWindow": text}).window == window


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({}, -1102),
        ({"timestamp": ""}, -1102),
        ({"timestamp": "soon"}, -1100),
        ({"timestamp": "1.5"}, -1100),
        ({"timestamp": "1700000000000", "recvWindow": "1.0001"}, -1100),
        ({"timestamp": "1700000000000", "recvWindow": "-1"}, -1100),
        ({"timestamp": "1700000000000", "recvWindow": ""}, -1100),
        ({"timestamp": "1700000000000", "recvWindow": "60000.001"}, -1131),
    ],
)
def test_malformed_deadlines(params, code):
    assert code_of(read_deadline, params) == code


def test_the_window_ends_exactly():
    deadline = Deadline(NOW, 300_000)
    deadline.check(NOW + 300_000)
    assert code_of(deadline.check, NOW + 300_001) == -1021


def test_less_than_a_second_ahead_is_taken():
    Deadline(NOW + 999_999, 1).check(NOW)
    with pytest.raises(ApiError, match="ahead of the server"):
        Deadline(NOW + 1_000_000, 1).check(NOW)
