"""REST of accounts."""

from chatd.core.context import Ctx
from chatd.core.declarations import Command, delete, get, patch, post
from chatd.core.errors import (
    Banned,
    Conflict,
    EmailTaken,
    Forbidden,
    NotFound,
    RateLimited,
    Unauthenticated,
    Unavailable,
    UserNotFound,
    ValidationFailed,
)
from chatd.core.ids import SessionId
from chatd.features.accounts import security, service
from chatd.features.accounts.contract import (
    Cards,
    CardsQuery,
    ChangePassword,
    Done,
    Ended,
    EndSessions,
    ForgotPassword,
    Login,
    OidcLogin,
    PatchProfile,
    Profile,
    Provider,
    Refresh,
    Register,
    Registered,
    ResetPassword,
    Sent,
    Sessions,
    SignedIn,
    Tokens,
    UserRef,
    VerifyEmail,
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


async def list_sessions(ctx: Ctx) -> Sessions:
    """Where I am logged in, last used first."""
    return await security.list_sessions(ctx)


async def end_session(ctx: Ctx, session_id: SessionId) -> None:
    """End one of my sessions: its tokens are refused, and its sockets close with 4401 on every node."""
    await security.end_session(ctx, session_id)


async def end_sessions(ctx: Ctx, query: EndSessions) -> Ended:
    """End all my sessions but this one; with ``keep_current=false``, this one too."""
    return Ended(ended=await security.end_sessions(ctx, keep_current=query.keep_current))


async def change_password(ctx: Ctx, body: ChangePassword) -> None:
    """Change my password; my other sessions end."""
    await security.change_password(ctx, body.current_password, body.new_password)


async def forgot_password(ctx: Ctx, body: ForgotPassword) -> Sent:
    """Send a code to set a new password; the answer is the same whether there is such an account or not."""
    await service.require_attempts(ctx)
    await security.forgot_password(ctx, body.email)
    return Sent()


async def reset_password(ctx: Ctx, body: ResetPassword) -> None:
    """Set a password by the code of a letter; all sessions of the account end."""
    await service.require_attempts(ctx)
    await security.reset_password(ctx, body.token, body.new_password)


async def ask_to_verify(ctx: Ctx) -> Sent:
    """Send me a code that proves my email; nothing is sent where it is proven."""
    await security.ask_to_verify(ctx)
    return Sent()


async def verify_email(ctx: Ctx, body: VerifyEmail) -> None:
    """Prove an email by the code of a letter."""
    await service.require_attempts(ctx)
    await security.verify_email(ctx, body.token)


_SIGN_IN = (Unauthenticated, Banned, RateLimited, Unavailable)
_BY_CODE = (ValidationFailed, RateLimited, Unavailable)

# limit="none": what is counted here has its own buckets (protocol.md, section 7), by address and account.
ROUTES = (
    post("/users", register, auth=False, limit="none", raises=(EmailTaken, RateLimited, Unavailable)),
    post("/auth/login", login, status=200, auth=False, limit="none", raises=_SIGN_IN),
    post("/auth/refresh", refresh, status=200, auth=False, limit="none", raises=_SIGN_IN),
    post("/auth/logout", logout, status=204, limit="none"),
    post("/auth/oidc/{provider}", login_oidc, status=200, auth=False, limit="none", raises=_SIGN_IN),
    get("/auth/sessions", list_sessions),
    delete("/auth/sessions", end_sessions, limit="none"),
    delete("/auth/sessions/{session_id}", end_session, status=204, limit="none", raises=(NotFound,)),
    post(
        "/auth/password",
        change_password,
        status=204,
        limit="none",
        raises=(Forbidden, Conflict, RateLimited, Unavailable),
    ),
    post(
        "/auth/password/forgot",
        forgot_password,
        status=202,
        auth=False,
        limit="none",
        raises=(RateLimited,),
    ),
    post("/auth/password/reset", reset_password, status=204, auth=False, limit="none", raises=_BY_CODE),
    post("/auth/email", ask_to_verify, status=202, limit="none", raises=(RateLimited,)),
    post("/auth/email/verify", verify_email, status=204, auth=False, limit="none", raises=_BY_CODE),
    get("/users", get_users),
    get("/users/{user_id}", get_user, raises=(UserNotFound,)),
    patch("/users/{user_id}", patch_user, limit="write", raises=(Forbidden, UserNotFound)),
)
COMMANDS: tuple[Command, ...] = ()
