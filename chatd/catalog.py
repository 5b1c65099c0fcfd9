"""The list of features, by hand, and what they declare, joined. A new room is one line in ROOMS."""

import inspect
from types import ModuleType

import msgspec

from chatd.core.declarations import Command, Job, Route
from chatd.features.accounts import api as accounts
from chatd.features.accounts import jobs as accounts_jobs
from chatd.features.admin import api as admin
from chatd.features.chats import api as chats
from chatd.features.chats import contract as chats_contract
from chatd.features.conversations import api as conversations
from chatd.features.conversations import contract as conversations_contract
from chatd.features.conversations import jobs as conversations_jobs
from chatd.features.devices import api as devices
from chatd.features.devices import jobs as devices_jobs
from chatd.features.gp import api as gp
from chatd.features.gp import frames as gp_frames
from chatd.features.gp import jobs as gp_jobs
from chatd.features.mail import jobs as mail_jobs
from chatd.features.media import api as media
from chatd.features.media import jobs as media_jobs
from chatd.features.messages import api as messages
from chatd.features.messages import contract as messages_contract
from chatd.features.moderation import api as moderation
from chatd.features.moderation import contract as moderation_contract
from chatd.features.moderation import jobs as moderation_jobs
from chatd.features.notifications import api as notifications
from chatd.features.notifications import contract as notifications_contract
from chatd.features.notifications import jobs as notifications_jobs
from chatd.features.personal_data import api as personal_data
from chatd.features.personal_data import jobs as personal_data_jobs
from chatd.features.presence import api as presence
from chatd.features.presence import contract as presence_contract
from chatd.features.presence import jobs as presence_jobs
from chatd.features.privacy import api as privacy
from chatd.features.search import api as search
from chatd.features.search import jobs as search_jobs
from chatd.wire.frames import Event

ROOMS: tuple[ModuleType, ...] = (
    accounts,
    media,
    chats,
    messages,
    presence,
    conversations,
    moderation,
    devices,
    notifications,
    gp,
    privacy,
    search,
    admin,
    personal_data,
)
_WITH_EVENTS: tuple[ModuleType, ...] = (
    chats_contract,
    messages_contract,
    presence_contract,
    moderation_contract,
    conversations_contract,
    notifications_contract,
    gp_frames,
)
_WITH_JOBS: tuple[ModuleType, ...] = (
    accounts_jobs,
    mail_jobs,
    media_jobs,
    presence_jobs,
    moderation_jobs,
    conversations_jobs,
    devices_jobs,
    notifications_jobs,
    personal_data_jobs,
    gp_jobs,
    search_jobs,
)


def _events(contract: ModuleType) -> list[type[msgspec.Struct]]:
    """The events that a room's contract defines."""
    found = [kind for _, kind in inspect.getmembers(contract, inspect.isclass) if issubclass(kind, Event)]
    return [kind for kind in found if kind.__module__ == contract.__name__]


ROUTES: tuple[Route, ...] = tuple(route for room in ROOMS for route in room.ROUTES)
COMMANDS: tuple[Command, ...] = tuple(command for room in ROOMS for command in room.COMMANDS)
JOBS: tuple[Job, ...] = tuple(job for jobs in _WITH_JOBS for job in jobs.JOBS)
EVENTS: tuple[type[msgspec.Struct], ...] = tuple(
    event for contract in _WITH_EVENTS for event in _events(contract)
)
