"""The words of gp-groups.md: what a GP may be, be about, and be made for."""

from typing import Final, Literal, NamedTuple

Category = Literal["Vibe GP", "Movie GP", "Anime GP", "Other GP"]
Topic = Literal[
    "Life stuff",
    "Overthinking & mental vibe",
    "Random fun & nonsense",
    "Movie / Anime discussion",
    "Fan theories",
    "Day experiences",
    "Trip planning",
    "Roast sessions",
    "Meme talk",
    "Relationship stuff",
    "Career / ambitions",
]
Reason = Literal[
    "Feeling bored",
    "Feeling lonely today",
    "Want to meet new people",
    "Need people with same movie/anime interest",
    "Want people with same vibe",
    "Just for fun",
    "Planning something",
    "Want deep discussions",
    "Want a safe chill space",
]

SUB_TYPES: Final[dict[str, tuple[str, ...]]] = {
    "Vibe GP": ("Fun", "Chill", "Overthinker", "Chaos", "Calm", "Random Talk"),
    "Movie GP": ("Movie Name", "Genre"),
    "Anime GP": ("Anime Name", "Genre"),
    "Other GP": ("Standup", "Travel", "Trip", "Tech Talk", "Music", "Sports"),
}
GENRES: Final[dict[str, tuple[str, ...]]] = {
    "Movie GP": ("Horror", "Action", "Sci-Fi", "Comedy", "Drama", "Romance", "Thriller", "Fantasy"),
    "Anime GP": (
        "Shounen",
        "Romance",
        "Isekai",
        "Slice of Life",
        "Action",
        "Comedy",
        "Drama",
        "Fantasy",
    ),
}


class Kind(NamedTuple):
    """A category and one of its sub-types."""

    category: str
    sub_type: str


def kinds(category: str | None, sub_type: str | None, vibe: str | None) -> list[Kind]:
    """The kinds that fit these filters; all where there are none. A vibe is the sub-type of a Vibe GP."""
    return [
        Kind(each, sub)
        for each, subs in SUB_TYPES.items()
        for sub in subs
        if category in (None, each)
        and sub_type in (None, sub)
        and (vibe is None or (each == "Vibe GP" and sub == vibe))
    ]


#: Sub-types that name one work, told in ``specificName``; the sub-type "Genre" asks for ``genre``.
NAMED: Final = frozenset({"Movie Name", "Anime Name"})

#: How far a list looks, in km: the next step where the last one found too few.
RADIUS_STEPS: Final = (10.0, 25.0, 50.0, 100.0, 500.0)
#: How many GPs the main screen shows.
SHOWN: Final = 7
