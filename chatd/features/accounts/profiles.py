"""Profiles: who sees what of a user, and who may change it."""

from collections.abc import Callable, Collection
from typing import Any

import msgspec
from msgspec import UNSET

from chatd.core.context import Ctx, Queries
from chatd.core.errors import Forbidden, UserNotFound, ValidationFailed
from chatd.core.ids import UserId
from chatd.features.accounts import rules, store
from chatd.features.accounts.avatars import already_shows
from chatd.features.accounts.bans import rank, standing
from chatd.features.accounts.contract import MAX_CARDS, Cards, PatchProfile, Person, Profile
from chatd.features.audit import service as audit
from chatd.features.relations import service as relations


async def person(db: Queries, user_id: str) -> Person:
    """All of an account but its secrets, for its owner. Raises UserNotFound."""
    found = await store.find_person(db, user_id)
    if found is None:
        raise UserNotFound
    return found


async def get_profile(ctx: Ctx, user_id: str) -> Profile:
    """The user as the actor may see them. Raises UserNotFound."""
    me, whose = ctx.actor.user_id, await person(ctx.db, _resolve(ctx, user_id))
    if whose.id == me:
        return own(whose)
    if await relations.profiles_hidden(ctx.db, me, [whose.id]):
        return _name_alone(whose)
    shown = await relations.last_seen_is_shown(ctx.db, me, whose.id)
    return _public(whose) if shown else msgspec.structs.replace(_public(whose), last_active_at=None)


async def get_cards(ctx: Ctx, user_ids: Collection[str]) -> Cards:
    """Names for ids, and the pictures of those who show the actor their profile.

    Raises ValidationFailed for more than MAX_CARDS, or for what is no user's id.
    """
    if len(user_ids) > MAX_CARDS:
        raise ValidationFailed.at("$.ids", f"at most {MAX_CARDS} users")
    try:
        wanted = msgspec.convert(list(user_ids), list[UserId])
    except msgspec.ValidationError:
        raise ValidationFailed.at("$.ids", "expected user ids") from None
    hidden = await relations.profiles_hidden(ctx.db, ctx.actor.user_id, wanted)
    return Cards(
        users=[
            msgspec.structs.replace(card, avatar_url=None) if card.id in hidden else card
            for card in await store.find_cards(ctx.db, wanted)
        ]
    )


async def patch_profile(ctx: Ctx, user_id: str, wanted: PatchProfile) -> None:
    """Change one's own profile, or as admin anybody's. Raises Forbidden, UserNotFound, ValidationFailed."""
    user_id, me = _resolve(ctx, user_id), ctx.actor.user_id
    if user_id != me and rank((await standing(ctx, ctx.db, me)).roles) < rank(["admin"]):
        raise Forbidden("This is not your profile")
    given = {name: value for name, value in msgspec.structs.asdict(wanted).items() if value is not UNSET}
    async with ctx.db.transaction() as tx:
        if "avatar_url" in given and await already_shows(tx, UserId(user_id), given["avatar_url"]):
            del given["avatar_url"]
        checked = {name: _CHECKS[name](value) for name, value in given.items()}
        if not await store.patch_user(tx, user_id, list(checked), now=ctx.clock.now(), **checked):
            raise UserNotFound
        if user_id != me:
            await audit.record(tx, me, "user.profile", target=("user", user_id), fields=sorted(checked))


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "display_name": rules.display_name,
    "bio": rules.bio,
    "city": lambda value: rules.line("$.city", value),
    "avatar_url": rules.avatar_url,
    "interests": rules.interests,
    "icebreaker_prompt_id": lambda value: rules.line("$.icebreaker_prompt_id", value),
    "time_zone": rules.time_zone,
    "settings": rules.settings,
}


def _resolve(ctx: Ctx, user_id: str) -> str:
    return ctx.actor.user_id if user_id == "me" else user_id


def _public(person: Person) -> Profile:
    return Profile(
        id=person.id,
        display_name=person.display_name,
        bio=person.bio,
        city=person.city,
        avatar_url=person.avatar_url,
        interests=person.interests,
        badges=[],  # nothing here gives badges, and nobody has clubs, until rooms do that
        premium_tier=person.premium_tier,
        mutual_clubs=[],
        last_active_at=person.last_active_at,
    )


def _name_alone(person: Person) -> Profile:
    """What is shown of somebody who shows the viewer no more: who it is that speaks."""
    return Profile(
        id=person.id,
        display_name=person.display_name,
        bio=None,
        city=None,
        avatar_url=None,
        interests=[],
        badges=[],
        premium_tier=None,
        mutual_clubs=[],
        last_active_at=None,
    )


def own(person: Person) -> Profile:
    """What its owner sees."""
    return msgspec.structs.replace(
        _public(person),
        email=person.email,
        email_verified=person.email_verified,
        roles=person.roles,
        time_zone=person.time_zone,
        icebreaker_prompt_id=person.icebreaker_prompt_id,
        settings=person.settings,
        created_at=person.created_at,
    )
