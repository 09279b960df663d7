"""The row expression: one SQL text per table whose value differs whenever any stored value of the row differs.

PostgreSQL's own hash functions are made for equality classes, not for fingerprints: `hash_numeric` ignores sign and scale, jsonb
hashes alike on different nestings, interval takes a month for 30 days, arrays lose their bounds, enums hash their OID
(`src/backend/utils/adt`). So every type has one rule: its native hash where that misses nothing, its binary form (`*_send`) where it
does, its text where the binary form carries OIDs or does not exist. Columns go by name, so that the order of columns does not matter.

The hash is keyed: `hash_record_extended(ROW(...), key)`. It combines columns as 31*h + e modulo 2^64; summed without a key that only
proves each column's own multiset, and a value swapped between two rows goes unseen. Sums are never XORed: XOR cancels equal rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

NATIVE = frozenset({"bool", "int2", "int4", "oid", "char", "date", "uuid", "inet", "cidr", "macaddr", "macaddr8", "bytea"})
"""Built-in types whose own extended hash separates all values."""

COLLATED = frozenset({"text", "varchar"})
"""Hashed byte by byte under collation C: another collation may call different strings equal."""

SENDS = {
    "int8": "int8send",
    "float4": "float4send",
    "float8": "float8send",
    "numeric": "numeric_send",
    "timestamp": "timestamp_send",
    "timestamptz": "timestamptz_send",
    "time": "time_send",
    "timetz": "timetz_send",
    "interval": "interval_send",
    "money": "cash_send",
    "bit": "bit_send",
    "varbit": "varbit_send",
    "bpchar": "bpcharsend",
    "point": "point_send",
    "line": "line_send",
    "lseg": "lseg_send",
    "box": "box_send",
    "path": "path_send",
    "polygon": "poly_send",
    "circle": "circle_send",
}
"""Built-in types that go by their binary form: exact, and free of every session setting."""

_OIDS_INSIDE = frozenset(
    {"regclass", "regproc", "regprocedure", "regoper", "regoperator", "regtype", "regconfig", "regdictionary", "regnamespace"}
    | {"regrole", "regcollation", "aclitem", "xml", "record"}
)
"""Built-in types whose binary form names objects by OID (or, xml, may not exist): as array elements they go by text."""

ARRAY_BOUNDS = frozenset({"int2vector", "oidvector"})


@dataclass(frozen=True, slots=True)
class Kind:
    """A column's type as far as the rule needs it. `base` is what a domain stands on, `element` what an array holds."""

    schema: str
    name: str
    typtype: str
    """`b` base, `c` composite, `d` domain, `e` enum, `r` range, `m` multirange, `p` pseudo ("pg_type" in the manual)."""
    element: Kind | None = None
    base: Kind | None = None

    @property
    def built_in(self) -> bool:
        return self.schema == "pg_catalog"


@dataclass(frozen=True, slots=True)
class Expression:
    """How one column enters the row; `reason` says what the proof of it rests on, where that is more than PostgreSQL itself."""

    sql: str
    reason: str = ""


def quoted(name: str) -> str:
    """`name` as a quoted identifier ("Identifiers and Key Words")."""
    return '"' + name.replace('"', '""') + '"'


def expression(column: str, kind: Kind) -> Expression:
    """The expression of a column of type `kind`; `column` is SQL that reads it."""
    if kind.typtype == "d" and kind.base is not None:
        return expression(column, kind.base)
    if kind.element is not None and kind.name not in ARRAY_BOUNDS:
        return _array(column, kind.element)
    if kind.typtype != "b":
        return _by_text(column)
    if not kind.built_in:
        return Expression(_by_text(column).sql, f"type {kind.name} goes by its text: the same extension version is needed on both sides")
    return _built_in(column, kind.name)


def _built_in(column: str, name: str) -> Expression:
    if name in NATIVE:
        return Expression(column)
    if name in COLLATED:
        return Expression(f'{column} COLLATE "C"')
    if name in SENDS:
        return Expression(f"pg_catalog.{SENDS[name]}({column})")
    return _by_text(column)


def _array(column: str, element: Kind) -> Expression:
    """`array_send` keeps bounds and dimensions but carries the element's OID, which only built-in types share between servers."""
    if element.typtype == "b" and element.built_in and element.name not in _OIDS_INSIDE:
        return Expression(f"pg_catalog.array_send({column})")
    return _by_text(column)


def _by_text(column: str) -> Expression:
    return Expression(f'{column}::pg_catalog.text COLLATE "C"')


def text_of(column: str, kind: Kind) -> str:
    """`column` as text from which the same value can be made again: a cast of bpchar would drop its trailing blanks."""
    base = root(kind)
    if base.built_in and base.name == "bpchar":
        return f"pg_catalog.textin(pg_catalog.bpcharout({column}))"
    return f"{column}::pg_catalog.text"


INTEGERS = frozenset({"int2", "int4", "int8"})


def row_hash(expressions: Sequence[str], key: Sequence[tuple[str, Kind]]) -> str:
    """The keyed 64-bit hash of a row. Seed: the integer key itself, the key's hash, or without a key the row's own hash."""
    row = f"ROW({', '.join(expressions)})"
    return f"pg_catalog.hash_record_extended({row}, {_seed(row, key)})"


def _seed(row: str, key: Sequence[tuple[str, Kind]]) -> str:
    if not key:
        return f"pg_catalog.hash_record_extended({row}, 1)"
    if len(key) == 1 and root(key[0][1]).name in INTEGERS and root(key[0][1]).built_in:
        return f"{key[0][0]}::pg_catalog.int8"
    return key_hash(key)


def key_hash(key: Sequence[tuple[str, Kind]]) -> str:
    """A 64-bit hash of the key alone; rows are put into buckets by it."""
    return f"pg_catalog.hash_record_extended(ROW({', '.join(expression(sql, kind).sql for sql, kind in key)}), 1)"


def root(kind: Kind) -> Kind:
    """What a domain stands on in the end; any other type itself."""
    return root(kind.base) if kind.typtype == "d" and kind.base is not None else kind
