"""Command type -> handler; result -> answer; error -> frame."""

import asyncio
import inspect
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from msgspec import UNSET

from chatd.core.context import Actor
from chatd.core.declarations import Command as Declaration
from chatd.core.errors import (
    AppError,
    BadFrame,
    ChatNotFound,
    Conflict,
    Internal,
    RateLimited,
    Unauthenticated,
    Unavailable,
    UnknownType,
    ValidationFailed,
)
from chatd.core.metrics import ACK_LATENCY, Sampled
from chatd.core.pending import Pending
from chatd.gateway.admission import too_much
from chatd.gateway.session import Phase, now
from chatd.wire import codec
from chatd.wire.frames import (
    Ack,
    AuthRefresh,
    ChatCommand,
    CloseCode,
    Command,
    ConnectionInit,
    ErrorFrame,
    Ping,
    Pong,
)

if TYPE_CHECKING:
    from chatd.gateway.connection import Connection
    from chatd.gateway.edge import Edge

log = logging.getLogger("chatd.gateway.dispatch")

_ack_latency = Sampled(ACK_LATENCY, every=8)


class Dispatch:
    """The command table of a node."""

    MAX_INIT_BYTES = 262_144  # ``since`` of a user with thousands of chats
    SLOW_REPLY_S = 30.0  # how long a command waits for a reader that does not read

    def __init__(self, edge: "Edge", commands: Sequence[Declaration]) -> None:
        self._edge = edge
        self._table: dict[type, Declaration] = {command.struct: command for command in commands}
        #: Commands whose handlers are coroutines: one after the other on each socket.
        self._in_line = {c.struct for c in commands if inspect.iscoroutinefunction(c.handler)}
        structs: list[Any] = [*self._table, ConnectionInit, AuthRefresh, Ping]
        self._decode = codec.CommandDecoder(structs)
        self._max_bytes = edge.settings.socket.max_frame_bytes
        #: The longest frame that any command may have.
        self.longest = max(self._max_bytes, *(command.max_bytes for command in commands))
        self._long = {"connection.init", *(command.type for command in commands if command.max_bytes)}

    # ---------------------------------------------------------------- frames

    def first(self, connection: "Connection", data: Any) -> None:
        """The first frame must be connection.init."""
        try:
            command = self._decode(data)
        except codec.Refusal as refusal:
            self._refuse(connection, refusal, len(data))
            return
        if not isinstance(command, ConnectionInit):
            if len(data) > self._max_bytes:
                connection.close(CloseCode.TOO_LARGE, "frame too large")
                return
            self.fail(connection, Unauthenticated("The first frame must be connection.init"), command)
            connection.close(CloseCode.UNAUTHENTICATED, "connection.init comes first")
            return
        connection.ws.max_message_size = self.longest
        connection.phase = Phase.OPENING
        connection.pause_reading()
        connection.own(asyncio.create_task(self._edge.opening.open(connection, command), name="open socket"))

    def command(self, connection: "Connection", data: Any) -> None:
        """A frame on an open socket."""
        try:
            command = self._decode(data)
        except codec.Refusal as refusal:
            self._refuse(connection, refusal, len(data))
            return
        declaration = self._table.get(type(command))
        if len(data) > self._max_bytes and (declaration is None or len(data) > declaration.max_bytes):
            connection.close(CloseCode.TOO_LARGE, "frame too large")
            return
        if declaration is None:
            self._own_command(connection, command)
            return
        if declaration.counted and not self._admit(connection, command):
            return
        if isinstance(command, ChatCommand) and not self._in_scope(connection, command):
            return
        if declaration.struct in self._in_line:
            self._enter(connection)
            work = self._work(connection, declaration, command, connection.line)
            connection.line = asyncio.create_task(work, name=declaration.type)
            connection.own(connection.line)
        else:
            self._submit(connection, declaration, command)

    def _submit(self, connection: "Connection", declaration: Declaration, command: Command) -> None:
        """A command that a batch answers: no task is made for it."""
        started = now()
        if isinstance(command, ChatCommand) and not declaration.counted:
            if connection.still_until > started:
                connection.hold(self._edge.admission.HOLD_S)
            if self._edge.admission.refuses(command.chat_id):
                self._turn_away(connection, too_much(), command, started)
                return
        try:
            result: Any = declaration.handler(connection.ctx, command)
        except Unavailable as error:
            self._turn_away(connection, error, command, started)
            return
        except AppError as error:
            self.fail(connection, error, command)
            return
        self._enter(connection)
        result.listen(lambda pending: self._settled(connection, declaration, command, pending, started))

    def _turn_away(self, connection: "Connection", error: Unavailable, command: Command, when: float) -> None:
        """Not now; and until then this socket has one command at a time (``_most``)."""
        connection.still_until = when + (error.retry_after_ms or 0) / 1000
        self.fail(connection, error, command)

    def not_a_command(self, connection: "Connection") -> None:
        """A binary message."""
        self._refuse(connection, codec.Refusal(BadFrame("Send text frames"), None, None))

    # --------------------------------------------------------------- results

    def _settled(
        self,
        connection: "Connection",
        declaration: Declaration,
        command: Command,
        pending: Pending[Any],
        started: float,
    ) -> None:
        self._leave(connection)
        try:
            result = pending.result()
        except AppError as error:
            self.fail(connection, error, command)
            return
        if declaration.reply is not None:
            connection.write(declaration.reply(result, UNSET if command.id is None else command.id))
            if not declaration.counted:
                self._edge.stats.acks += 1
                _ack_latency.observe(now() - started)
        elif command.id is not None:
            connection.write(codec.frame(Ack(re=command.id)))

    async def _work(
        self,
        connection: "Connection",
        declaration: Declaration,
        command: Command,
        before: "asyncio.Task[None] | None",
    ) -> None:
        try:
            if before is not None and not before.done():
                # In the order in which they were said: a reaction given and taken back must end taken back.
                await asyncio.wait([before])
            # Who does not read is not worked for. And nothing waits between the work and its answer: a change
            # that is told meanwhile would be overtaken by what was true before it.
            await connection.until_drained(self.SLOW_REPLY_S)
            value = await declaration.handler(connection.ctx, command)
            if declaration.reply is not None:
                connection.write(declaration.reply(value, UNSET if command.id is None else command.id))
            elif command.id is not None:
                connection.write(codec.frame(Ack(re=command.id)))
        except AppError as error:
            self.fail(connection, error, command)
        except TimeoutError:
            self._edge.too_slow(connection)
        except Exception:
            log.exception("%s failed", declaration.type, extra=self._edge.log_fields(connection))
            self.fail(connection, Internal(), command)
        finally:
            self._leave(connection)
            if connection.line is asyncio.current_task():
                connection.line = None

    def _enter(self, connection: "Connection") -> None:
        connection.inflight += 1
        if connection.inflight >= self._most(connection):
            connection.pause_reading()

    def _leave(self, connection: "Connection") -> None:
        connection.inflight -= 1
        if connection.paused_reading:
            self.read_on(connection)

    def read_on(self, connection: "Connection") -> None:
        """Take more commands where few enough are at work."""
        if not connection.paused_reading or connection.held or connection.phase is not Phase.OPEN:
            return
        if connection.inflight <= self._most(connection) // 2:
            connection.resume_reading()

    def _most(self, connection: "Connection") -> int:
        """Commands of this socket that may be at work at once."""
        if connection.still_until and connection.still_until > now():
            return 1
        return self._edge.settings.socket.max_inflight_commands

    # ---------------------------------------------------------- own commands

    def _own_command(self, connection: "Connection", command: Command) -> None:
        if not self._admit(connection, command):
            return
        if isinstance(command, Ping):
            re = UNSET if command.id is None else command.id
            connection.write(codec.frame(Pong(server_time=self._edge.clock.now(), re=re)))
        elif isinstance(command, AuthRefresh):
            self._refresh(connection, command)
        else:
            self.fail(connection, Conflict("This socket is open already"), command)

    def _refresh(self, connection: "Connection", command: AuthRefresh) -> None:
        try:
            actor = self._edge.backend.authenticate(command.token)
            if actor.user_id != connection.user_id:
                raise Unauthenticated("This token is another user's")
        except AppError as error:
            self.fail(connection, error, command)
            return
        if connection.ctx is not None and actor.session_id != connection.ctx.actor.session_id:
            # Of its own session the socket would have heard that it ended; of another it must be asked.
            self._enter(connection)
            change = self._change_session(connection, command, actor)
            connection.own(asyncio.create_task(change, name="auth.refresh"))
            return
        self._edge.opening.renew(connection, actor)
        if command.id is not None:
            connection.write(codec.frame(Ack(re=command.id)))

    async def _change_session(self, connection: "Connection", command: AuthRefresh, actor: Actor) -> None:
        edge = self._edge
        ctx = edge.make_ctx(actor, connection.id, connection.address)
        renewed = False
        try:
            await edge.backend.require_live(ctx)
            edge.opening.renew(connection, actor)
            renewed = True
            await edge.backend.require_live(ctx)  # it may have ended before its end would have been heard of
            if command.id is not None:
                connection.write(codec.frame(Ack(re=command.id)))
        except AppError as error:
            self.fail(connection, error, command)
            if renewed and error.close_code is not None:
                connection.close(error.close_code, error.detail)
        except Exception:
            log.exception("auth.refresh failed", extra=edge.log_fields(connection))
            self.fail(connection, Internal(), command)
        finally:
            self._leave(connection)

    # --------------------------------------------------------------- refusals

    def _admit(self, connection: "Connection", command: Command) -> bool:
        wait = connection.rates.command(self._edge.settings.limits, now())
        if wait:
            self.fail(connection, RateLimited(retry_after_ms=int(wait) + 1), command)
            return False
        return True

    def _in_scope(self, connection: "Connection", command: ChatCommand) -> bool:
        if connection.scope is not None:
            if not command.chat_id:
                command.chat_id = connection.scope
            elif command.chat_id != connection.scope:
                self.fail(connection, ChatNotFound("This socket is for another chat"), command)
                return False
        elif not command.chat_id:
            self.fail(connection, ValidationFailed.at("$.chat_id", "which chat?"), command)
            return False
        return True

    def fail(self, connection: "Connection", error: AppError, command: Any) -> None:
        """Answer one command with its error."""
        self._answer(connection, error, command.id, getattr(command, "client_message_id", None))

    def _refuse(self, connection: "Connection", refusal: codec.Refusal, size: int = 0) -> None:
        # A watch list of 501 is told so; anything else of that size is not read at all.
        if size > self._max_bytes and refusal.type_ not in self._long:
            connection.close(CloseCode.TOO_LARGE, "frame too large")
            return
        error = refusal.error if isinstance(refusal.error, AppError) else BadFrame()
        self._answer(connection, error, refusal.re, refusal.client_message_id)
        # Before it is open, a socket has but one thing to say.
        nothing = isinstance(error, BadFrame | UnknownType) or connection.phase is Phase.INIT
        if nothing and not connection.rates.bad_frame(self._edge.settings.limits, now()):
            connection.close(CloseCode.BROKEN, "too many bad frames")

    def _answer(self, connection: "Connection", error: AppError, re: str | None, cmid: str | None) -> None:
        self._edge.stats.errors["socket", error.code] += 1
        connection.answer(
            ErrorFrame(
                code=error.code,
                message=error.detail,
                re=UNSET if re is None else re,
                client_message_id=UNSET if cmid is None else cmid,
                retry_after_ms=UNSET if error.retry_after_ms is None else error.retry_after_ms,
                errors=list(error.errors) or UNSET,
            )
        )
        if isinstance(error, RateLimited) and connection.rates.refused(self._edge.settings.limits, now()):
            connection.close(CloseCode.FLOOD, "flooding on past the limit")
