"""Scenarios: what a scenario file says, and everything that is wrong with one that can't be played.

Pure: text in, frozen values out.  A number may be two, [least, most], of which the seed chooses; a target may be
several, of which it chooses one.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import define, field, frozen

from chaos.live.links import DIRECTIONS, EITHER, SCOPES
from chaos.live.links import VENUE as WAYS
from chaos.live.nemeses import HALT, KILL, NEMESES, NETWORK, SAYS, VENUE, Nemesis

NAME: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
SUITES: Final = ("smoke", "trust", "inside", "long", "endless")
NODES: Final = ("n1", "n2", "n3")
ONE: Final = ("leader", "follower", "any", *NODES)  # follower and any: the seed chooses
PAIRS: Final = ("leader-follower", "followers")  # the links between the two
EVERY: Final = "all"
TARGETS: Final = (*ONE, *PAIRS, EVERY)
LONGEST_S: Final = 600.0
SHORTEST_S: Final = 0.5  # of a network's nemesis: all its proxies take a third of a second to be told
MOST_TIMES: Final = 50
RULES: Final = {  # of design.md section 3, as it calls them
    1: "one trader",
    2: "intent first",
    3: "one id, one send",
    4: "every fill once",
    5: "unknown is a state",
    6: "a halt survives",
    7: "same log, same state",
    8: "acknowledged is durable",
    9: "fail closed",
    10: "everything is accounted for",
}
BESIDES: Final = ("budget", "liveness")  # what may be threatened that is no rule: a figure of section 10; going on
THREATS: Final = (*(f"rule {number}, {name}" for number, name in RULES.items()), *BESIDES)
LONGEST_MS: Final = 600_000
BOUNDS: Final = {  # by whether there is a step that may stop trading
    False: "gap_ms, as no step says stops: no longer may a fault stop trading",
    True: "back_ms, as a step says stops: trading may rest as long as that lasts, before it and behind it no longer",
}
# Who has to do something before all trade again: nobody; whoever halted by hand; or, where three leaders may be lost
# within ten minutes, whoever lifts the halt that comes of it.
ITSELF, HAND, STORM = RECOVERS = ("by itself", "by hand", "after a storm")
FIELDS: Final = (
    "name",
    "shows",
    "threatens",
    "recovers",
    "gap_ms",
    "back_ms",
    "because",
    "leader_kept",
    "leader_lost",
    "silent_within_ms",
    "no_authority",
    "storms",
    "unseen_fills",
    "keeps",
    "grows_mib",
    "alert",
    "runbook",
    "suites",
    "steps",
)
STEP: Final = ("kind", "target", "at_s", "lasts_s", "links", "direction", "times", "between_s", "stops")

_OF: Final = {
    "process": "a process",
    "venue": "the venue",
    "operator": "an operator's",
    "instant": "a process",
    "disk": "a disk",
    "folder": "a data folder",
    "volume": "a data folder",
    "time": "a process",
    "strait": "a process",
}

Range = tuple[float, float]


class BadScenario(ValueError):
    """It can't be played; the text lists everything that is wrong: where, what was found, what is allowed."""


@frozen
class Step:
    """One nemesis of a scenario.  Seconds, `at_s` from when trading began."""

    kind: str
    targets: tuple[str, ...]  # one of these
    at_s: Range
    lasts_s: Range
    links: str  # a scope, of a nemesis of the network or of the venue; else ""
    direction: str
    times: Range  # whole numbers: so often in all
    between_s: Range  # healthy, between two times
    parameters: tuple[tuple[str, Range], ...]  # whole numbers
    stops: bool = False  # trading may rest as long as it lasts


@frozen
class Scenario:
    """One file."""

    name: str
    shows: str
    threatens: str  # one of THREATS, and how
    gap_ms: int | None  # the bound on the gap: no fault may stop trading for longer
    alert: str
    runbook: str
    suites: tuple[str, ...]
    steps: tuple[Step, ...]
    back_ms: int | None = None  # or: beside the faults that `stop` it trading may rest no longer, behind them neither
    because: str = ""  # what the bound is made of, where it is none of the design's own figures
    recovers: str = ITSELF  # one of RECOVERS
    leader_kept: bool = False  # no leader may change meanwhile
    leader_lost: bool = False  # each fault of the leader costs it the lead, and another trades
    silent_within_ms: int | None = None  # whom a fault hits sends nothing later than this, until it heals
    no_authority: bool = False  # whose clock is wrong sends nothing in an epoch that it began so
    storms: bool = False  # three leaders are surely lost within ten minutes, which halts trading
    unseen_fills: bool = False  # the venue fills orders of ours in each fault, which nobody hears of then
    grows_mib: int | None = None  # how much memory a node may gain in a round; None: nobody looks
    keeps: int | None = None  # how many entries of its log each node keeps; None: all
    mixture: bool = False  # nobody chose what meets what: a fault may find nothing to do, or another in its way


def closes(scenario: Scenario) -> tuple[str, ...]:
    """The closed states that it must show, each judged by a check: a word of what is closed, and for how long."""
    ends = sorted({step.kind for step in scenario.steps} & SAYS.keys())
    found = [f"node: it ends, or refuses to start, and says what to do ({kind})" for kind in ends]
    if any(step.kind == HALT for step in scenario.steps):
        found.append("trading: halted, until somebody resumes it")
    if scenario.storms:
        found.append("trading: halted by the third leader lost within ten minutes, until somebody lifts that")
    if scenario.silent_within_ms is not None:
        found.append(
            f"sends: whom a fault hits sends nothing later than {scenario.silent_within_ms} ms, until it heals"
        )
        if sum(step.kind == KILL for step in scenario.steps) > 1:
            found.append("sends: nobody sends anything so long behind it, while two of three are down")
    if scenario.no_authority:
        found.append("authority: a node whose clock is wrong takes none, until it is right")
    return tuple(found)


def read(text: str, stem: str) -> Scenario:
    """The scenario of a file called `stem`.toml.  Raises BadScenario with everything that is wrong."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadScenario(f"{stem}: no TOML: {error}") from error
    reader = _Reader(stem)
    found = _scenario(reader, document, stem)
    if reader.wrong:
        raise BadScenario("\n".join(reader.wrong))
    return found


def _scenario(reader: _Reader, document: Mapping[str, Any], stem: str) -> Scenario:
    reader.only(document, FIELDS, "")
    name = reader.text(document, "name", "")
    if name and (name != stem or not NAME.fullmatch(name)):
        reader.say("name", name, f"the file's own, {stem}, of small letters, digits and - between")
    steps = document.get("steps")
    if not isinstance(steps, list) or not steps:
        reader.say("steps", steps, "at least one [[steps]]")
        steps = []
    found = tuple(_step(reader, one, f"steps[{place}].") for place, one in enumerate(steps))
    return Scenario(
        name=name,
        shows=reader.text(document, "shows", ""),
        threatens=_threatens(reader, document),
        gap_ms=_bound(reader, document, found),
        back_ms=_whole(reader, document, "back_ms", (1, LONGEST_MS)),
        because=reader.text({"because": "", **document}, "because", "", empty=True),
        alert=reader.text(document, "alert", "", empty=True),
        runbook=reader.text(document, "runbook", "", empty=True),
        suites=reader.words(document, "suites", "", SUITES),
        steps=found,
        recovers=reader.word(document, "recovers", "", RECOVERS, ""),
        unseen_fills=reader.flag(document, "unseen_fills", ""),
        leader_kept=reader.flag(document, "leader_kept", ""),
        leader_lost=reader.flag(document, "leader_lost", ""),
        silent_within_ms=_whole(reader, document, "silent_within_ms", (1, LONGEST_MS)),
        no_authority=reader.flag(document, "no_authority", ""),
        storms=_storms(reader, document),
        keeps=_whole(reader, document, "keeps", (100, 1_000_000)),
        grows_mib=_whole(reader, document, "grows_mib", (1, 10_000)),
    )


def _threatens(reader: _Reader, document: Mapping[str, Any]) -> str:
    """What rule, by its number and name, and how."""
    found = reader.text(document, "threatens", "")
    what, _, how = found.partition(": ")
    if found and (what not in THREATS or not how.strip()):
        reader.say("threatens", found, f"'what: how', of what one of: {'; '.join(THREATS)}")
    return found


def _bound(reader: _Reader, document: Mapping[str, Any], steps: Sequence[Step]) -> int | None:
    """The bound on the gap is one of two: how long trading may rest, or how long beside what may stop it."""
    there = {word: document[word] for word in ("gap_ms", "back_ms") if word in document}
    stops = any(step.stops for step in steps)
    if list(there) != ["back_ms" if stops else "gap_ms"]:
        reader.say("gap_ms, back_ms", there, BOUNDS[stops])
    return _whole(reader, document, "gap_ms", (1, LONGEST_MS))


def _storms(reader: _Reader, document: Mapping[str, Any]) -> bool:
    """Somebody has to lift the halt that comes of it."""
    storms = reader.flag(document, "storms", "")
    if storms and document.get("recovers") != STORM:
        reader.say("storms", storms, f"only where it recovers {STORM!r}")
    return storms


def _whole(reader: _Reader, document: Mapping[str, Any], word: str, bounds: tuple[float, float]) -> int | None:
    if word not in document:
        return None
    return int(reader.range(document, word, "", bounds, whole=True)[1])


def _step(reader: _Reader, found: Any, where: str) -> Step:
    document = found if isinstance(found, Mapping) else {}
    kind = document.get("kind")
    if kind not in NEMESES:
        reader.say(f"{where}kind", kind, ", ".join(NEMESES))
        kind = "hold"
    nemesis = NEMESES[str(kind)]
    reader.only(document, (*STEP, *nemesis.takes), where)
    step = Step(
        kind=nemesis.kind,
        targets=_targets(reader, document, nemesis, where),
        at_s=reader.range(document, "at_s", where, (0, LONGEST_S)),
        lasts_s=reader.range(document, "lasts_s", where, (_shortest(nemesis), LONGEST_S)),
        links=_links(reader, document, nemesis, where),
        direction=reader.word(document, "direction", where, DIRECTIONS, EITHER),
        times=reader.range(document, "times", where, (1, MOST_TIMES), whole=True, default=(1, 1)),
        between_s=reader.range(document, "between_s", where, (0.05, LONGEST_S), default=(1.0, 1.0)),
        parameters=tuple(
            (word, reader.range(document, word, where, bounds, whole=True)) for word, bounds in nemesis.takes.items()
        ),
        stops=reader.flag(document, "stops", where),
    )
    _sizes(reader, step, where)
    return step


def _shortest(nemesis: Nemesis) -> float:
    return SHORTEST_S if nemesis.room == NETWORK else 0.05


def _sizes(reader: _Reader, step: Step, where: str) -> None:
    """Else the server itself would not live."""
    found = dict(step.parameters)
    if "bytes" in found and found["give_or_take"][1] >= found["bytes"][0]:
        reader.say(f"{where}give_or_take", found["give_or_take"], "less than bytes, whatever the seed chooses")


def _targets(reader: _Reader, document: Mapping[str, Any], nemesis: Nemesis, where: str) -> tuple[str, ...]:
    allowed = TARGETS if nemesis.room == NETWORK else (*ONE, EVERY)
    found = document.get("target")
    return reader.words({"target": [found] if isinstance(found, str) else found}, "target", where, allowed)


def _links(reader: _Reader, document: Mapping[str, Any], nemesis: Nemesis, where: str) -> str:
    allowed = {NETWORK: ("links", "direction"), VENUE: ("links",)}.get(nemesis.room, ())
    for word in ("links", "direction"):
        if word in document and word not in allowed:
            reader.say(f"{where}{word}", document[word], f"nothing: {nemesis.kind} is of {_OF[nemesis.room]}")
    if nemesis.room == VENUE:
        return reader.word(document, "links", where, ("venue", *WAYS), "venue")
    if nemesis.room != NETWORK:
        return ""
    links = reader.word(document, "links", where, tuple(SCOPES), "peers")
    pairs = [one for one in _listed(document.get("target")) if one in PAIRS]
    if pairs and links != "peers":
        reader.say(f"{where}links", links, f"peers, as the target is {pairs[0]}")
    if nemesis.kind == "refuse" and document.get("direction", EITHER) != EITHER:
        reader.say(f"{where}direction", document["direction"], f"{EITHER}, as a port that refuses has no direction")
    return links


def _listed(found: Any) -> list[Any]:
    return found if isinstance(found, list) else [found]


@define
class _Reader:
    """Takes values out of tables, and notes what is wrong instead of stopping."""

    stem: str
    wrong: list[str] = field(factory=list)

    def say(self, where: str, found: object, allowed: str) -> None:
        self.wrong.append(f"{self.stem}: {where}: found {found!r}, allowed: {allowed}")

    def only(self, table: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
        for word in table:
            if word not in known:
                self.say(f"{where}{word}", table[word], f"no such field; there are {', '.join(known)}")

    def text(self, table: Mapping[str, Any], word: str, where: str, *, empty: bool = False) -> str:
        found = table.get(word)
        if not isinstance(found, str) or not (empty or found.strip()):
            self.say(f"{where}{word}", found, "a text" if empty else "a text that says something")
            return ""
        return found

    def flag(self, table: Mapping[str, Any], word: str, where: str) -> bool:
        found = table.get(word, False)
        if not isinstance(found, bool):
            self.say(f"{where}{word}", found, "true or false")
        return found is True

    def word(self, table: Mapping[str, Any], word: str, where: str, allowed: tuple[str, ...], default: str) -> str:
        found = table.get(word, default)
        if found not in allowed:
            self.say(f"{where}{word}", found, ", ".join(allowed))
            return default
        return str(found)

    def words(self, table: Mapping[str, Any], word: str, where: str, allowed: tuple[str, ...]) -> tuple[str, ...]:
        found = table.get(word)
        if not isinstance(found, list) or not found or not all(one in allowed for one in found):
            self.say(f"{where}{word}", found, f"one or more of {', '.join(allowed)}")
            return allowed[:1]
        return tuple(found)

    def range(
        self,
        table: Mapping[str, Any],
        word: str,
        where: str,
        bounds: tuple[float, float],
        *,
        whole: bool = False,
        default: Range | None = None,
    ) -> Range:
        if word not in table and default is not None:
            return default
        found = table.get(word)
        pair = found if isinstance(found, list) else [found, found]
        kinds = int if whole else (int, float)
        numbers = [one for one in pair if isinstance(one, kinds) and not isinstance(one, bool)]
        if len(pair) != 2 or len(numbers) != 2 or not bounds[0] <= numbers[0] <= numbers[1] <= bounds[1]:
            kind = "a whole number" if whole else "a number"
            self.say(f"{where}{word}", found, f"{kind} from {bounds[0]:g} to {bounds[1]:g}, or [least, most]")
            return bounds[0], bounds[0]
        return numbers[0], numbers[1]
