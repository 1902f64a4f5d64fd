"""Another user of the same machine: what that user can reach of ours, and what not."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from eicctl.agent import delegate
from eicctl.agent.paths import fingerprint, usual_path
from eicctl.core.errors import LocalError
from eicctl.named_tunnels.config_file import Definition
from eicctl.ssh.proxy_login import shared_key
from eicctl.support import files, paths
from eicctl.support.bind import bind_unix
from eicctl.tunnel import peer_uid
from tests.integration.keeping import keeping
from tests.integration.listening import connect, listening
from tests.waiting import wait_for

if TYPE_CHECKING:
    from tests.integration.conftest import Handler, Service

Serve = Callable[["Handler"], "Service"]

NEIGHBOUR = 65534
"""A user who is neither root nor the one who runs the tests."""

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.getuid() != 0, reason="only root can be another user, and only Linux tells of one"
)


def echo(client: socket.socket) -> None:
    with client:
        while data := client.recv(65536):
            client.sendall(data)


def as_neighbour(act: Callable[[], bytes]) -> bytes:
    """Return what a process of the neighbour's gets; an exception's name where it fails."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(NEIGHBOUR)
            os.setuid(NEIGHBOUR)
            answer = act()
        except BaseException as error:
            answer = type(error).__name__.encode()
        os.write(writing, answer)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    return answer


def asks(port: int) -> bytes:
    with connect(port) as client, contextlib.suppress(ConnectionError):
        client.sendall(b"hello")
        return client.recv(5)
    return b""


@pytest.fixture
def kernel() -> Iterator[socket.socket]:
    """Where the kernel is asked."""
    asked = peer_uid.kernel()
    assert asked
    with asked:
        yield asked


def test_a_neighbour_is_not_let_into_a_listener(serve: Serve) -> None:
    with listening(serve(echo).dialer) as (port, told):
        assert as_neighbour(lambda: asks(port)) == b""
        wait_for(lambda: told.failures)
        assert "nobody" in told.failures[0].message
        assert "--allow-other-users" in str(told.failures[0].hint)
        assert told.opened_numbers == []  # nothing of it has reached the endpoint
        assert asks(port) == b"hello"


def test_a_neighbour_that_has_gone_already_is_no_root(kernel: socket.socket) -> None:
    """The kernel gives root as the owner of a connection that was closed: its bytes must not be sent on."""

    def leaves() -> bytes:
        with connect(port) as client:
            client.sendall(b"DROP TABLE orders;")
        return b""

    with socket.create_server(("127.0.0.1", 0)) as door:
        port = door.getsockname()[1]
        as_neighbour(leaves)
        client, _ = door.accept()
        with client, pytest.raises(peer_uid.LeftError):
            peer_uid.owner_of_peer(client, kernel)


def test_a_neighbour_that_has_reset_the_connection_is_not_let_in(kernel: socket.socket) -> None:
    """What was sent before the reset can still be read here."""

    def leaves() -> bytes:
        with connect(port) as client:
            client.sendall(b"DROP TABLE orders;")
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return b""

    with socket.create_server(("127.0.0.1", 0)) as door:
        port = door.getsockname()[1]
        as_neighbour(leaves)
        client, _ = door.accept()
        with client:
            assert peer_uid.refusal(client, kernel) is not None


def test_a_neighbour_that_is_bound_to_the_interface_is_not_let_in(serve: Serve) -> None:
    """SO_BINDTODEVICE is for everybody, and hides a socket from a query that does not name the interface."""

    def enters() -> bytes:
        with socket.socket() as client, contextlib.suppress(ConnectionError):
            client.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo\0")
            client.connect(("127.0.0.1", port))
            client.sendall(b"hello")
            return client.recv(5)
        return b""

    with listening(serve(echo).dialer) as (port, told):
        assert as_neighbour(enters) == b""
        wait_for(lambda: told.failures)
        assert "nobody" in told.failures[0].message
        assert told.opened_numbers == []


@pytest.mark.parametrize("kind", ["direct", "via"])
def test_a_neighbour_that_knocks_does_not_make_a_named_tunnel_count_as_broken(
    endpoint: dict[str, Any], kind: str
) -> None:
    said: dict[str, dict[str, Any]] = {
        "direct": {"target": "web-1", "remote_port": 22, "local_port": 0},
        "via": {"via": "web-1", "forward": ("0:localhost:22",)},
    }
    words: dict[str, Any] = {"kind": kind, "source": "/p/eicctl.toml", **said[kind]}
    with keeping() as kept:
        kept.open(Definition(name="web", **words))
        port = int(kept.status("web").local[0].rpartition(":")[2])
        assert as_neighbour(lambda: asks(port)) == b""
        after = kept.status("web")
        assert (after.state, after.error, after.connections) == ("open", "", 0)


def test_a_neighbour_is_let_in_where_the_user_wants_it(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer_uid, "_everybody", True)
    with listening(serve(echo).dialer) as (port, _):
        assert as_neighbour(lambda: asks(port)) == b"hello"


def test_the_settings_allow_everybody(home: Path) -> None:
    assert not peer_uid.everybody_is_allowed()
    paths.config_file().parent.mkdir(parents=True)
    paths.config_file().write_text("allow_other_users = true\n")
    assert peer_uid.everybody_is_allowed()


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_the_kernel_tells_whose_a_connection_is(kernel: socket.socket, address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as door:
        port = door.getsockname()[1]
        with socket.create_connection((address, port)), door.accept()[0] as client:
            assert peer_uid.owner_of_peer(client, kernel) == os.getuid()
            assert peer_uid.refusal(client, kernel) is None


def test_a_mapped_address_is_no_way_around(kernel: socket.socket) -> None:
    """A socket of IPv6 that connects to 127.0.0.1."""

    def enters() -> bytes:
        with socket.socket(socket.AF_INET6) as client:
            client.connect(("::ffff:127.0.0.1", port))
            return client.recv(1)

    with socket.create_server(("127.0.0.1", 0)) as door:
        port = door.getsockname()[1]
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(writing, as_neighbour(enters))
            os._exit(0)
        client, _ = door.accept()
        with client:
            assert peer_uid.owner_of_peer(client, kernel) == NEIGHBOUR
        os.waitpid(child, 0)
        os.close(reading)
        os.close(writing)


def test_a_unix_socket_is_of_its_user_alone() -> None:
    with tempfile.TemporaryDirectory(prefix="n-") as folder:
        Path(folder).chmod(0o755)
        path = Path(folder) / "socket"
        with bind_unix(path):
            assert path.stat().st_mode & 0o777 == 0o600

            def enters() -> bytes:
                with socket.socket(socket.AF_UNIX) as client:
                    client.connect(str(path))
                return b"in"

            assert as_neighbour(enters) == b"PermissionError"


@pytest.mark.parametrize("made", ["the folder", "the one above", "a link", "writable", "above writable"])
def test_folders_that_a_neighbour_has_made_first_are_not_used(made: str, tmp_path: Path) -> None:
    above = tmp_path / "runtime"
    folder = above / "eicctl"
    above.mkdir(mode=0o700)
    if made == "a link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        folder.symlink_to(tmp_path / "elsewhere")
    else:
        folder.mkdir(mode=0o700)
    if made == "the folder":
        os.chown(folder, NEIGHBOUR, NEIGHBOUR)
    elif made == "the one above":
        os.chown(above, NEIGHBOUR, NEIGHBOUR)
    elif made == "writable":
        folder.chmod(0o777)
    elif made == "above writable":
        above.chmod(0o777)
    with pytest.raises(LocalError, match="not private to this user"):
        paths.private(folder)


def test_files_are_of_this_user_alone(home: Path) -> None:
    for folder in (paths.state_dir(), paths.cache_dir(), paths.runtime_dir()):
        assert folder.stat().st_mode & 0o777 == 0o700

        def looks(folder: Path = folder) -> bytes:
            return b" ".join(entry.name.encode() for entry in folder.iterdir())

        assert as_neighbour(looks) == b"PermissionError"


def test_a_neighbour_is_not_taken_for_the_background_process(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(prefix="n-") as folder:
        monkeypatch.setenv("EICCTL_HOME", folder)
        monkeypatch.setenv("EICCTL_AGENT", "on")
        run = Path(folder) / "run"
        run.mkdir()
        for place in (Path(folder), run):
            place.chmod(0o777)
        path = usual_path(fingerprint(), os.environ)
        assert path
        told, tell = os.pipe()
        child = os.fork()
        if child == 0:
            os.setgid(NEIGHBOUR)
            os.setuid(NEIGHBOUR)
            with socket.socket(socket.AF_UNIX) as door:
                door.bind(path)
                door.listen()
                os.write(tell, b"x")
                signal.pause()
        try:
            os.read(told, 1)
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(path)  # it listens, and this process may connect
            assert delegate.connect(os.environ) is None
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            os.close(told)
            os.close(tell)


def test_locks_and_key_folders_of_a_neighbour_are_not_used(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("")
    (tmp_path / ".file.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(LocalError, match="Cannot lock"), files.locked(tmp_path / "file"):
        pass
    keys = tmp_path / "keys"
    keys.mkdir(mode=0o700)
    os.chown(keys, NEIGHBOUR, NEIGHBOUR)
    with pytest.raises(LocalError, match="not private to this user"), shared_key(keys, "ec2-user@web-1"):
        pass
