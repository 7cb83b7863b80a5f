"""Several nodes on one Linux machine, as root: each has its own host name, network, processes, /tmp and /dev/shm.

The nodes are namespaces with an sshd each, joined by a bridge that lives in a namespace of its own, so the machine's
network is left alone.  ``shared`` is the folder that all nodes see, as they would an NFS.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from cli_jobs import SOURCE, environment

TOOLS = ("ip", "nsenter", "unshare", "sshd", "ssh", "ssh-keygen", "mount", "hostname")
SBIN = "/usr/sbin:/sbin"
NETWORK = "10.79.0"


def require_cluster(*more: str) -> None:
    """Skip, with the reason, where nodes cannot be made."""
    if os.geteuid() != 0:
        pytest.skip("nodes are namespaces, which only root may make")
    missing = [tool for tool in (*TOOLS, *more) if find(tool) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    tried = subprocess.run(["unshare", "--net", "--mount", "--pid", "--fork", "true"], capture_output=True, check=False)
    if tried.returncode != 0:
        pytest.skip(f"namespaces are forbidden here: {tried.stderr.decode(errors='replace').strip()}")


def find(tool: str) -> str | None:
    """The tool's path; daemons lie in sbin, which a user's PATH may lack."""
    return shutil.which(tool, path=f"{os.environ.get('PATH', os.defpath)}:{SBIN}")


def sh(*words: str) -> str:
    """Run a command that must succeed; its output."""
    done = subprocess.run([find(words[0]) or words[0], *words[1:]], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"
    return done.stdout


class Nodes:
    """``with Nodes(shared, 3) as nodes:`` node1 to node3; all their processes end with the block."""

    def __init__(self, shared: Path, count: int) -> None:
        self.shared, self.names = shared, [f"node{k}" for k in range(1, count + 1)]
        self.own = shared / ".nodes"
        self.prefix = f"ag{os.getpid() % 100000}"
        self.over_ssh = True  # a batch system has its own way to the nodes, and hydra would put our ssh in its place
        self.inits: dict[str, subprocess.Popen[bytes]] = {}  # the unshare of each node

    def __enter__(self) -> Nodes:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for name in list(self.inits):
            self.kill(name)
        for name in [*self.names, "switch"]:
            subprocess.run([find("ip") or "ip", "netns", "del", self.net(name)], capture_output=True, check=False)

    def net(self, name: str) -> str:
        """The network namespace of a node."""
        return f"{self.prefix}{name}"

    def kill(self, name: str) -> None:
        """The node loses power: all its processes are killed, and nobody is told."""
        init = self.inits.pop(name)
        init.kill()  # --kill-child: the node's first process dies, and with it all others
        init.wait()

    def cut_cable(self, name: str) -> None:
        """No packet comes or goes any more; the node goes on."""
        sh("ip", "-n", self.net("switch"), "link", "set", name, "down")

    def command(self, name: str, words: Sequence[str], **variables: str) -> list[str]:
        """The argument list that runs ``words`` on the node, in the shared folder, with a user's environment."""
        unshare = self.inits[name].pid
        first = Path(f"/proc/{unshare}/task/{unshare}/children").read_text().split()[0]
        clean = [f"{key}={value}" for key, value in (environment() | self.variables() | variables).items()]
        enter = ["nsenter", "-t", first, "--net", "--uts", "--ipc", "--pid", "--mount", "--"]
        return [*enter, "env", "-i", *clean, "sh", "-c", 'cd "$0" && exec "$@"', str(self.shared), *words]

    def variables(self) -> dict[str, str]:
        """What sends MPI's launchers over our ssh."""
        if not self.over_ssh:
            return {}
        return {
            "PRTE_MCA_plm_ssh_args": f"-F {self.own}/ssh_config",
            "OMPI_MCA_plm_rsh_args": f"-F {self.own}/ssh_config",
            "HYDRA_LAUNCHER_EXEC": str(self.own / "ssh"),
        }

    def start(self, name: str, *words: str, **variables: str) -> subprocess.Popen[bytes]:
        """Run a command on a node."""
        return subprocess.Popen(
            self.command(name, words, **variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def allgrad(self, name: str, *words: str, **variables: str) -> subprocess.Popen[bytes]:
        """``allgrad *words`` on a node."""
        return self.start(name, sys.executable, "-m", "allgrad", *words, **variables)

    def _start(self) -> None:
        self.own.mkdir()
        for key in ("user", "host"):
            sh("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.own / key))
        address = {name: f"{NETWORK}.{k}" for k, name in enumerate(self.names, start=1)}
        host_key = (self.own / "host.pub").read_text()
        self._write("hosts", "127.0.0.1 localhost\n" + "".join(f"{address[n]} {n}\n" for n in self.names))
        self._write("known_hosts", "".join(f"{n},{address[n]} {host_key}" for n in self.names))
        self._write(
            "ssh_config",
            f"Host *\n User root\n IdentityFile {self.own}/user\n UserKnownHostsFile {self.own}/known_hosts\n"
            " BatchMode yes\n LogLevel ERROR\n",
        )
        self._write("ssh", f'#!/bin/sh\nexec ssh -F {self.own}/ssh_config "$@"\n')
        (self.own / "ssh").chmod(0o755)
        switch = self.net("switch")
        sh("ip", "netns", "add", switch)
        sh("ip", "-n", switch, "link", "add", "br0", "type", "bridge")
        sh("ip", "-n", switch, "link", "set", "br0", "up")
        for name in self.names:
            sh("ip", "netns", "add", self.net(name))
            sh("ip", "-n", self.net(name), "link", "add", "eth0", "type", "veth", "peer", "name", name, "netns", switch)
            sh("ip", "-n", switch, "link", "set", name, "master", "br0", "up")
            sh("ip", "-n", self.net(name), "addr", "add", f"{address[name]}/24", "dev", "eth0")
            for link in ("eth0", "lo"):
                sh("ip", "-n", self.net(name), "link", "set", link, "up")
            self._boot(name, address[name])
        for name in self.names:
            self._await(name)

    def _write(self, name: str, text: str) -> None:
        (self.own / name).write_text(text)

    def _boot(self, name: str, address: str) -> None:
        self._write(
            f"{name}.sshd",
            f"Port 22\nListenAddress {address}\nHostKey {self.own}/host\nAuthorizedKeysFile {self.own}/user.pub\n"
            "PidFile none\nUsePAM no\nStrictModes no\nPermitRootLogin prohibit-password\nUseDNS no\n",
        )
        # Equal process numbers of two nodes would collide in a common /tmp, so each has its own, with these in it.
        wanted = [str(self.shared), sys.prefix, sys.base_prefix, SOURCE]
        kept = [path for path in dict.fromkeys(wanted) if path.startswith("/tmp/")]
        binds = "".join(f"mkdir -p {p}; mount --bind /run/allgrad-tmp/{p[5:]} {p}; " for p in kept)
        script = (
            f"set -e; hostname {name}; mount -t tmpfs tmpfs /dev/shm; mount --bind {self.own}/hosts /etc/hosts; "
            "mount -t tmpfs tmpfs /run; mkdir -p /run/allgrad-tmp /run/sshd; mount --bind /tmp /run/allgrad-tmp; "
            f"mount -t tmpfs tmpfs /tmp; chmod 1777 /tmp; {binds}umount -l /run/allgrad-tmp; "
            f"exec {find('sshd')} -D -e -f {self.own}/{name}.sshd"
        )
        with open(self.own / f"{name}.log", "wb") as log:
            self.inits[name] = subprocess.Popen(
                ["nsenter", f"--net=/run/netns/{self.net(name)}", "unshare", "--uts", "--ipc", "--pid", "--mount"]
                + ["--fork", "--kill-child", "--mount-proc", "sh", "-c", script],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _await(self, name: str) -> None:
        until = time.monotonic() + 20
        while time.monotonic() < until:
            with contextlib.suppress(IndexError, FileNotFoundError):  # the node has no first process yet
                reach = self.command(self.names[0], ["ssh", "-F", f"{self.own}/ssh_config", name, "hostname"])
                done = subprocess.run(reach, capture_output=True, text=True, check=False, timeout=20)
                if done.stdout.strip() == name:
                    return
            time.sleep(0.05)
        pytest.fail(f"{name} cannot be reached by ssh: {(self.own / f'{name}.log').read_text()}")
