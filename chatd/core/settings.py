"""Typed settings: config.toml, then ``CHATD_<SECTION>_<KEY>`` from the environment.

config.toml names every key with its default and what it means; this module is its type. An unknown
key or a wrong type is a SettingsError that names it. Secrets come from the environment only.
"""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import msgspec
from msgspec import Meta

from chatd.core.mailboxes import mailbox

# Each has an upper bound, so that no sum or date that is made of it overflows where it is used.
Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]
AtLeastOne = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Bytes = Annotated[int, Meta(ge=1, le=2**50)]
Lifetime = Annotated[int, Meta(ge=1, le=315_360_000)]  # seconds: ten years
Seconds = Annotated[float, Meta(ge=0, le=86_400)]
Patience = Annotated[float, Meta(gt=0, le=3600)]
Score = Annotated[float, Meta(ge=0, le=1)]


class SettingsError(Exception):
    """A setting that cannot be used; the message names the key and where it was set."""


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One [section] of config.toml."""


class Server(Section, frozen=True):
    """Where and how chatd listens."""

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65_535)] = 8080
    workers: Annotated[int, Meta(ge=0, le=1024)] = 0
    allowed_origins: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    tls_cert: str = ""
    tls_key: str = ""
    public_url: str = ""
    data_dir: Annotated[str, Meta(min_length=1)] = ".chatd"
    drain_s: Seconds = 10.0
    max_body_bytes: Bytes = 1_048_576


class Postgres(Section, frozen=True):
    """The database; with no url a private one is started."""

    url: str = ""
    pool_size: Annotated[int, Meta(ge=1, le=1000)] = 8
    connect_timeout_s: Patience = 5.0
    command_timeout_s: Patience = 5.0


class Redis(Section, frozen=True):
    """The bus between nodes; with no url a private one is started."""

    url: str = ""
    timeout_s: Patience = 1.0
    heartbeat_s: Patience = 1.0
    buffer_bytes: Bytes = 16_777_216
    prefix: str = "chatd"


class Auth(Section, frozen=True):
    """Tokens and passwords."""

    issuer: str = "chatd"
    access_ttl_s: Lifetime = 900
    refresh_ttl_s: Lifetime = 604_800
    google_issuer: str = "https://accounts.google.com"
    google_jwks_url: str = "https://www.googleapis.com/oauth2/v3/certs"
    google_client_ids: tuple[str, ...] = ()
    apple_issuer: str = "https://appleid.apple.com"
    apple_jwks_url: str = "https://appleid.apple.com/auth/keys"
    apple_client_ids: tuple[str, ...] = ()
    hash_threads: Annotated[int, Meta(ge=1, le=1024)] = 2
    lockout_after: Count = 20
    lockout_s: Seconds = 30.0
    lockout_max_s: Seconds = 900.0
    verify_ttl_s: Lifetime = 259_200
    reset_ttl_s: Lifetime = 3600


class Socket(Section, frozen=True):
    """The WebSocket edge."""

    heartbeat_ms: AtLeastOne = 25_000
    init_timeout_s: Patience = 10.0
    max_frame_bytes: Bytes = 16_384
    ephemeral_mark_bytes: Bytes = 262_144
    close_mark_bytes: Bytes = 1_048_576
    compression: bool = False
    max_inflight_commands: AtLeastOne = 64
    backlog: AtLeastOne = 4096


class Messages(Section, frozen=True):
    """The conversation."""

    edit_window_s: Count = 900
    replay_limit: AtLeastOne = 500
    reset_messages: AtLeastOne = 50
    max_batch: AtLeastOne = 500
    max_queue: AtLeastOne = 2000


class Admission(Section, frozen=True):
    """What a node that has enough to do says to more of it."""

    max_lag_ms: Count = 2000
    max_wait_ms: Count = 2000
    opening_at_once: AtLeastOne = 64


class Chats(Section, frozen=True):
    """Groups and membership."""

    max_members: AtLeastOne = 5000
    unread_cap: Count = 9999
    unread_total: Count = 1_000_000


class Media(Section, frozen=True):
    """What people upload."""

    max_image_bytes: Bytes = 5_242_880
    max_video_bytes: Bytes = 524_288_000
    max_avatar_bytes: Bytes = 2_097_152
    max_pixels: AtLeastOne = 50_000_000
    uploads_per_minute: Count = 30
    fetches_per_minute: Count = 600
    bytes_per_day: Annotated[int, Meta(ge=0, le=2**50)] = 2_147_483_648
    upload_ttl_s: Annotated[int, Meta(ge=1, le=86_400)] = 600
    upload_timeout_s: Patience = 3600.0
    link_ttl_s: Annotated[int, Meta(ge=1, le=86_400)] = 300
    unused_ttl_s: Lifetime = 86_400
    workers: Annotated[int, Meta(ge=1, le=1024)] = 2
    clamd: str = ""
    clamd_timeout_s: Patience = 60.0
    s3_bucket: str = ""
    s3_endpoint: str = ""
    s3_region: str = "us-east-1"
    s3_timeout_s: Patience = 30.0


class Presence(Section, frozen=True):
    """Who is there."""

    offline_grace_s: Seconds = 10.0
    node_timeout_s: Patience = 15.0
    typing_ttl_s: Seconds = 5.0
    typing_every_s: Seconds = 2.0


class Fanout(Section, frozen=True):
    """How soon a lost delivery is found."""

    sweep_s: Patience = 1.0
    gap_patience_ms: Count = 100
    linger_s: Seconds = 15.0


class Limits(Section, frozen=True):
    """protocol.md, section 7; 0 turns a limit off."""

    sends_per_10s: Count = 30
    sends_burst: Count = 60
    commands_per_10s: Count = 60
    rest_per_minute: Count = 100
    writes_per_minute: Count = 10
    logins_per_minute: Count = 10
    registrations_per_minute: Count = 10
    bad_frames_per_minute: Count = 30
    flood_close_s: Seconds = 30.0


class Mail(Section, frozen=True):
    """Letters by SMTP; with no host none are sent."""

    host: str = ""
    port: Annotated[int, Meta(ge=1, le=65_535)] = 587
    security: Literal["starttls", "tls", "none"] = "starttls"
    username: str = ""
    sender: str = "chatd <chatd@localhost>"
    timeout_s: Patience = 20.0

    def __post_init__(self) -> None:
        # Said at the start: found at the first letter, it would hold up all of them.
        try:
            mailbox(self.sender)
        except ValueError:
            raise ValueError(f"mail.sender {self.sender!r} is not one address, as Name <name@host>") from None


class Push(Section, frozen=True):
    """Reaching devices that have no socket."""

    grace_s: Seconds = 10.0
    max_age_s: Patience = 3600.0
    timeout_s: Patience = 10.0
    fcm_url: str = "https://fcm.googleapis.com"
    apns_url: str = "https://api.push.apple.com"
    apns_topic: str = ""
    apns_team_id: str = ""
    apns_key_id: str = ""
    web_origins: tuple[str, ...] = (
        "https://fcm.googleapis.com",
        "https://updates.push.services.mozilla.com",
        "https://*.push.apple.com",
        "https://*.notify.windows.com",
    )
    web_subject: str = ""


class Gp(Section, frozen=True):
    """GP rooms (gp-groups.md)."""

    lifetime_hours: Annotated[float, Meta(gt=0, le=168)] = 4.0
    max_members: Annotated[int, Meta(ge=2, le=100)] = 5
    daily_limit: AtLeastOne = 2
    cooldown_s: Count = 3600
    min_active_groups: Count = 5
    expiring_minutes: Count = 15
    history_days: Annotated[int, Meta(ge=1, le=3650)] = 30
    min_members: AtLeastOne = 3
    min_age_hours: Annotated[float, Meta(ge=0, le=168)] = 2.5
    min_messages: Count = 20
    min_writers: Count = 3
    voting_minutes: AtLeastOne = 30
    vote_retry_minutes: Count = 30
    moves_per_hour: Count = 20
    explore_candidates: AtLeastOne = 2000
    watch_minutes: AtLeastOne = 10
    watch_fanout: AtLeastOne = 500


class Moderation(Section, frozen=True):
    """The outside classifier of messages; with no url there is none."""

    classifier_url: str = ""
    classifier_timeout_s: Patience = 5.0
    classifier_attempts: AtLeastOne = 5
    flag_at: Score = 0.8
    hide_at: Score = 0.95


class Log(Section, frozen=True):
    """What is written to stderr."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = "auto"


class Secrets(Section, frozen=True):
    """From the environment only: ``CHATD_SECRETS_JWT_KEY`` and so on."""

    jwt_key: str = ""
    internal_api_key: str = ""
    smtp_password: str = ""
    fcm_account: str = ""
    apns_key: str = ""
    vapid_key: str = ""
    s3_access_key: str = ""
    s3_secret_key: str = ""
    classifier_key: str = ""


class Settings(Section, frozen=True):
    """All of config.toml."""

    environment: Literal["development", "production"] = "development"
    server: Server = Server()
    postgres: Postgres = Postgres()
    redis: Redis = Redis()
    auth: Auth = Auth()
    socket: Socket = Socket()
    messages: Messages = Messages()
    admission: Admission = Admission()
    chats: Chats = Chats()
    media: Media = Media()
    presence: Presence = Presence()
    fanout: Fanout = Fanout()
    limits: Limits = Limits()
    mail: Mail = Mail()
    push: Push = Push()
    gp: Gp = Gp()
    moderation: Moderation = Moderation()
    log: Log = Log()
    secrets: Secrets = Secrets()


def load(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """Settings from a TOML file (None: defaults alone) and the environment over it.

    Raises SettingsError for an unreadable file, an unknown key or section, or a value that it cannot have.
    """
    raw: dict[str, Any] = {}
    if path is not None:
        try:
            raw = tomllib.loads(path.read_text("utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise SettingsError(f"{path}: {error}") from None
        if "secrets" in raw:
            raise SettingsError(f"{path}: [secrets] come from the environment only (CHATD_SECRETS_…)")
    settings = _decode(raw, str(path))
    overrides = _overrides(environ)
    for section, values in overrides.items():
        if isinstance(values, dict):
            raw.setdefault(section, {}).update(values)
        else:
            raw[section] = values
    return _decode(raw, "the environment") if overrides else settings


def strangers(environ: Mapping[str, str]) -> list[str]:
    """Variables that look like ours and set nothing: perhaps a section is misspelt.

    What Kubernetes and Docker say of a service that is called chatd is left out (CHATD_PORT_8080_TCP).
    """
    sections = get_type_hints(Settings)
    return sorted(
        name
        for name in environ
        if name.startswith("CHATD_")
        and name not in ("CHATD_ENVIRONMENT", "CHATD_CONFIG")
        and name.removeprefix("CHATD_").lower().partition("_")[0] not in sections
        and not re.fullmatch(r"CHATD_(\w+_)?(PORT|SERVICE)(_\w+)?", name)
    )


def override(settings: Settings, source: str, values: Mapping[str, Mapping[str, Any]]) -> Settings:
    """The settings with these sections' keys changed. Raises SettingsError, which names ``source``."""
    raw = msgspec.to_builtins(settings)
    for section, keys in values.items():
        raw[section].update(keys)
    return _decode(raw, source)


def _decode(raw: dict[str, Any], source: str) -> Settings:
    try:
        return msgspec.convert(raw, Settings, strict=True)
    except msgspec.ValidationError as error:
        # "Expected `int`, got `str` - at `$.limits.sends_per_10s`", and without a place for the top.
        what, _, where = str(error).partition(" - at `$.")
        key = where.rstrip("`")
        raise SettingsError(f"{source}: {f'{key}: ' if key else ''}{what}") from None


def _overrides(environ: Mapping[str, str]) -> dict[str, Any]:
    """``CHATD_LIMITS_SENDS_PER_10S=5`` as ``{"limits": {"sends_per_10s": 5}}``, typed by the setting."""
    found: dict[str, Any] = {}
    sections = get_type_hints(Settings)
    for name, text in environ.items():
        if not name.startswith("CHATD_"):
            continue
        rest = name.removeprefix("CHATD_").lower()
        if rest == "environment":
            found["environment"] = text
            continue
        section, _, key = rest.partition("_")
        fields = get_type_hints(sections[section]) if section in sections else {}
        if key not in fields:
            if section in sections:
                raise SettingsError(f"{name}: there is no setting {section}.{key}")
            continue  # CHATD_… of another program, or of a test
        found.setdefault(section, {})[key] = _parse(name, text, fields[key])
    return found


def _parse(name: str, text: str, kind: Any) -> Any:
    try:
        if kind is str:
            return text
        if kind == tuple[str, ...]:
            return tuple(part.strip() for part in text.split(",") if part.strip())
        return msgspec.convert(text, kind, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{name}={text!r}: {error}") from None
