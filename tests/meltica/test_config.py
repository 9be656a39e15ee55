"""Settings: read whole, every error at once with its path, what was found and what is allowed."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

import meltica
from cluster.hosts import Address
from cluster.members import Member
from cluster.types import Retention
from meltica.cli.cluster_files import Plan, node_toml
from meltica.config import ConfigErrors, least_window_ms, load
from meltica.core.values import Gap, Mode
from meltica.founding import founders
from meltica.keeping import ArchiveSettings
from meltica.strategies import catalogue
from meltica.structure import Misfit

ROOT = Path(__file__).resolve().parents[2]
PLAN = Plan(name="demo", cluster="abc123", nodes=3, base_port=7400, venue_port=7480, api_key="k" * 64)
GOOD = node_toml(PLAN, "n1")
ARCHIVED = "enabled = true"  # stands there once


def write(tmp_path, text):
    file = tmp_path / "meltica.toml"
    file.write_text(text)
    return file


def errors_of(tmp_path, text, **more):
    with pytest.raises(ConfigErrors) as caught:
        load(write(tmp_path, text), check_files=False, **more)
    return {error.path: error for error in caught.value.errors}


def test_a_good_file_gives_typed_settings(tmp_path):
    found = load(write(tmp_path, GOOD), check_files=False)
    assert found.node.name == "n1"
    assert found.node.cluster == "abc123"
    assert found.node.data == (tmp_path / "data").resolve()
    assert found.own.peer == Address("127.0.0.1", 7401)
    assert list(found.others) == ["n2", "n3"]
    assert found.tls.ca == (tmp_path / "../../pki/ca.pem").resolve()
    assert found.limits.book_age == 2_000_000_000
    assert found.trading.mode is Mode.AUTOMATIC
    assert found.strategies[0].gap is Gap.CANCEL
    (policy,) = found.venue_policies
    assert (policy.window, policy.settle, policy.mandate_after) == (300_000_000, 10_000_000_000, 2_000_000_000)
    assert found.replication_timers.fallback == 350_000_000


JOINS = GOOD.replace('name = "n1"', 'name = "n4"\npeer = "127.0.0.1:7403"\napi = "127.0.0.1:7414"')


def test_a_node_that_joins_says_itself_where_it_listens_and_is_none_of_the_founders(tmp_path):
    """It may have the address of a node that it is to replace."""
    found = load(write(tmp_path, JOINS), check_files=False)
    assert (found.own.peer, found.own.api) == (Address("127.0.0.1", 7403), Address("127.0.0.1", 7414))
    assert list(found.others) == ["n1", "n2", "n3"]
    founded = founders(found)
    assert (founded.number, founded.voting, founded.learning) == (0, ("n1", "n2", "n3"), ())
    assert founded == founders(load(write(tmp_path, GOOD), check_files=False))
    assert founded.voters[2] == Member("n3", "127.0.0.1:7403")


@pytest.mark.parametrize(
    ("text", "path", "told"),
    [
        (GOOD.replace('name = "n1"', 'name = "n4"'), "[node] name", "its own `peer` and `api` beside its name"),
        (JOINS.replace('name = "n4"', 'name = "n2"'), "[node] peer", "nothing, as [peers.n2] says it"),
        (JOINS.replace('name = "n4"', 'name = "operator"'), "[node] name", "another name"),
        (JOINS.replace('api = "127.0.0.1:7414"\ndata', "data"), "[node] api", "required"),
        (JOINS.replace(':7414"', ':7403"'), "[node] api", "an address that [node] peer has not"),
        (GOOD.replace('data = "data"', 'data = "data"\napi = "127.0.0.1:1"'), "[node] api", "unknown key"),
    ],
)
def test_a_node_is_a_founder_or_joins_and_not_both(tmp_path, text, path, told):
    error = errors_of(tmp_path, text)[path]
    assert told in f"{error.found} {error.allowed}"


def test_every_error_is_told_at_once(tmp_path):
    text = GOOD.replace('name = "n1"', 'name = "N 1"').replace("window_ms = 300", "window_ms = 0")
    text = text.replace('position = "5000000"', "position = 5000000.5").replace('mode = "automatic"', 'mode = "auto"')
    text = text.replace("[log]", "[logs]")
    found = errors_of(tmp_path, text)
    assert {"[node] name", "[authority] window_ms", "[limits] position", "[trading] mode", "[logs]"} <= set(found)
    assert found["[trading] mode"] == Misfit("[trading] mode", "'auto' (str)", '"automatic", "manual"')
    assert "from 1 to 60000" in found["[authority] window_ms"].allowed
    assert "'log' (is that what was meant?)" in found["[logs]"].allowed


ODD = ("fd00::4:7414", "127.0.0.01:7414", "10.0.0.256:7414", "10.0.0..4:7414", "1:2:3", "[10.0.0.4]:7414", "a b:7414")


@pytest.mark.parametrize("place", ODD)
def test_what_can_t_be_an_address_is_no_setting(tmp_path, place):
    """It was taken for a name, and could not be asked for by anybody: see api/test_words."""
    text = GOOD.replace('api = "127.0.0.1:7411"', f'api = "{place}"')
    text = text.replace('rest = "http://127.0.0.1:7480"', f'rest = "http://{place}"')
    assert text.count(place) == 2
    assert errors_of(tmp_path, text).keys() == {"[peers.n1] api", "[venues.paper] rest"}


@pytest.mark.parametrize("place", ["[fd00::4]:7414", "n-1.example_net.:7414", "10.0.0.4:7414"])
def test_what_can_be_one_is(tmp_path, place):
    text = GOOD.replace('api = "127.0.0.1:7411"', f'api = "{place}"')
    assert str(load(write(tmp_path, text), check_files=False).own.api) == place


BAD = [
    ('cluster = "abc123"', 'cluster = "ABC123"', "[node] cluster", "six lower-case hex digits"),
    ('name = "n1"', 'name = "n9"', "[node] name", "n1, n2, n3"),
    ('peer = "127.0.0.1:7402"', 'peer = "127.0.0.1"', "[peers.n2] peer", "a host and a port"),
    ('peer = "127.0.0.1:7402"', 'peer = "127.0.0.1:99999"', "[peers.n2] peer", "a host and a port"),
    ('peer = "127.0.0.1:7402"', 'peer = "127.0.0.1:7401"', "[peers.n2] peer", "[peers.n1] peer has not"),
    ('peer = "127.0.0.1:7402"', 'peer = "n2..example:7402"', "[peers.n2] peer", "parts between the dots are 1 to 63"),
    ('api = "127.0.0.1:7412"', f'api = "{"x" * 64}.example:7412"', "[peers.n2] api", "1 to 63 letters"),
    ('rest = "http://127.0.0.1', 'rest = "http://127..1', "[venues.paper] rest", "1 to 63 letters"),
    ('ws_api = "ws://127.0.0.1:7480', 'ws_api = "ws://127.0.0.1:74800', "[venues.paper] ws_api", "1 to 63 letters"),
    ('stream = "ws://127.0.0.1', f'stream = "ws://{"x" * 64}', "[venues.paper] stream", "1 to 63 letters"),
    ("[peers.n3]", "[peers.N3]", "[peers] N3", "a lower-case letter"),
    ("[peers.n3]", "[peers.localhost]", "[peers.localhost]", "every node's certificate names it"),
    ("[peers.n3]", "[peers.operator]", "[peers.operator]", "the operator's certificate's"),
    ('rest = "http://', 'rest = "ftp://', "[venues.paper] rest", "https://"),
    ('stream = "ws://127.0.0.1:7480"', 'stream = "ws://127.0.0.1:7480/"', "[venues.paper] stream", "trailing slash"),
    ('kind = "binance_spot"', 'kind = "binance"', "[venues.paper] kind", "binance_spot"),
    ("settle_ms = 10000", 'settle_ms = "10s"', "[venues.paper] settle_ms", "milliseconds from 1 to 600000"),
    ("settle_ms = 10000", "settle = 10000", "[venues.paper] settle", "settle_ms"),
    ("settle_ms = 10000", "settle_ms = 10000\nwindow_ms = 50", "[venues.paper] window_ms", "at least 51"),
    ("approve_opening = true", "approve_opening = 1", "[venues.paper] approve_opening", "true or false"),
    (
        'symbols = ["BTCUSDT", "ETHUSDT"]\nsettle',
        'symbols = ["BTCUSDT", "BTCUSDT"]\nsettle',
        "[venues.paper] symbols",
        "",
    ),
    ('symbols = ["BTCUSDT", "ETHUSDT"]\nsettle', "symbols = []\nsettle", "[venues.paper] symbols", "a list"),
    ('order_notional = "25000"', 'order_notional = "-1"', "[limits] order_notional", "above 0 as text"),
    ('order_notional = "25000"', 'order_notional = "1e9"', "[limits] order_notional", "above 0 as text"),
    ('order_notional = "25000"', 'order_notional = "9000000"', "[limits] order_notional", "at most position"),
    ('order_notional = "25000"', "", "[limits] order_notional", "required"),
    ("open_orders_symbol = 20", "open_orders_symbol = 51", "[limits] open_orders_symbol", "at most open_orders"),
    ('id = "momentum"', 'id = "maker"', "[strategies.2] id", "no other strategy"),
    ('kind = "momentum"', 'kind = "magic"', "[strategies.2] kind", "market_maker"),
    ('venue = "paper"', 'venue = "kraken"', "[strategies.1] venue", "[venues]: paper"),
    ("[trading]", "[strategies.parameters]\nfast = 0\n[trading]", "[strategies.2] parameters", "momentum.py takes"),
    ("[trading]", "[strategies.parameters]\nfats = 3\n[trading]", "[strategies.2] parameters", "momentum.py takes"),
    ("[trading]", "[strategies.parameters]\nfast = 0.5\n[trading]", "[strategies.2.parameters] fast", "a whole number"),
    ('gap = "cancel"', 'gap = "stay"', "[strategies.1] gap", '"leave", "cancel"'),
    ("[trading]", "[timers]\nfallback_ms = 500\n[trading]", "[timers] fallback_ms", "less than election_min_ms"),
    ("[trading]", "[timers]\nelection_max_ms = 400\n[trading]", "[timers] election_max_ms", "more than election_min"),
    ("[trading]", "[timers]\nheartbeat_ms = 300\n[trading]", "[timers] fallback_ms", "two heartbeats"),
    ("ramp_ms = 0", "ramp_ms = true", "[trading] ramp_ms", "a whole number"),
    (ARCHIVED, "enabled = 1", "[archive] enabled", "true or false"),
    (ARCHIVED, f"{ARCHIVED}\nkeep_entries = 999", "[archive] keep_entries", "from 1000 to"),
    (ARCHIVED, f"{ARCHIVED}\nkeep_hours = -1", "[archive] keep_hours", "hours from 0 to"),
    (ARCHIVED, f"{ARCHIVED}\nspan = 10", "[archive] span", "enabled"),
    ("[trading]", "[retention]\nenabled = 1\n[trading]", "[retention] enabled", "true or false"),
    ("[trading]", "[retention]\nentries = 99\n[trading]", "[retention] entries", "from 100 to"),
    ("[trading]", "[retention]\nmost_entries = 99999\n[trading]", "[retention] most_entries", "at least entries"),
    ("[trading]", "[retention]\nsize_mib = 513\n[trading]", "[retention] most_size_mib", "at least size_mib"),
    ("[trading]", "[retention]\nhours = 0\n[trading]", "[retention] hours", "hours from 1 to"),
    ("[trading]", "[retention]\nkeep = 9\n[trading]", "[retention] keep", "entries"),
    ('level = "info"', 'level = "INFO"', "[log] level", '"debug"'),
    ("[trading]", "[extra]\nx = 1\n[trading]", "[extra]", "node"),
]


@pytest.mark.parametrize(("old", "new", "path", "allowed"), BAD)
def test_each_error_has_its_path_and_says_what_is_allowed(tmp_path, old, new, path, allowed):
    assert old in GOOD
    found = errors_of(tmp_path, GOOD.replace(old, new, 1))
    assert path in found, sorted(found)
    assert allowed in found[path].allowed
    assert found[path].found


def test_an_even_number_of_nodes_is_refused(tmp_path):
    text = re.sub(r"\[peers\.n3\]\n.*\n.*\n", "", GOOD)
    assert errors_of(tmp_path, text)["[peers]"].found == "2 nodes"


def test_a_window_too_small_for_what_it_must_hold_is_refused_and_the_smallest_is_taken(tmp_path):
    least = least_window_ms("binance_spot")
    assert "[venues.paper] window_ms" in errors_of(
        tmp_path, GOOD.replace("window_ms = 300", f"window_ms = {least - 1}")
    )
    found = load(write(tmp_path, GOOD.replace("window_ms = 300", f"window_ms = {least}")), check_files=False)
    assert found.venues["paper"].window_ms == least


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"[node", "broken TOML"),
        (b"\xff\xfe", "not UTF-8"),
        (b"#" * 300_000, "300000 bytes"),
        (b"a = 1\na = 2", "broken"),
        (b"a = " + b"9" * 9_000, "broken"),
        (b"a = " + b"[" * 9_000, "broken"),
    ],
)
def test_a_file_that_is_no_settings_is_one_clear_error(tmp_path, content, found):
    file = tmp_path / "meltica.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigErrors, match=found) as caught:
        load(file)
    assert len(caught.value.errors) == 1


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigErrors, match=r"nothing\.toml.*No such file"):
        load(tmp_path / "nothing.toml")


def test_files_must_be_there_and_a_secret_that_others_may_read_is_a_warning(tmp_path):
    text = GOOD.replace("../../", "")
    with pytest.raises(ConfigErrors) as caught:
        load(write(tmp_path, text))
    paths = {error.path for error in caught.value.errors}
    assert {"[tls] ca", "[tls] key", "[api.tokens] operator_file", "[venues.paper] secret_file"} <= paths
    for file in re.findall(r'"((?:pki|tokens|secrets)/[^"]+)"', text):
        path = tmp_path / file
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
        path.chmod(0o600)
    assert load(write(tmp_path, text)).warnings == ()
    (tmp_path / "secrets/trader.secret").chmod(0o644)
    (warning,) = load(write(tmp_path, text)).warnings
    assert "[venues.paper] secret_file" in warning
    assert "0644" in warning
    assert "chmod 600" in warning
    (tmp_path / "secrets/trader.secret").write_text("")
    with pytest.raises(ConfigErrors, match="empty"):
        load(write(tmp_path, text))


def test_what_nodes_must_agree_on_does_not_depend_on_the_order_of_keys_or_on_the_node(tmp_path):
    one = load(write(tmp_path, GOOD), check_files=False)
    two = load(write(tmp_path, node_toml(PLAN, "n2")), check_files=False)
    assert one.agreed_digest == two.agreed_digest
    changed = load(write(tmp_path, GOOD.replace("collar_bps = 500", "collar_bps = 501")), check_files=False)
    assert changed.agreed_digest != one.agreed_digest


def test_a_new_cluster_archives_its_trail_and_keeps_its_log_and_none_that_there_is_changes_by_an_upgrade(tmp_path):
    """Both are off where nothing is said; what nodes must agree on says nothing of either, so one may differ."""
    new = load(write(tmp_path, GOOD), check_files=False)
    table = re.search(r"\[archive\].*\nenabled = true\n\n", GOOD)
    old = load(write(tmp_path, GOOD.replace(table[0], "")), check_files=False)
    assert new.archive == ArchiveSettings(True, 1_000_000, 24)
    assert (old.archive.enabled, new.retention.rule, old.retention.rule) == (False, None, None)
    assert old == evolve(new, archive=old.archive)
    assert old.agreed_digest == new.agreed_digest
    short = load(write(tmp_path, f"{GOOD}\n[retention]\nenabled = true\n"), check_files=False)
    assert short.retention.rule is not None
    assert short.agreed_digest == new.agreed_digest


toml_values = st.one_of(st.integers(), st.booleans(), st.floats(), st.text(), st.lists(st.text()), st.just({}))


@settings(deadline=None, max_examples=150)
@given(
    section=st.sampled_from(["node", "peers", "tls", "api", "venues", "limits", "strategies", "trading"]),
    data=st.data(),
)
def test_whatever_a_value_is_the_reading_ends_in_settings_or_errors(section, data):
    """Total: no value of any type in any place makes `load` raise anything else."""
    import attrs  # noqa: PLC0415 - of this test alone

    from meltica import config  # noqa: PLC0415 - to reach past the TOML writer, which there is none of
    from meltica.tables import Reader  # noqa: PLC0415 - the same

    document = tomllib.loads(GOOD)
    holder = document[section]
    if isinstance(holder, list):
        holder = holder[0]
    if section in ("venues", "peers"):
        holder = data.draw(st.sampled_from([holder, *holder.values()]))
    key = data.draw(st.sampled_from(sorted(holder)))
    holder[key] = data.draw(toml_values)
    errors = []
    top = Reader("", document, Path("/nowhere"), errors)
    found = config._settings(Path("x"), top)
    config._check_whole(found, errors)
    assert attrs.has(type(found))
    assert all(error.path and error.found and error.allowed for error in errors)


# --- the files that are shipped ---------------------------------------------------------------------------------

SHIPPED = sorted((ROOT / "config").glob("*.toml"))


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.name)
def test_every_shipped_file_is_right(file):
    load(file, check_files=False)


def test_the_default_file_shows_every_default_as_it_is():
    """What config/default.toml says of a default is what the code does without it."""
    text = (ROOT / "config" / "default.toml").read_text()
    assert SHIPPED
    shown = load(ROOT / "config" / "default.toml", check_files=False)
    bare = "\n".join(line for line in text.splitlines() if not line.endswith("# default"))
    assert bare.count("\n") < text.count("\n")
    folder = ROOT / "config"
    errors = []
    from meltica import config  # noqa: PLC0415 - to read a text that is in no file
    from meltica.tables import Reader  # noqa: PLC0415 - the same

    found = config._settings(shown.file, Reader("", tomllib.loads(bare), folder, errors))
    assert not errors
    assert found == shown


def written_keys(text):
    """Every key that stands in a settings file, with its table: as it is, or behind `# ` where it is left out."""
    table, found = "", set()
    for line in text.splitlines():
        if head := re.fullmatch(r"\[+([\w.]+)\]+(  # .*)?", line):
            table = head[1]
        elif key := re.match(r"(# )?(\w+) = ", line):
            found.add((table, key[2]))
    return found


def test_the_default_file_shows_every_key_that_is_read(monkeypatch):
    from meltica import config  # noqa: PLC0415 - to read a text that is in no file
    from meltica.tables import Reader  # noqa: PLC0415 - the same

    asked, get = set(), Reader._get

    def listening(reader, key, default, allowed):
        asked.add((re.sub(r"\.\d+", "", reader.name), key))
        return get(reader, key, default, allowed)

    monkeypatch.setattr(Reader, "_get", listening)
    monkeypatch.setattr(Reader, "has", lambda _reader, _key: True)  # what is read only where it is there
    text = (ROOT / "config" / "default.toml").read_text()
    config._settings(Path("x"), Reader("", tomllib.loads(text), ROOT / "config", []))
    tables = {("api", "tokens"), ("strategies", "parameters")}
    keys = {(table, key) for table, key in asked if table} - tables
    assert len(keys) > 60
    assert not keys - written_keys(text)


@pytest.mark.parametrize("kind", catalogue.KINDS)
def test_the_default_file_shows_each_parameter_of_a_strategy_as_it_is_without_it(kind, monkeypatch):
    text = (ROOT / "config" / "default.toml").read_text()
    table = text.partition(f'kind = "{kind}"')[2].partition("[strategies.parameters]")[2].partition("\n[")[0]
    shown = tomllib.loads("\n".join(line.removeprefix("# ") for line in table.splitlines()[1:]))
    asked = []
    for read in ("amount", "whole"):
        method = getattr(catalogue._Reader, read)

        def listening(reader, name, *rest, method=method):
            asked.append(name)
            return method(reader, name, *rest)

        monkeypatch.setattr(catalogue._Reader, read, listening)
    without = catalogue.make_strategy(kind, {})
    assert sorted(asked) == sorted(shown)
    assert vars(catalogue.make_strategy(kind, shown)) == vars(without)


def test_the_log_is_kept_whole_unless_the_settings_say_otherwise(tmp_path):
    def rule(text):
        return load(write(tmp_path, GOOD + text), check_files=False).retention.rule

    assert rule("") is None
    assert rule("\n[retention]\nenabled = true\n") == Retention()
    said = "entries = 200\nsize_mib = 2\nhours = 3\nmost_entries = 400\nmost_size_mib = 5\n"
    hour, mib = 3_600_000_000_000, 1024 * 1024
    assert rule(f"\n[retention]\nenabled = true\n{said}") == Retention(200, 2 * mib, 3 * hour, 400, 5 * mib)


def test_the_version_is_the_packages():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == meltica.__version__
