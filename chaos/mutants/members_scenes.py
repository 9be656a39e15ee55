"""Scenes in which who takes part changes: short storms of the profile `members`.

Only such scenes may live here.
"""

from __future__ import annotations

from typing import Final

from chaos.mutants.cluster_scenes import FEW
from chaos.mutants.mutant import Arena, Scene

TURNOVER: Final = Scene("cluster storm, nodes are replaced", Arena.CLUSTER, seconds=10, retention=FEW, turnover=True)
