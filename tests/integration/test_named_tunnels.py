"""Named tunnels are opened, tried again, and tell how they are."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from eicctl.core.errors import ConflictError
from eicctl.emulator.server import Emulator
from eicctl.named_tunnels.config_file import Definition
from tests.integration.keeping import keeping

WEB = Definition(name="web", source="/p/eicctl.toml", target="web-1", remote_port=22, local_port=0)
PROXY = Definition(name="proxy", kind="socks", source="/p/eicctl.toml", via="web-1", local_port=0)


def port_of(local: Sequence[str]) -> int:
    return int(local[0].rpartition(":")[2])


def banner(port: int) -> bytes:
    """What an SSH server behind a local port says first."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        return client.recv(64)


def test_a_direct_tunnel_carries_and_counts(endpoint: dict[str, Any]) -> None:
    with keeping() as kept:
        kept.open(WEB)
        status = kept.status("web")
        assert (status.state, status.kind, status.via) == ("open", "direct", endpoint["InstanceConnectEndpointId"])
        assert len(status.local) in (1, 2)
        with socket.create_connection(("127.0.0.1", port_of(status.local)), timeout=60) as client:
            assert client.recv(64).startswith(b"SSH-2.0-")
            busy = kept.wait_for("web", lambda s: s.bytes_in > 0)
            assert (busy.connections, busy.total) == (1, 1)
            assert busy.seconds_left is not None
            assert 0 < busy.seconds_left <= 3600
        after = kept.wait_for("web", lambda s: s.connections == 0)
        assert (after.total, after.seconds_left) == (1, None)
        assert after.bytes_in == busy.bytes_in


def test_several_kinds_are_open_together_and_end_together(endpoint: dict[str, Any]) -> None:
    # The machines of this emulator are on this machine: their localhost is ours.
    with socket.create_server(("127.0.0.1", 0)) as service, keeping() as kept:
        forward = f"0:localhost:{service.getsockname()[1]}"
        kept.open(
            WEB, Definition(name="back", kind="via", source="/p/eicctl.toml", via="web-1", forward=(forward,)), PROXY
        )
        ports = [port_of(kept.status(name).local) for name in ("web", "back", "proxy")]
        assert {kept.status(name).state for name in ("web", "back", "proxy")} == {"open"}
        with socket.create_connection(("127.0.0.1", ports[1]), timeout=60) as client:
            accepted, _ = service.accept()
            accepted.sendall(b"hello")
            assert client.recv(64) == b"hello"
            accepted.close()
        assert kept.call(kept.supervisor.close()) == ["web", "back", "proxy"]
        assert len(kept.supervisor) == 0
        for port in ports:
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port), timeout=60)


def test_one_that_cannot_open_is_tried_again_while_others_run(ec2: Any, subnet_id: str) -> None:
    with keeping() as kept:
        kept.open(WEB)
        failing = kept.wait_for("web", lambda s: s.state == "retrying")
        assert "no EC2 Instance Connect Endpoint" in failing.error
        assert failing.hint
        assert not failing.local
        ec2.create_instance_connect_endpoint(SubnetId=subnet_id)
        opened = kept.wait_for("web", lambda s: s.state == "open")
        assert not opened.error
        assert banner(port_of(opened.local)).startswith(b"SSH-2.0-")
        assert any("error: " in text for _, text in kept.lines)


def test_a_failed_connection_is_told_until_one_works(emulator: Emulator, endpoint: dict[str, Any]) -> None:
    with keeping() as kept:
        kept.open(WEB)
        port = port_of(kept.status("web").local)
        emulator.add_fault("close", code=4000, reason="Unable to connect to target", times=1)
        with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
            assert client.recv(64) == b""
        told = kept.wait_for("web", lambda s: s.state == "failing")
        assert told.error
        assert banner(port).startswith(b"SSH-2.0-")
        assert kept.wait_for("web", lambda s: s.state == "open").local == told.local


def test_a_busy_port_is_told_and_taken_once_it_is_free(endpoint: dict[str, Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as occupant, keeping() as kept:
        port = occupant.getsockname()[1]
        kept.open(WEB.replace(local_port=port))
        assert f"Port {port}" in kept.wait_for("web", lambda s: s.state == "retrying").error
        occupant.close()
        kept.wait_for("web", lambda s: s.state == "open")
        assert banner(port).startswith(b"SSH-2.0-")


def test_the_same_definition_stays_and_another_one_replaces_it(endpoint: dict[str, Any]) -> None:
    with keeping() as kept:
        kept.open(WEB)
        before = kept.status("web")
        kept.open(WEB)
        assert kept.status("web").local == before.local
        kept.open(WEB.replace(target="app-1"))
        assert kept.status("web").remote.startswith("app-1")
        with pytest.raises(ConflictError, match="/p/eicctl"):
            kept.call(kept.supervisor.open([WEB.replace(source="/other/eicctl.toml")]))


def test_unix_sockets_are_removed_at_the_end(endpoint: dict[str, Any]) -> None:
    folder = Path(tempfile.mkdtemp(prefix="n-"))  # a short path: those of sockets end at 107 bytes
    source = str(folder / "eicctl.toml")
    with keeping() as kept:
        kept.open(
            WEB.replace(source=source, local_port=None, local_socket=str(folder / "web")),
            Definition(name="back", kind="via", source=source, via="web-1", forward=("./back:localhost:80",)),
        )
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(20)
            client.connect(str(folder / "web"))
            assert client.recv(64).startswith(b"SSH-2.0-")
        assert (folder / "back").is_socket()
        kept.call(kept.supervisor.close())
        assert list(folder.iterdir()) == []
    folder.rmdir()


def test_a_client_of_the_proxy_that_asks_for_nothing_good_leaves_it_open(endpoint: dict[str, Any]) -> None:
    with keeping() as kept:
        kept.open(PROXY)
        port = port_of(kept.status("proxy").local)
        with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
            client.sendall(b"\x05\x01\x00")
            assert client.recv(2) == b"\x05\x00"
            client.sendall(b"\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x01")  # port 1 of the instance
            assert client.recv(10)[1] != 0
        assert kept.status("proxy").state == "open"


def test_a_target_that_has_moved_is_found(emulator: Emulator, ec2: Any, endpoint: dict[str, Any]) -> None:
    """An instance that replaces another under the same name is taken, under the same local port."""
    rows = ec2.describe_instances(Filters=[{"Name": "tag:Name", "Values": ["web-1"]}])["Reservations"]
    old = rows[0]["Instances"][0]
    new = ec2.describe_instances(Filters=[{"Name": "tag:Name", "Values": ["app-1"]}])["Reservations"][0]["Instances"][0]
    with keeping() as kept:
        kept.open(WEB)
        port = port_of(kept.status("web").local)
        ec2.create_tags(Resources=[old["InstanceId"]], Tags=[{"Key": "Name", "Value": "old"}])
        ec2.create_tags(Resources=[new["InstanceId"]], Tags=[{"Key": "Name", "Value": "web-1"}])
        ec2.stop_instances(InstanceIds=[old["InstanceId"]])
        with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
            client.recv(64)
        kept.wait_for("web", lambda _: any("moved to" in text for _, text in kept.lines))
        assert banner(port).startswith(b"SSH-2.0-")
