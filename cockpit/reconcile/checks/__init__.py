"""Business checks: totals and answers that both sides must give, and a dbt project of the user's run for both of them."""

from __future__ import annotations

from cockpit.reconcile.checks.dbt import run_dbt
from cockpit.reconcile.checks.metrics import run_checks
from cockpit.reconcile.checks.render import render, render_dbt

__all__ = ["render", "render_dbt", "run_checks", "run_dbt"]
