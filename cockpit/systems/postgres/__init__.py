"""PostgreSQL: the two servers of a pair behind the port `Servers`, on asyncpg, which only this room imports."""

from cockpit.systems.postgres.pair import PostgresPair

__all__ = ["PostgresPair"]
