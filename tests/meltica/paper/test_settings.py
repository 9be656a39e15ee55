from decimal import Decimal

import pytest

from meltica.paper.ports import Span
from meltica.paper.settings import BadSettingsError, load

GOOD = """
listen = "127.0.0.1:7480"
[[accounts]]
name = "main"
api_key = "key"
secret_file = "secrets/main"
balances = { BTC = "0.5", USDT = "1000" }
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "main").write_text("secret\n")
    return tmp_path


def written(folder, text):
    path = folder / "paper.toml"
    path.write_text(text)
    return path


def test_settings_are_read(folder):
    more = "[limits]\norders_per_10_s = 7\n[delays]\nengine = [5, 10]\n"
    settings = load(written(folder, GOOD + more))
    (account,) = settings.accounts
    assert (settings.host, settings.port) == ("127.0.0.1", 7480)
    assert (account.secret, account.balances["BTC"]) == ("secret", Decimal("0.5"))
    assert settings.limits.orders_per_10_s == 7
    assert settings.delays.engine == Span(5_000, 10_000)


def test_every_error_is_told_at_once_with_its_path(folder):
    text = """
listen = "nowhere"
colour = "red"
[[accounts]]
name = 5
api_key = "key"
secret_file = "secrets/none"
balances = { BTC = 0.5 }
[[accounts]]
name = "b"
api_key = "key"
secret_file = "secrets/main"
balances = {}
[limits]
orders_per_10_s = 0
speed = 1
[delays]
engine = [10, 5]
"""
    with pytest.raises(BadSettingsError) as caught:
        load(written(folder, text))
    told = str(caught.value)
    for path in (
        "listen:", "colour:", "accounts[0].name", "accounts[0].secret_file", "accounts[0].balances.BTC",
        "accounts[1].balances", "every api_key", "limits.orders_per_10_s", "limits.speed", "delays.engine",
    ):  # fmt: skip
        assert path in told
    assert told.count("\n") == 9


@pytest.mark.parametrize("text", ["", "listen = ", "accounts = 5", "\x00"])
def test_files_that_are_none(folder, text):
    with pytest.raises(BadSettingsError):
        load(written(folder, text))
    with pytest.raises(BadSettingsError, match="cluster create"):
        load(folder / "absent.toml")
