"""A proxy between a client and PostgreSQL that reads what the client says and cuts it off where it is told to."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from sqlalchemy import make_url

_READY_IDLE = b"Z\x00\x00\x00\x05I"
_WRITES = b"INSERT INTO LEDGER_"
_PATIENCE_SECONDS = 10


class Cut(Enum):
    """Where a connection is cut: after a write was sent, before COMMIT is, or before the answer to it is seen."""

    IN_WORK = "in work"
    BEFORE_COMMIT = "before commit"
    AFTER_COMMIT = "after commit"


@dataclass
class Proxy:
    """Listens on the loopback interface; each armed cut happens once, to the first connection that comes to it."""

    server_url: str
    cuts_made: int = 0
    _armed: list[Cut] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _listener: socket.socket = field(init=False)
    _address: tuple[str, int] = field(init=False)
    _open: set[socket.socket] = field(default_factory=set)
    _acceptor: threading.Thread = field(init=False)
    _threads: list[threading.Thread] = field(default_factory=list)

    @classmethod
    @contextmanager
    def start(cls, server_url: str) -> Iterator[Proxy]:
        """A proxy to the server of a URL, gone with all its connections at the end."""
        proxy = cls(server_url)
        proxy._listener = socket.create_server(("127.0.0.1", 0))
        proxy._address = proxy._listener.getsockname()
        proxy._acceptor = threading.Thread(target=proxy._accept, daemon=True)
        proxy._acceptor.start()
        try:
            yield proxy
        finally:
            proxy.close()

    @property
    def url(self) -> str:
        """The server's URL by way of the proxy; nothing is encrypted, so that it can be read."""
        host, port = self._address
        url = make_url(self.server_url).set(host=host, port=port)
        url = url.set(query={"sslmode": "disable", "gssencmode": "disable"})
        return url.render_as_string(hide_password=False)

    def cut(self, where: Cut) -> None:
        """Cut the next connection that gets there."""
        with self._lock:
            self._armed.append(where)

    def close(self) -> None:
        """Refuse new connections, close every one there is, and wait for the threads that served them."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        # It may be about to serve one more, which has to be among those that are closed.
        _wait_for(self._acceptor)
        with self._lock:
            still_open = list(self._open)
        for end in still_open:
            _hang_up(end)
        for thread in self._threads:
            _wait_for(thread)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = connect_to(self.server_url)
            except OSError:
                client.close()
                continue
            # What is passed on in pieces must not wait for the other end's word that it has the first of them.
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open |= {client, server}
            thread = threading.Thread(target=_Pair(self, client, server).serve, daemon=True)
            thread.start()
            self._threads = [served for served in self._threads if served.is_alive()] + [thread]

    def take(self, where: Cut) -> bool:
        """True for the one that comes first to a place where a cut is armed."""
        with self._lock:
            if where not in self._armed:
                return False
            self._armed.remove(where)
            self.cuts_made += 1
            return True

    def forget(self, *ends: socket.socket) -> None:
        """Close both ends of a connection."""
        for end in ends:
            _hang_up(end)
            end.close()
        with self._lock:
            self._open -= set(ends)


def connect_to(server_url: str) -> socket.socket:
    """A connection to the PostgreSQL server of a URL, over its socket or the network."""
    url = make_url(server_url)
    host = str(url.query.get("host") or url.host or "127.0.0.1")
    port = url.port or 5432
    if not host.startswith("/"):
        connection = socket.create_connection((host, port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection
    server = socket.socket(socket.AF_UNIX)
    try:
        server.connect(str(Path(host) / f".s.PGSQL.{port}"))
    except OSError:
        server.close()
        raise
    return server


@dataclass
class _Pair:
    """One client's connection."""

    proxy: Proxy
    client: socket.socket
    server: socket.socket
    is_swallowing: threading.Event = field(default_factory=threading.Event)
    _writing: set[bytes] = field(default_factory=set)
    _is_write_bound: bool = False

    def serve(self) -> None:
        answers = threading.Thread(target=self._pass_answers, daemon=True)
        answers.start()
        with suppress(OSError):
            self._pass_messages()
        _hang_up(self.server)
        answers.join()
        self.proxy.forget(self.client, self.server)

    def _pass_messages(self) -> None:
        """Pass on what the client says, message by message, until one is where the connection is to be cut."""
        self.server.sendall(self._read(_length(first := self._read(4)) - 4, first))
        while True:
            head = self._read(5)
            message = self._read(_length(head[1:]) - 4, head)
            if _is_commit(message):
                if self.proxy.take(Cut.BEFORE_COMMIT):
                    return
                if self.proxy.take(Cut.AFTER_COMMIT):
                    self.is_swallowing.set()
            self.server.sendall(message)
            if self._has_written(message) and self.proxy.take(Cut.IN_WORK):
                return

    def _has_written(self, message: bytes) -> bool:
        """True for a message that makes the server write to the ledger, also by a statement prepared long before."""
        kind, text = message[:1], message[5:]
        if kind == b"P":
            name, _, statement = text.partition(b"\x00")
            self._writing.discard(name)
            if _WRITES in statement.upper():
                self._writing.add(name)
        elif kind == b"B":
            self._is_write_bound = text.split(b"\x00", 2)[1] in self._writing
        elif kind == b"E":
            return self._is_write_bound
        return kind == b"Q" and _WRITES in text.upper()

    def _read(self, size: int, before: bytes = b"") -> bytes:
        found = bytearray(before)
        size += len(before)
        while len(found) < size:
            part = self.client.recv(size - len(found))
            if not part:
                raise OSError("the client has gone")
            found += part
        return bytes(found)

    def _pass_answers(self) -> None:
        """Pass on what the server answers; of a commit that is to be cut, nothing, and hang up when it is done."""
        swallowed = b""
        with suppress(OSError):
            while part := self.server.recv(65536):
                if self.is_swallowing.is_set():
                    swallowed += part
                    if swallowed.endswith(_READY_IDLE):
                        break
                else:
                    self.client.sendall(part)
        _hang_up(self.client)


def _length(text: bytes) -> int:
    length: int = struct.unpack("!I", text)[0]
    return length


def _is_commit(message: bytes) -> bool:
    """True for a simple or a parsed statement that is COMMIT."""
    if message[:1] == b"Q":
        return message[5:].upper().startswith(b"COMMIT")
    return message[:1] == b"P" and message[5:].partition(b"\x00")[2].upper().startswith(b"COMMIT")


def _hang_up(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)


def _wait_for(thread: threading.Thread) -> None:
    thread.join(_PATIENCE_SECONDS)
    if thread.is_alive():
        raise TimeoutError(f"{thread.name} of the proxy did not end; see what it waits for, and close that first")
