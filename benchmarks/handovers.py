"""What apps feel of a handover: the default drill, 21 handovers in both directions under load, from the drill's own scorecard.

A stall is the longest time any of an app's writes waited, from the moment it was due by its schedule until it was acknowledged.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from typing import Any

from benchmarks.table import Figure, show

REPEAT = 7


def measure() -> bool:
    """Flies the drill and prints its figures; whether they are as asked."""
    command = [sys.executable, "-m", "cockpit", "drill", "arp", "--headless", "--json", "--repeat", str(REPEAT)]
    flown = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=3600, check=False)
    if not flown.stdout.strip():
        print(f"the drill printed nothing and ended with {flown.returncode}", file=sys.stderr)
        return False
    card = json.loads(flown.stdout)
    met = [show(f"{direction}: {len(cards)} handovers", _figures(cards)) for direction, cards in _by_direction(card).items()]
    _steps(card["handovers"])
    print(f"\n  both sides equal: {card['sides_equal']}; verdict: {card['verdict']} {'; '.join(card['why'])}")
    return all(met) and card["verdict"] == "pass"


def _by_direction(card: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    cards = card["handovers"]
    split = {direction: [each for each in cards if each["direction"] == direction] for direction in ("cutover", "rollback")}
    return {"all": cards, **split}


def _figures(cards: list[dict[str, Any]]) -> list[Figure]:
    pooled = [each["stall_ms"]["max"] for each in cards]
    direct = [app["stall_ms"] for each in cards for app in each["apps"] if app["channel"] != "pool"]
    return [
        Figure("longest stall of pooled apps, median", statistics.median(pooled), "ms", 150),
        Figure("longest stall of pooled apps, worst", max(pooled), "ms", 400),
        Figure("writes stalled as the pilot saw it, median", statistics.median(each["downtime_ms"] for each in cards), "ms"),
        Figure("longest stall of direct apps, median", statistics.median(direct), "ms"),
        Figure("longest stall of direct apps, worst", max(direct), "ms", 1000),
        Figure("errors of pooled apps", sum(each["errors"] for each in cards), "", 0),
        Figure("acknowledged writes lost", sum(each["lost"] for each in cards), "", 0),
        Figure("writes duplicated", sum(each["duplicated"] for each in cards), "", 0),
        Figure("both sides took writes", sum(each["overlap_ms"] for each in cards), "ms", 0),
    ]


def _steps(cards: list[dict[str, Any]]) -> None:
    print("\n  step        median ms   worst ms")
    names = [step["id"] for step in cards[0]["steps"]]
    for name in names:
        took = [step["ms"] for each in cards for step in each["steps"] if step["id"] == name]
        print(f"  {name:<10} {statistics.median(took):10.1f} {max(took):10.1f}")
