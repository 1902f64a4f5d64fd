"""`eicctl scp`."""

from __future__ import annotations

import click

from eicctl.cli.openssh_command import OpensshCommand, Wish, login_options, run_or_print
from eicctl.core.errors import UsageError
from eicctl.core.model import SSH_PORT
from eicctl.ssh.arguments import SCP, Destination, parse_place


@click.command(
    cls=OpensshCommand, grammar=SCP, usage="[SCP OPTIONS] SOURCE… DESTINATION", operands="SOURCE… DESTINATION"
)
@login_options
def command(*, wish: Wish) -> int:
    """Copy files to, from, or between instances.

    SOURCE and DESTINATION are local files or [USER@]TARGET:PATH. Short options (-r, -p, -C, -l, …) are passed to scp,
    whose exit code is returned. Copies between instances pass through this machine.

    \b
    Examples:
      eicctl scp site.tar.gz web-1:/tmp/
      eicctl scp -r web-1:/var/log/nginx ubuntu@app-1:logs .
      eicctl scp web-1:dump.sql app-1:
    """
    words = wish.words.operands
    if len(words) < 2:
        raise UsageError("missing source or destination", hint="eicctl scp FILE TARGET:PATH")
    places = [parse_place(word) for word in words]
    if not any(places):
        raise UsageError("no remote path given", hint="eicctl scp FILE TARGET:PATH")

    from eicctl.ssh.command import place_of, scp_command
    from eicctl.ssh.keys import private_folder
    from eicctl.ssh.login import Login

    with private_folder() as folder:
        logins: dict[tuple[str, str], Login] = {}
        written = []
        for word, place in zip(words, places, strict=True):
            if not place:
                written.append(word)
                continue
            who = (place.host, place.user)
            if who not in logins:
                logins[who] = wish.login(wish.request_for(place.host, _port(places)), place.user)
            written.append(place_of(logins[who].target, logins[who].user.name, place.path))

        def build(settled: list[str]) -> list[str]:
            # Without -3, versions before 8.7 let one host copy to the other, which it cannot reach.
            both = ["-3"] if places[-1] and any(places[:-1]) and wish.words.last("R") is None else []
            return scp_command(
                wish.words.port or _port(places) or SSH_PORT, [*wish.words.passed_on(), *both, *settled], written
            )

        return run_or_print(wish, list(logins.values()), build, folder)


def _port(places: list[Destination | None]) -> int:
    """The port that the places' URLs give, or 0; scp takes one for all here."""
    ports = {place.port for place in places if place and place.port}
    if len(ports) > 1:
        raise UsageError("the URLs have different ports", hint="copy in two steps")
    return ports.pop() if ports else 0
