"""A proxy between clients and PostgreSQL that counts round trips, and that can make each way take longer.

A round trip is counted when the server says that it is ready for the next: a client asks for that once for each
statement, or once for all statements of a pipeline, and waits for the word.
"""

from __future__ import annotations

import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from sqlalchemy import make_url

from tests.proxy import connect_to


@dataclass
class RoundTrips:
    """A proxy on the loopback interface; `delay` is what each way takes longer, in seconds."""

    server_url: str
    delay: float = 0
    count: int = 0
    _listener: socket.socket = field(init=False)
    _ends: list[socket.socket] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)

    @classmethod
    @contextmanager
    def counted(cls, server_url: str, *, delay: float = 0) -> Iterator[RoundTrips]:
        """A proxy to the server of a URL, gone with all its connections at the end."""
        proxy = cls(server_url, delay)
        proxy._listener = socket.create_server(("127.0.0.1", 0))
        acceptor = threading.Thread(target=proxy._accept, daemon=True)
        acceptor.start()
        try:
            yield proxy
        finally:
            with suppress(OSError):
                proxy._listener.shutdown(socket.SHUT_RDWR)
            proxy._listener.close()
            acceptor.join()
            for end in proxy._ends:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            for thread in proxy._threads:
                thread.join()
            for end in proxy._ends:
                end.close()

    @property
    def url(self) -> str:
        """The server's URL by way of the proxy; nothing is encrypted, which would take trips of its own."""
        host, port = self._listener.getsockname()
        url = make_url(self.server_url).set(host=host, port=port)
        url = url.set(query={"sslmode": "disable", "gssencmode": "disable"})
        return url.render_as_string(hide_password=False)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = connect_to(self.server_url)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._ends += [client, server]
            there = _Way(client, server, lambda part: None, self.delay)
            back = _Way(server, client, _Answers(self).hear, self.delay)
            threads = [
                threading.Thread(target=part, daemon=True) for way in (there, back) for part in (way.take, way.give)
            ]
            self._threads += threads
            for thread in threads:
                thread.start()


_HEAD = 5
_READY = b"Z"


@dataclass
class _Answers:
    """What a server says on one connection, message by message."""

    proxy: RoundTrips
    _left: int = 0
    _head: bytes = b""

    def hear(self, part: bytes) -> None:
        """Count the messages by which the server is ready, in the next piece of what it says."""
        while part:
            if self._left:
                self._left, part = max(0, self._left - len(part)), part[self._left :]
                continue
            missing = _HEAD - len(self._head)
            self._head, part = self._head + part[:missing], part[missing:]
            if len(self._head) == _HEAD:
                self.proxy.count += self._head[:1] == _READY
                self._left, self._head = int.from_bytes(self._head[1:]) - 4, b""


class _Way:
    """One direction of a connection: what is taken in is given on when its time has come."""

    def __init__(
        self, source: socket.socket, target: socket.socket, hear: Callable[[bytes], None], delay: float
    ) -> None:
        self._source, self._target, self._hear, self._delay = source, target, hear, delay
        self._under_way: deque[tuple[float, bytes]] = deque()
        self._come = threading.Semaphore(0)

    def take(self) -> None:
        part = b"begin"
        while part:
            try:
                part = self._source.recv(65536)
            except OSError:
                part = b""
            if part:
                self._hear(part)
            self._under_way.append((time.monotonic() + self._delay, part))
            self._come.release()

    def give(self) -> None:
        while True:
            self._come.acquire()
            due, part = self._under_way.popleft()
            if (wait := due - time.monotonic()) > 0:
                time.sleep(wait)
            if not part:
                with suppress(OSError):
                    self._target.shutdown(socket.SHUT_RDWR)
                return
            with suppress(OSError):
                self._target.sendall(part)
