"""An incident: all that a report shows of one run, on one time axis.

Only frozen records may live here.  Times are monotonic nanoseconds of the machine that all of it ran on.
"""

from __future__ import annotations

from attrs import field, frozen

from chaos.checkers.verdict import Check

LEADS = "leads"  # by its own word, and may not trade: it has no authority yet, or another has a newer one
TRADES = "trades"  # it has taken its authority
FROZEN = "frozen"  # its process is stopped, and does nothing
GONE = "gone"  # its process is not there

ORDER = "order"  # admitted, and may trade
CANCEL = "cancel"  # admitted, and only closes
FILL = "fill"
REFUSED = "refused"  # by the venue


@frozen
class Struck:
    """One fault: what was done to whom, from when until when (None: nothing to heal)."""

    kind: str
    target: str
    begin_ns: int
    end_ns: int | None = None
    set_ns: int | None = None  # when all of it was in force; None: it was at once, or nobody looked
    led: str = ""  # who traded then
    not_done: tuple[str, ...] = ()  # what of it was not done, and why
    phases: tuple[tuple[str, float], ...] = ()  # of the takeover that it cost: each, and how long behind the strike
    how: str = ""  # on which links, which way, with which parameters

    def __str__(self) -> str:
        return f"{self.kind} {self.target}".strip()


@frozen
class Span:
    """A node was something for a while: LEADS, TRADES, FROZEN or GONE."""

    node: str
    what: str
    begin_ns: int
    end_ns: int
    epoch: int | None = None


@frozen
class Mark:
    """The venue saw something of a node: ORDER, CANCEL, FILL or REFUSED."""

    node: str
    what: str
    at_ns: int


@frozen
class Pause:
    """How long nothing was admitted that may trade, and because of what (None: nothing came any more)."""

    cause: str
    begin_ns: int
    end_ns: int | None
    bound_ms: float | None = None  # what was promised; None: nothing

    @property
    def ms(self) -> float | None:
        """Its length."""
        return None if self.end_ns is None else (self.end_ns - self.begin_ns) / 1e6

    @property
    def kept(self) -> bool:
        """Whether what was promised is kept."""
        return self.ms is not None and (self.bound_ms is None or self.ms <= self.bound_ms)


@frozen
class State:
    """Trading was halted, or reducing, because of something."""

    trading: str
    cause: str
    begin_ns: int
    end_ns: int


@frozen
class Line:
    """One line of what shows a violation: where it stands, and what it says."""

    source: str
    at_ns: int | None
    text: str


@frozen
class Incident:
    """One run."""

    title: str
    verdict: str  # pass, fail
    command: str  # repeats it
    nodes: tuple[str, ...]
    begin_ns: int
    end_ns: int
    shows: str = ""  # what it was played for
    about: tuple[tuple[str, str], ...] = ()  # word and value, in the order in which they are shown
    faults: tuple[Struck, ...] = ()
    spans: tuple[Span, ...] = ()
    marks: tuple[Mark, ...] = ()
    pauses: tuple[Pause, ...] = ()
    states: tuple[State, ...] = ()
    causes: tuple[str, ...] = ()  # what the nodes themselves say of why
    checks: tuple[Check, ...] = ()
    excerpts: dict[str, tuple[Line, ...]] = field(factory=dict)  # by the violation that they show
    lifted: tuple[str, ...] = ()  # halts that somebody lifted meanwhile
    left_out: tuple[str, ...] = ()  # faults that were not done, and checks not made, as it is somebody else's cluster
    lacks: tuple[str, ...] = ()  # what could not be read, and why; nothing of it is on the page
