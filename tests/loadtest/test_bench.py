"""Every bench runs and counts; the figures of such short runs mean nothing, and are not looked at."""

import json
from pathlib import Path
from typing import Any

import pytest

from loadtest import bench
from loadtest.benches import durable, fanout, growth, idle, latency, machine, overload, pages, storm
from loadtest.benches.lean import Listener, Sampler, frames, masked, said
from loadtest.benches.load import load
from loadtest.benches.machine import Cores
from loadtest.benches.measure import Broken, quantile
from loadtest.benches.options import Options
from loadtest.benches.pace import Pacer, Stamped
from loadtest.benches.rig import rig
from loadtest.benches.targets import TARGETS, verdicts

TINY = Options(tiny=True, cores=Cores())
#: Hostile clients are gone sooner.
HASTE = {"CHATD_SOCKET_INIT_TIMEOUT_S": "1"}


def _has_every_target(name: str, result: dict[str, Any]) -> None:
    judged = verdicts(name, result)
    assert judged or name == "gp"
    missing = [v.target.path for v in judged if v.value != v.value]
    assert not missing, f"{name} has no {missing}"
    assert isinstance(json.loads(json.dumps(result)), dict)
    assert name in pages.page({name: result}, {})


@pytest.mark.timeout(300)
async def test_every_bench_runs_and_counts() -> None:
    async with rig(TINY, settings=HASTE) as server:
        options = Options(tiny=True, cores=Cores(), shared=server)
        results = {
            "fanout": await fanout.run(options),
            "durable": await durable.run(options),
            "idle": await idle.run(options),
            "storm": await storm.run(options),
            "overload": await overload.run(options),
        }
    for name, result in results.items():
        _has_every_target(name, result)
    assert results["storm"]["resumed_ok"] is True
    assert results["overload"]["hostile"]["bad_left"] == 0


@pytest.mark.timeout(300)
async def test_growth_goes_up_and_down_and_reads_its_sizes_in_turns() -> None:
    result = await growth.run(TINY)
    _has_every_target("growth", result)
    assert [
        len(values) for name, values in result.items() if isinstance(values, list) and name != "seq_scans"
    ]
    assert not result["seq_scans"]


@pytest.mark.timeout(300)
async def test_latencies_are_measured_on_one_worker_and_across_two() -> None:
    _has_every_target("latency", await latency.run(TINY))


async def test_a_bench_breaks_where_a_socket_has_not_every_message() -> None:
    async with load() as generator, rig(TINY) as server:
        target = await fanout.crowded(server, generator, 4)
        await target.measure(1, 0.2)
        await generator("drop", group=f"{target.name} samplers")
        await generator(
            "connect", group=f"{target.name} samplers", kind="listener", port=server.port, users=[]
        )
        # A socket of somebody who is not in the chat hears nothing.
        await server.seed(users=1, chats=0, members=1)
        stranger = [{"token": server.users[0]["access_token"]}]
        group = f"{target.name} listeners"
        await generator("connect", group=group, kind="listener", port=server.port, users=stranger)
        with pytest.raises(Broken, match="1 of the chatd listeners"):
            await target.measure(1, 0.2, patience_s=1.0)


def test_frames_are_cut_where_they_end() -> None:
    short, long = b"\x81\x02{}", b"\x81\x7e\x00\x80" + b"x" * 128
    data = short + long + b"\x89\x00" + long[:50]
    assert [(data[begin:end], first) for first, begin, end in frames(data, len(data))] == [
        (b"{}", 0x81),
        (b"x" * 128, 0x81),
        (b"", 0x89),
    ]


@pytest.mark.parametrize("length", [0, 1, 125, 126, 4000])
def test_a_masked_frame_says_its_length(length: int) -> None:
    frame = masked(b"x" * length)
    assert frame[1] & 0x80
    assert len(frame) == length + (6 if length < 126 else 8)


def _event(seq: int, cmid: str, text: str) -> bytes:
    message = {"client_message_id": cmid, "seq": seq, "content": {"type": "text", "text": text}}
    body = json.dumps({"type": "message.new", "chat_id": "c", "seq": seq, "message": message}).encode()
    return b"\x81\x7e" + len(body).to_bytes(2, "big") + body


async def _sampled(*events: bytes) -> int:
    sampler = Sampler("token")
    for event in events:
        for at in range(0, len(event), 100):  # a frame comes in pieces
            piece = event[at : at + 100]
            Sampler.buffer[: len(piece)] = piece
            sampler.heard(len(piece))
    assert sampler.got == len(events)
    return sampler.wrong


async def test_a_sampler_passes_what_is_right() -> None:
    assert await _sampled(*(_event(n, f"m{n}", said(f"m{n}")) for n in range(1, 5))) == 0


@pytest.mark.parametrize("seqs", [[1, 3], [1, 1], [2, 1]], ids=["lost", "doubled", "swapped"])
async def test_a_sampler_sees_what_is_not_in_order(seqs: list[int]) -> None:
    assert await _sampled(*(_event(n, f"m{n}", said(f"m{n}")) for n in seqs)) == 1


async def test_a_sampler_sees_another_text() -> None:
    assert await _sampled(_event(1, "m1", said("m2"))) == 1


async def test_a_listener_counts_every_frame_of_a_read() -> None:
    listener = Listener("token")
    data = b"".join(_event(n, "m", said("m")) for n in range(7))
    Listener.buffer[: len(data)] = data
    listener.heard(len(data))
    assert listener.got == 7


def test_a_missed_target_is_named_on_the_page(tmp_path: Path) -> None:
    result = {"rss_kb_per_socket": 12.5, "cpu_percent": 1.0}
    page = pages.page({"idle": result}, {"storm": "two sockets were lost"})
    assert "| idle | `rss_kb_per_socket` | ≤ 9 | 12.5 | **missed** |" in page
    assert "| idle | `cpu_percent` | ≤ 3 | 1 | met |" in page
    assert "two sockets were lost" in page


def test_a_page_keeps_what_was_not_measured_again(tmp_path: Path) -> None:
    path = tmp_path / "benchmarks.md"
    pages.write(path, {"idle": {"cpu_percent": 1.0}, "storm": {"connects_s": 1.0}}, {}, "the first")
    pages.write(path, {"idle": {"cpu_percent": 2.0}}, {}, "the second")
    page = path.read_text()
    assert "| `cpu_percent` | 2 |" in page
    assert "| `connects_s` | 1 |" in page
    assert page.count("by `the first`") == page.count("by `the second`") == 1


def test_a_figure_says_when_where_and_how_it_was_measured(tmp_path: Path) -> None:
    path = tmp_path / "benchmarks.md"
    pages.write(path, {"idle": {"cpu_percent": 1.0}}, {}, "the command", load_average=2.5)
    page = path.read_text()
    assert machine.describe() in page
    assert "by `the command`" in page
    assert "load average before it began: 2.5" in page
    assert page.endswith(pages.LIMITS)


def test_names_are_run_once_and_in_order() -> None:
    names = list(bench.BENCHES)
    assert bench._wanted(["storm", "idle", "storm"], names) == ["idle", "storm"]
    assert bench._wanted(["core"], names) == list(bench.CORE)
    assert bench._wanted(["core", "idle", "gp"], names) == [*bench.CORE, "gp"]
    assert bench._wanted(["all"], names) == names


def test_the_last_line_is_one_json_object(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(name: str, options: Options) -> dict[str, Any]:
        if name == "storm":
            raise Broken("two sockets were lost")
        return {"cpu_percent": 1.0, "rss_kb_per_socket": 5.0}

    monkeypatch.setattr(bench, "run", run)
    assert bench.main(["idle", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["cpu_percent"] == 1.0
    assert bench.main(["idle", "storm", "--json"]) == 2
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert said["idle"]["cpu_percent"] == 1.0
    assert said["broken"] == {"storm": "two sockets were lost"}


def test_coming_nearer_to_the_floor_is_no_fault_and_falling_from_it_is() -> None:
    flat = {
        "history_p50_ms": [1.0, 1.0],
        "fanout_w4_per_core_s": [3.0, 1.0],
        "fanout_floor_per_core_s": [2, 1],
    }
    better = growth.verdict({**flat, "fanout_ratio": [2.0, 3.0]})
    assert better["worst_spread"] == 1.0
    assert better["spread"]["fanout_w4_per_core_s"] == 3.0  # printed all the same
    assert growth.verdict({**flat, "fanout_ratio": [3.0, 2.0]})["worst_spread"] == 1.5
    assert (
        growth.verdict({**flat, "history_p50_ms": [2.0, 1.0], "fanout_ratio": [1, 1]})["worst_spread"] == 2.0
    )


def test_a_quantile_is_read_from_what_came_between_two_looks() -> None:
    def look(*counts: int) -> dict[str, float]:
        bounds = ("0.1", "1.0", "+Inf")
        return {f'h_bucket{{le="{bound}"}}': float(n) for bound, n in zip(bounds, counts, strict=True)} | {
            "h_sum": 1.0
        }

    assert quantile("h", look(100, 100, 100), look(199, 200, 200), 0.5) == 0.1
    assert quantile("h", look(100, 100, 100), look(190, 200, 200), 0.99) == 1.0
    assert quantile("h", {}, {}, 0.5) == 0.0


class _Wire:
    """What a sender writes to."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.frames.append(data)

    def get_write_buffer_size(self) -> int:
        return 0


@pytest.mark.parametrize("obedient", [True, False])
async def test_an_obedient_sender_keeps_still_and_a_stubborn_one_does_not(obedient: bool) -> None:
    told, other = Stamped("token", "cht_x", "told"), Stamped("token", "cht_x", "other")
    for sender in (told, other):
        sender.transport = _Wire()
    refusal = b'{"type":"error","code":"unavailable","re":"1","retry_after_ms":3600000}'
    frame = bytes((0x81, len(refusal))) + refusal
    Stamped.buffer[: len(frame)] = frame
    told.heard(len(frame))
    assert told.refused == 1
    done = await Pacer([told, other], obedient=obedient).run(rate=1e6, seconds=1e-5, patience_s=0.0)
    assert done["withheld"] == (5 if obedient else 0)
    assert len(told.transport.frames) == (0 if obedient else 5)
    assert len(other.transport.frames) == 5


def test_every_target_belongs_to_a_bench() -> None:
    assert {target.bench for target in TARGETS} <= set(bench.BENCHES)
