"""The one carrier of what the user asked for, and the options that say it, each spelled once.

Click, the fast parser (`fastpath.proxy`), the API's keyword arguments and files of named tunnels make a
`ConnectRequest`; the background process gets it as JSON, and a ProxyCommand as words. Nothing is imported: `eicctl
proxy` reads it before everything else, and `dataclasses` alone would take longer than the rest of a warm start.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from dataclasses import dataclass as dataclass  # noqa: PLC0414 - for `Definition`, too
    from typing import Any, Literal, Self
else:

    def dataclass(**_attributes):
        """Stand for `dataclasses.dataclass`, which type checkers see."""
        return lambda cls: cls


WAIT = 300.0
"""Seconds for which `--wait` alone waits."""


@dataclass(frozen=True, kw_only=True)
class ConnectRequest:
    """What the user asked for. What was not specified is empty, None or the default.

    Attributes:
        target: An instance ID, a Name tag, `tag:KEY=VALUE`, a private address or DNS name, or a DNS name that resolves
            to a private address.
        instance_id: The target as an instance ID.
        private_ip_address: The address or DNS name to connect to.
        endpoint_id: The endpoint to use; empty for the nearest.
        endpoint_dns_name: The endpoint's DNS name, perhaps with a port.
        remote_port: The target's port; None for the usual one of its platform.
        allow_any_port: Whether ports other than 22 and 3389 are sent.
        max_tunnel_duration: Longest life of a tunnel in seconds; None for the service's.
        queue_timeout: Seconds to wait for one of the endpoint's 20 connections.
        wait: Seconds to wait for a target that is not up yet; None not to wait.
        start: Whether to start an instance that is stopped.
        linger: Longest silence of the target after EOF, in seconds; None for the default.
        keepalive: Seconds without traffic after which a tunnel is pinged; 0 for never, None for the default.
        os_user: The OS user to log in as; empty for that of the instance's image.
        private_key_file: A private key of the user's own.
        send_key: Whether to push a key; None: without `private_key_file` only.
        key_type: The type of a key that is made.
        host_key_check: How host keys are checked: one of `HOST_KEY_CHECKS`; empty for what is configured, and for
            `console` in a ProxyCommand.
        ssh_login: `USER@HOST` for a login that OpenSSH makes over the tunnel; empty for the tunnel alone.
        session_folder: The folder of the eicctl command that runs OpenSSH, or empty.
        announce_end: Seconds before the tunnel's end at which it is announced; 0 for no announcement.
        quiet: Whether only errors are printed.
        verbose: Whether steps and their durations are explained.
        no_cache: Whether the target is looked up even if it was resolved some minutes ago.
        no_agent: Whether to do without the background process.
        profile: Profile in the AWS configuration.
        region: AWS region.
        ca_bundle: CA certificates to trust (PEM).
        fips: Whether to use FIPS endpoints.
        aws_config_file: What `AWS_CONFIG_FILE` would say in the environment of a ProxyCommand.
        aws_shared_credentials_file: What `AWS_SHARED_CREDENTIALS_FILE` would say there.
    """

    target: str = ""
    instance_id: str = ""
    private_ip_address: str = ""
    endpoint_id: str = ""
    endpoint_dns_name: str = ""
    remote_port: int | None = None
    allow_any_port: bool = False
    max_tunnel_duration: int | None = None
    queue_timeout: float = 30.0
    wait: float | None = None
    start: bool = False
    linger: float | None = None
    keepalive: float | None = None
    os_user: str = ""
    private_key_file: str = ""
    send_key: bool | None = None
    key_type: Literal["auto", "ed25519", "ecdsa", "rsa"] = "auto"
    host_key_check: Literal["", "console", "accept-new", "strict", "off"] = ""
    ssh_login: str = ""
    session_folder: str = ""
    announce_end: int = 0
    quiet: bool = False
    verbose: bool = False
    no_cache: bool = False
    no_agent: bool = False
    profile: str | None = None
    region: str | None = None
    ca_bundle: str | None = None
    fips: bool = False
    aws_config_file: str = ""
    aws_shared_credentials_file: str = ""

    if not TYPE_CHECKING:

        def __init__(self, **given: object) -> None:
            """Only what differs from the defaults is kept; None leaves the default."""
            fields = {name for kind in type(self).__mro__ for name in getattr(kind, "__annotations__", ())}
            if unknown := given.keys() - fields:
                raise TypeError(f"unknown: {', '.join(sorted(unknown))}")
            kept = {name: value for name, value in given.items() if value not in (None, getattr(type(self), name))}
            self.__dict__.update(kept)

        def __setattr__(self, name: str, _value: object) -> None:
            raise AttributeError(f"cannot assign to {name!r}")

        def __eq__(self, other: object) -> bool:
            return type(other) is type(self) and self.__dict__ == other.__dict__

        def __hash__(self) -> int:
            return hash(frozenset(self.__dict__.items()))

        def __repr__(self) -> str:
            values = ", ".join(f"{name}={value!r}" for name, value in sorted(self.__dict__.items()))
            return f"{type(self).__name__}({values})"

    def replace(self, **changes: object) -> Self:
        """Return the request with other values."""
        return type(self)(**{**self.__dict__, **changes})

    @property
    def label(self) -> str:
        """What the user has called the target; empty if none is named."""
        return self.target or self.instance_id or self.private_ip_address

    @property
    def pushes_key(self) -> bool:
        """Whether a key is pushed."""
        return not self.private_key_file if self.send_key is None else self.send_key

    @property
    def destination(self) -> dict[str, object]:
        """The part that decides which target it resolves to."""
        return {name: getattr(self, name) for name in _DESTINATION}

    def to_json(self) -> dict[str, object]:
        """Return what differs from the defaults, as a JSON object."""
        return dict(self.__dict__)

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Self:
        """Return what `to_json` was made from.

        Raises:
            TypeError: It is not such an object.
        """
        return cls(**found)

    def to_argv(self) -> list[str]:
        """Return the options of `eicctl proxy` that say the same; the target comes after them."""
        argv = []
        for name, option in PROXY_OPTIONS.items():
            value = self.__dict__.get(option.field)
            if value is True:
                argv.append(name)
            elif value is not None:
                argv += [name, f"{value:g}" if isinstance(value, float) else str(value)]
        return argv


_DESTINATION = (
    *("target", "instance_id", "private_ip_address", "endpoint_id", "endpoint_dns_name"),
    *("remote_port", "allow_any_port"),
)


class Option:
    """An option of the command line.

    Attributes:
        name: What it is called: `--…`.
        metavar: What its value is called; empty for a flag, and where the choices are listed.
        help: What it does.
        field: The attribute of `ConnectRequest` that it sets; by default that of its name.
        choices: Its good values, if they are few.
        limits: The least and the most that a number may be; None for a text.
        whole: Whether a number has no decimals.
    """

    __slots__ = ("choices", "field", "help", "limits", "metavar", "name", "whole")

    def __init__(
        self,
        name: str,
        metavar: str = "",
        *,
        help: str,
        field: str = "",
        choices: tuple[str, ...] = (),
        limits: tuple[int, int] | None = None,
        whole: bool = True,
    ) -> None:
        self.name = name
        self.field = field or name[2:].replace("-", "_")
        self.help = help
        self.metavar = metavar
        self.choices = choices
        self.limits = limits
        self.whole = whole

    @property
    def is_flag(self) -> bool:
        """Whether it takes no value."""
        return not (self.metavar or self.choices or self.limits)


KEY_TYPES = ("auto", "ed25519", "ecdsa", "rsa")
HOST_KEY_CHECKS = ("console", "accept-new", "strict", "off")

_PROXY = (
    Option("--private-ip-address", "ADDRESS", help="Address or DNS name to connect to; default: the instance's."),
    Option("--instance-id", "ID", help="The target's instance ID, as in the AWS CLI."),
    Option("--instance-connect-endpoint-id", "ID", field="endpoint_id", help="Endpoint to use; default: the nearest."),
    Option(
        "--instance-connect-endpoint-dns-name",
        "HOST[:PORT]",
        field="endpoint_dns_name",
        help="The endpoint's DNS name. With its ID and the target's address, no AWS API is called.",
    ),
    Option("--allow-any-port", help="Allow remote ports other than 22 and 3389, which the service refuses."),
    Option("--no-agent", help="Run in this process; neither use nor start the background process."),
    Option("--no-cache", help="Look up the target again instead of using the cache."),
    Option("--announce-end", "SECONDS", help="Print a notice this long before the connection ends.", limits=(1, 3599)),
    Option("--quiet", help="Print errors only: no notes, no progress."),
    Option("--verbose", help="Explain what is done, and how long it takes."),
    Option("--session-folder", "FOLDER", help="Internal to eicctl ssh: holds the key, and receives the result."),
    Option("--region", "REGION", help="AWS region; default: the profile's."),
    Option("--profile", "NAME", help="AWS profile."),
    Option("--ca-bundle", "FILE", help="CA certificates (PEM) to trust; default: the system's."),
    Option(
        "--max-tunnel-duration",
        "SECONDS",
        help="Maximum connection duration, 1 to 3600; default: the service's, 3600.",
        limits=(1, 3600),
    ),
    Option(
        "--keepalive",
        "SECONDS",
        help="Ping an idle tunnel at this interval; 0: never. Default: keepalive in config.toml, else 30.",
        limits=(0, 3600),
        whole=False,
    ),
    Option(
        "--linger",
        "SECONDS",
        help="Idle timeout after the client's EOF; default: 60 while the client waits for a response.",
        limits=(0, 3600),
        whole=False,
    ),
    Option("--aws-config-file", "FILE", help="Value of AWS_CONFIG_FILE; for ssh_config."),
    Option("--aws-shared-credentials-file", "FILE", help="Value of AWS_SHARED_CREDENTIALS_FILE; for ssh_config."),
    Option("--fips", help="Use FIPS endpoints for the API and for tunnels."),
    Option(
        "--host-key-check",
        help="With --ssh-login: source of the host keys to pin; default: console.",
        choices=HOST_KEY_CHECKS,
    ),
    Option("--private-key-file", "FILE", help="With --ssh-login: push this key's public key; absolute path."),
    Option("--key-type", help="With --ssh-login: type of the generated key.", choices=KEY_TYPES),
    Option(
        "--ssh-login",
        "USER@HOST",
        help="Push the key ~/.ssh/eicctl/keys/USER@HOST for OpenSSH's login, and pin HOST's keys.",
    ),
    Option("--remote-port", "PORT", help="Port of the target: 22 or 3389.", limits=(1, 65535)),
)

PROXY_OPTIONS = {option.name: option for option in _PROXY}
"""The options of `eicctl proxy`, in the order in which a ProxyCommand has them."""
