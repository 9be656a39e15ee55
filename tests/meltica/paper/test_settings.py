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


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('"127.0.0.1:7480"', "7480", 'listen: found 7480 (int); allowed: an address and port like "127.0.0.1:7480"'),
        ('"127.0.0.1:7480"', '"a:65536"', "listen: found 'a:65536' (str)"),
        ('listen = "127.0.0.1:7480"', "", 'listen: found nothing; allowed: an address and port'),
        ('"main"', "[]", "accounts[0].name: found [] (list); allowed: a text, not empty"),
        ('name = "main"', "", "accounts[0].name: found nothing; allowed: a text, not empty (required)"),
        ('api_key = "key"', 'api_key = ""', "accounts[0].api_key: found '' (str)"),
        ("api_key", "apikey", "accounts[0].apikey: found an unknown key; allowed: 'api_key' (is that what was meant?)"),
        ('"secrets/main"', '"secrets/empty"', "accounts[0].secret_file: found 'secrets/empty' (str); allowed: a file"),
        ('"secrets/main"', r'"a\u0000b"', "accounts[0].secret_file"),
        ('"0.5"', "0.5", 'accounts[0].balances.BTC: found 0.5 (float); allowed: an exact decimal as a text, like'),
        ('"0.5"', "true", "accounts[0].balances.BTC: found True (bool)"),
        ('"0.5"', '"0.123456789"', "of 8 places at most"),
        ('"0.5"', '"-1"', "accounts[0].balances.BTC: found '-1'"),
        ('"0.5"', '"1e5"', "accounts[0].balances.BTC: found '1e5'"),
        ('"0.5"', "0x" + "f" * 9_000, "accounts[0].balances.BTC: found too much to show (int)"),
        ('{ BTC = "0.5", USDT = "1000" }', "{}", "balances: found an empty table; allowed: a table of assets"),
        ('{ BTC = "0.5", USDT = "1000" }', "5", "balances: found 5 (int); allowed: a table of assets"),
        ("[[accounts]]", "[accounts]", "accounts: found a table; allowed: one or more tables [[accounts]]"),
    ],
)  # fmt: skip
def test_what_is_wrong_says_what_was_found_and_what_is_allowed(folder, old, new, told):
    (folder / "secrets" / "empty").write_text("\n")
    with pytest.raises(BadSettingsError) as caught:
        load(written(folder, GOOD.replace(old, new, 1)))
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (
            "[limits]\norders_per_day = true",
            "limits.orders_per_day: found True (bool); allowed: a whole number",
        ),
        ('[limits]\norders_per_day = "5"', "limits.orders_per_day: found '5' (str); allowed: a whole number above 0"),
        (
            "[delays]\nengine = [0, 10_000_001]",
            "delays.engine: found [0, 10000001] (list); allowed: [low, high] in",
        ),
        ("[delays]\nengine = [true, true]", "delays.engine: found [True, True] (list)"),
        ("[delays]\nengine = 5", "delays.engine: found 5 (int)"),
        ("[[limits]]", "limits: found [{}] (list); allowed: a table"),
    ],
)
def test_limits_and_delays_are_checked(folder, more, told):
    with pytest.raises(BadSettingsError) as caught:
        load(written(folder, f"{GOOD}{more}\n"))
    assert str(caught.value).startswith(told)
    assert "\n" not in str(caught.value)


def test_a_whole_number_is_an_exact_balance(folder):
    (account,) = load(written(folder, GOOD.replace('"1000"', "1000"))).accounts
    assert account.balances == {"BTC": Decimal("0.5"), "USDT": Decimal(1000)}


def test_two_accounts_share_nothing(folder):
    with pytest.raises(BadSettingsError) as caught:
        load(written(folder, GOOD + GOOD[GOOD.index("[[") :]))
    assert str(caught.value).splitlines() == [
        "accounts: found the same name twice; allowed: every name another",
        "accounts: found the same api_key twice; allowed: every api_key another",
    ]


@pytest.mark.parametrize(
    "text", ["", "listen = ", "accounts = 5", "\x00", "listen = " + "9" * 9_000, "listen = " + "[" * 9_000]
)
def test_files_that_are_none(folder, text):
    with pytest.raises(BadSettingsError):
        load(written(folder, text))
    with pytest.raises(BadSettingsError, match="cluster create"):
        load(folder / "absent.toml")
