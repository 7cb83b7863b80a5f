"""``TCPStore``: a store that one process serves to others over TCP.

One line of JSON per request and answer, values in base64: nothing that could run code.  The port is neither encrypted nor
authenticated; the server listens on the address that it is given.
"""

from __future__ import annotations

import base64
import json
import socket
import socketserver
import threading
import time
import weakref
from typing import Any

from allgrad.distributed.stores import OPERATIONS, HashStore, Store
from allgrad.errors import ArgumentError, DistStoreError

LONGEST = 256 * 1024 * 1024  # bytes of one request


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__(address, _Client)
        self.store = HashStore()


class _Client(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        server = self.server
        if not isinstance(server, _Server):
            raise TypeError(f"a client of {type(server).__name__}")
        while line := self.rfile.readline(LONGEST):
            try:
                name, keys, values = _unpack(json.loads(line))
                if name not in OPERATIONS or not all(isinstance(k, str) for k in keys):
                    raise ValueError(f"no operation {name!r}")
                answer: dict[str, Any] = {"found": server.store._do(name, keys, *values)}
            except (ValueError, TypeError, KeyError) as error:  # a foreign or damaged request: its sender is told
                answer = {"error": f"{type(error).__name__}: {error}"}
            self.wfile.write(json.dumps(_pack(answer)).encode() + b"\n")


class TCPStore(Store):
    """A store at ``host_name:port``, served by the process that says ``is_master``; port 0 there: any free one.

    With ``world_size`` and ``wait_for_workers`` the master waits until so many processes have come.
    """

    def __init__(
        self, host_name: str, port: int, world_size: int | None = None, is_master: bool = False, timeout: Any = None,
        wait_for_workers: bool = True, multi_tenant: bool = False, master_listen_fd: Any = None, use_libuv: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(timeout)
        if master_listen_fd is not None:
            raise ArgumentError("TCPStore opens its port itself; leave master_listen_fd out")
        self.host, self.world_size = host_name, world_size
        self._server: _Server | None = None
        if is_master:
            try:
                self._server = _Server((host_name, port))
            except OSError as error:
                raise DistStoreError(
                    f"TCPStore cannot listen on {host_name}:{port}: {error}. Take another port, or 0 for any free one"
                ) from error
            port = self._server.server_address[1]
            threading.Thread(target=self._server.serve_forever, name="allgrad-tcp-store", daemon=True).start()
        self.port = port
        self._lock = threading.Lock()
        self._socket = self._connect()
        self._reader = self._socket.makefile("rb")
        self._end = weakref.finalize(self, _end, self._reader, self._socket, self._server)
        if world_size is not None and wait_for_workers:
            self._meet(world_size, is_master)

    def _connect(self) -> socket.socket:
        until = time.monotonic() + self._timeout_s
        while True:
            try:
                found = socket.create_connection((self.host, self.port), timeout=self._timeout_s)
                found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return found
            except OSError as error:
                if time.monotonic() > until:
                    raise DistStoreError(
                        f"no TCPStore at {self.host}:{self.port} within {self._timeout_s:g} s ({error}); is the process "
                        "with is_master=True running, and does it use this port?"
                    ) from error
                time.sleep(0.05)

    def _meet(self, world_size: int, is_master: bool) -> None:
        """The master returns when all have come."""
        arrived = self.add("/allgrad/arrived", 1)
        if not is_master:
            return
        until = time.monotonic() + self._timeout_s
        while arrived < world_size:
            if time.monotonic() > until:
                raise DistStoreError(
                    f"{arrived} of {world_size} processes came to the TCPStore in {self._timeout_s:g} s"
                )
            time.sleep(0.01)
            arrived = self.add("/allgrad/arrived", 0)

    def _do(self, name: str, keys: list[str], *values: Any) -> Any:
        request = json.dumps(_pack([name, keys, list(values)])).encode() + b"\n"
        with self._lock:
            try:
                self._socket.sendall(request)
                line = self._reader.readline(LONGEST)
            except OSError as error:
                raise DistStoreError(f"lost the TCPStore at {self.host}:{self.port}: {error}") from error
        if not line:
            raise DistStoreError(f"the TCPStore at {self.host}:{self.port} has closed the connection")
        answer = _unpack(json.loads(line))
        if "error" in answer:
            raise DistStoreError(f"TCPStore at {self.host}:{self.port} refused {name}: {answer['error']}")
        return answer["found"]

    def num_keys(self) -> int:
        """How many keys there are, without the store's own."""
        return super().num_keys() - int(self.check(["/allgrad/arrived"]))

    def close(self) -> None:
        """Leave the store; on the master, end it.  Happens by itself when the store is no longer referred to."""
        self._end()

    def set_timeout(self, timeout: Any) -> None:
        """Wait for ``timeout`` (timedelta or seconds) from now on."""
        super().set_timeout(timeout)
        self._socket.settimeout(self._timeout_s)


def _end(reader: Any, connection: socket.socket, server: _Server | None) -> None:
    reader.close()
    connection.close()
    if server is not None:
        server.shutdown()
        server.server_close()


def _pack(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()}
    if isinstance(value, list):
        return [_pack(v) for v in value]
    if isinstance(value, dict):
        return {k: _pack(v) for k, v in value.items()}
    return value


def _unpack(value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) == {"b64"}:
            return base64.b64decode(value["b64"], validate=True)
        return {k: _unpack(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_unpack(v) for v in value]
    return value
