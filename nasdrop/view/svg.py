"""Small tools for SVG: escaped elements, numbers without noise, text widths without a font, rules for both themes.

Every picture paints its own background and follows the reader's light or dark setting by a media query, in plain class
rules (no CSS variables, no ids), so that it also shows in simple viewers and several pictures can share one page.
"""

import re
from collections.abc import Mapping
from html import escape
from unicodedata import east_asian_width

FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, Helvetica, Arial, "DejaVu Sans", sans-serif'

_NARROW = set("iIjl.,:;|!'()[]{} ")
_WIDE = set("mwMW@%—…")
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def text(value: object) -> str:
    """Text that is safe between tags and in attributes: escaped, and without characters that XML forbids."""
    return escape(_FORBIDDEN.sub("\ufffd", str(value)), quote=True)


def number(value: float) -> str:
    """A coordinate with at most two decimals, and no minus before a zero."""
    return f"{round(value, 2) + 0.0:.2f}".rstrip("0").rstrip(".")


def element(tag: str, content: str = "", **attributes: object) -> str:
    """One element. A trailing underscore of an attribute is dropped and others become hyphens; None leaves it out.

    `content` is markup: pass plain text through `text` first.
    """
    parts = [tag]
    for name, value in attributes.items():
        if value is not None:
            shown = number(value) if isinstance(value, float) else text(value)
            parts.append(f'{name.rstrip("_").replace("_", "-")}="{shown}"')
    opening = " ".join(parts)
    return f"<{opening}>{content}</{tag}>" if content else f"<{opening}/>"


def text_width(value: str, size: float) -> float:
    """Width in pixels that `value` takes at most at a font size: by DejaVu Sans, the widest of the usual fonts."""
    return size * sum(map(_em, value))


def _em(character: str) -> float:
    if character in _NARROW:
        return 0.4
    if character in _WIDE:
        return 1.0
    if east_asian_width(character) in "WF":
        return 1.05
    if character.isupper():
        return 0.74
    return 0.635 if character.isascii() else 0.8


def shorten(value: str, length: int, ellipsis: str = "…") -> str:
    """`value`, or its beginning and end around an ellipsis where it is longer than `length` characters."""
    if len(value) <= length:
        return value
    room = max(length - len(ellipsis), 0)
    tail = room // 3
    return (value[: room - tail] + ellipsis + value[len(value) - tail :])[:length]


def style(light: Mapping[str, str], dark: Mapping[str, str], common: Mapping[str, str]) -> str:
    """A style element: selector -> declarations, for the light theme, the dark one, and both."""
    dark_rules = "".join(_rules(dark))
    body = (
        "".join(_rules(common))
        + "".join(_rules(light))
        + f"@media screen and (prefers-color-scheme:dark){{{dark_rules}}}"
    )
    return f"<style>{text_rules(body)}</style>"


def text_rules(rules: str) -> str:
    """Style rules as XML text: only & and < would need care, and quotes must stay."""
    return escape(rules, quote=False)


def _rules(rules: Mapping[str, str]) -> list[str]:
    return [
        "".join((",".join(f".nasdrop {part.strip()}" for part in selector.split(",")), "{", declarations, "}"))
        for selector, declarations in rules.items()
    ]


def document(width: float, height: float, label: str, style_element: str, body: str) -> str:
    """A whole picture on a rounded panel; `label` is what a screen reader says."""
    panel = element("rect", class_="panel", x=0.5, y=0.5, width=width - 1, height=height - 1, rx=10)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="nasdrop" role="img" aria-label="{text(label)}" '
        f'width="{number(width)}" height="{number(height)}" viewBox="0 0 {number(width)} {number(height)}" '
        f'font-family="{text(FONT)}" font-size="12">'
    )
    return f"{head}\n{style_element}\n{panel}\n{body}\n</svg>\n"
