"""Folding what looks alike: letters of other alphabets, signs for letters, stretched and spaced words.

Filters compare what people see, not what they typed: "d4mn", "daaaamn" and "d a m n" are one word. What is
folded is only compared, never shown.
"""

import re
import unicodedata

#: Letters of other alphabets that look like Latin ones (after Unicode TR39's confusables, the common part).
_ALIKE = str.maketrans(
    "авекмнорстухіјѕԁɡɩʟոսԛԝαβεηικμνορτυχγωłøđħŧı",
    "abekmhopctyxijsdgilnuqwabenikuvoptuxywlodhti",
)
#: Signs that stand for letters inside a word.
_SIGNS = str.maketrans("01345789@$!|+€£", "oieastbgasiitel")
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]"
)
_TOKEN = re.compile(r"[^\s\"'`.,;:?()\[\]{}<>/\\=~^*_#%&-]+")
_PLAIN = re.compile(r"[^\W\d_]+")
_STRETCHED = re.compile(r"(.)\1{2,}")
#: Single characters with one blank or sign between them, three or more: a word that was spaced.
_SPACED = re.compile(r"(?<![^\W_])(?:[^\W_]|[@$!])(?:[ .\-_*](?:[^\W_]|[@$!])(?![^\W_])){2,}")
_SEPARATORS = re.compile(r"[ .\-_*]+")


def fold(text: str) -> str:
    """Lower case, Latin letters for what looks like them, no accents, nothing invisible."""
    if text.isascii():
        return text.lower()
    text = unicodedata.normalize("NFKD", _INVISIBLE.sub("", text)).casefold()
    return "".join(c for c in text.translate(_ALIKE) if not unicodedata.combining(c))


def words(folded: str) -> set[str]:
    """The words of a folded text, each in every form that it may be meant in."""
    found = set(_PLAIN.findall(folded))
    odd = [token for token in _TOKEN.findall(folded) if not token.isalpha()]
    odd += [_SEPARATORS.sub("", spaced) for spaced in _SPACED.findall(folded)]
    for token in odd:
        bare = token.strip("!@$|+")
        if any(c.isalpha() for c in bare):
            found.update((bare.translate(_SIGNS), token.translate(_SIGNS)))
    for word in [word for word in found if _STRETCHED.search(word)]:
        # A stretched letter was one, or two.
        found.update((_STRETCHED.sub(r"\1", word), _STRETCHED.sub(r"\1\1", word)))
    return found
