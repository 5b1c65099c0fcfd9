"""Building .venv, as `make run` does first: what is killed or meets another is whole at the next `make`.

The project that is built here is a small one, with a wheel of its own, so that no index is asked.
"""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.ops.serving import START_S, until

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(300)

#: The project's own build: says that it has begun, then waits for as long as the file ``wait`` is there.
BACKEND = """
import pathlib, time, zipfile
here = pathlib.Path.cwd()
WHEEL = "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"

def build_editable(directory, config_settings=None, metadata_directory=None):
    with (here / "builds").open("a") as builds:
        builds.write("once\\n")
    while (here / "wait").exists():
        time.sleep(0.02)
    with zipfile.ZipFile(pathlib.Path(directory, "small-1-py3-none-any.whl"), "w") as wheel:
        wheel.writestr("small-1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: small\\nVersion: 1\\n")
        wheel.writestr("small-1.dist-info/WHEEL", WHEEL)
        wheel.writestr("small-1.dist-info/RECORD", "")
        wheel.writestr("small.pth", str(here))
    return "small-1-py3-none-any.whl"
"""


def wheel(directory: Path, name: str) -> str:
    """A package of one module; its line in a lock."""
    path = directory / f"{name}-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(f"{name}-1.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
        file.writestr(
            f"{name}-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        file.writestr(f"{name}-1.dist-info/RECORD", "")
        file.writestr(f"{name}.py", "")
    return f"{name}==1 --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A clone of a small project with our Makefile, in a folder with a name that shells do not like."""
    here = tmp_path / "a clone (zwei \u00fc)"
    wheels = tmp_path / "wheels"
    here.mkdir()
    wheels.mkdir()
    (here / ".ci").mkdir()
    for name in ("Makefile", ".ci/venv.sh"):
        shutil.copy(ROOT / name, here / name)
    (here / "requirements.lock").write_text(wheel(wheels, "first"))
    (here / "requirements-dev.lock").write_text(wheel(wheels, "second"))
    (here / "backend.py").write_text(BACKEND)
    (here / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "small"\nversion = "1"\n'
    )
    return here


def make(project: Path, target: str) -> "subprocess.Popen[str]":
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "MAKE", "MFLAGS"))
    }
    return subprocess.Popen(
        ["make", target],
        cwd=project,
        env={
            **kept,
            "PYTHON": sys.executable,
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(project.parent / "wheels"),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def done(process: "subprocess.Popen[str]") -> str:
    said, _ = process.communicate(timeout=START_S)
    assert process.returncode == 0, said
    return said


def has(project: Path, *modules: str) -> bool:
    python = project / ".venv" / "bin" / "python"
    return subprocess.run([python, "-c", f"import {','.join(modules)}"], check=False).returncode == 0


def builds(project: Path) -> int:
    file = project / "builds"
    return len(file.read_text().splitlines()) if file.exists() else 0


def test_of_two_that_begin_at_once_one_builds_and_the_other_waits_for_it(project: Path) -> None:
    (project / "wait").touch()
    first, second = make(project, ".venv/.runs"), make(project, ".venv/.develops")
    until(lambda: builds(project) == 1)
    (project / "wait").unlink()
    said = done(first) + done(second)
    assert "another make is building .venv: waiting for it" in said
    assert builds(project) == 1
    assert has(project, "first", "second", "backend")
    # And a third has nothing to do.
    assert "installing" not in done(make(project, ".venv/.develops"))


@pytest.mark.parametrize("stage", ["the venv", "the packages"])
def test_one_that_is_killed_is_begun_anew(project: Path, stage: str) -> None:
    (project / "wait").touch()
    killed = make(project, ".venv/.runs")
    if stage == "the venv":
        until(lambda: (project / ".venv" / "bin" / "python").exists())
    else:
        until(lambda: builds(project) == 1)
        # As half an installed package looks: pip would take it for a whole one.
        next((project / ".venv").glob("lib/python3*/site-packages/first.py")).unlink()
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate(timeout=START_S)
    (project / "wait").unlink()
    done(make(project, ".venv/.runs"))
    assert has(project, "first", "backend")
    assert not (project / ".venv.old").exists()


def test_an_install_that_fails_says_so_and_what_to_do(project: Path) -> None:
    lock = project / "requirements.lock"
    lock.write_text(lock.read_text()[:-65] + "0" * 64 + "\n")
    failed = make(project, ".venv/.runs")
    said, _ = failed.communicate(timeout=START_S)
    assert failed.returncode != 0
    assert "DO NOT MATCH THE HASHES" in said
    assert "The same command begins it anew" in said


def test_a_python_that_does_not_fit_is_named(project: Path) -> None:
    (project / "python2").write_text("#!/bin/sh\necho Python 2.7.18\nexit 1\n")
    (project / "python2").chmod(0o755)
    failed = subprocess.run(
        ["make", "PYTHON=./python2", ".venv/.runs"],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
        timeout=START_S,
    )
    assert failed.returncode != 0
    assert "./python2, which PYTHON names, is Python 2.7.18" in failed.stderr
    assert not (project / ".venv").exists()
