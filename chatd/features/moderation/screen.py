"""The filters as they run: compiled once, asked of every text before it is stored.

A node keeps its own copy (``core.context.Screen``) and looks every few seconds whether the tables have
changed; a text is judged without a query. Filters that count (repeats, floods, new accounts) count over all
nodes through the limiter, and cost a round trip only while one of them is on.
"""

import re
import time
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from hashlib import blake2b
from ipaddress import ip_address
from urllib.parse import unquote, urlsplit

from chatd.core.context import Judgement, Limiter
from chatd.core.ids import to_bytes
from chatd.features.moderation.contract import (
    Filter,
    FloodConfig,
    LinksConfig,
    NewAccountConfig,
    RepeatConfig,
    WordsConfig,
)
from chatd.features.moderation.folding import INVISIBLE, fold, words

#: From the mildest; where several filters speak, the most severe is heard. ``allow`` ends the asking.
_STATUS = {"flag": "flagged", "hide": "hidden", "block": "refused", "silence": "silenced"}
_SEVERITY = {status: severity for severity, status in enumerate(_STATUS.values())}
_LINK = re.compile(
    r"(?:https?://|www\.)\S+|(?<![\w@])(?:[^\W_](?:[\w-]*[^\W_])?\.)+[^\W\d_]{2,}/\S*", re.IGNORECASE
)

#: How many words a filter remembers to have found nothing in.
MAX_KNOWN = 50_000
#: What it may remember: a word of several letters (it's, too), a number of several digits, an emoji, a dash.
_PLAIN = re.compile(
    r"""["'(]*(?:[^\W\d_]{2,}(?:['\u2019][^\W\d_]+)?|\d{2,})[.,;:?!)"']*"""
    r"""|[^\w\s@$!|+€£\U0001f150-\U0001f1ff]+"""  # but no letter in a disc, box or flag
)
#: Words of one letter, which no word is spelled with.
_ALONE = frozenset("ai")

Says = Callable[["_Text"], bool]


class _Text:
    """One text and its sender, read once however many filters ask."""

    __slots__ = ("_folded", "_hosts", "_pieces", "_words", "text", "user_id")

    def __init__(self, user_id: str, text: str) -> None:
        self.user_id, self.text = user_id, text
        self._folded: str | None = None
        self._words: set[str] | None = None
        self._pieces: list[str] | None = None
        self._hosts: list[tuple[str, bool]] | None = None

    @property
    def folded(self) -> str:
        if self._folded is None:
            self._folded = fold(self.text)
        return self._folded

    @property
    def words(self) -> set[str]:
        if self._words is None:
            self._words = words(self.folded)
        return self._words

    @property
    def pieces(self) -> list[str]:
        """What stands between blanks, lower case."""
        if self._pieces is None:
            self._pieces = self.text.lower().split()
        return self._pieces

    @property
    def hosts(self) -> list[tuple[str, bool]]:
        """The host of every link, lower case, and whether somebody's name stands before it."""
        if self._hosts is None:
            # Few texts have what a link must have, and to look for that costs next to nothing.
            text = self.text
            maybe = "/" in text or "www." in text or "WWW." in text
            found = _LINK.findall(text) if maybe else []
            self._hosts = [host for link in found if (host := _host(link)) is not None]
        return self._hosts

    @property
    def age_s(self) -> float:
        """How long the account has been there: an id is a UUIDv7, which begins with its time in ms."""
        return time.time() - int.from_bytes(to_bytes(self.user_id)[:6], "big") / 1000


class FilterScreen:
    """What ``ctx.screen`` is on a node that serves. Empty until ``use``."""

    def __init__(self, *, scans: bool) -> None:
        self.scans = scans
        self.version: object = None
        self._content: list[tuple[Filter, Says]] = []
        self._counting: list[Filter] = []
        self._muted: Mapping[str, datetime] = {}

    def use(self, version: object, filters: Sequence[Filter], muted: Mapping[str, datetime]) -> None:
        """These filters from now on, and who is muted everywhere until when."""
        on = sorted((f for f in filters if f.enabled), key=lambda f: (f.position, f.id))
        self._content = [
            (f, _compile(f.config)) for f in on if isinstance(f.config, WordsConfig | LinksConfig)
        ]
        self._counting = [f for f in on if not isinstance(f.config, WordsConfig | LinksConfig)]
        self._muted, self.version = muted, version

    async def judge(self, limiter: Limiter, texts: Sequence[tuple[str, str]]) -> dict[int, Judgement]:
        """Of (sender's id, text): the place, from 0, of each that there is something to say of."""
        found: dict[int, Judgement] = {}
        allowed: set[int] = set()
        read = [_Text(user_id, text) for user_id, text in texts]
        for place, text in enumerate(read):
            self._judge_content(place, text, found, allowed)
        for each in self._counting:
            for place in await _over(limiter, each, read):
                if place not in allowed:
                    _hear(found, place, each)
        if self._muted:
            now = time.time()
            for place, text in enumerate(read):
                until = self._muted.get(text.user_id)
                if until is not None and until.timestamp() > now:
                    found[place] = Judgement("muted", "server mute")
        return found

    def _judge_content(self, place: int, text: _Text, found: dict[int, Judgement], allowed: set[int]) -> None:
        for each, says in self._content:
            if says(text):
                if each.action == "allow":
                    allowed.add(place)
                    return
                _hear(found, place, each)


def _hear(found: dict[int, Judgement], place: int, said: Filter) -> None:
    if said.action == "allow":
        return
    before, status = found.get(place), _STATUS[said.action]
    if before is None or _SEVERITY[status] > _SEVERITY[before.status]:
        found[place] = Judgement(status, said.name, said.config.silence_s)


def _compile(config: object) -> Says:
    if isinstance(config, WordsConfig):
        return _words(config)
    if isinstance(config, LinksConfig):
        return _links(config)
    raise TypeError(f"{config!r} does not read texts")


def _words(config: WordsConfig) -> Says:
    whole = frozenset(fold(word) for word in config.words)
    parts = [re.escape(fold(part)) for part in config.parts]
    anywhere = re.compile("|".join(sorted(parts, key=len, reverse=True))) if parts else None
    # Nearly all of what people write are words that were looked at before: these are let through unread. A
    # letter that stands alone is not among them, so that together they spell nothing new either.
    known = set(_ALONE - whole)

    def says(text: _Text) -> bool:
        if known.issuperset(text.pieces):
            return False
        if not whole.isdisjoint(text.words):
            return True
        if anywhere is not None and any(anywhere.search(word) for word in text.words):
            return True
        if len(known) > MAX_KNOWN:
            known.clear()
        known.update(piece for piece in text.pieces if _PLAIN.fullmatch(piece))
        return False

    return says


def _links(config: LinksConfig) -> Says:
    listed = frozenset(host.lower() for host in (*config.domains, *config.shorteners))
    spared = frozenset(host.lower() for host in config.spare)

    def says(text: _Text) -> bool:
        return any(
            not _within(host, spared)
            and (
                config.any
                or _within(host, listed)
                or (config.punycode and _is_disguised(host))
                or (config.addresses and _is_address(host))
                or (config.user_info and named)
            )
            for host, named in text.hosts
        )

    return says


def _host(link: str) -> tuple[str, bool] | None:
    """The host as a browser has it (WHATWG URL, "host parsing"), and whether a name stands before it."""
    # A backslash ends the host as a slash does; what cannot be seen in it is not there.
    link = INVISIBLE.sub("", link).replace("\\", "/")
    try:
        parts = urlsplit(link if "://" in link else f"http://{link}")
        host = parts.hostname
    except ValueError:
        return None  # no address of anything, whatever it looks like
    if not host:
        return None
    # Letters of other widths are the plain ones, the full stops of Chinese are dots, and %65 is an e.
    host = unicodedata.normalize("NFKC", unquote(host)).replace("\u3002", ".")
    return host.rstrip(".").lower(), parts.username is not None


def _within(host: str, domains: frozenset[str]) -> bool:
    """Whether the host is one of the domains or under one."""
    labels = host.split(".")
    return any(".".join(labels[i:]) in domains for i in range(len(labels)))


def _is_disguised(host: str) -> bool:
    """A name that is not what it looks like: letters of two alphabets in one label, a label of look-alikes
    alone under a Latin ending, or the ASCII form of whatever it is.
    """
    labels = host.split(".")
    for label in labels:
        if label.startswith("xn--"):
            return True
        foreign = any(c.isalpha() and not unicodedata.name(c, "").startswith("LATIN") for c in label)
        if foreign and any("a" <= c <= "z" for c in label):
            return True
        if foreign and labels[-1].isascii() and fold(label).isascii():
            return True
    return False


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


async def _over(limiter: Limiter, each: Filter, texts: Sequence[_Text]) -> list[int]:
    """The places of texts that are too many for a filter that counts."""
    config = each.config
    keys: dict[int, str] = {}
    refused: list[int] = []
    match config:
        case RepeatConfig():
            keys = {
                i: f"{t.user_id}:{_digest(t.folded)}"
                for i, t in enumerate(texts)
                if len(t.text) >= config.min_length
            }
            limit = config.times
        case FloodConfig():
            keys, limit = {i: t.user_id for i, t in enumerate(texts)}, config.messages
        case NewAccountConfig():
            new = {i: t for i, t in enumerate(texts) if t.age_s < config.younger_than_s}
            refused = [i for i, t in new.items() if t.hosts and not config.links]
            keys, limit = {i: t.user_id for i, t in new.items()}, config.messages
        case _:
            return []
    if not keys:
        return refused
    admitted = await limiter.admit(
        f"filter:{each.id}", Counter(keys.values()), limit=limit, period_s=config.within_s
    )
    left = {key: found.count for key, found in admitted.items()}
    for place, key in keys.items():
        left[key] -= 1
        if left[key] < 0:
            refused.append(place)
    return refused


def _digest(text: str) -> str:
    # Blanks do not make a text another one.
    return blake2b(" ".join(text.split()).encode(), digest_size=12).hexdigest()
