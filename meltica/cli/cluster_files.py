"""Cluster files: the text of every file that `meltica cluster create` writes.

Only text made from a `Plan` may live here: no disk, no randomness.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from attrs import frozen

from cluster import firststart

HOST: Final = "127.0.0.1"
API_OFFSET: Final = 10  # a node's API listens so many ports above its peer port
ACCOUNT: Final = "trader"
SYMBOLS: Final = ("BTCUSDT", "ETHUSDT")  # what the synthetic market has
BALANCES: Final = {"BTC": "10", "ETH": "100", "USDT": "1000000"}


@frozen
class Plan:
    """A cluster to be: its names, ports and the account that its nodes trade on."""

    name: str
    cluster: str  # six hex digits
    nodes: int
    base_port: int
    venue_port: int
    api_key: str
    symbols: tuple[str, ...] = SYMBOLS

    @property
    def names(self) -> tuple[str, ...]:
        """n1, n2, ..."""
        return tuple(f"n{place}" for place in range(1, self.nodes + 1))

    def peer(self, name: str) -> str:
        """Where a node listens for its peers."""
        return f"{HOST}:{self.base_port + int(name[1:])}"

    def api(self, name: str) -> str:
        """Where a node listens for operators."""
        return f"{HOST}:{self.base_port + API_OFFSET + int(name[1:])}"

    @property
    def ports(self) -> list[int]:
        """Every port that it needs."""
        offsets = [*range(1, self.nodes + 1), *range(API_OFFSET + 1, API_OFFSET + self.nodes + 1)]
        return [self.venue_port, *(self.base_port + offset for offset in offsets)]


def texts(plan: Plan) -> Mapping[str, str]:
    """Every file that holds no secret, by its path in the folder."""
    found = {f"nodes/{name}/meltica.toml": node_toml(plan, name) for name in plan.names}
    marks = {f"nodes/{name}/data/{firststart.MARK}": firststart.TEXT for name in plan.names}
    return {
        **found,
        **marks,
        "cluster.toml": cluster_toml(plan),
        "paper.toml": paper_toml(plan),
        "README.md": readme(plan),
    }


def node_toml(plan: Plan, name: str) -> str:
    """One node's settings."""
    peers = "\n".join(f'[peers.{one}]\npeer = "{plan.peer(one)}"\napi = "{plan.api(one)}"\n' for one in plan.names)
    return f"""\
# Settings of node {name}; `meltica config check meltica.toml` tells every error.  Paths are relative to this file.

[node]
name = "{name}"
data = "data"
cluster = "{plan.cluster}"  # the first part of every client order id
cluster_name = "{plan.name}"

{peers}
[tls]
ca = "../../pki/ca.pem"
cert = "../../pki/{name}.pem"
key = "../../pki/{name}.key"

[api.tokens]
viewer_file = "../../tokens/viewer"
operator_file = "../../tokens/operator"
approver_file = "../../tokens/approver"  # the second role, for what no one person may do: give it to somebody else

[authority]
window_ms = 300  # how long after its proposal an intent may be sent
drift_ppm = 1000

[venues.paper]
kind = "binance_spot"
rest = "http://{HOST}:{plan.venue_port}"
ws_api = "ws://{HOST}:{plan.venue_port}/ws-api/v3"
stream = "ws://{HOST}:{plan.venue_port}"
api_key_file = "../../secrets/{ACCOUNT}.key"
secret_file = "../../secrets/{ACCOUNT}.secret"
account = "{ACCOUNT}"
symbols = {_listed(plan.symbols)}
settle_ms = 10000
approve_opening = true  # a paper account: what it holds at first is its opening balance

[limits]  # amounts in the quote asset, as text so that nothing rounds them
order_notional = "25000"
position = "5000000"
gross_notional = "10000000"
open_orders_symbol = 20
open_orders = 50
executed_notional_minute = "5000000"
collar_bps = 500
book_age_ms = 2000
orders_second = 50

{_strategies(plan)}
[trading]
mode = "automatic"
ramp_ms = 0

[archive]  # old audit records move into files in data/archive; nothing ever deletes these: they are what to back up
enabled = true

[log]
level = "info"
"""


def _listed(symbols: Sequence[str]) -> str:
    return "[" + ", ".join(f'"{symbol}"' for symbol in symbols) + "]"


def _strategies(plan: Plan) -> str:
    symbols = _listed(plan.symbols)
    return f"""\
[[strategies]]
id = "maker"
kind = "market_maker"
venue = "paper"
symbols = {symbols}
gap = "cancel"  # its quotes do not lie unattended for longer than
gap_after_ms = 2000

[[strategies]]
id = "momentum"
kind = "momentum"
venue = "paper"
symbols = {symbols}
gap = "cancel"
gap_after_ms = 2000
"""


def cluster_toml(plan: Plan) -> str:
    """Where an operator finds the cluster."""
    nodes = "\n".join(f'[nodes.{one}]\napi = "https://{plan.api(one)}"\n' for one in plan.names)
    return f"""\
# Where the operator's commands find this cluster: `meltica --cluster DIR status`.  Paths are relative to this file.

[cluster]
id = "{plan.cluster}"
name = "{plan.name}"

[operator]
ca = "pki/ca.pem"
cert = "pki/operator.pem"
key = "pki/operator.key"
viewer_file = "tokens/viewer"
operator_file = "tokens/operator"
approver_file = "tokens/approver"

{nodes}"""


def paper_toml(plan: Plan) -> str:
    """The paper venue's settings (contracts.md section 2)."""
    balances = ", ".join(f'{asset} = "{amount}"' for asset, amount in BALANCES.items())
    return f"""\
# The paper venue: `meltica paper run --config paper.toml`.  Paths are relative to this file.

listen = "{HOST}:{plan.venue_port}"

[[accounts]]
name = "{ACCOUNT}"
api_key = "{plan.api_key}"
secret_file = "secrets/{ACCOUNT}.secret"
balances = {{ {balances} }}
"""


def readme(plan: Plan) -> str:
    """How to start each part by hand."""
    nodes = "\n".join(f"    meltica node run --config nodes/{one}/meltica.toml" for one in plan.names)
    return f"""\
# Cluster {plan.name} ({plan.cluster})

Made by `meltica cluster create`.  Everything that runs from here keeps its files here.  `pki/ca.key` signs new
certificates: on a real machine keep it elsewhere.  `secrets/`, `tokens/` and the keys are for their owner's eyes only.

Start each in a terminal of its own, in this folder, the venue first:

    meltica paper run --config paper.toml
{nodes}

Then, in another:

    meltica --cluster . status
    meltica --cluster . orders
    meltica --cluster . positions
    meltica --cluster . promote n2 --reason "trying it"
    meltica --cluster . halt --reason "trying it"
    meltica --cluster . resume --all --reason "it works"

Ctrl-C or SIGTERM drains and stops a node.  Each writes its log to stderr, one JSON object a line.

A node starts empty once: `nodes/*/data/first-start` allows it, and goes then.  A node whose data is gone refuses to
start, and stays stopped; the others go on without it.  So a node's folder is moved to its machine, not copied: whoever
copies `nodes/n1` removes `nodes/n1/data` here, and never starts a node of that name on another copy of it.
"""
