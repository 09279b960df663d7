"""How things look: roles, not colours. A role's style differs by theme; a state is always symbol + word + colour.

Colours are Okabe and Ito's (distinguishable with any colour vision), chosen for at least 4.5:1 on their theme's background.
The normal state is grey; saturated colour only where something is not normal. `mono` has no colour at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from rich.style import Style


class Status(StrEnum):
    """The one vocabulary of states. An upper case word beside it asks for a person."""

    OK = "ok"
    RUN = "run"
    WAIT = "wait"
    WARN = "warn"
    BAD = "bad"
    STALE = "stale"
    SKIP = "skip"

    @property
    def symbol(self) -> str:
        return _SYMBOLS[self]

    @property
    def rank(self) -> int:
        """Worst first."""
        return _RANKS[self]


_SYMBOLS = {
    Status.OK: "✓",
    Status.RUN: "▸",
    Status.WAIT: "·",
    Status.WARN: "!",
    Status.BAD: "✗",
    Status.STALE: "?",
    Status.SKIP: "-",
}
_RANKS = {
    status: rank for rank, status in enumerate((Status.BAD, Status.WARN, Status.STALE, Status.RUN, Status.WAIT, Status.OK, Status.SKIP))
}

_ASCII = str.maketrans(
    {
        "✓": "+", "▸": ">", "·": ".", "✗": "x", "…": "~", "→": ">", "←": "<", "↑": "^", "↓": "v", "–": "-",
        "│": "|", "─": "-", "┌": "+", "┐": "+", "└": "+", "┘": "+", "┃": "#", "━": "=", "┏": "#", "┓": "#", "┗": "#", "┛": "#",
        "┄": ".", "█": "#", "░": ".", "▁": "_", "▂": "_", "▃": "=", "▄": "=", "▅": "=", "▆": "#", "▇": "#", "▏": " ", "▎": " ",
        "▍": "=", "▌": "=", "▋": "=", "▊": "#", "▉": "#", "•": "*", "≥": ">", "±": "~",
    }
)  # fmt: skip

Styles = Mapping[str, Style]


def _styles(back: str | None, **roles: str) -> Styles:
    base = Style.parse(f"on {back}") if back else Style()
    return {role: base + Style.parse(text) for role, text in roles.items()}


THEMES: Mapping[str, Styles] = {
    "dark": _styles(
        "#121212", text="#d0d0d0", dim="#8a8a8a", title="bold #d0d0d0", frame="#5f5f5f", focus="bold #d0d0d0", key="bold #e4e4e4",
        ok="#a8a8a8", run="#56b4e9", wait="#8a8a8a", warn="bold #e69f00", bad="bold #000000 on #d55e00", stale="italic #cc79a7",
        skip="#8a8a8a", chart="#58707f", mark="bold #d0d0d0", bar="#a8a8a8", track="#3a3a3a", input="bold #ffffff on #303030",
        cursor="on #26323b", big="bold #ffffff",
    ),
    "light": _styles(
        "#fafafa", text="#1c1c1c", dim="#626262", title="bold #1c1c1c", frame="#9a9a9a", focus="bold #1c1c1c", key="bold #000000",
        ok="#505050", run="#005f9e", wait="#626262", warn="bold #8a5200", bad="bold #ffffff on #a83f00", stale="italic #8f2f6b",
        skip="#626262", chart="#5f7f95", mark="bold #1c1c1c", bar="#505050", track="#d0d0d0", input="bold #000000 on #dcdcdc",
        cursor="on #dbe7ee", big="bold #000000",
    ),
    "contrast": _styles(
        "#000000", text="#ffffff", dim="#d0d0d0", title="bold #ffffff", frame="#b0b0b0", focus="bold #ffff00", key="bold #ffff00",
        ok="#ffffff", run="bold #00d7ff", wait="#d0d0d0", warn="bold #ffd700", bad="bold #000000 on #ff8700", stale="italic #ffafd7",
        skip="#d0d0d0", chart="#ffffff", mark="bold #ffff00", bar="#ffffff", track="#6c6c6c", input="bold #000000 on #ffffff",
        cursor="on #00405f", big="bold #ffffff",
    ),
    "mono": _styles(
        None, text="", dim="", title="bold", frame="", focus="bold", key="bold", ok="", run="", wait="", warn="bold",
        bad="bold reverse", stale="italic", skip="", chart="", mark="bold", bar="", track="", input="bold underline",
        cursor="underline", big="bold",
    ),
}  # fmt: skip

THEME_NAMES = tuple(THEMES)


def wants_no_color(environment: Mapping[str, str]) -> bool:
    """https://no-color.org: set and not empty."""
    return bool(environment.get("NO_COLOR"))


@dataclass(frozen=True, slots=True)
class Look:
    """A theme and whether only ASCII is drawn."""

    theme: str = "dark"
    ascii: bool = False

    def style(self, role: str) -> Style:
        """The style of `role`; `+cursor` behind a role is that role on the cursor's line."""
        styles = THEMES[self.theme]
        name, _, mark = role.partition("+")
        plain = styles.get(name, styles["text"])
        if not mark or name == "bad":
            return plain
        return plain + styles["cursor"] if self.theme == "mono" else plain + Style(bgcolor=styles["cursor"].bgcolor)

    def glyphs(self, text: str) -> str:
        """`text` in the characters this terminal can show in one cell each."""
        return text.translate(_ASCII) if self.ascii and not text.isascii() else text

    def next_theme(self) -> Look:
        following = THEME_NAMES[(THEME_NAMES.index(self.theme) + 1) % len(THEME_NAMES)]
        return Look(following, self.ascii)
