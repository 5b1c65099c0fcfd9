"""What every bench is told."""

from dataclasses import dataclass, field
from typing import Any, TypeVar

from loadtest.benches.machine import Cores

T = TypeVar("T")


@dataclass(frozen=True)
class Options:
    """``tiny`` is for tests: everything runs and is counted, in seconds, and the figures mean nothing.

    ``shared`` is a running ``rig.Rig`` of one worker, for benches that would each start their own.
    """

    tiny: bool = False
    shared: Any = None
    cores: Cores = field(default_factory=Cores.of_this_machine)

    def pick(self, full: T, tiny: T) -> T:
        """The one for this run."""
        return tiny if self.tiny else full
