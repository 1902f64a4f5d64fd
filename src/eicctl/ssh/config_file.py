"""Host blocks of ssh_config(5) for instances, and the two files that have them: eicctl's own, and the user's, which
includes it."""

from __future__ import annotations

import difflib
import os
import re
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from eicctl.aws.instances import instances_named, list_instances
from eicctl.aws.session import Session
from eicctl.core.errors import LocalError, UsageError
from eicctl.core.model import Instance
from eicctl.ssh.keys import windows_error
from eicctl.ssh.openssh_options import OpensshOptions, config_path, config_word, folder, named_hosts
from eicctl.ssh.os_user import DEFAULT, choose_all
from eicctl.ssh.proxy_tunnel import SUFFIX, host_name
from eicctl.support import files


def own_file() -> Path:
    """The file that eicctl writes."""
    return folder() / "config"


def users_file() -> Path:
    """The user's ssh_config."""
    return files.expanded("~") / ".ssh" / "config"


@dataclass(frozen=True, slots=True)
class Change:
    """A file's old and new text."""

    path: Path
    before: str
    after: str

    def diff(self) -> str:
        """Return the unified diff; empty if nothing changes."""
        before, after = (text.splitlines(keepends=True) for text in (self.before, self.after))
        return "".join(difflib.unified_diff(before, after, str(self.path), str(self.path)))

    def make(self) -> None:
        """Write the file, if it changes. A copy of the user's own file is kept with the suffix `.before-eicctl`.

        Raises:
            LocalError: It cannot be written.
        """
        if self.before == self.after:
            return
        try:
            files.make_private(self.path.parent)
            mode = self.path.stat().st_mode & 0o777 if self.path.exists() else 0o600
            if self.path == users_file() and self.path.exists():
                shutil.copy2(self.path, self.path.with_name(f"{self.path.name}.before-eicctl"))
        except OSError as error:
            raise LocalError(f"Cannot change {self.path}: {error.strerror}") from error
        files.write_whole(self.path, self.after, mode)


def installation(section: Section, blocks: Sequence[Block], *, whole: bool) -> tuple[list[Change], Merged]:
    """Return the changes that put blocks into eicctl's file and its Include into the user's, and the merge's result."""
    own, users = files.read_text(own_file()), files.read_text(users_file())
    result = merged(own, section, blocks, whole=whole)
    return [
        Change(own_file(), own, result.text),
        Change(users_file(), users, with_include(users, str(own_file()))),
    ], result


def removal() -> list[Change]:
    """Return the changes that remove both; the files stay, with the user's own lines."""
    own, users = files.read_text(own_file()), files.read_text(users_file())
    return [
        Change(users_file(), users, without_include(users, str(own_file()))),
        Change(own_file(), own, ""),
    ]


def mux_folder() -> Path:
    """The folder of ControlMaster's sockets."""
    return folder() / "mux"


@dataclass(frozen=True, slots=True)
class Layout:
    """How blocks are written.

    Attributes:
        openssh: How OpenSSH gets to the hosts; its request has the profile and the region.
        os_user: The OS user of all, or None for each one's own.
        multiplex: Whether sessions share a connection, for ten minutes after the last one's end.
    """

    openssh: OpensshOptions
    os_user: str | None = None
    multiplex: bool = False

    def block(self, hosts: Sequence[str], user: str, target: str, comment: str) -> Block:
        """Return the block of some names, with a comment for people."""
        found = {"User": user, **self.openssh.settings(named_hosts(), target)}
        if self.multiplex:
            found |= {"ControlMaster": "auto", "ControlPath": config_path(mux_folder(), "/%C"), "ControlPersist": "10m"}
        return Block(tuple(hosts), (f"# {comment}", *(f"{name} {value}" for name, value in found.items())))


def for_instances(session: Session, instances: Sequence[Instance], layout: Layout) -> list[Block]:
    """Return a block for each instance, by its name if that is unique and a plain host name, else by its ID."""
    counted = Counter(instance.name for instance in instances)
    users = choose_all(session, instances) if not layout.os_user else {}
    request = layout.openssh.request
    profile = request.profile if request.profile != "default" else None
    blocks = []
    taken: set[str] = set()
    for instance in instances:
        name = instance.name if instance.name and counted[instance.name] == 1 and host_name(instance.name) else ""
        word = name or instance.id
        hosts = dict.fromkeys(filter(None, [host_name(word), host_name(word, profile, request.region)]))
        if taken & hosts.keys():  # of another instance, which is called as this one in full
            continue
        taken |= hosts.keys()
        user = layout.os_user or users[instance.id].name
        blocks.append(layout.block(list(hosts), user, word, f"{instance.id} in {instance.availability_zone}"))
    return blocks


def for_pattern(layout: Layout) -> Block:
    """Return a block for every other name that ends with `.eic`."""
    return layout.block([f"*{SUFFIX}"], layout.os_user or DEFAULT, "%n", "NAME[.PROFILE][.REGION].eic")


def running(session: Session) -> list[Instance]:
    """Return the running instances that can have an SSH server."""
    found = list_instances(session, filters={"instance-state-name": ["running"]})
    return [instance for instance in found if instance.platform != "windows"]


def named(session: Session, words: Sequence[str], *, pushes: bool) -> list[Instance]:
    """Return the instances with these names or IDs; Windows ones only if no key is pushed.

    Raises:
        NotFoundError: One does not exist.
        UsageError: A key would be pushed to a Windows instance.
    """
    found = instances_named(session, words, states=["running", "stopped"])
    for instance in found:
        if instance.platform == "windows" and pushes:
            raise windows_error(instance.name or instance.id, "ssh-config")
    return found


HEADER = "# Written by eicctl ssh-config; changes are lost when it runs again."

_SECTION = re.compile(r"^# eicctl section: (.*)$")
_INCLUDE = re.compile(r"^\s*include\s+(.*\S)\s*$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Block:
    """One Host block.

    Attributes:
        hosts: The names or patterns.
        lines: What is below its Host line, without indentation.
    """

    hosts: tuple[str, ...]
    lines: tuple[str, ...] = ()

    @property
    def is_pattern(self) -> bool:
        """Whether it is for names that are not known yet."""
        return any("*" in host for host in self.hosts)

    def text(self) -> str:
        """Return the block, with a newline at its end.

        Raises:
            UsageError: A value would end its line, and so begin a setting of its own.
        """
        for text in (*self.hosts, *self.lines):
            _check(text)
        return "".join(f"{line}\n" for line in (f"Host {' '.join(self.hosts)}", *(f"  {line}" for line in self.lines)))


@dataclass(frozen=True, slots=True)
class Section:
    """Whose blocks are together: those of an account and a region, as one profile sees them.

    Attributes:
        account: The account's ID; empty if the file does not have it.
        region: The region.
        profile: The profile; empty if the environment had the keys.
    """

    account: str
    region: str
    profile: str = ""

    def __str__(self) -> str:
        return " ".join(filter(None, (self.account, self.region, self.profile)))

    def same_hosts(self, other: Section) -> bool:
        """Whether both lead to the same instances, if by other profiles."""
        return not other.account or (self.account, self.region) == (other.account, other.region)

    @classmethod
    def parse(cls, text: str) -> Section:
        """Read what `str` gives."""
        if match := re.fullmatch(r"(\d{12}) (\S+)(?: (.+))?", text):
            return cls(match[1], match[2], match[3] or "")
        return cls("", text)


@dataclass(frozen=True, slots=True)
class Merged:
    """A file with new blocks in it.

    Attributes:
        text: The file.
        gone: Names that were removed.
        moved: Names that another section had before, with that section.
        refused: Names of new blocks that another section has and keeps, with that section.
    """

    text: str
    gone: tuple[str, ...] = ()
    moved: Mapping[str, Section] = field(default_factory=dict)
    refused: Mapping[str, Section] = field(default_factory=dict)


def merged(text: str, section: Section, blocks: Sequence[Block], *, whole: bool) -> Merged:
    """Put blocks into a section of the file; each name is in the file once, and patterns are last.

    A name that another account or region has stays there. A pattern, or a name that another profile has for the same
    instances, moves to the new block.

    Args:
        text: The file as it is, or an empty text.
        section: The section.
        blocks: The blocks, in their order.
        whole: Whether other hosts of the section are removed. Patterns stay anyway.
    """
    _check(str(section))
    sections = _sections(text)
    owners = {name: owner for owner, found in sections.items() for block in found for name in block.hosts}
    refused: dict[str, Section] = {}
    new: list[Block] = []
    for block in blocks:
        free = []
        for name in block.hosts:
            owner = owners.get(name, section)
            if block.is_pattern or section.same_hosts(owner):
                free.append(name)
            else:
                refused[name] = owner
        if free:
            new.append(replace(block, hosts=tuple(free)))
    taken = {name for block in new for name in block.hosts}
    for owner, found in sections.items():
        kept = [block for block in found if block.is_pattern or not (whole and owner == section)]
        rest = [replace(block, hosts=tuple(host for host in block.hosts if host not in taken)) for block in kept]
        sections[owner] = [block for block in rest if block.hosts]
    sections[section] = [*sections.get(section, []), *new]
    after = {name for found in sections.values() for block in found for name in block.hosts}
    moved = {name: owners[name] for name in sorted(taken & owners.keys()) if owners[name] != section}
    return Merged(_text(sections), tuple(name for name in owners if name not in after), moved, refused)


def _text(sections: Mapping[Section, Sequence[Block]]) -> str:
    parts = [HEADER + "\n"]
    for patterns in (False, True):  # OpenSSH takes the first block that fits
        for section, blocks in sections.items():
            if chosen := [block.text() for block in blocks if block.is_pattern == patterns]:
                parts += [f"# eicctl section: {section}\n", *chosen]
    return "\n".join(parts)


def _check(text: str) -> None:
    """Raise if OpenSSH would not read a text as part of one line."""
    if any(char < " " or char == "\x7f" for char in text):
        raise UsageError(f"Cannot write {text!r} to ssh_config: it has a control character")


def _lines(text: str) -> list[str]:
    """The lines as OpenSSH sees them, with their ends: Python's `splitlines` knows more line ends."""
    return [line for line in re.split(r"(?<=\n)", text) if line]


def _sections(text: str) -> dict[Section, list[Block]]:
    """Return the sections of a file that eicctl has written."""
    sections: dict[Section, list[Block]] = {}
    blocks: list[Block] = []
    for line in text.split("\n"):
        if match := _SECTION.match(line):
            blocks = sections.setdefault(Section.parse(match[1]), [])
        elif line.startswith("Host "):
            blocks.append(Block(tuple(line.split()[1:])))
        elif line.startswith("  ") and blocks:
            blocks[-1] = replace(blocks[-1], lines=(*blocks[-1].lines, line[2:]))
    return sections


def include_line(path: str) -> str:
    """Return the line that includes a file, whatever is in its path.

    OpenSSH takes it for a pattern of glob(7), and since 9.9 for a text with % tokens and variables as well. A question
    mark instead of what only some versions would replace is right for all of them.
    """
    _check(path)
    pattern = re.sub(r"[*?\[\\]", r"\\\g<0>", path) if os.name == "posix" else path
    return f"Include {config_word(pattern.replace('%', '?').replace('${', '?{'))}"


def with_include(text: str, path: str) -> str:
    """Return the user's ssh_config with an Include line on top, where it holds for all hosts; once."""
    if _includes(text, path):
        return text
    newline = "\r\n" if "\r\n" in text else "\n"
    return f"{include_line(path)}{newline}{text}"


def without_include(text: str, path: str) -> str:
    """Return the user's ssh_config without that line."""
    return "".join(line for line in _lines(text) if not _is_include(line, path))


def _includes(text: str, path: str) -> bool:
    """Whether a line before the first Host or Match includes the file."""
    for line in _lines(text):
        if re.match(r"\s*(host|match)\b", line, re.IGNORECASE):
            return False
        if _is_include(line, path):
            return True
    return False


def _is_include(line: str, path: str) -> bool:
    match = _INCLUDE.match(line)
    return match is not None and match[1] in (path, f'"{path}"', include_line(path).removeprefix("Include "))
