"""`meltica cluster create`: the folder of contracts.md section 2, and nothing half done."""

from __future__ import annotations

import json
import re
import stat
import tomllib

import pytest
from click.testing import CliRunner

from meltica.cli.main import commands
from meltica.config import load

LAYOUT = {
    "README.md",
    "cluster.toml",
    "nodes/n1/data/first-start",
    "nodes/n1/meltica.toml",
    "nodes/n2/data/first-start",
    "nodes/n2/meltica.toml",
    "nodes/n3/data/first-start",
    "nodes/n3/meltica.toml",
    "paper.toml",
    "pki/ca.key",
    "pki/ca.pem",
    "pki/n1.key",
    "pki/n1.pem",
    "pki/n2.key",
    "pki/n2.pem",
    "pki/n3.key",
    "pki/n3.pem",
    "pki/operator.key",
    "pki/operator.pem",
    "secrets/trader.key",
    "secrets/trader.secret",
    "tokens/approver",
    "tokens/operator",
    "tokens/viewer",
}


def run(*words):
    return CliRunner().invoke(commands, [str(word) for word in words])


def files_of(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_the_layout_is_the_contracts(tmp_path):
    folder = tmp_path / "a" / "cluster"
    done = run("cluster", "create", folder)
    assert done.exit_code == 0, done.output
    assert files_of(folder) == LAYOUT
    assert sorted(path.name for path in folder.parent.iterdir()) == ["cluster"]


def test_every_nodes_settings_are_right_and_agree(tmp_path):
    folder = tmp_path / "cluster"
    run("cluster", "create", folder, "--name", "try out", "--base-port", 9000, "--venue-port", 9080)
    loaded = [load(folder / "nodes" / name / "meltica.toml") for name in ("n1", "n2", "n3")]
    assert len({one.agreed_digest for one in loaded}) == 1
    assert loaded[0].peers == loaded[1].peers == loaded[2].peers
    assert re.fullmatch(r"[0-9a-f]{6}", loaded[0].node.cluster)
    assert loaded[0].node.cluster_name == "try out"
    assert [one.own.peer.port for one in loaded] == [9001, 9002, 9003]
    assert [one.own.api.port for one in loaded] == [9011, 9012, 9013]
    assert all(not one.warnings for one in loaded)
    assert loaded[0].node.data == folder.resolve() / "nodes" / "n1" / "data"
    check = run("--cluster", folder, "config", "check", "-o", "json")
    document = json.loads(check.output)
    assert check.exit_code == 0
    assert [one["ok"] for one in document["files"]] == [True] * 3


def test_the_paper_venue_knows_the_account_that_the_nodes_trade_on(tmp_path):
    folder = tmp_path / "cluster"
    run("cluster", "create", folder, "--venue-port", 9999)
    paper = tomllib.loads((folder / "paper.toml").read_text())
    (account,) = paper["accounts"]
    node = load(folder / "nodes" / "n1" / "meltica.toml").venues["paper"]
    assert paper["listen"] == "127.0.0.1:9999"
    assert node.rest == "http://127.0.0.1:9999"
    assert account["name"] == node.account
    assert account["api_key"] == node.api_key_file.read_text().strip()
    assert (folder / account["secret_file"]).resolve() == node.secret_file
    assert set(account["balances"]) == {"BTC", "ETH", "USDT"}


def test_secrets_are_for_their_owner_alone_and_never_the_same_twice(tmp_path):
    seen = []
    for name in ("one", "two"):
        folder = tmp_path / name
        run("cluster", "create", folder)
        private = [
            path for path in folder.rglob("*") if path.suffix == ".key" or path.parent.name in ("tokens", "secrets")
        ]
        assert {stat.S_IMODE(path.stat().st_mode) for path in private} == {0o600}
        assert stat.S_IMODE((folder / "secrets").stat().st_mode) == 0o700
        seen.extend(path.read_text() for path in private)
        assert not any(path.read_text().strip() in (folder / "README.md").read_text() for path in private)
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize("count", [5, 7])
def test_other_sizes(tmp_path, count):
    folder = tmp_path / "cluster"
    assert run("cluster", "create", folder, "--nodes", count).exit_code == 0
    assert len(list((folder / "nodes").iterdir())) == count
    load(folder / "nodes" / "n1" / "meltica.toml")


def test_a_folder_that_is_not_empty_is_refused_and_left_alone(tmp_path):
    (tmp_path / "kept").write_text("x")
    done = run("cluster", "create", tmp_path)
    assert done.exit_code == 5
    assert "not empty" in done.output
    assert files_of(tmp_path) == {"kept"}
    assert run("cluster", "create", tmp_path / "kept").exit_code == 5


def test_an_empty_folder_is_taken(tmp_path):
    (tmp_path / "empty").mkdir()
    assert run("cluster", "create", tmp_path / "empty").exit_code == 0


@pytest.mark.parametrize(
    "words",
    [
        ("--nodes", "1"),
        ("--nodes", "2"),
        ("--base-port", "65530"),
        ("--venue-port", "7401"),
        ("--name", "a/b"),
        ("--what",),
    ],
)
def test_wrong_usage_is_2_and_writes_nothing(tmp_path, words):
    done = run("cluster", "create", tmp_path / "cluster", *words)
    assert done.exit_code == 2
    assert not (tmp_path / "cluster").exists()


def test_a_folder_that_may_not_be_made_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    done = run("cluster", "create", tmp_path / "file" / "cluster")
    assert done.exit_code == 1
    assert "next:" in done.output


def test_the_symbols_are_those_asked_for(tmp_path):
    folder = tmp_path / "cluster"
    assert run("cluster", "create", folder, "--symbols", "ETHUSDT").exit_code == 0
    settings = load(folder / "nodes" / "n1" / "meltica.toml")
    assert [venue.symbols for venue in settings.venues.values()] == [("ETHUSDT",)]
    assert {one.symbols for one in settings.strategies} == {("ETHUSDT",)}


@pytest.mark.parametrize("symbols", ["", "btc", "BTCUSDT,", "BTCUSDT,BTCUSDT", "BTCUSDT;ETHUSDT"])
def test_what_is_no_list_of_symbols(symbols, tmp_path):
    done = run("cluster", "create", tmp_path / "cluster", "--symbols", symbols)
    assert done.exit_code == 2
    assert not (tmp_path / "cluster").exists()
