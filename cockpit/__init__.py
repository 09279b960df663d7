"""Cockpit: fly a live PostgreSQL blue-green cutover from a terminal, and fly it back."""

__version__ = "0.1.0"
