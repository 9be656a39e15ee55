"""Tidiness: the rules of the house, as pure functions over sources.

Only rules may live here, and what they need to read code; `test_tidiness.py` runs them on the house and shows
each one failing on a doctored snippet.  A rule takes the whole house and returns findings.  A line that breaks
a determinism rule on purpose says so: `# tidy: float - why`; the word is the rule's, the reason is required.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Final

from attrs import define, frozen

FILE_LINES: Final = 600
FUNCTION_LINES: Final = 70
PRODUCT: Final = ("meltica", "cluster", "chaos")
ENTRIES: Final = (  # besides every __main__
    "meltica.cli.main",
    "chaos.demo.measure",
    "chaos.bench.node",  # processes that a bench starts
    "chaos.bench.stock_node",
    "chaos.live.mutated",  # a node with a rule taken out of it, that a rig starts
    "chaos.live.faulty",  # the same, of a node that can be struck from inside
    "chaos.demo.struck",  # a node that kills itself, that a rig starts
)
# Built and tested before what will use them: each goes from here when it is used.
AHEAD: Final[tuple[str, ...]] = ()
CONFLICT: Final = re.compile(r"(<{7}|>{7}|\|{7})( |$)|={7}$")
UNSEEN_CLOCK: Final = re.compile(r"usefixtures\(.*_clock")
REASON: Final = r"\S.{5,}"  # shorter says nothing

# Rooms that hold nothing but decisions: the simulator runs them on virtual time, so they take clock, randomness
# and I/O from outside.  A folder ends with a slash.
CORE: Final = "meltica/core/"
PURE: Final = (
    CORE,
    "meltica/leader/",
    "meltica/strategies/",
    "meltica/marketdata/",
    "meltica/machine.py",
    "meltica/archive/records.py",
    "meltica/archive/form.py",
    "meltica/archive/plan.py",
    "meltica/venues/base.py",
    "meltica/venues/clock.py",
    "meltica/venues/deadlines.py",
    "meltica/venues/meetings.py",
    "meltica/venues/numbers.py",
    "meltica/venues/rates.py",
    "meltica/venues/backoff.py",
    "meltica/venues/binance_spot/parse.py",
    "meltica/paper/",
    "cluster/types.py",
    "cluster/store.py",
    "cluster/raft.py",
    "cluster/replica.py",
    "cluster/appending.py",
    "cluster/roster.py",
    "cluster/hosts.py",
    "cluster/door.py",
    "cluster/proposals.py",
    "cluster/standing.py",
    "cluster/guard.py",
    "cluster/elections.py",
    "cluster/members.py",
    "cluster/adopted.py",
    "cluster/replacing.py",
    "cluster/survivor.py",
    "cluster/refounding.py",
    "cluster/acks.py",
    "cluster/following.py",
    "cluster/frames.py",
    "cluster/wire.py",
    "cluster/journal.py",
    "cluster/memory.py",
    "cluster/snapshot/",
    "cluster/stored.py",
    "chaos/checkers/",
    "chaos/sim/",
    "chaos/abroad/judge.py",
    "chaos/abroad/reach.py",
    "chaos/live/allowed.py",
    "chaos/live/compose.py",
    "chaos/live/document.py",
    "chaos/live/judge.py",
    "chaos/live/links.py",
    "chaos/live/nemeses.py",
    "chaos/live/pauses.py",
    "chaos/live/plan.py",
    "chaos/live/scenarios.py",
    "chaos/live/total.py",
    "chaos/toxiproxy/proxies.py",
    "chaos/toxiproxy/toxics.py",
    "chaos/spec/cases.py",
    "chaos/spec/model.py",
)
# Where the pure rooms meet the world: the paper venue's server, what writes its ledger, what reads tapes and settings.
DRIVERS: Final = (
    "meltica/marketdata/tapes.py",
    "meltica/paper/ledger.py",
    "meltica/paper/market_tape.py",
    "meltica/paper/serve.py",
    "meltica/paper/server.py",
    "meltica/paper/settings.py",
    "chaos/sim/command.py",
    "chaos/sim/smaller.py",
    "chaos/sim/trace.py",
)
MONEY: Final = (CORE, "meltica/leader/", "meltica/strategies/", "meltica/paper/")
BANNED: Final = {
    "time": "take the time as a parameter",
    "datetime": "take the time as a parameter, integer nanoseconds",
    "threading": "the driver has the threads",
    "_thread": "the driver has the threads",
    "concurrent": "the driver has the threads",
    "multiprocessing": "the driver has the processes",
    "subprocess": "the driver has the processes",
    "asyncio": "Trio, and only in the drivers",
    "trio": "only drivers wait; decide and return",
    "socket": "only drivers have sockets",
    "ssl": "only drivers have sockets",
    "secrets": "take a seeded random.Random as a parameter",
    "uuid": "ids are computed from what is replicated",
    "os": "only drivers touch the machine",
    "io": "only drivers touch files",
    "pathlib": "only drivers touch files",
    "tempfile": "only drivers touch files",
    "shutil": "only drivers touch files",
    "logging": "return what happened; telemetry is passed in",
}
CORE_PARTIES: Final = ("attr", "attrs", "cattrs", "cattr")


@frozen
class Finding:
    """One breach: where, and what to do instead."""

    path: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text}"


@define(slots=False)
class Source:
    """One file, parsed when first asked."""

    path: str  # from the repository's root, with slashes
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @cached_property
    def module(self) -> str:
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @cached_property
    def is_package(self) -> bool:
        return self.path.endswith("__init__.py")

    @cached_property
    def comments(self) -> dict[int, str]:
        tokens = tokenize.generate_tokens(io.StringIO(self.text).readline)
        return {token.start[0]: token.string for token in tokens if token.type == tokenize.COMMENT}

    @cached_property
    def imports(self) -> list[tuple[str, int]]:
        """Every module named by an import at any depth, or by a text "package.module:name"."""
        return list(_imports(self))

    def excused(self, line: int, rule: str) -> bool:
        """Whether that line says, with a reason, that it breaks `rule` on purpose."""
        return re.search(rf"# tidy: {rule} - {REASON}", self.comments.get(line, "")) is not None

    def within(self, places: Sequence[str]) -> bool:
        return any(self.path == place or (place.endswith("/") and self.path.startswith(place)) for place in places)


House = Sequence[Source]
Rule = Callable[[House], list[Finding]]


def product(house: House) -> Iterator[Source]:
    """The house without its tests."""
    return (source for source in house if source.path.split("/")[0] in PRODUCT)


def pure(house: House) -> Iterator[Source]:
    """The rooms that hold nothing but decisions."""
    return (source for source in product(house) if source.within(PURE) and not source.within(DRIVERS))


# --- shape ----------------------------------------------------------------------------------------------------


def sizes(house: House) -> list[Finding]:
    """Files and functions can be read in one go."""
    found = []
    for source in product(house):
        lines = len(source.text.splitlines())
        if lines > FILE_LINES:
            found.append(Finding(source.path, 1, f"{lines} lines; at most {FILE_LINES}: split it by nouns"))
        for node in ast.walk(source.tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > FUNCTION_LINES:
                    text = f"{node.name} has {length} lines; at most {FUNCTION_LINES}: split it by steps"
                    found.append(Finding(source.path, node.lineno, text))
    return found


def docstrings(house: House) -> list[Finding]:
    """Every file says its law; every public thing says what it means."""
    found = []
    for source in product(house):
        if not ast.get_docstring(source.tree):
            found.append(
                Finding(source.path, 1, "no module docstring: say the file's one noun and what may live in it")
            )
        found.extend(_undocumented(source, source.tree))
    return found


def _undocumented(source: Source, holder: ast.Module | ast.ClassDef) -> Iterator[Finding]:
    for node in holder.body:
        if not isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) or node.name.startswith("_"):
            continue
        if not ast.get_docstring(node) and not _needs_none(node):
            yield Finding(source.path, node.lineno, f"{node.name} has no docstring: say its meaning, units and errors")
        if isinstance(node, ast.ClassDef):
            yield from _undocumented(source, node)


def _needs_none(node: ast.AST) -> bool:
    names = [ast.unparse(one) for one in getattr(node, "decorator_list", [])]
    return any(name.endswith((".setter", "overload", "override")) for name in names)


def reasons(house: House) -> list[Finding]:
    """Every exception to a check names what it excepts, and why."""
    good = (
        (r"#\s*type:\s*ignore", rf"# type: ignore\[[a-z-]+(, ?[a-z-]+)*\]( +#| -) {REASON}"),
        (r"#\s*noqa", rf"# noqa: [A-Z]+\d+(, ?[A-Z]+\d+)* +(- |# ){REASON}"),
        (r"#\s*pragma: no cover", rf"# pragma: no cover - {REASON}"),
    )
    found = []
    for source in house:
        for line, comment in source.comments.items():
            for mark, whole in good:
                if re.search(mark, comment) and not re.search(whole, comment):
                    found.append(Finding(source.path, line, f"{comment!r}: name the code, then ` - ` and the reason"))
    return found


def prose(house: House) -> list[Finding]:
    """Plain words; no reminders left; no path of one machine."""
    bans = (
        ("\N{EM DASH}", "an em dash: use a comma, a colon or two sentences"),
        ("TO" + "DO", "a reminder: do it or write an issue"),
        ("FIX" + "ME", "a reminder: do it or write an issue"),
        ("/wo" + "rk/main", "a path of one machine"),
    )
    found = []
    for source in house:
        for number, line in enumerate(source.text.splitlines(), 1):
            found.extend(Finding(source.path, number, why) for word, why in bans if word in line)
    return found


def conflicts(house: House) -> list[Finding]:
    """No merge was left half done: of two versions of a place nobody has said which holds."""
    text = "what a merge left behind: say which of the two holds, and read what stands around it"
    return [
        Finding(source.path, number, text)
        for source in house
        for number, line in enumerate(source.text.splitlines(), 1)
        if CONFLICT.match(line)
    ]


def mock_clocks(house: House) -> list[Finding]:
    """A mock clock is asked for as an argument: pytest-trio sees no other, and the test would sleep for real."""
    text = "take the clock as an argument: pytest-trio does not see it here, and the test sleeps for real"
    return [
        Finding(source.path, number, text)
        for source in house
        for number, line in enumerate(source.text.splitlines(), 1)
        if UNSEEN_CLOCK.search(line)
    ]


# --- who may import whom --------------------------------------------------------------------------------------


def _imports(source: Source) -> Iterator[tuple[str, int]]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _base(source, node)
            yield (base, node.lineno)
            yield from ((f"{base}.{alias.name}", node.lineno) for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isascii():
            named = re.fullmatch(r"([a-z_]+(?:\.[a-z_0-9]+)+)(:\w+)?", node.value)
            if named and (named[2] or node.value.split(".")[0] in ("pysyncobj", "rocksdict")):
                yield (named[1], node.lineno)


def _base(source: Source, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parts = source.module.split(".")
    kept = parts[: len(parts) - node.level + (1 if source.is_package else 0)]
    return ".".join([*kept, *([node.module] if node.module else [])])


def _is(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def directions(house: House) -> list[Finding]:
    """Design.md, section 8.

    Two commands may use a room of chaos, each its own: the demo judges by chaos' checkers, the bench starts, strikes
    and kills real processes by its rigs.  They are faces of what breaks things on purpose; the product needs neither.
    """
    found = []
    for source in product(house):
        for name, line in source.imports:
            why = _forbidden(source, name)
            if why:
                found.append(Finding(source.path, line, f"imports {name}: {why}"))
    return _once(found)


def _forbidden(source: Source, name: str) -> str:
    top = source.path.split("/")[0]
    faces = {"meltica/cli/demo.py": "chaos.demo", "meltica/cli/bench.py": "chaos.bench"}
    face = source.path in faces and _is(name, faces[source.path])
    if _is(name, "tests"):
        return "nobody imports tests"
    if _is(name, "chaos") and top != "chaos" and not face:
        return "nobody imports chaos"
    if _is(name, "meltica") and top == "cluster":
        return "cluster knows no trading"
    if source.path.startswith(CORE):
        return _forbidden_in_core(name)
    if source.path.startswith("meltica/venues/"):
        return _forbidden_in_venue(source, name)
    return ""


def _forbidden_in_core(name: str) -> str:
    first = name.partition(".")[0]
    if _is(name, "meltica"):
        return "" if name == "meltica" or _is(name, "meltica.core") else "core stands on nothing but itself"
    if first in CORE_PARTIES or (first in sys.stdlib_module_names and first not in (*BANNED, "random")):
        return ""
    return "core takes the standard library, attrs and cattrs, and no clock, randomness, file or thread"


def _forbidden_in_venue(source: Source, name: str) -> str:
    for room in ("cluster", "meltica.leader", "meltica.api", "meltica.node", "meltica.cli"):
        if _is(name, room):
            return f"a venue does not know {room}"
    parts = source.path.split("/")
    own = parts[2] if len(parts) > len(("meltica", "venues", "base.py")) else ""
    other = name.split(".")[2] if name.startswith("meltica.venues.") else ""
    if own and other in VENUES and other != own:
        return f"the venue {own} does not know the venue {other}"
    return ""


STOCK: Final = "chaos/bench/stock_node.py"
VENUES: Final = ("binance_spot", "binance_usdm", "kraken", "okx", "bybit", "deribit", "coinbase")


def single_importers(house: House) -> list[Finding]:
    """One module imports pysyncobj, one imports rocksdict: each has one seam to watch.

    The bench runs the stock PySyncObj beside ours, as users of it would; nothing of ours stands on that.
    """
    found = []
    for package in ("pysyncobj", "rocksdict"):
        users = {
            source.path: line
            for source in product(house)
            for name, line in source.imports
            if _is(name, package) and source.path != STOCK
        }
        if len(users) > 1:
            first, *rest = sorted(users)
            found.extend(Finding(path, users[path], f"imports {package}: only {first} may") for path in rest)
    return found


def dead_modules(house: House) -> list[Finding]:
    """Each module is used by another, or is an entry point, or is listed as ahead of its use."""
    used: set[str] = set(ENTRIES)
    for source in product(house):
        used.update(name for name, _ in source.imports if name != source.module)
    found = []
    for source in product(house):
        if source.module in AHEAD:
            if source.module in used:
                found.append(Finding(source.path, 1, "it is used now: take it off the list AHEAD in tests/tidiness.py"))
        elif not source.is_package and source.module not in used and not source.module.endswith(".__main__"):
            found.append(Finding(source.path, 1, "nobody imports it: use it or remove it"))
    return found


# --- determinism ----------------------------------------------------------------------------------------------


def banned_modules(house: House) -> list[Finding]:
    """Pure rooms have no clock, thread, socket, file or randomness of their own."""
    found = []
    for source in pure(house):
        for name, line in source.imports:
            why = BANNED.get(name.split(".")[0])
            if why and not source.excused(line, "import"):
                found.append(Finding(source.path, line, f"imports {name}: {why}"))
    return _once(found)


def module_random(house: House) -> list[Finding]:
    """Randomness in a pure room comes from a random.Random that is passed in or seeded."""
    found = []
    for source in pure(house):
        whole = any(isinstance(node, ast.Import) and "random" in ast.unparse(node) for node in ast.walk(source.tree))
        for node in ast.walk(source.tree):
            if isinstance(node, ast.ImportFrom) and node.module == "random":
                bad = any(alias.name != "Random" for alias in node.names)
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "random":
                bad = whole and node.attr != "Random"
            elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("random.Random", "Random"):
                bad = not node.args
            else:
                continue
            if bad and not source.excused(node.lineno, "random"):
                found.append(Finding(source.path, node.lineno, "randomness that no seed decides"))
    return found


def floats(house: House) -> list[Finding]:
    """Money is exact: no float literal, no float()."""
    found = []
    for source in pure(house):
        if not source.within(MONEY):
            continue
        for node in ast.walk(source.tree):
            literal = isinstance(node, ast.Constant) and isinstance(node.value, float)
            call = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "float"
            if (literal or call) and not source.excused(node.lineno, "float"):
                found.append(Finding(source.path, node.lineno, "a float: use Decimal or integers"))
    return found


def set_iteration(house: House) -> list[Finding]:
    """The order of a set is no order: sort it, or keep a dict."""
    found: list[Finding] = []
    for source in pure(house):
        fields = _set_fields(source.tree)
        inner = [node for node in ast.walk(source.tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
        for scope in (source.tree, *inner):
            sets = fields | _set_names(scope)
            for iterated in _iterated(scope):
                if _is_set(iterated, sets) and not source.excused(iterated.lineno, "set"):
                    text = f"iterates over the set {ast.unparse(iterated)}: sort it, or keep a dict"
                    found.append(Finding(source.path, iterated.lineno, text))
    return _once(found)


ORDERLESS: Final = ("sum", "any", "all", "min", "max", "len", "sorted", "set", "frozenset")
ORDERED: Final = ("list", "tuple", "enumerate", "iter", "map", "zip", "join", "fromkeys", "extend")


def _iterated(scope: ast.AST) -> Iterator[ast.expr]:
    """What is iterated over in `scope` where the order could show."""
    orderless: list[ast.AST] = []
    for node in _own_nodes(scope):
        if isinstance(node, (ast.For, ast.AsyncFor)):
            yield node.iter
        elif isinstance(node, (ast.ListComp, ast.DictComp, ast.GeneratorExp)) and node not in orderless:
            yield from (one.iter for one in node.generators)
        elif isinstance(node, ast.Starred):
            yield node.value
        elif isinstance(node, ast.Call):
            name = _last(node.func)
            if name in ORDERLESS:
                orderless.extend(node.args)
            if name in ORDERED:
                yield from node.args


def _own_nodes(scope: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a scope, outer before inner, without those of functions in it."""
    waiting = [scope]
    while waiting:
        node = waiting.pop(0)
        yield node
        functions = (ast.FunctionDef, ast.AsyncFunctionDef)
        waiting.extend(one for one in ast.iter_child_nodes(node) if not isinstance(one, functions))


def _set_fields(tree: ast.Module) -> frozenset[str]:
    """Attributes, of any object, that the file declares as sets or assigns one: ".name"."""
    bodies = [one for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for one in node.body]
    declared = [one.target for one in bodies if isinstance(one, ast.AnnAssign) and _says_set(one.annotation)]
    return frozenset(f".{_last(one)}" for one in [*declared, *_assigned_sets(ast.walk(tree), ast.Attribute)])


def _set_names(scope: ast.AST) -> frozenset[str]:
    """Parameters and variables of a scope that are annotated as sets, or assigned one."""
    nodes = list(_own_nodes(scope))
    taken = [one.arg for one in nodes if isinstance(one, ast.arg) and one.annotation and _says_set(one.annotation)]
    return frozenset([*taken, *(_last(one) for one in _assigned_sets(nodes, ast.Name))])


def _assigned_sets(nodes: Iterable[ast.AST], kind: type[ast.expr]) -> Iterator[ast.expr]:
    for node in nodes:
        if isinstance(node, ast.AnnAssign) and _says_set(node.annotation):
            targets = [node.target]
        elif isinstance(node, ast.Assign) and _is_set(node.value, frozenset()):
            targets = node.targets
        else:
            continue
        yield from (target for target in targets if isinstance(target, kind))


def _says_set(annotation: ast.expr) -> bool:
    return re.match(r"(frozen)?set\b", ast.unparse(annotation)) is not None


def _last(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else getattr(node, "attr", "")


def _is_set(node: ast.expr, names: frozenset[str]) -> bool:
    if isinstance(node, (ast.Set, ast.SetComp)):
        return True
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id in ("set", "frozenset")
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.BitOr, ast.BitAnd, ast.Sub, ast.BitXor)):
        return _is_set(node.left, names) or _is_set(node.right, names)
    name = _last(node)
    return (f".{name}" if isinstance(node, ast.Attribute) else name) in names


def _once(found: Sequence[Finding]) -> list[Finding]:
    """An import of a name in a module is seen twice: one finding a line."""
    kept: dict[tuple[str, int], Finding] = {}
    for one in found:
        kept.setdefault((one.path, one.line), one)
    return list(kept.values())


RULES: Final[Mapping[str, Rule]] = {
    "sizes": sizes,
    "docstrings": docstrings,
    "reasons": reasons,
    "prose": prose,
    "conflicts": conflicts,
    "mock_clocks": mock_clocks,
    "directions": directions,
    "single_importers": single_importers,
    "dead_modules": dead_modules,
    "banned_modules": banned_modules,
    "module_random": module_random,
    "floats": floats,
    "set_iteration": set_iteration,
}
