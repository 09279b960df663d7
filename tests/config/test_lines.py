"""The line of every key, whichever way TOML lets a person write it."""

from __future__ import annotations

import json
import tomllib
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cockpit._toml import KeyPath, lines

TEXT = '''\
# a comment with [brackets] = "and quotes
top = 1 # another "one

[a."b c".'d']          # quoted header
x.y.z = "dotted # no comment"
list = [
  1, [2, 3],           # two on a line
  # a whole line
  { k = 1, "l" = """in
line""" },
]
long = """
[not.a.table]
fake = "\\"""" # four quotes
lit = \'\'\'
x = 1
[[neither]]\'\'\'
when = 2024-01-01 10:00:00
last = 1

[[apps]]
name = "one"
[apps.sub]
k = 1
[[apps]]
  name = "two"
  [[apps.parts]]
  p = {}
  [[apps.parts]]
  p = [ ]
'''


def test_by_hand() -> None:
    found = lines(TEXT)
    a = ("a", "b c", "d")
    wanted: dict[KeyPath, int] = {
        ("top",): 2,
        a: 4,
        (*a, "x", "y", "z"): 5,
        (*a, "list"): 6,
        (*a, "list", 0): 7,
        (*a, "list", 1, 1): 7,
        (*a, "list", 2, "k"): 9,
        (*a, "list", 2, "l"): 9,
        (*a, "long"): 12,
        (*a, "lit"): 15,
        (*a, "when"): 18,
        (*a, "last"): 19,
        ("apps", 0, "name"): 22,
        ("apps", 0, "sub", "k"): 24,
        ("apps", 1): 25,
        ("apps", 1, "name"): 26,
        ("apps", 1, "parts", 1, "p"): 30,
    }
    assert {path: found[path] for path in wanted} == wanted
    assert set(found) == set(paths(tomllib.loads(TEXT)))


def paths(item: Any, path: KeyPath = ()) -> list[KeyPath]:
    """Every key and list item of parsed content."""
    children = item.items() if isinstance(item, dict) else enumerate(item) if isinstance(item, list) else ()
    here = [path] if path else []
    return here + [found for key, child in children for found in paths(child, (*path, key))]


keys = st.text(alphabet="ab-_1 .\"'#[]é", min_size=1, max_size=4)
leaves = st.one_of(st.integers(-9, 9), st.booleans(), st.text(alphabet="a\"'#[]{}=,\\\n é", max_size=8))
values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=6)


class Writer:
    """Writes content as TOML in one of the ways there are, and notes the line on which it puts each key."""

    def __init__(self, draw: st.DataObject) -> None:
        self.draw = draw
        self.out: list[str] = []
        self.where: dict[KeyPath, int] = {}

    def choose(self, *ways: str) -> str:
        return self.draw.draw(st.sampled_from(ways))

    def put(self, text: str) -> None:
        self.out.append(text)

    def note(self, path: KeyPath) -> None:
        self.where.setdefault(path, "".join(self.out).count("\n") + 1)

    def key(self, key: str) -> str:
        bare = key.isascii() and all(ch.isalnum() or ch in "-_" for ch in key)
        if bare and self.choose("bare", "quoted") == "bare":
            return key
        return f"'{key}'" if "'" not in key and self.choose("literal", "basic") == "literal" else json.dumps(key)

    def text(self, value: str) -> str:
        way = self.choose("basic", "literal", "long", "long literal")
        if way == "literal" and not {"'", "\n"} & set(value):
            return f"'{value}'"
        if way == "long":
            return '"""\n' + value.replace("\\", "\\\\").replace('"', '\\"') + '"""'
        if way == "long literal" and "'" not in value:
            return f"'''\n{value}'''"
        return json.dumps(value)

    def value(self, value: Any, path: KeyPath) -> None:
        if isinstance(value, list):
            self.list(value, path)
        elif isinstance(value, dict):
            self.inline(value, path)
        elif isinstance(value, bool):
            self.put("true" if value else "false")
        else:
            self.put(self.text(value) if isinstance(value, str) else str(value))

    def list(self, value: list[Any], path: KeyPath) -> None:
        self.put("[" + self.choose("", "\n", " # ] , \"'\n"))
        for number, item in enumerate(value):
            self.note((*path, number))
            self.value(item, (*path, number))
            self.put(self.choose("", "\n") + "," + self.choose("", "\n", "\n\n"))
        self.put("]")

    def inline(self, value: dict[str, Any], path: KeyPath) -> None:
        self.put("{ ")
        for number, (key, item) in enumerate(value.items()):
            self.put(", " if number else "")
            self.note((*path, key))
            self.put(f"{self.key(key)} = ")
            self.value(item, (*path, key))
        self.put(" }")

    def pair(self, key: str, value: Any, path: KeyPath) -> None:
        self.put(self.choose("", "\n", "  ", "# k = [\n"))
        self.note((*path, key))
        self.put(f"{self.key(key)}{self.choose('', ' ')}=")
        self.value(value, (*path, key))
        self.put(self.choose("", " # it's a comment", "\r") + "\n")

    def table(self, content: dict[str, Any], path: KeyPath, header: str = "") -> None:
        own = {k: v for k, v in content.items() if not isinstance(v, dict) or self.choose("inline", "table") == "inline"}
        for key, value in own.items():
            self.pair(key, value, path)
        for key in content.keys() - own.keys():
            name = f"{header}.{self.key(key)}" if header else self.key(key)
            self.note((*path, key))
            self.put(f"[{name}]\n")
            self.table(content[key], (*path, key), name)


calm = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""How long an example takes is the machine's affair: other tests run beside it."""


@calm
@given(st.dictionaries(keys, values, max_size=4), st.data())
def test_every_key_is_found_on_the_line_it_was_written(content: dict[str, Any], data: st.DataObject) -> None:
    writer = Writer(data)
    writer.table(content, ())
    text = "".join(writer.out)
    assert tomllib.loads(text) == content
    assert lines(text) == writer.where


@calm
@given(st.lists(st.lists(st.dictionaries(st.sampled_from("abc"), leaves, max_size=2), max_size=3), min_size=1, max_size=4), st.data())
def test_arrays_of_tables(groups: list[list[dict[str, Any]]], data: st.DataObject) -> None:
    writer = Writer(data)
    for number, group in enumerate(groups):
        writer.note(("t",))
        writer.note(("t", number))
        writer.put("[[t]]\n")
        for place, part in enumerate(group):
            writer.note(("t", number, "p"))
            writer.note(("t", number, "p", place))
            writer.put("[[t.p]]\n")
            for key, value in part.items():
                writer.pair(key, value, ("t", number, "p", place))
    text = "".join(writer.out)
    assert lines(text) == writer.where
    assert set(paths(tomllib.loads(text))) == set(writer.where)


@calm
@given(st.text(alphabet="ab.=[]{}\"'#,\n\t 1\\", max_size=60))
def test_whatever_the_parser_takes_is_located_whole(text: str) -> None:
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    assert set(lines(text)) == set(paths(content))
