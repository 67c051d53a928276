"""Bytes that are nearly right: a seed with a few things wrong, some of them lies that a header could tell."""

import io
import random
import re
import struct
import zipfile

_NUMBERS = (0, 1, -1, 127, 128, 255, 256, 2**15, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63 - 1)
_WORDS = (
    b"null", b"true", b"[]", b"{}", b'""', b"NaN", b"-1", b"1e999", b"99999999999999999999", b"9" * 5000, b"[" * 2000,
    b"{" * 2000, b'{"a":' * 500, b"\x00", b"\xff\xfe", b"../../x", b"/etc/passwd", b"~", b"\n", b'"', b"'''",
    b"\\u0000", b"\x1b[2J", b"\xe2\x80\xae", b"__class__", b"=", b"::",
    b"a.b=1", b"%s%n", b"1979-05-27", b"inf", b"0x_", b"|", b"~9",
)  # fmt: skip
_TOKEN = re.compile(rb"[A-Za-z_][A-Za-z_0-9.-]*|-?\d+(?:\.\d+)?|\"[^\"\n]*\"|[^\sA-Za-z0-9]")


def mutate(seed: bytes, others: list[bytes], dice: random.Random) -> bytes:
    """One to four changes of a seed; `others` are seeds to splice with."""
    content = seed
    for _ in range(dice.choice((1, 1, 2, 4))):
        content = dice.choice(MUTATIONS)(content, others, dice)
    return content


def _flip(content: bytes, _: list[bytes], dice: random.Random) -> bytes:
    changed = bytearray(content)
    for _number in range(dice.choice((1, 1, 3, 16))):
        if changed:
            changed[dice.randrange(len(changed))] = dice.randrange(256)
    return bytes(changed)


def _cut(content: bytes, _: list[bytes], dice: random.Random) -> bytes:
    return content[: dice.randint(0, len(content))]


def _drop(content: bytes, _: list[bytes], dice: random.Random) -> bytes:
    start = dice.randint(0, len(content))
    return content[:start] + content[start + dice.choice((1, 4, 32, 200)) :]


def _repeat(content: bytes, _: list[bytes], dice: random.Random) -> bytes:
    start = dice.randint(0, len(content))
    part = content[start : start + dice.choice((1, 8, 64))]
    return content[:start] + part * dice.choice((2, 3, 500)) + content[start:]


def _number(content: bytes, _: list[bytes], dice: random.Random) -> bytes:
    """Write an extreme number over some bytes: where a header has its lengths."""
    kind = dice.choice(("<i", ">i", "<q", ">q", "<H", ">H"))
    size = struct.calcsize(kind)
    packed = (dice.choice(_NUMBERS) & (256**size - 1)).to_bytes(size, "little" if kind[0] == "<" else "big")
    start = dice.randint(0, min(len(content), dice.choice((16, 128, len(content)))))
    return content[:start] + packed + content[start + size :]


def _token(content: bytes, others: list[bytes], dice: random.Random) -> bytes:
    """Put another word, number or name in the place of one."""
    found = list(_TOKEN.finditer(content[:100_000]))
    if not found:
        return content
    there = dice.choice(found)
    return content[: there.start()] + _word(content, others, dice) + content[there.end() :]


def _insert(content: bytes, others: list[bytes], dice: random.Random) -> bytes:
    start = dice.randint(0, len(content))
    return content[:start] + _word(content, others, dice) + content[start:]


def _word(content: bytes, others: list[bytes], dice: random.Random) -> bytes:
    """A word that hurts, or one from elsewhere in the same file or in another."""
    if dice.random() < 0.5:
        return dice.choice(_WORDS)
    found = _TOKEN.findall(dice.choice([content, *others])[:20_000])
    return dice.choice(found) if found else b""


def _line(content: bytes, _: list[bytes], dice: random.Random) -> bytes:
    """Repeat, drop or move a line."""
    lines = content.splitlines(keepends=True)
    if not lines:
        return content
    line = lines.pop(dice.randrange(len(lines)))
    for _number in range(dice.choice((0, 1, 2))):
        lines.insert(dice.randint(0, len(lines)), line)
    return b"".join(lines)


def _splice(content: bytes, others: list[bytes], dice: random.Random) -> bytes:
    other = dice.choice(others) if others else b""
    return content[: dice.randint(0, len(content))] + other[dice.randint(0, len(other)) :]


def _mend(content: bytes, _: list[bytes], dice: random.Random) -> bytes:
    """Change a stored member of a zip archive and write its checksum anew: what is behind the checksum is tried too."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = {info.filename: archive.read(info) for info in archive.infolist()}
    except Exception:  # noqa: BLE001 - it is damaged already
        members = {}
    if not members:
        return _flip(content, [], dice)
    name = dice.choice(sorted(members))
    members[name] = dice.choice((_flip, _token, _number, _cut))(members[name], [], dice)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for member, part in members.items():
            archive.writestr(member, part)
    return packed.getvalue()


MUTATIONS = (_flip, _cut, _drop, _repeat, _number, _number, _token, _token, _insert, _line, _splice, _mend)
