"""What the machine says: cores, and what processes have used of them."""

import os
import platform
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Cores:
    """Where the server runs and where the load; None: anywhere."""

    server: int | None = None
    load: int | None = None

    @classmethod
    def of_this_machine(cls) -> "Cores":
        """A core each where there are two."""
        free = sorted(os.sched_getaffinity(0))
        return cls(free[0], free[1]) if len(free) > 1 else cls()


def pin(pid: int, core: int | None) -> None:
    """Let a process, with all its threads, run on this core only."""
    if core is None:
        return
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), {core})


def cpu_s(*pids: int) -> float:
    """CPU seconds that these processes have used so far, in user and kernel."""
    ticks = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue  # a server process of PostgreSQL that has ended meanwhile
        ticks += int(fields[11]) + int(fields[12])
    return ticks / TICKS


def rss_bytes(pid: int) -> int:
    """Resident memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE


def descendants(pid: int) -> dict[int, str]:
    """Every process under this one, with its command line."""
    parents: dict[int, int] = {}
    commands: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text()
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        child = int(entry.name)
        parents[child] = int(stat.rsplit(")", 1)[1].split()[1])
        commands[child] = command.replace(b"\0", b" ").decode(errors="replace")

    def under(child: int) -> bool:
        while child in parents:
            child = parents[child]
            if child == pid:
                return True
        return False

    return {child: commands[child] for child in parents if under(child)}


def describe() -> str:
    """Processor, cores, memory, kernel."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    kb = int(Path("/proc/meminfo").read_text().split()[1])
    cores = len(os.sched_getaffinity(0))
    return (
        f"{model}, {cores} cores, {kb / 1024 / 1024:.0f} GB, Linux {platform.release()}, "
        f"{platform.python_implementation()} {platform.python_version()}"
    )
