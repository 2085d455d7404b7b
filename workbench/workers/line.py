"""A line between a run and a worker on another machine: authenticated, and noticed when it is cut.

Both ends prove by HMAC that they know the run's key before anything is unpickled; what is said afterwards is not
encrypted. Each end says every few seconds that it is there. TCP then notices within `CUT` seconds that nothing arrives
any more (`TCP_USER_TIMEOUT`, https://www.rfc-editor.org/rfc/rfc5482). Of an end whose system still answers, but which
says nothing itself, a word is waited for `SILENCE` seconds.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection, answer_challenge, deliver_challenge
from typing import Any

from workbench.workers.messages import Beat

BEAT = 5.0  # seconds between two signs of life
CUT = 20.0  # seconds in which what was sent has to arrive
SILENCE = 120.0  # seconds; a plugin may keep Python from saying anything for a while
GREETING = 10.0  # seconds in which whoever calls has to prove who it is


class Line:
    """One end. Several threads may send; one receives. `heard` is when the other end last said anything."""

    def __init__(self, connection: Connection):
        self.connection = connection
        self.heard = time.monotonic()
        self._sending = threading.Lock()

    def fileno(self) -> int:
        """By which a selector waits for it."""
        return self.connection.fileno()

    def send(self, message: Any) -> None:
        """`OSError` when the line is cut or closed."""
        with self._sending:
            self.connection.send(message)

    def recv(self) -> Any:
        """The next message, signs of life among them; `EOFError` or `OSError` when the line is cut or closed."""
        message = self.connection.recv()
        self.heard = time.monotonic()
        return message

    def has_news(self) -> bool:
        """Whether a message, or the end, can be received without waiting."""
        return self.connection.poll()

    def close(self) -> None:
        """Hang up; the other end notices at once. What is left to send is dropped."""
        with suppress(OSError):
            self.connection.close()


class Switchboard:
    """Waits for calls at a free port of `address`, in a thread of its own; whoever knows the key is handed to `welcome`
    with a line, in that thread."""

    def __init__(self, address: str, key: bytes, welcome: Callable[[Line], None], port: int = 0):
        self._key, self._welcome = key, welcome
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._socket = socket.create_server((address, port), family=family, backlog=128)
        self.address, self.port = self._socket.getsockname()[:2]
        threading.Thread(target=self._listen, daemon=True).start()

    def close(self) -> None:
        """Nobody is waited for any more."""
        with suppress(OSError):  # wakes the thread that waits in `accept`
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _listen(self) -> None:
        while True:
            try:
                called, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._greet, args=(called,), daemon=True).start()

    def _greet(self, called: socket.socket) -> None:
        """A stranger, a scanner of ports, or a worker: only the last gets any further."""
        with suppress(OSError, EOFError, AuthenticationError):
            self._welcome(_proven(called, self._key, deliver_first=True))


def call(address: str, port: int, key: bytes) -> Line:
    """Reach a switchboard. `OSError` or `EOFError` where nobody answers, `AuthenticationError` for another key."""
    return _proven(socket.create_connection((address, port), timeout=GREETING), key, deliver_first=False)


def keep_alive(lines: Callable[[], list[Line]]) -> threading.Event:
    """From now on every line is told signs of life, until the event is set."""
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(BEAT):
            for line in lines():
                with suppress(OSError, ValueError):  # cut or closed, which whoever receives there notices
                    line.send(Beat())

    threading.Thread(target=beat, daemon=True).start()
    return ended


def own_address() -> str:
    """The address by which this machine reaches others: that of its usual way out, or the one its name stands for."""
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # of a net that is nowhere (RFC 5737): nothing is sent
        return probe.getsockname()[0]
    with suppress(OSError):
        return socket.gethostbyname(socket.gethostname())
    return "127.0.0.1"


def _proven(called: socket.socket, key: bytes, deliver_first: bool) -> Line:
    """A line, once both ends have shown that they know the key."""
    _set_options(called)
    called.settimeout(None)
    watch = threading.Timer(GREETING, lambda: called.shutdown(socket.SHUT_RDWR))
    watch.start()
    connection = Connection(called.fileno())
    try:
        for step in (deliver_challenge, answer_challenge) if deliver_first else (answer_challenge, deliver_challenge):
            step(connection, key)
    except BaseException:
        watch.cancel()
        called.close()
        connection._handle = None  # pyright: ignore[reportAttributeAccessIssue]
        raise
    watch.cancel()
    called.detach()  # it is the connection's now
    return Line(connection)


def _set_options(called: socket.socket) -> None:
    """Notice a machine that is gone, which TCP does after hours by itself; and send at once."""
    called.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    called.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    wanted = {"TCP_KEEPIDLE": BEAT, "TCP_KEEPINTVL": BEAT, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 1000 * CUT}
    for name, value in wanted.items():
        if hasattr(socket, name):  # macOS knows some of them
            called.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), max(1, int(value)))
