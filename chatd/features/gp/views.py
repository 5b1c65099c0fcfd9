"""GPs as the wire shows them."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from math import ceil
from typing import NamedTuple

from msgspec import UNSET

from chatd.core.context import Ctx
from chatd.features.accounts import service as accounts
from chatd.features.accounts.contract import MAX_CARDS
from chatd.features.accounts.contract import Card as Person
from chatd.features.gp import geo, rules, store
from chatd.features.gp.contract import GpArea, GpConversion, GpId, GpMember, GpView
from chatd.features.gp.geo import Place
from chatd.features.gp.rows import Card
from chatd.features.messages import service as messages


class Said(NamedTuple):
    """How much was said in a GP, and when last."""

    messages: int
    last: datetime


async def show(
    ctx: Ctx, ids: Sequence[GpId], place: Place | None, scores: Mapping[GpId, int] | None = None
) -> list[GpView]:
    """These GPs in their order, as the actor sees them; those that are gone are left out.

    A statement for the GPs, one for what was said, and one for each hundred members' names.
    """
    found = {card.id: card for card in await store.cards(ctx.db, ids)} if ids else {}
    cards = [found[gp_id] for gp_id in ids if gp_id in found]
    said = await messages.activity(ctx.db, [card.chat_id for card in cards])
    people = await _people(ctx, {user_id for card in cards for user_id in card.member_ids or ()})
    shown = []
    for card in cards:
        activity = said.get(card.chat_id)
        last = activity.last_message_at if activity and activity.last_message_at else card.created_at
        shown.append(
            _view(
                ctx,
                card,
                Said(activity.message_count if activity else 0, last),
                people,
                place,
                None if scores is None else scores.get(card.id),
            )
        )
    return shown


async def _people(ctx: Ctx, user_ids: Collection[str]) -> dict[str, Person]:
    wanted = sorted(user_ids)
    found: dict[str, Person] = {}
    for i in range(0, len(wanted), MAX_CARDS):
        cards = await accounts.get_cards(ctx, wanted[i : i + MAX_CARDS])
        found.update((person.id, person) for person in cards.users)
    return found


def _view(
    ctx: Ctx, card: Card, said: Said, people: Mapping[str, Person], place: Place | None, score: int | None
) -> GpView:
    now, members = ctx.clock.now(), card.member_ids or []
    mine = ctx.actor.user_id in members
    left = max(0.0, (card.expires_at - now).total_seconds())
    status = rules.status_at(card, now)
    return GpView(
        id=card.id,
        chat_id=card.chat_id if mine else None,
        category=card.category,
        sub_type=card.sub_type,
        specific_name=card.specific_name,
        genre=card.genre,
        talk_topics=card.topics,
        description=card.description,
        creation_reason=card.creation_reason,
        reason_note=card.reason_note,
        location=GpArea(city=card.city, zone=card.zone),
        created_by=card.created_by,
        members=_members(card, people),
        member_count=card.member_count,
        max_members=ctx.settings.gp.max_members,
        is_member=mine,
        status=status,
        distance=None if place is None else geo.shown_km(geo.km_between(place.cell, card.cell)),
        time_left=ceil(left / 60) if status == "active" else 0,
        created_at=card.created_at,
        expires_at=card.expires_at,
        message_count=said.messages,
        last_activity=said.last,
        permanent_conversion=_conversion(ctx, card, now),
        priority_score=UNSET if score is None else score,
    )


def _members(card: Card, people: Mapping[str, Person]) -> list[GpMember]:
    shown = []
    for user_id, joined_at in zip(card.member_ids or (), card.joined_ats or (), strict=True):
        person = people.get(user_id)
        if person is not None:  # not one whose account has just gone
            shown.append(
                GpMember(
                    id=user_id,
                    display_name=person.display_name,
                    avatar_url=person.avatar_url,
                    joined_at=joined_at,
                    is_creator=user_id == card.created_by,
                )
            )
    return shown


def _conversion(ctx: Ctx, card: Card, now: datetime) -> GpConversion:
    status, retry_at = rules.conversion_at(card, now), card.vote_retry_at
    if status == "failed" and card.conversion == "voting" and card.vote_closes_at is not None:
        retry_at = card.vote_closes_at + timedelta(minutes=ctx.settings.gp.vote_retry_minutes)
    return GpConversion(
        status=status,
        eligible_at=card.eligible_at,
        yes=card.yes,
        no=card.no,
        voters=card.voters,
        needed=rules.needed(card.voters),
        closes_at=card.vote_closes_at,
        retry_at=retry_at if status == "failed" else None,
    )
