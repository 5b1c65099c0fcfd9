"""What the documents name is there: metrics, settings, commands, make targets, files."""

import re
import subprocess
from pathlib import Path

import pytest

from chatd import catalog
from chatd.__main__ import EXAMPLES, _parser
from chatd.core import metrics
from chatd.core.settings import Secrets, Settings

ROOT = Path(__file__).resolve().parents[2]
#: Of README and docs/ those that we write; the figures' page names what was measured then.
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SECTIONS = {name: getattr(Settings(), name) for name in Settings.__struct_fields__}
_SECTIONS = "|".join(name for name, section in SECTIONS.items() if hasattr(section, "__struct_fields__"))

#: What else has two names with a dot between: frames, and modules.
ALIKE = {
    *(struct.__struct_config__.tag for struct in [*(c.struct for c in catalog.COMMANDS), *catalog.EVENTS]),
    *("connection.init", "connection.ready", "auth.refresh"),
    *(f"{path.parent.name}.{path.stem}" for path in (ROOT / "chatd").rglob("*.py")),
}

pages = pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])


@pages
def test_every_metric_that_is_named_is_exposed(page: Path) -> None:
    metrics.Stats().publish()
    exposed = set(re.findall(r"^# TYPE (\w+)", metrics.expose().decode(), re.MULTILINE))
    exposed |= {f"{name}_total" for name in exposed}
    named = set(re.findall(r"`(chatd_\w+)", page.read_text())) - {"chatd_jwt_key"}
    assert named <= exposed, named - exposed


def test_operators_read_of_every_metric_that_they_were_promised() -> None:
    text = (ROOT / "docs" / "operating.md").read_text()
    for name in (
        *("sockets", "sends_total", "deliveries_total", "ack_seconds", "delivery_seconds", "batch_entries"),
        *("queue_bytes", "slow_closes_total", "heals_total", "redis_up", "db_pool_size", "db_pool_idle"),
    ):
        assert f"`chatd_{name}`" in text, name


@pages
def test_every_setting_that_is_named_is_there(page: Path) -> None:
    text = page.read_text()
    for section, key in re.findall(rf"`(?:\[)?({_SECTIONS})(?:\])?\.(\w+)[` =]", text):
        name = f"{section}.{key}"
        assert key in SECTIONS[section].__struct_fields__ or name in ALIKE, name
    known = {
        f"CHATD_{name}_{key}".upper()
        for name, section in SECTIONS.items()
        for key in getattr(section, "__struct_fields__", ())
    }
    known |= {f"CHATD_SECRETS_{key}".upper() for key in Secrets.__struct_fields__}
    known |= {"CHATD_ENVIRONMENT", "CHATD_CONFIG"}
    named = set(re.findall(r"\bCHATD_[A-Z0-9_]+[A-Z0-9]\b(?!_)", text))
    assert named <= known, named - known


@pages
def test_every_command_that_is_named_is_there(page: Path) -> None:
    text = page.read_text()
    for target in re.findall(
        r"\bmake ([a-z]+)\b(?=[`\n ])", "\n".join(re.findall(r"`[^`]+`|^make .*$", text, re.M))
    ):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), target
    commands = _parser()._subparsers._group_actions[0].choices  # type: ignore[union-attr]
    for command in re.findall(r"`(?:\.venv/bin/)?chatd ([a-z]+)", text):
        assert command in commands, command


@pages
def test_every_link_leads_to_a_file(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        if not target.startswith("/"):
            assert (page.parent / target).exists(), target


def test_every_example_of_the_help_is_a_command_that_parses() -> None:
    for line in EXAMPLES.splitlines():
        found = re.search(r"\bchatd ([a-z].*?)(?:  .*)?$", line)
        if line.startswith("  ") and found:
            _parser().parse_args(found[1].split())


def test_make_shows_its_targets() -> None:
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in ("run", "test", "check", "load", "bench", "chaos"):
        assert f"make {target} " in shown
