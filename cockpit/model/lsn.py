"""Write-ahead log positions: PostgreSQL prints them as `X/Y` (two hexadecimal 32-bit halves; "pg_lsn Type" in its manual)."""

from __future__ import annotations


def parse(text: str) -> int:
    """`16/B374D848` as an integer byte position."""
    high, low = text.split("/")
    return (int(high, 16) << 32) | int(low, 16)


def show(position: int) -> str:
    """An integer byte position as `16/B374D848`."""
    return f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"
