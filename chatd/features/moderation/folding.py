"""Folding what looks alike: letters of other alphabets, signs for letters, stretched and spaced words.

Filters compare what people see, not what they typed: "d4mn", "daaaamn" and "d a m n" are one word. What is
folded is only compared, never shown.
"""

import re
import unicodedata
from collections.abc import Iterator

#: Letters of other alphabets that look like Latin ones (after Unicode TR39's confusables, the common part).
_ALIKE = str.maketrans(
    "авекмнорстухіјѕԁɡɩʟոսԛԝαβεηικμνορτυχγωłøđħŧı",
    "abekmhopctyxijsdgilnuqwabenikuvoptuxywlodhti",
)
#: Small capitals, and letters in discs, boxes and flags, which no normalisation undoes.
_SMALL = (
    "\u1d00\u0299\u1d04\u1d05\u1d07\ua730\u0262\u029c\u026a\u1d0a\u1d0b\u029f"
    "\u1d0d\u0274\u1d0f\u1d18\u0280\ua731\u1d1b\u1d1c\u1d20\u1d21\u028f\u1d22"
)
_DRESSED = str.maketrans(_SMALL, "abcdefghijklmnoprstuvwyz") | {
    first + i: chr(ord("a") + i) for first in (0x1F150, 0x1F170, 0x1F1E6) for i in range(26)
}
_PLAIN_LETTERS = _ALIKE | _DRESSED
#: Signs that stand for letters inside a word.
_SIGNS = str.maketrans("01345789@$!|+€£", "oieastbgasiitel")
#: A one is an i, or an l.
_SIGNS_TOO = _SIGNS | str.maketrans("1!|", "lli")
INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]"
)
_MARKS = re.compile("[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]+")
_IN_WORDS = "@$!|+"
#: What parts words, in ASCII (by translate, which is much the fastest) and in all of Unicode.
_BREAKS = {c: " " for c in range(128) if not (chr(c).isalnum() or chr(c) in _IN_WORDS)}
_BREAK = re.compile(r"[^\w@$!|+]+|_+")
_ODD = re.compile(r"[0-9@$!|+€£]")
_STRETCHED = re.compile(r"([^\W\d_])\1\1+")


def fold(text: str) -> str:
    """Lower case, Latin letters for what looks like them, no accents, nothing invisible."""
    if text.isascii():
        return text.lower()
    plain = unicodedata.normalize("NFKD", INVISIBLE.sub("", text)).casefold()
    return _MARKS.sub("", plain).translate(_PLAIN_LETTERS)


def words(folded: str) -> set[str]:
    """The words of a folded text, each in every form that it may be meant in."""
    parted = folded.translate(_BREAKS) if folded.isascii() else _BREAK.sub(" ", folded)
    tokens = parted.split()
    found = set(tokens)
    # Every message pays for this much; what follows is for those in which there is something to undo.
    if _ODD.search(parted):
        for token in tokens:
            if not token.isalpha():
                found.update(_read_signs(token))
    if sum(1 for token in tokens if len(token) == 1) >= 3:
        found.update(form for spaced in _spaced(tokens) for form in _read_signs(spaced))
    if _STRETCHED.search(parted):
        for word in [word for word in found if _STRETCHED.search(word)]:
            # A stretched letter was one, or two.
            found.update((_STRETCHED.sub(r"\1", word), _STRETCHED.sub(r"\1\1", word)))
    return found


def _read_signs(token: str) -> tuple[str, ...]:
    """The token with letters for its signs, also without those at its ends; nothing for numbers."""
    bare = token.strip(_IN_WORDS)
    if not any(c.isalpha() for c in bare):
        return ()
    return bare, bare.translate(_SIGNS), token.translate(_SIGNS), bare.translate(_SIGNS_TOO)


def _spaced(tokens: list[str]) -> Iterator[str]:
    """Words that were written letter by letter: three or more in a row."""
    run = ""
    for token in (*tokens, ""):
        if len(token) == 1:
            run += token
        else:
            if len(run) >= 3:
                yield run
            run = ""
