import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from loadtest.replay import CannotReplay, Options, Report, main, replay
from tests.loadtest.fake import FakeChatd, Frame, Plant, jwt

TRANSCRIPT = """\
[10:00] <ann> is anybody here?
[10:00] <bob> no
=== ann is now known as ann_
[10:01] <ann_> pity
[10:01] <ann_>
[10:01] <cat> 1
[10:01] <cat> 2
[10:01] <cat> 3
=== bob [~bob@host]  has quit
[10:01] <cat> 4
"""


@pytest.fixture
def transcript(tmp_path: Path) -> Path:
    path = tmp_path / "irc.txt"
    path.write_text(TRANSCRIPT, "utf-8")
    return path


async def replayed(fake: FakeChatd, transcript: Path, **options: Any) -> Report:
    return await replay(Options(files=[transcript], url=fake.url, linger_s=0.0, **options))


async def test_everything_reaches_everybody(fake: FakeChatd, transcript: Path):
    report = await replayed(fake, transcript)
    assert report.good
    assert (report.sent, report.acked, report.sockets) == (7, 7, 3)
    assert (report.expected, report.delivered) == (21, 21)
    assert report.skipped == {"empty": 1}
    assert report.lines == {"said": 8, "renames": 1, "leaves": 1}
    assert len(fake.users) == 3
    by_sender = [(event["message"]["sender_id"], event["message"]["content"]["text"]) for event in fake.log]
    assert [text for sender, text in by_sender if sender.endswith("2")] == ["1", "2", "3", "4"]


def on_one_socket(seq: int, served: list[int]) -> Plant:
    """The frames of this seq and the next reach socket 1 as ``served``: offsets from ``seq``."""
    held: list[Frame] = []

    def plant(socket: int, frame: Frame) -> list[Frame]:
        if socket != 1 or not seq <= frame["seq"] <= seq + 1:
            return [frame]
        held.append(frame)
        return [held[n] for n in served] if len(held) == 2 else []

    return plant


def rewritten(socket: int, frame: Frame) -> list[Frame]:
    if socket != 2 or frame["seq"] != 3:
        return [frame]
    content = {"type": "text", "text": "something else"}
    return [{**frame, "message": {**frame["message"], "content": content}}]


@pytest.mark.parametrize(
    ("plant", "faults"),
    [
        (on_one_socket(3, [1]), {"lost": 1, "delivered": 20}),
        (on_one_socket(6, [0]), {"lost": 1, "delivered": 20}),
        (on_one_socket(3, [0, 0, 1]), {"duplicated": 1}),
        (on_one_socket(3, [1, 0]), {"disordered": 1}),
        (on_one_socket(3, []), {"lost": 2, "delivered": 19}),
        (rewritten, {"altered": 1}),
    ],
)
async def test_a_fault_on_one_socket_is_found(
    fake: FakeChatd, transcript: Path, plant: Plant, faults: dict[str, int], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("loadtest.replay.PATIENCE_S", 0.3)
    fake.plant = plant
    report = await replayed(fake, transcript)
    found = {"lost": 0, "duplicated": 0, "disordered": 0, "altered": 0, "delivered": 21}
    assert {name: getattr(report, name) for name in found} == {**found, **faults}
    assert not report.good


async def test_a_refused_message_is_no_success(fake: FakeChatd, transcript: Path):
    fake.refusals = [{"code": "validation_failed"}]
    report = await replayed(fake, transcript)
    assert report.refused == {"validation_failed": 1}
    assert (report.sent, report.acked) == (7, 6)
    assert not report.good


async def test_one_at_a_time_keeps_the_order_through_refusals_and_cuts(fake: FakeChatd, transcript: Path):
    fake.deaf = True
    fake.refusals = [{"code": "rate_limited", "retry_after_ms": 5} for _ in range(3)]
    report = await replayed(fake, transcript, window=1)
    assert report.good
    assert report.reconnects == 1
    assert report.duplicate_acks == 1


async def test_life_goes_on_at_the_speed_that_was_asked_for(fake: FakeChatd, transcript: Path):
    report = await replayed(fake, transcript, speed=200.0)  # 108 s of life: from 10:00 to 10:01:48
    assert report.seconds >= 108 / 200
    assert report.good


async def test_a_server_that_limits_registrations_is_told_how_not_to(fake: FakeChatd, transcript: Path):
    fake.refuse_registration = True
    with pytest.raises(CannotReplay, match=r"CHATD_LIMITS_REGISTRATIONS_PER_MINUTE=0.*--users FILE"):
        await replayed(fake, transcript)


async def test_seeded_users_need_no_registration(fake: FakeChatd, transcript: Path, tmp_path: Path):
    fake.refuse_registration = True
    users = tmp_path / "users.json"
    ids = [f"usr_{n:026d}" for n in range(4)]
    users.write_text(json.dumps({"users": [{"id": id_, "access_token": jwt(id_, 900)} for id_ in ids]}))
    assert (await replayed(fake, transcript, users=users)).good
    users.write_text('{"users":[]}')
    with pytest.raises(CannotReplay, match="3 people speak"):
        await replayed(fake, transcript, users=users)
    users.write_text("[]")
    with pytest.raises(CannotReplay, match="not a file of"):
        await replayed(fake, transcript, users=users)


async def test_the_exit_code_says_whether_it_was_as_promised(
    fake: FakeChatd, transcript: Path, capsys: pytest.CaptureFixture[str]
):
    arguments = [str(transcript), "--url", fake.url, "--linger", "0", "--json"]
    assert await asyncio.to_thread(main, arguments) == 0
    assert json.loads(capsys.readouterr().out)["delivered"] == 21
    fake.log.clear()
    fake.plant = on_one_socket(3, [0, 0, 1])
    fake._opened = 0
    assert await asyncio.to_thread(main, arguments[:-1]) == 1
    assert "duplicated      1" in capsys.readouterr().out


async def test_what_cannot_be_tried_exits_with_two(transcript: Path, capsys: pytest.CaptureFixture[str]):
    assert await asyncio.to_thread(main, [str(transcript), "--url", "http://127.0.0.1:9"]) == 2
    assert await asyncio.to_thread(main, ["no-such-file", "--url", "http://127.0.0.1:9"]) == 2
    assert "no-such-file" in capsys.readouterr().err
