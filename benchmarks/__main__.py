"""`make bench`: the figures beside what was asked for. `ARGS=handovers`, for one, measures one part alone."""

from __future__ import annotations

import sys

from benchmarks import aligned, freeze, front, handovers, memory, reconcile, screen, underload, warehouse

PARTS = {
    "handovers": handovers.measure,
    "front": front.measure,
    "screen": screen.measure,
    "reconcile": reconcile.measure,
    "aligned": aligned.measure,
    "freeze": freeze.measure,
    "latency": underload.measure_latency,
    "verdicts": underload.measure_verdicts,
    "memory": memory.measure,
    "warehouse": warehouse.measure,
}


def main() -> int:
    asked = sys.argv[1:] or list(PARTS)
    unknown = [name for name in asked if name not in PARTS]
    if unknown:
        print(f"no part {unknown[0]!r}; one of: {', '.join(PARTS)}", file=sys.stderr)
        return 2
    met = [PARTS[name]() for name in asked]
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
