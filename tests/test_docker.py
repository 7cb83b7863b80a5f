"""The image and its two nodes: linted where the tools are, built and run for real where a Docker engine is."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
DOCKER = REPOSITORY / "docker"
PROJECT = f"allgradtest{os.getpid()}"
PROGRAM = "/app/examples/resume.py"


def tool(name: str) -> str:
    """A tool beside this Python or on the PATH; the test is skipped where it is not installed."""
    path = shutil.which(name, path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}")
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


def call(*words: str, timeout_s: float = 60, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout_s,
        check=False,
        cwd=REPOSITORY,
        env=os.environ | variables,
    )


def test_dockerfile_is_clean() -> None:
    done = call(tool("hadolint"), "docker/Dockerfile")
    assert done.returncode == 0, done.stdout + done.stderr


def test_compose_file_fits_the_schema() -> None:
    done = call(tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", "docker/compose.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_scripts_are_clean() -> None:
    done = call(tool("shellcheck"), "docker/start-sshd")
    assert done.returncode == 0, done.stdout


def test_what_the_image_is_made_of_is_sent_to_the_engine() -> None:
    """A file that .dockerignore keeps back fails the build; one that is not there too."""
    sent = [line[1:] for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for line in (DOCKER / "Dockerfile").read_text().splitlines():
        if line.startswith("COPY ") and "--from" not in line:
            for source in line.split()[1:-1]:
                assert (REPOSITORY / source).exists() and source.removeprefix("./") in sent, line
    assert os.access(DOCKER / "start-sshd", os.X_OK)
    text = (DOCKER / "Dockerfile").read_text()
    for needed in ("USER 1000", "HEALTHCHECK", "tini", "slim", "openssh-server"):
        assert needed in text


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    """The image, built from this working tree; ALLGRAD_TEST_IMAGE names one that has been built before."""
    docker = tool("docker")
    if call(docker, "info").returncode != 0:
        pytest.skip("no Docker engine answers (docker info)")
    given = os.environ.get("ALLGRAD_TEST_IMAGE")
    if given:
        yield given
        return
    base = re.search(r"^ARG BASE=(\S+)", (DOCKER / "Dockerfile").read_text(), re.MULTILINE)
    assert base
    if call(docker, "image", "inspect", base[1]).returncode != 0 and call(docker, "pull", base[1]).returncode != 0:
        pytest.skip(f"the base image {base[1]} cannot be pulled from here")
    built = call(docker, "build", "-t", PROJECT, "-f", "docker/Dockerfile", ".", timeout_s=900)
    assert built.returncode == 0, built.stdout[-3000:] + built.stderr[-3000:]
    yield PROJECT
    call(docker, "image", "rm", PROJECT)


def run(image: str, *words: str) -> subprocess.CompletedProcess[str]:
    return call(
        "docker", "run", "--rm", "--init=false", *words[: words.index("--")], image, *words[words.index("--") + 1 :]
    )


@pytest.mark.cluster
def test_a_job_in_one_container(image: str) -> None:
    done = run(image, "--shm-size=1g", "--", "allgrad", "run", "-n", "2", PROGRAM, "--epochs", "2")
    assert done.returncode == 0 and "2 rank(s), 20 steps" in done.stdout, done.stdout + done.stderr
    who = run(image, "--", "id", "-un")
    assert who.stdout.strip() == "trainer", who.stderr


@pytest.mark.cluster
def test_the_exit_code_comes_through(image: str) -> None:
    done = run(image, "--", "sh", "-c", "echo 'raise SystemExit(7)' >p.py && exec allgrad run -n 1 p.py")
    assert done.returncode == 7, done.stderr


@pytest.mark.cluster
def test_doctor_sees_the_limits_of_the_container(image: str) -> None:
    limits = ["--cpus=1", "--memory=300m", "--shm-size=40m"]
    done = run(image, *limits, "--", "allgrad", "run", "-n", "2", "-m", "allgrad", "doctor")
    assert done.returncode == 1, done.stderr
    for fact in ("CPU quota 1)", "free in /dev/shm", "control group 300 MiB"):
        assert re.search(rf"^BAD .*{re.escape(fact)}", done.stdout, re.MULTILINE), done.stdout


@pytest.mark.cluster
def test_two_nodes_train_together_stop_and_resume(image: str, tmp_path: Path) -> None:
    compose = [tool("docker-compose")] if shutil.which("docker-compose") else ["docker", "compose"]
    if call(*compose, "version").returncode != 0:
        pytest.skip("docker compose is not installed")
    slow = tmp_path / "slow.yaml"  # time for an interruption
    command = [*["allgrad", "run", "--hosts", "node1:2,node2:2"], PROGRAM, "--pause", "0.05"]
    words = ", ".join(f'"{word}"' for word in command)
    slow.write_text(f"services:\n  node1: {{image: {image}, command: [{words}]}}\n  node2: {{image: {image}}}\n")
    compose += ["-p", PROJECT, "-f", "docker/compose.yaml", "-f", str(slow)]
    try:
        assert call(*compose, "up", "-d", "--no-build", timeout_s=120).returncode == 0
        until = time.monotonic() + 60
        checkpoints = ["exec", "-T", "node2", "sh", "-c", "test -e /data/runs/resume/latest"]
        while call(*compose, *checkpoints).returncode != 0:
            assert time.monotonic() < until, call(*compose, "logs").stdout
            time.sleep(0.3)
        assert call(*compose, "stop", "node1").returncode == 0  # USR1: save and leave
        stopped = call(*compose, "logs", "node1").stdout
        assert "Traceback" not in stopped and "SIGKILL" not in stopped
        first = call("docker", "inspect", "-f", "{{.State.ExitCode}}", f"{PROJECT}_node1_1")
        assert first.stdout.strip() in ("75", ""), stopped
        again = call(*compose, "up", "--no-build", "--exit-code-from", "node1", timeout_s=120)
        said = call(*compose, "logs", "node1").stdout
        assert again.returncode == 0 and "4 rank(s), 400 steps" in said, again.stdout + again.stderr
        assert re.search(r"resumed after step \d+", said), said
    finally:
        call(*compose, "down", "-v", "-t", "1", timeout_s=60)
