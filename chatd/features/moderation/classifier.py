"""The outside classifier: sees messages after they were sent, and may flag or hide them.

Any service stands behind one interface: a text in, how toxic it is (0 to 1) out, within
``moderation.classifier_timeout_s``. What is built in speaks the ``comments:analyze`` call of the Perspective
API, which several hosted and self-hosted services answer. While the service is away messages go through and
wait for it (moderation_scans), a bounded number of times.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol

import aiohttp
import msgspec

from chatd.core.context import Ctx
from chatd.core.errors import ChatNotFound, MessageNotFound, Unavailable
from chatd.core.settings import Moderation
from chatd.features.audit import service as audit
from chatd.features.messages import service as messages
from chatd.features.messages.contract import Subject
from chatd.features.moderation import filters_store, store

log = logging.getLogger("chatd.moderation")

#: Messages of one round, rounds of one run, and texts on their way at once.
BATCH, ROUNDS, AT_ONCE = 50, 20, 8
ATTRIBUTES = ("TOXICITY", "SEVERE_TOXICITY", "THREAT", "IDENTITY_ATTACK", "SEXUALLY_EXPLICIT")


class ClassifierError(Exception):
    """The service did not answer, or not as it should."""


class Classifier(Protocol):
    """What judges a text."""

    async def score(self, text: str) -> tuple[float, str]:
        """How bad it is, from 0 to 1, and what of. Raises ClassifierError; ends within its timeout."""
        ...


class _Summary(msgspec.Struct):
    value: float


class _Score(msgspec.Struct):
    summaryScore: _Summary


class _Analysis(msgspec.Struct):
    attributeScores: dict[str, _Score]


class PerspectiveClassifier:
    """The ``comments:analyze`` call."""

    MAX_ANSWER = 65_536

    def __init__(self, http: aiohttp.ClientSession, settings: Moderation, key: str) -> None:
        self._http, self._url, self._key = http, settings.classifier_url, key
        self._timeout_s = settings.classifier_timeout_s

    async def score(self, text: str) -> tuple[float, str]:
        """The highest of the attributes, and which it is."""
        ask = {
            "comment": {"text": text},
            "requestedAttributes": {name: {} for name in ATTRIBUTES},
            "doNotStore": True,
        }
        params = {"key": self._key} if self._key else None
        try:
            async with asyncio.timeout(self._timeout_s):
                async with self._http.post(
                    self._url, json=ask, params=params, allow_redirects=False
                ) as answer:
                    body = await answer.content.read(self.MAX_ANSWER)
                    if answer.status != 200:
                        raise ClassifierError(f"the classifier answered {answer.status}")
            scores = msgspec.json.decode(body, type=_Analysis).attributeScores
            name, score = max(scores.items(), key=lambda item: item[1].summaryScore.value)
            return score.summaryScore.value, name.lower()
        except (aiohttp.ClientError, OSError, TimeoutError, msgspec.MsgspecError, ValueError) as error:
            raise ClassifierError(str(error) or type(error).__name__) from error


async def work(ctx: Ctx) -> None:
    """Show what waits to the classifier, in bounded rounds, and act on what it says."""
    settings = ctx.settings.moderation
    if not settings.classifier_url:
        return
    async with aiohttp.ClientSession() as http:
        classifier = PerspectiveClassifier(http, settings, ctx.settings.secrets.classifier_key)
        for _ in range(ROUNDS):
            lease_s = 4 * settings.classifier_timeout_s + 10
            scans = await filters_store.take_scans(ctx.db, lease_s, BATCH)
            if not scans:
                return
            await classify(ctx, classifier, scans)
            if len(scans) < BATCH:
                return


async def classify(ctx: Ctx, classifier: Classifier, scans: Sequence[filters_store.Scan]) -> None:
    """One round: those that it judged are done, the others are tried again later, or given up."""
    subjects = await messages.subjects(ctx.db, [scan.message_id for scan in scans])
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(scan: filters_store.Scan) -> bool:
        subject = subjects.get(scan.message_id)
        text = _text(subject) if subject is not None and not subject.deleted else ""
        if subject is None or not text:
            return True
        try:
            async with gate:
                score, reason = await classifier.score(text)
        except ClassifierError as error:
            log.warning("a message could not be classified: %s", error)
            return False
        try:
            await _heed(ctx, subject, score, reason)
        except (ChatNotFound, MessageNotFound):
            pass  # gone meanwhile, and with it what there was to judge
        except Unavailable as error:
            log.warning("what the classifier said could not be heeded: %s", error.code)
            return False
        return True

    judged = await asyncio.gather(*(one(scan) for scan in scans))
    most = ctx.settings.moderation.classifier_attempts
    done = [s for s, ok in zip(scans, judged, strict=True) if ok or s.attempts >= most]
    late = [s for s, ok in zip(scans, judged, strict=True) if not ok and s.attempts < most]
    if done:
        await filters_store.finish_scans(ctx.db, [s.message_id for s in done], [s.attempts for s in done])
    if late:
        after_s = min(600.0, 5.0 * 2 ** min(scan.attempts for scan in late))
        await filters_store.postpone_scans(ctx.db, [s.message_id for s in late], after_s)


async def _heed(ctx: Ctx, subject: Subject, score: float, reason: str) -> None:
    settings = ctx.settings.moderation
    if score < settings.flag_at or subject.status == "hidden":
        return
    status = "hidden" if score >= settings.hide_at else "flagged"
    async with ctx.db.transaction() as tx:
        # The case before the chat's row, as whoever resolves it takes them.
        await store.open_case(
            tx,
            ctx.ids.new("cas"),
            "message",
            subject.id,
            subject.chat_id,
            None,
            subject.sender_id,
            "classifier",
            reason,
            bytes(subject.content),
        )
        changed = await messages.moderate(
            tx,
            ctx,
            subject.chat_id,
            subject.id,
            status,  # type: ignore[arg-type]
            reason=reason,
            by=None,
        )
        if changed:
            await audit.record(
                tx,
                None,
                f"message.{status}",
                target=("message", subject.id),
                chat_id=subject.chat_id,
                classifier=reason,
                score=round(score, 3),
            )


class _Said(msgspec.Struct):
    text: str = ""


def _text(subject: Subject) -> str:
    return msgspec.json.decode(subject.content, type=_Said).text
