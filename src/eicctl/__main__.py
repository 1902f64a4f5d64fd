"""The entry point of `eicctl` and of `python -m eicctl`."""

from __future__ import annotations

try:
    import os
    import sys
except KeyboardInterrupt:  # for OpenSSH, which has started this process
    raise SystemExit(130) from None

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from eicctl.core.request import ConnectRequest
    from eicctl.fastpath.proxy import Printer


def main() -> NoReturn:
    """Run the command line and end the process with its code."""
    try:
        from eicctl.support.streams import open_closed

        open_closed()
        code = _run()
        _finish()
    except KeyboardInterrupt:  # while the first modules were loaded, or at the end
        code = 130
    # Python would clear every module first, for which a shell would wait: a fifth of the time of some commands.
    os._exit(code)


def _finish() -> None:
    """Do what Python does before it clears the modules: wait for threads, clean up, write what is buffered."""
    import atexit

    if threading := sys.modules.get("threading"):
        threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream:
                stream.flush()
        except OSError:  # the command has said so
            pass


def _run() -> int:
    from eicctl.support.streams import on_terminal

    if "_EICCTL_COMPLETE" in os.environ and not sys.argv[1:]:
        from eicctl.cli.commands.completion import complete

        return complete()
    if sys.argv[1:2] == ["proxy"] and not on_terminal():
        from eicctl.fastpath.proxy import read

        if request := read(sys.argv[2:]):
            return _proxy(request)
    if sys.argv[1:2] == ["ssh"]:
        from eicctl.fastpath.ssh import run as log_in

        try:
            code = log_in(sys.argv[2:], _explained, _printer)
        except Exception as error:
            code = _cli().explained(error)
        if code is not None:
            return code
    ended: int = _cli().main()
    return ended


def _cli() -> Any:
    """Load the command line."""
    from eicctl.support.bare import add_site_packages

    add_site_packages()
    import eicctl.cli

    return eicctl.cli


def _explained(*how: Any) -> int | None:
    from eicctl.cli.openssh_command import explained

    return explained(*how)


def _proxy(request: ConnectRequest) -> int:
    """`eicctl proxy` without Click."""
    from eicctl.fastpath.proxy import run
    from eicctl.support import log

    try:
        if not request.session_folder:  # whose command has said it all
            from eicctl.support import defaults

            request = defaults.filled(request)
        code = run(request, _printer)
    except BaseException as error:
        # A command of eicctl that runs OpenSSH has the interrupt, too.
        quiet = request.session_folder and isinstance(error, KeyboardInterrupt)
        code = 130 if quiet else _cli().explained(error)
    log.ended(code)
    return code


def _printer() -> Printer:
    """Load the command line, when there is something to print."""
    _cli()
    from eicctl.cli.commands.proxy import PRINTER

    return PRINTER


if __name__ == "__main__":
    if "site" not in sys.modules:  # see `ssh.process.proxy_words`
        sys.path.append(os.path.dirname(os.path.dirname(__file__)))  # noqa: PTH120
    main()
