"""Proving that two sides hold the same data: in the background within a load limit, and in the window what changed since."""

from __future__ import annotations

from cockpit.reconcile.reconciler import PostgresReconciler

__all__ = ["PostgresReconciler"]
