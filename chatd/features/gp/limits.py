"""Who may create a GP now. What ``look`` tells is what ``take`` then keeps: both judge by ``_judge``."""

from datetime import datetime, timedelta

from msgspec import structs

from chatd.core.context import Ctx, Tx
from chatd.core.settings import Gp as Settings
from chatd.features.accounts import service as accounts
from chatd.features.gp import limits_store as store
from chatd.features.gp import rules
from chatd.features.gp.contract import (
    GpCategoryState,
    GpCooldownState,
    GpDailyState,
    GpLimits,
    GpLimitsAnswer,
    GpSystemState,
)
from chatd.features.gp.errors import GpCategoryLimit, GpCooldown, GpDailyLimit, GpSystemLimit
from chatd.features.gp.rows import Census, Creator

#: Whom ``MaxActiveGroups = ActiveUsers / 2.5`` counts.
ACTIVE = timedelta(hours=24)
#: A job counts the active users each minute; where none did for so long, whoever asks does.
STALE = timedelta(minutes=3)


async def look(ctx: Ctx, category: str | None) -> GpLimitsAnswer:
    """Whether ``create`` would let the actor now, and which limits stand against it."""
    me, now = ctx.actor.user_id, ctx.clock.now()
    await refresh_census(ctx, older_than=STALE)
    creator = await store.find_creator(ctx.db, me)
    category_until = await store.end_of_category(ctx.db, me, category, now) if category else None
    limits = _judge(creator, category, category_until, await store.census(ctx.db, now), now, ctx.settings.gp)
    return GpLimitsAnswer(can_create=_refusal(limits, None, now) is None, limits=limits)


async def take(tx: Tx, ctx: Ctx, category: str, time_zone: str | None) -> None:
    """Count a creation of the actor.

    Raises GpDailyLimit, GpCooldown, GpCategoryLimit, GpSystemLimit. Holds the actor's row and then the
    census until the transaction ends, so that of several at once each sees what the last has left.
    """
    me, now, settings = ctx.actor.user_id, ctx.clock.now(), ctx.settings.gp
    creator = await store.lock_creator(tx, me)
    category_until = await store.end_of_category(tx, me, category, now)
    # Two statements: the census must be read after its lock is held, not as it was before the wait.
    await store.lock_census(tx)
    limits = _judge(creator, category, category_until, await store.census(tx, now), now, settings)
    next_end = await store.next_end(tx, now) if limits.system.limit_reached else None
    refusal = _refusal(limits, next_end, now)
    if refusal is not None:
        raise refusal
    same_day = creator.day_ends_at > now
    await store.count_creation(
        tx,
        me,
        creator.day_ends_at if same_day else rules.day_end(now, time_zone, creator.day_ends_at),
        creator.day_count + 1 if same_day else 1,
        now + timedelta(seconds=settings.cooldown_s),
        now,
    )


async def refresh_census(ctx: Ctx, *, older_than: timedelta = timedelta(0)) -> None:
    """Count the active users again, where the last count is older than this."""
    now = ctx.clock.now()
    if older_than and now - (await store.census(ctx.db, now)).counted_at < older_than:
        return
    await store.set_active_users(ctx.db, await accounts.count_active(ctx.db, now - ACTIVE), now)


def most_groups(active_users: int, settings: Settings) -> int:
    """ActiveUsers / 2.5 in whole GPs, and never fewer than the least."""
    return max(settings.min_active_groups, active_users * 2 // 5)


def _judge(
    creator: Creator | None,
    category: str | None,
    category_until: datetime | None,
    census: Census,
    now: datetime,
    settings: Settings,
) -> GpLimits:
    today = creator.day_count if creator is not None and creator.day_ends_at > now else 0
    cooldown = creator.cooldown_until if creator is not None and creator.cooldown_until > now else None
    most = most_groups(census.active_users, settings)
    return GpLimits(
        daily=GpDailyState(
            can_create=today < settings.daily_limit,
            creations_remaining=max(0, settings.daily_limit - today),
            today_creations=today,
            resets_at=creator.day_ends_at if creator is not None and today else None,
        ),
        cooldown=GpCooldownState(
            active=cooldown is not None,
            minutes_remaining=0 if cooldown is None else -(-int((cooldown - now).total_seconds()) // 60),
            until=cooldown,
        ),
        category=GpCategoryState(
            has_active=category_until is not None, category=category, until=category_until
        ),
        system=GpSystemState(
            limit_reached=census.active >= most,
            current_groups=census.active,
            max_groups=most,
            active_users=census.active_users,
        ),
    )


def _refusal(
    limits: GpLimits, next_end: datetime | None, now: datetime
) -> GpDailyLimit | GpCooldown | GpCategoryLimit | GpSystemLimit | None:
    daily, cooldown, category, system = structs.astuple(limits)
    if not daily.can_create:
        words = f"You have created {daily.today_creations} GPs today; the next from {_time(daily.resets_at)}"
        return GpDailyLimit(words, until=daily.resets_at, now=now)
    if cooldown.active:
        words = f"You have just created a GP; the next in {cooldown.minutes_remaining} minutes, from "
        return GpCooldown(words + _time(cooldown.until), until=cooldown.until, now=now)
    if category.has_active:
        words = f"You have an active {category.category}, until {_time(category.until)}"
        return GpCategoryLimit(words, until=category.until, now=now)
    if system.limit_reached:
        words = f"There are {system.current_groups} of {system.max_groups} GPs for now; join one"
        if next_end is not None:
            words += f", or create one when the next ends, by {_time(next_end)}"
        return GpSystemLimit(words, until=next_end, now=now)
    return None


def _time(at: datetime | None) -> str:
    return "later" if at is None else f"{at:%Y-%m-%d %H:%M} UTC"
