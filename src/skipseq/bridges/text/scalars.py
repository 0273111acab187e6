"""Names and expressions as YAML scalars: plain where YAML lets them be, else in quotes."""

from __future__ import annotations

import re

__all__ = ["as_name", "as_value"]

#: What a name is made of that needs no quotes.
PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]*")

#: Words that other readers of YAML take for something else than a text.
NO_TEXT = frozenset(["y", "n", "yes", "no", "on", "off", "true", "false", "null", "none", "nan", "inf"])

#: What a plain scalar cannot begin with.
SPECIAL = tuple("-?:,[]{}#&*!|>'\"%@`= \t")

#: What YAML can show as it is, beside the breaks of lines; the others are escaped.
PRINTABLE = re.compile("[ -~\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]*")


def as_name(name: str) -> str:
    """A name as a key or in a list, in quotes where anybody could take it for something else.

    >>> from skipseq.bridges.text.scalars import as_name
    >>> print(as_name("encoder"), as_name("on"), as_name("1"), as_name("it's"))
    encoder 'on' '1' 'it''s'
    """
    return name if PLAIN_NAME.fullmatch(name) and name.lower() not in NO_TEXT else quoted(name)


def as_value(text: str) -> str:
    """An expression, in quotes where YAML needs them.

    >>> from skipseq.bridges.text.scalars import as_value
    >>> print(as_value("nn.Linear(3, 4)"), as_value("lambda x: x.flatten(1)"))
    nn.Linear(3, 4) "lambda x: x.flatten(1)"
    """
    plain = PRINTABLE.fullmatch(text) and not text.startswith(SPECIAL) and not text.endswith((":", " "))
    return text if text and plain and ": " not in text and " #" not in text else quoted(text, prefer='"')


def quoted(text: str, prefer: str = "'") -> str:
    """A text in quotes: in those that need no escapes in it, if there are any."""
    if not PRINTABLE.fullmatch(text):
        return '"' + "".join(map(escaped, text)) + '"'
    if prefer == '"' and '"' not in text and "\\" not in text:
        return f'"{text}"'
    return "'" + text.replace("'", "''") + "'"


def escaped(letter: str) -> str:
    """A character between double quotes."""
    if letter in '"\\':
        return "\\" + letter
    if PRINTABLE.fullmatch(letter):
        return letter
    code = ord(letter)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
