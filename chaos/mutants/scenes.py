"""Scenes: what happens to the product while a rule is broken, each the case in which that rule is what saves us.

Only scenes may live here.
"""

from __future__ import annotations

from typing import Final

from chaos.mutants.mutant import Scene, storm

# Picks of `slow_active`: 0 is 60 ms, 1 is 250 ms (within a window), 2 is 600 ms and 3 is 1,500 ms (past any window).
QUIET: Final = Scene("quiet", faults=storm(("bridge", 4, 4.5, 0)))
LATE_WORDS: Final = Scene("late words", faults=storm(("slow_active", 3, 5, 1), ("kill_active", 3.7, 4.4, 0)))
VERY_LATE_WORDS: Final = Scene("very late words", faults=storm(("slow_active", 3, 5, 2), ("kill_active", 3.8, 4.5, 0)))
CUT_OFF: Final = Scene("cut off", faults=storm(("isolate_active", 3, 5, 0), ("isolate_active", 6, 8, 0)))
NO_ANSWERS: Final = Scene(
    "no answers", faults=storm(("drop_answer", 2.5, 4, 2), ("drop_answer", 4, 6, 2), ("bridge", 14, 14.5, 0))
)
DOUBLED: Final = Scene("doubled events", faults=storm(("duplicate_event", 2.5, 6, 0)))
LOST_REPORTS: Final = Scene(
    "lost reports", faults=storm(*[("lose_event", 2.5 + place / 4, 8, 0) for place in range(16)])
)
SILENT: Final = Scene("silent venue", faults=storm(("silence_active", 3, 4.5, 0), ("bridge", 8, 8.5, 0)))
STALLED: Final = Scene("stalled engine", faults=storm(("engine_stall", 3, 8, 0), ("kill_active", 3.3, 4, 0)))
HALTED: Final = Scene("halted", faults=storm(("halt_resume", 3, 7, 0), ("kill_active", 4, 4.7, 0)))
