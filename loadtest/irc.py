"""Transcripts of IRC channels as conversations: who said what, when.

Understood are ``[HH:MM] <nick> text``, ``=== nick is now known as other`` and ``=== nick [host] has
joined | left | quit``; every other line is counted and passed over.
"""

import codecs
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

DAY_S = 86_400.0
#: A clock that steps back by no more than this was put right; by more, the day rolled over.
SLIP_S = 3_600.0
#: What lies between the end of one transcript and the beginning of the next.
BREAK_S = 60.0

_SAID = re.compile(r"\[(\d{1,2}):(\d{2})(?::(\d{2}))?\] <[@+%~& ]*([^>\s]+) *> ?(.*)", re.DOTALL)
_RENAMED = re.compile(r"=== (\S+) is now known as (\S+)\s*")
# Old logs cut such lines at a width, so "has jo" has to do.
_CAME = re.compile(r"=== (\S+) \[.* has j")
_WENT = re.compile(r"=== (\S+) \[.* has [lq]|=== (\S+) has (?:left|quit)\b")


@dataclass(frozen=True, slots=True)
class Utterance:
    """One thing said: seconds since the conversation began, an index into ``people``, the words."""

    at: float
    person: int
    text: str


@dataclass
class Conversation:
    """What was said, oldest first; ``counts`` says how many lines there were of which kind."""

    people: list[str] = field(default_factory=list)
    said: list[Utterance] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


class Cast:
    """Who stands behind a nick now. A rename follows the person; a nick left behind is free again."""

    def __init__(self) -> None:
        self.people: list[str] = []
        self._now: dict[str, int] = {}
        self._names: Counter[str] = Counter()

    def behind(self, nick: str) -> int:
        """The person of this nick; somebody new where it is nobody's."""
        person = self._now.get(nick)
        if person is None:
            self._names[nick] += 1
            times = self._names[nick]
            person = self._now[nick] = len(self.people)
            self.people.append(nick if times == 1 else f"{nick} ({times})")
        return person

    def rename(self, old: str, new: str) -> None:
        # Who never spoke needs no person: should they speak, they will be made under the new nick.
        person = self._now.pop(old, None)
        if person is not None:
            self._now[new] = person


def read(paths: Sequence[Path]) -> Conversation:
    """The transcripts one after the other as one conversation; a nick in two of them is one person.

    Raises OSError for a file that cannot be read.
    """
    conversation, cast, start = Conversation(), Cast(), 0.0
    for path in paths:
        parse(path.read_bytes().split(b"\n"), cast, conversation, start)
        if conversation.said:
            start = conversation.said[-1].at + BREAK_S
    conversation.people = cast.people
    return conversation


def parse(lines: Iterable[bytes], cast: Cast, into: Conversation, start: float = 0.0) -> None:
    """Add a transcript's lines to a conversation; its first utterance is at ``start`` seconds."""
    said: list[tuple[float, int, str]] = []
    for raw in lines:
        line = decode(raw.removesuffix(b"\r"))
        if (match := _SAID.fullmatch(line)) and (clock := _clock(*match.group(1, 2, 3))) is not None:
            said.append((clock, cast.behind(match[4]), match[5]))
            into.counts["said"] += 1
        elif match := _RENAMED.fullmatch(line):
            cast.rename(match[1], match[2])
            into.counts["renames"] += 1
        elif _CAME.match(line):
            into.counts["joins"] += 1
        elif _WENT.match(line):
            into.counts["leaves"] += 1
        elif line:
            into.counts["other"] += 1
    times = _spread(_unroll([clock for clock, _, _ in said]))
    into.said.extend(
        Utterance(start + at, person, text) for at, (_, person, text) in zip(times, said, strict=True)
    )


def decode(line: bytes) -> str:
    """UTF-8; every byte that is not, is taken for Latin-1, as in channels where both were spoken."""
    return line.decode("utf-8", "latin-1-bytes")


def _latin_1_bytes(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return error.object[error.start : error.end].decode("latin-1"), error.end


codecs.register_error("latin-1-bytes", _latin_1_bytes)


def _clock(hours: str, minutes: str, seconds: str | None) -> float | None:
    """Seconds since midnight; None for a time that no clock shows."""
    h, m, s = int(hours), int(minutes), int(seconds or 0)
    return float(h * 3600 + m * 60 + s) if h < 24 and m < 60 and s < 60 else None


def _unroll(clocks: Sequence[float]) -> list[float]:
    """Times of day as seconds since the first, which never go back.

    A step back is a midnight; or a noon, in logs whose clock has twelve hours; or, if small, a clock
    put right, after which time goes on from where it was.
    """
    twelve = all(3600 <= clock < DAY_S / 2 + 3600 for clock in clocks)
    around = DAY_S / 2 if twelve else DAY_S
    times: list[float] = []
    shift = 0.0
    for clock in clocks:
        last = times[-1] if times else clock
        back = last - (clock + shift)
        if back > SLIP_S:
            shift += around
        elif back > 0:
            shift += back
        times.append(clock + shift)
    return [time - times[0] for time in times]


def _spread(times: list[float]) -> list[float]:
    """Times to the minute, with what was said in the same minute spread over it evenly."""
    spread: list[float] = []
    i = 0
    while i < len(times):
        n = 1
        while i + n < len(times) and times[i + n] == times[i]:
            n += 1
        # Never past the next time, where the log has seconds.
        room = min(60.0, times[i + n] - times[i]) if i + n < len(times) else 60.0
        spread.extend(times[i] + room * k / n for k in range(n))
        i += n
    return spread
