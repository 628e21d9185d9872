"""A program as lines of coloured pieces, for a page that marks the line which runs.

Owns nothing; colours what helps a beginner's eye (words of the language, text, comments, numbers) and leaves the rest.
"""

from __future__ import annotations

import io
import keyword
import tokenize
from pathlib import Path

Line = list[tuple[str, str]]
"""Pieces of (kind, text); the kind is "" for plain text."""

_KINDS = {tokenize.COMMENT: "comment", tokenize.STRING: "string", tokenize.NUMBER: "number"}
# From Python 3.12 on an f-string is several tokens.
for _name in ("FSTRING_START", "FSTRING_MIDDLE", "FSTRING_END"):
    if hasattr(tokenize, _name):
        _KINDS[getattr(tokenize, _name)] = "string"


def listing(path: Path) -> list[Line]:
    """The lines of a Python file. Blocks on the disk."""
    source = path.read_text(encoding="utf-8")
    lines = source.splitlines()
    listed: list[Line] = [[] for _ in lines]
    done = [0] * len(lines)  # how far each line is listed
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        kind = _KINDS.get(token.type, "")
        if token.type == tokenize.NAME and keyword.iskeyword(token.string):
            kind = "word"
        if not kind:
            continue
        (first, start), (last, end) = token.start, token.end
        for row in range(first - 1, last):
            line = lines[row]
            left = start if row == first - 1 else 0
            right = end if row == last - 1 else len(line)
            listed[row] += [("", line[done[row] : left]), (kind, line[left:right])]
            done[row] = right
    for row, line in enumerate(lines):
        listed[row].append(("", line[done[row] :]))
    return [[piece for piece in pieces if piece[1]] for pieces in listed]
