"""A terminal of some width: a command on it, or a shell in which commands are typed, and what then stands there."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import pexpect
import pyte

from tests.processes import PROGRAM
from tests.waiting import wait_for

_LONG = 120
"""Seconds in which whatever is expected is there; they only end a test that hangs."""

_PROMPT = r"<<ready (\d+)>>"

_TOKEN = re.compile(
    r"\x1b\[(?P<given>[?0-9;]*)(?P<control>[A-Za-z])|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b.|(?P<char>.)", re.DOTALL
)


def terminal(
    env: Mapping[str, str],
    *words: str,
    program: str = PROGRAM,
    size: tuple[int, int] = (40, 100),
    cwd: Path | None = None,
) -> pexpect.spawn[str]:
    """Run eicctl, or another program, on a terminal of so many lines and columns."""
    sizes = ("COLUMNS", "LINES")  # which a test run may have, as in a worker of xdist's
    return pexpect.spawn(
        program,
        list(words),
        env={"TERM": "xterm-256color", **{name: value for name, value in env.items() if name not in sizes}},
        cwd=None if cwd is None else str(cwd),
        encoding="utf-8",
        timeout=_LONG,
        dimensions=size,
    )


def interrupt(session: pexpect.spawn[str]) -> None:
    """Press Ctrl-C at a question: once its program waits for the answer."""
    status = Path(f"/proc/{session.pid}/stat")
    if status.exists():
        wait_for(lambda: status.read_text().rpartition(")")[2].split()[0] == "S", "a wait for input")
    session.sendintr()


def exit_code(session: pexpect.spawn[str]) -> int | None:
    """Wait until a program has ended; what it wrote is in `before` then."""
    session.expect(pexpect.EOF)
    session.wait()  # its terminal is closed before it has ended, and `close` would hang up on it
    session.close()
    return session.exitstatus


def screen(written: str) -> list[str]:
    """Return the lines that a terminal shows of what was written, each as long as it was written.

    A terminal breaks those that are longer than it is wide; nobody knows then where.
    """
    lines = [""]
    row = column = 0
    for token in _TOKEN.finditer(written):
        char, control = token["char"], token["control"]
        if char == "\r":
            column = 0
        elif char == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif char == "\b":
            column = max(0, column - 1)
        elif char == "\t":
            column += 8 - column % 8
        elif char and char.isprintable():
            line = lines[row].ljust(column)
            lines[row] = line[:column] + char + line[column + 1 :]
            column += 1
        elif control == "A":
            row = max(0, row - int(token["given"] or 1))
        elif control == "K":
            lines[row] = "" if token["given"] == "2" else lines[row][:column]
    return lines


@dataclass(frozen=True)
class Shown:
    """How a command ended, and what it left on the screen, without the command itself."""

    code: int
    lines: list[str]


class Screen:
    """A program on a terminal that is emulated (pyte), for those that draw in place. A context manager.

    Args:
        env: Its environment.
        words: Its arguments.
        program: The program.
        size: The terminal's lines and columns.
        cwd: Its folder.
    """

    def __init__(
        self,
        env: Mapping[str, str],
        *words: str,
        program: str = PROGRAM,
        size: tuple[int, int] = (24, 80),
        cwd: Path | None = None,
    ) -> None:
        self.child = terminal(env, *words, program=program, size=size, cwd=cwd)
        self.child.delaybeforesend = None
        self._screen = pyte.Screen(size[1], size[0])
        self._stream = pyte.Stream(self._screen)
        self.written = ""
        self._ended = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.child.close(force=True)

    @property
    def lines(self) -> list[str]:
        """What the terminal shows, without blanks at the ends of lines and without empty lines at the end."""
        lines = [line.rstrip() for line in self._screen.display]
        return lines[: max((number for number, line in enumerate(lines, 1) if line), default=0)]

    def until(self, pattern: str) -> list[str]:
        """Wait until a pattern is on the screen; return the lines."""

        def shown() -> bool:
            self._read()
            return re.search(pattern, "\n".join(self.lines)) is not None

        try:
            wait_for(shown, repr(pattern), timeout=_LONG)
        except AssertionError as error:
            raise AssertionError("\n".join([str(error), *self.lines])) from None
        return self.lines

    def press(self, keys: str, pattern: str) -> list[str]:
        """Type, and wait until a pattern is on the screen; return the lines."""
        self.child.send(keys)
        return self.until(pattern)

    def resize(self, rows: int, columns: int) -> None:
        """Make the terminal another size; the program is told by SIGWINCH."""
        self._screen.resize(rows, columns)
        self.child.setwinsize(rows, columns)

    def end(self) -> int | None:
        """Wait until the program has ended; return its exit code."""

        def ended() -> bool:
            self._read()
            return self._ended

        wait_for(ended, "the program's end", timeout=_LONG)
        self.child.wait()
        self.child.close()
        return self.child.exitstatus

    def _read(self) -> None:
        try:
            text = self.child.read_nonblocking(2**16, 0.05)
        except pexpect.TIMEOUT:
            return
        except pexpect.EOF:
            self._ended = True
            return
        self.written += text
        self._stream.feed(text)


class Shell:
    """bash on a terminal. A context manager.

    Args:
        env: Its environment.
        folder: Its folder.
        width: The terminal's, in columns.
    """

    def __init__(self, env: Mapping[str, str], folder: Path, width: int) -> None:
        self._bash: pexpect.spawn[str] = pexpect.spawn(
            "bash",
            ["--norc", "--noprofile", "--noediting"],
            env={**env, "PS1": _PROMPT.replace(r"(\d+)", "$?"), "PS2": "", "TERM": "xterm", "PAGER": "cat"},
            cwd=str(folder),
            encoding="utf-8",
            timeout=_LONG,
            dimensions=(50, width),
        )
        self._bash.delaybeforesend = None
        self._bash.expect(_PROMPT)
        self.width = width

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bash.close(force=True)

    @contextlib.contextmanager
    def resized(self, width: int) -> Iterator[None]:
        """Make the terminal another width for the time of a block."""
        before, self.width = self.width, width
        self._bash.setwinsize(50, width)
        try:
            yield
        finally:
            self.width = before
            self._bash.setwinsize(50, before)

    def run(self, command: str, *answers: tuple[str, str], until: str = "") -> Shown:
        """Type a command and wait until it has ended.

        Args:
            command: One command line, perhaps with a here-document.
            answers: What to wait for, as patterns, and what to type then.
            until: What a command that goes on in the background writes when it is ready, as a pattern.

        Raises:
            AssertionError: It waits for something; with what is on the screen.
        """
        try:
            return self._run(command, *answers, until=until)
        except pexpect.TIMEOUT:
            shown = "\n".join(screen(str(self._bash.before)))
            raise AssertionError(f"{command} waits after {self._bash.timeout} s:\n{shown}") from None

    def _run(self, command: str, *answers: tuple[str, str], until: str) -> Shown:
        self._bash.sendline(command)
        written = ""
        for pattern, answer in answers:
            if self._bash.expect([pattern, _PROMPT]):
                break
            written += f"{self._bash.before}{self._bash.after}"
            self._bash.send(answer)
        else:
            self._bash.expect(_PROMPT)
        assert isinstance(self._bash.match, re.Match)
        code = int(self._bash.match[1])
        written += str(self._bash.before)
        if until:
            self._bash.expect(f"{until}[^\n]*\n")
            written += f"{self._bash.before}{self._bash.after}"
        lines = screen(written)[command.count("\n") + 1 :]
        jobs = re.compile(r"\[\d+\][ +-]")  # what bash tells of its jobs
        return Shown(code, [line for line in lines if not jobs.match(line)])


def faults(lines: Sequence[str], width: int) -> list[str]:
    """Return what is wrong with what people read on a terminal of some width."""
    found = [line for line in lines if re.search(r"Traceback|bug in eicctl|[Uu]nexpected \w+Error", line)]
    found += [f"too wide: {line}" for line in lines if len(line) > width and not _is_whole(line)]
    found += [f"broken ID: {line}" for line in lines if re.search(r"\b(i|eice|sg|vpc|subnet)-[0-9a-f]{1,16}$", line)]
    blank = [not line.strip() for line in lines]
    for start in range(len(lines) - 5):
        if blank[start : start + 6] == [False, True] * 3:
            found.append(f"a blank line after each: {lines[start : start + 6]}")
    return found


def _is_whole(line: str) -> bool:
    """Whether a line is of one piece: a single word, or a command line that can be copied."""
    return len(line.split()) == 1 or bool(
        re.match(r"\s*([\w ]+:\s+)?(\w+=\S+ )*(eicctl|aws|psql|ssh-keygen|rm|unset) |Usage: ", line)
    )
