"""A cursor over the tokens of a genotype's text: words, numbers, quoted names, brackets; no escapes, no operators.

Spaces and comments are stepped over.
"""

import re
from typing import NoReturn

from nasdrop.errors import GenotypeError

MAX_NODE = 999
"""The largest number of a node in a text."""

_TOKEN = re.compile(
    r"""(?P<name>[A-Za-z_]\w{0,99})|(?P<integer>\d{1,9})|(?P<string>'[^'\\\n]{0,99}'|"[^"\\\n]{0,99}")"""
    r"|(?P<mark>[=,()\[\]])",
    re.ASCII,
)
_SPACE = re.compile(r"(?:[ \t\r\n]|#[^\n]*)++")
_NAME = re.compile(r"[A-Za-z_][\w.-]{0,99}", re.ASCII)


def excerpt(value: object, length: int = 60) -> str:
    """The repr of a value, shortened so that an error stays one readable line."""
    text = repr(value[: 2 * length] if isinstance(value, str) else value)
    return text if len(text) <= length else f"{text[:length]}..."


class Tokens:
    """A cursor over the tokens of a DARTS text."""

    def __init__(self, text: str, place: str, position: int) -> None:
        self._text = text
        self._place = place
        self._at = position

    def fail(self, rule: str) -> NoReturn:
        """Raise the error for what stands at the cursor."""
        rest = self._text[self._at : self._at + 40]
        got = excerpt(rest, 40) if rest else "the end of the text"
        raise GenotypeError(f"{self._place}: {rule}, got {got} at character {self._at}")

    def accept(self, mark: str) -> bool:
        """Step over a mark if it stands here."""
        return self._take("mark", mark) is not None

    def accept_range(self) -> bool:
        """Step over the word `range` if it stands here."""
        return self._take("name", "range") is not None

    def expect(self, mark: str) -> None:
        """Step over a mark, which must stand here."""
        if not self.accept(mark):
            self.fail(f"must have {mark!r} here")

    def accept_open(self) -> str | None:
        """Step over `[` or `(` if it stands here; the mark that closes it."""
        return next((close for mark, close in (("[", "]"), ("(", ")")) if self.accept(mark)), None)

    def open(self) -> str:
        """Step over `[` or `(`, which must stand here; the mark that closes it."""
        return self.accept_open() or self.fail("must have ( or [ here")

    def name(self) -> str:
        """A bare word."""
        return self._take("name") or self.fail("must have a name here")

    def node(self) -> int:
        """A node's number."""
        number = int(self._take("integer") or self.fail("must have a node's number here"))
        if number > MAX_NODE:
            raise GenotypeError(f"{self._place}: a node's number must be at most {MAX_NODE}, got {number}")
        return number

    def accept_none(self) -> bool:
        """Step over the word `None` if it stands here."""
        return self._take("name", "None") is not None

    def operation(self) -> str:
        """An operation's name, in quotes."""
        name = (self._take("string") or self.fail("must have an operation in quotes here"))[1:-1]
        if not _NAME.fullmatch(name):
            raise GenotypeError(f"{self._place}: an operation's name must be letters, digits and _, got {name!r}")
        return name

    def end(self) -> None:
        """Check that nothing follows."""
        self._skip_space()
        if self._at < len(self._text):
            self.fail("must end after the closing )")

    def _take(self, kind: str, wanted: str | None = None) -> str | None:
        self._skip_space()
        match = _TOKEN.match(self._text, self._at)
        if match is None or match.lastgroup != kind or (wanted is not None and match[0] != wanted):
            return None
        self._at = match.end()
        return match[0]

    def _skip_space(self) -> None:
        if (match := _SPACE.match(self._text, self._at)) is not None:
            self._at = match.end()
