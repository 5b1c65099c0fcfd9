"""What can go wrong with GPs."""

from datetime import datetime
from typing import Any, ClassVar

from chatd.core.errors import AppError


class GpNotFound(AppError):
    """No such GP, or one that is over and was not yours."""

    code, status, title = "gp_not_found", 404, "There is no such GP for you"


class GpNotActive(AppError):
    """The GP is over, or permanent."""

    code, status, title = "gp_not_active", 409, "This GP is not active any more"


class GpFull(AppError):
    """Five people are in; the sixth is turned away."""

    code, status, title = "gp_full", 409, "This GP is full"


class AlreadyMember(AppError):
    """You are in this GP."""

    code, status, title = "gp_already_member", 409, "You are a member of this GP already"


class NotAMember(AppError):
    """You are not in this GP."""

    code, status, title = "gp_not_a_member", 403, "You are not a member of this GP"


class VoteNotOpen(AppError):
    """No vote is going on; ``check`` opens one where the GP is eligible."""

    code, status, title = "gp_vote_not_open", 409, "No vote is open in this GP"


class NotAVoter(AppError):
    """Those vote who were in when the vote opened."""

    code, status, title = "gp_not_a_voter", 403, "You came after this vote was opened"


class PositionUnknown(AppError):
    """Neither the request nor the profile says where you are."""

    code, status = "gp_position_unknown", 422
    title = "Send latitude and longitude: your profile has no location yet"


class LimitReached(AppError):
    """A limit that ends: ``limit`` names it, ``until`` says when."""

    limit: ClassVar[str] = ""

    def __init__(
        self, detail: str | None = None, *, until: datetime | None = None, now: datetime | None = None
    ) -> None:
        extra: dict[str, Any] = {"limit": self.limit}
        wait = None
        if until is not None and now is not None:
            extra["until"] = until
            wait = max(1, round((until - now).total_seconds() * 1000))
        super().__init__(detail, retry_after_ms=wait, extra=extra)


class GpDailyLimit(LimitReached):
    """Two GPs a day, in one's own time zone."""

    code, status, title, retryable = "gp_daily_limit", 429, "You have created your GPs of today", True
    limit = "daily"


class GpCooldown(LimitReached):
    """An hour between one's GPs."""

    code, status, title, retryable = "gp_cooldown", 429, "You have just created a GP", True
    limit = "cooldown"


class GpCategoryLimit(LimitReached):
    """One living GP a category."""

    code, status, title = "gp_category_limit", 409, "You have an active GP in this category"
    limit = "category"


class GpSystemLimit(LimitReached):
    """As many GPs as the active users can fill."""

    code, status, title, retryable = "gp_system_limit", 429, "There are enough GPs for now: join one", True
    limit = "system"


class MovingTooFast(LimitReached):
    """Positions change as fast as people do."""

    code, status, title, retryable = "gp_moving_too_fast", 429, "You have moved too often", True
    limit = "moves"
