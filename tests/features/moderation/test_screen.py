"""What filters find in texts: what people see, whatever was typed."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chatd.core.clock import SystemClock
from chatd.core.context import Admitted
from chatd.core.ids import UuidIds
from chatd.features.moderation.contract import (
    Config,
    Filter,
    FloodConfig,
    LinksConfig,
    NewAccountConfig,
    RepeatConfig,
    WordsConfig,
)
from chatd.features.moderation.folding import fold, words
from chatd.features.moderation.screen import FilterScreen
from chatd.realtime.limits import LocalRates

IDS = UuidIds()
USER = IDS.new("usr")


class Rates:
    """The limiter's protocol over one process's rates."""

    def __init__(self) -> None:
        self.rates = LocalRates(SystemClock())

    async def require(self, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError

    async def admit(
        self, bucket: str, counts: Mapping[str, int], *, limit: int, period_s: float, burst: int = 0
    ) -> dict[str, Admitted]:
        return {
            key: self.rates.admit(f"{bucket}{key}", asked, limit=limit, period_s=period_s, burst=burst)
            for key, asked in counts.items()
        }


def filter_(
    config: Config, action: str = "flag", *, name: str = "it", position: int = 1, enabled: bool = True
) -> Filter:
    now = datetime.now(UTC)
    return Filter(IDS.new("flt"), name, action, config, enabled, position, now)  # type: ignore[arg-type]


def screen(*filters: Filter, muted: Mapping[str, datetime] | None = None) -> FilterScreen:
    made = FilterScreen(scans=False)
    made.use(1, filters, muted or {})
    return made


async def said(made: FilterScreen, *texts: str, user: str = USER, rates: Rates | None = None) -> list[str]:
    """What each text is stored as."""
    found = await made.judge(rates or Rates(), [(user, text) for text in texts])
    return [found[i].status if i in found else "visible" for i in range(len(texts))]


@pytest.mark.parametrize(
    "text",
    [
        "damn",
        "Oh DAMN it",
        "damn!",
        '"damn",he said',
        "d4mn",
        "d@mn",
        "dаmn",  # noqa: RUF001  a Cyrillic letter
        "ｄａｍｎ",  # noqa: RUF001  full width
        "dámñ",
        "da\u200bmn",
        "d\u00adamn",
        "daaaaamn",
        "DAMNNNNN",
        "d a m n",
        "so d.a.m.n sure",
        "d-a-m-n",
        "d_4_m_n",
        "\u1d05\u1d00\u1d0d\u0274",  # small capitals
        "\U0001f173\U0001f170\U0001f17c\U0001f17d",  # in boxes
        "\U0001f1e9 \U0001f1e6 \U0001f1f2 \U0001f1f3",  # flags
        "𝐝𝐚𝐦𝐧",  # noqa: RUF001  mathematical bold
    ],
)
async def test_a_word_is_found_however_it_is_dressed(text: str) -> None:
    assert await said(screen(filter_(WordsConfig(words=["damn"]))), text) == ["flagged"]


@pytest.mark.parametrize(
    "text", ["Amsterdamned", "the dam needs work", "dam n", "adman", "damnation", "4 4 5 5", "", "d", "455"]
)
async def test_other_words_are_left_alone(text: str) -> None:
    assert await said(screen(filter_(WordsConfig(words=["damn", "ass"]))), text) == ["visible"]


async def test_words_that_were_let_through_before_spell_nothing_new_together() -> None:
    made = screen(filter_(WordsConfig(words=["damn"], parts=["heck"])))
    for text in (
        "d-a",
        "m-n",
        "da mn",
        "d",
        "n",
        "am",
        "a",
        "m",
        "(da)",
        "d.",
        "🎉",
        "-",
        "4",
        "d4",
        "well 'eck",
        "dam",
    ):
        assert await said(made, text) == ["visible"], text
    for text in ("d-a m-n", "d a m n", "d.a m.n", "h3ck", "(damn)", "dam damn", "well heck"):
        assert await said(made, text) == ["flagged"], text
        assert await said(made, text) == ["flagged"], text


async def test_words_of_other_alphabets_can_be_listed_too() -> None:
    assert await said(screen(filter_(WordsConfig(words=["чёрт"]))), "Чёрт возьми", "добрый день") == [
        "flagged",
        "visible",
    ]


async def test_a_one_is_an_i_or_an_l() -> None:
    made = screen(filter_(WordsConfig(words=["hell", "shit"])))
    assert await said(made, "he11", "sh1t", "he!l", "11", "1 hill") == [*["flagged"] * 3, *["visible"] * 2]


async def test_parts_are_found_inside_words() -> None:
    made = screen(filter_(WordsConfig(parts=["damn"]), "hide"))
    assert await said(made, "goddamned", "dam nation") == ["hidden", "visible"]


def test_folding_ends_soon_on_what_is_made_to_be_slow() -> None:
    """A thousand times what a message may be: in the square of that, this would not end."""
    for text in ("a ", "a.a", "!", "a!", "d-", "\u0430"):
        assert fold(text * 1_000_000)
        words(fold(text * 1_000_000))


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("look https://bit.ly/abc", "flagged"),
        ("look BIT.LY/abc", "flagged"),
        ("www.bit.ly", "flagged"),
        ("https://sub.bad.example/x", "flagged"),
        ("https://notbad.example/x", "visible"),
        ("https://example.org/bit.ly/", "visible"),
        ("http://203.0.113.7/login", "flagged"),
        ("http://[2001:db8::1]/login", "flagged"),
        ("https://xn--pple-43d.example/", "flagged"),
        ("https://аpple.example/", "flagged"),  # noqa: RUF001  a Cyrillic letter
        ("https://сосо.example/", "flagged"),  # noqa: RUF001  all Cyrillic
        ("https://münchen.example/", "visible"),
        ("https://пример.example.рф/", "visible"),
        ("https://bank.example@evil.example/", "flagged"),
        ("mail me: bob@bit.ly", "visible"),
        ("version 1.2.3/4 is out", "visible"),
        ("http://[", "visible"),
        ("no link at all.", "visible"),
        ("https://good.bad.example/", "visible"),
        ("https://bad\u3002example/", "flagged"),  # a full stop of Chinese
        ("https://b\uff41d.example/", "flagged"),  # an a of full width
        ("https://ba\u200bd.example/", "flagged"),  # something invisible
        ("https://b%61d.example/", "flagged"),
        ("https://bad.example\\.example.org/", "flagged"),  # ends where a browser ends it
        ("https://BAD.example./", "flagged"),
    ],
)
async def test_links_are_judged_by_their_hosts(text: str, status: str) -> None:
    config = LinksConfig(
        domains=["bad.example"],
        shorteners=["bit.ly"],
        spare=["good.bad.example"],
        punycode=True,
        addresses=True,
        user_info=True,
    )
    assert await said(screen(filter_(config)), text) == [status]


async def test_repeated_content_is_counted_without_its_blanks() -> None:
    made, rates = screen(filter_(RepeatConfig(times=2, within_s=60, min_length=5), "block")), Rates()
    texts = ["buy now", "BUY  now", "something else", "buy now", "hi", "hi", "hi"]
    assert await said(made, *texts, rates=rates) == ["visible"] * 3 + ["refused"] + ["visible"] * 3
    assert await said(made, "buy now", rates=rates) == ["refused"]
    assert await said(made, "buy now", user=IDS.new("usr"), rates=rates) == ["visible"]


async def test_a_flood_silences_for_as_long_as_the_filter_says() -> None:
    made = screen(filter_(FloodConfig(messages=3, within_s=10, silence_s=42), "silence"))
    found = await made.judge(Rates(), [(USER, f"{i}") for i in range(5)])
    assert sorted(found) == [3, 4]
    assert found[3].status == "silenced"
    assert found[3].silence_s == 42


async def test_new_accounts_are_known_by_their_ids() -> None:
    config = NewAccountConfig(younger_than_s=3600, messages=2, within_s=60, links=False)
    old = "usr_01h455vb4pex5vsknk084sn02q"  # of 2023
    made, rates = screen(filter_(config, "block")), Rates()
    texts = ["hi", "see https://example.org/", "there"]
    assert await said(made, *texts, rates=rates) == ["visible", "refused", "refused"]
    assert await said(made, *texts, user=old, rates=rates) == ["visible"] * 3


async def test_the_most_severe_is_heard_and_allow_ends_the_asking() -> None:
    bad, worse = WordsConfig(words=["damn"]), WordsConfig(words=["hell"])
    made = screen(
        filter_(bad, "block", name="bad", position=2),
        filter_(worse, "hide", name="worse", position=3),
        filter_(WordsConfig(words=["quote"]), "allow", position=1),
        filter_(WordsConfig(words=["hi"]), "silence", enabled=False),
    )
    assert await said(made, "damn hell", "hell", "hi", "quote damn hell") == [
        "refused",
        "hidden",
        "visible",
        "visible",
    ]


async def test_who_is_muted_everywhere_is_so_until_then() -> None:
    now = datetime.now(UTC)
    later, before = now + timedelta(minutes=1), now - timedelta(minutes=1)
    assert await said(screen(muted={USER: later}), "hi") == ["muted"]
    assert await said(screen(muted={USER: before}), "hi") == ["visible"]
