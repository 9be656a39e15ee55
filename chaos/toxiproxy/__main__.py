"""`make tools`: the Toxiproxy server in `.tools/`, built if it is not there; says what is missing, and exits with 2."""

from __future__ import annotations

import sys

from chaos.toxiproxy import build


def main() -> int:
    """Build or check; 0 if it is there then."""
    try:
        path = build.server()
    except build.Missing as why:
        print(why, file=sys.stderr)
        return 2
    print(f"{path.relative_to(build.ROOT)}: {build.MODULE} {build.VERSION}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
