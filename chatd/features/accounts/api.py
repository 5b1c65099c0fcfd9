"""REST of accounts."""

from chatd.core.context import Ctx
from chatd.core.declarations import Command, get, patch, post
from chatd.core.errors import (
    Banned,
    EmailTaken,
    Forbidden,
    RateLimited,
    Unauthenticated,
    Unavailable,
    UserNotFound,
)
from chatd.features.accounts import service
from chatd.features.accounts.contract import (
    Cards,
    CardsQuery,
    Done,
    Login,
    OidcLogin,
    PatchProfile,
    Profile,
    Provider,
    Refresh,
    Register,
    Registered,
    SignedIn,
    Tokens,
    UserRef,
)


async def register(ctx: Ctx, body: Register) -> Registered:
    """Create an account."""
    return await service.register(ctx, body)


async def login(ctx: Ctx, body: Login) -> SignedIn:
    """Sign in by email and password."""
    return await service.login(ctx, body)


async def refresh(ctx: Ctx, body: Refresh) -> Tokens:
    """Exchange a refresh token for two new tokens; a token used twice ends its session."""
    await service.require_attempts(ctx)
    return await service.refresh(ctx, body.refresh_token)


async def logout(ctx: Ctx) -> None:
    """End this session and close its sockets."""
    await service.logout(ctx)


async def login_oidc(ctx: Ctx, provider: Provider, body: OidcLogin) -> SignedIn:
    """Sign in by an ID token of Google or Apple; links the account that has its verified email."""
    return await service.login_oidc(ctx, provider, body)


async def get_user(ctx: Ctx, user_id: UserRef) -> Profile:
    """A user's profile; one's own says more."""
    return await service.get_profile(ctx, user_id)


async def get_users(ctx: Ctx, query: CardsQuery) -> Cards:
    """Names and pictures of many users at once; ids of nobody are left out."""
    ids = [part.strip() for text in query.ids for part in text.split(",") if part.strip()]
    return await service.get_cards(ctx, ids)


async def patch_user(ctx: Ctx, user_id: UserRef, body: PatchProfile) -> Done:
    """Change some fields of one's own profile."""
    await service.patch_profile(ctx, user_id, body)
    return Done()


_SIGN_IN = (Unauthenticated, Banned, RateLimited, Unavailable)

# limit="none": what is counted here has its own buckets (protocol.md, section 7), by address and account.
ROUTES = (
    post("/users", register, auth=False, limit="none", raises=(EmailTaken, RateLimited, Unavailable)),
    post("/auth/login", login, status=200, auth=False, limit="none", raises=_SIGN_IN),
    post("/auth/refresh", refresh, status=200, auth=False, limit="none", raises=_SIGN_IN),
    post("/auth/logout", logout, status=204, limit="none"),
    post("/auth/oidc/{provider}", login_oidc, status=200, auth=False, limit="none", raises=_SIGN_IN),
    get("/users", get_users),
    get("/users/{user_id}", get_user, raises=(UserNotFound,)),
    patch("/users/{user_id}", patch_user, limit="write", raises=(Forbidden, UserNotFound)),
)
COMMANDS: tuple[Command, ...] = ()
