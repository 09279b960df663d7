"""The kinds of text and numbers that a config holds, each with what must be so of it; `mistake_in` checks one that is not in a file yet."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints, TypeAdapter, ValidationError

from cockpit.model.text import plain


def no_nul(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not hold a NUL")
    return text


def _identifier(text: str) -> str:
    if len(text.encode()) > 63:
        raise ValueError("is longer than PostgreSQL's 63 bytes for a name")
    return no_nul(text)


def label(text: str) -> str:
    if plain(text) != text:
        raise ValueError("must not hold control or invisible characters: it is shown on screen")
    return text


def _host(text: str) -> str:
    if "://" in text or "@" in text:
        raise ValueError("must be a host name alone: user, password, port and database have keys of their own")
    if any(ch.isspace() for ch in text) or plain(text) != text or "," in text:
        raise ValueError("must be one host name or address (or the folder of a Unix socket)")
    return text


def _table(text: str) -> str:
    schema, dot, table = text.partition(".")
    if not (schema and dot and table):
        raise ValueError('must be "schema.table"')
    return no_nul(text)


def _columns(text: str) -> str:
    if text.count(".") < 2:
        raise ValueError('must be "schema.table.column", each may be *')
    return no_nul(text)


Name = Annotated[str, StringConstraints(min_length=1, max_length=63), AfterValidator(label)]
PairName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,30}$")]
Identifier = Annotated[str, StringConstraints(min_length=1), AfterValidator(_identifier)]
Host = Annotated[str, StringConstraints(min_length=1, max_length=255), AfterValidator(_host)]
Table = Annotated[str, AfterValidator(_table)]
Columns = Annotated[str, AfterValidator(_columns)]
FilePath = Annotated[str, StringConstraints(min_length=1, max_length=4096), AfterValidator(no_nul)]
Port = Annotated[int, Field(ge=1, le=65535)]
SslMode = Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]


def mistake_in(kind: Any, text: str) -> str:
    """What is wrong with `text` as one of the kinds above; empty where nothing is. The text is not repeated."""
    try:
        TypeAdapter(kind).validate_python(text)
    except ValidationError as err:
        return err.errors(include_input=False)[0]["msg"].removeprefix("Value error, ").removeprefix("String ")
    return ""
