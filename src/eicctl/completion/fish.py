"""The completion script for fish (3.4 or newer)."""

from __future__ import annotations

from collections.abc import Iterable

from eicctl.completion.tree import Tree, in_words, long_options

_HEAD = r"""# fish completion for eicctl. Made by `eicctl completion fish`.

# fish quotes what it inserts, and reads no candidate as code. Each line is a candidate, a tab, and what it is.
function __eicctl_kind -a kind before word profile region
    switch $kind
        case ''
        case '=*'
            string split ' ' -- (string sub -s 2 -- $kind) | __eicctl_prefixed $before
        case region
            printf '%s\n' $__eicctl_regions | __eicctl_prefixed $before
        case file
            __fish_complete_path "$word" | __eicctl_prefixed $before
        case '*'
            command eicctl --complete "$kind" "$profile" "$region" "$word" 2>/dev/null | __eicctl_prefixed $before
            if test $kind = copy
                __fish_complete_path "$word"
            end
    end
end

function __eicctl_prefixed -a before
    while read -l line
        printf '%s%s\n' "$before" "$line"
    end
end

function __eicctl_complete
    set -l words (commandline -opc)
    set -l word (commandline -ct)
    set -l plain (string unescape -- $word 2>/dev/null)
    or set plain (string replace -r '^["\']' '' -- $word)
    set word "$plain"
    set -l command ''
    set -l option ''
    set -l ended ''
    set -l number 0
    set -l profile ''
    set -l region ''
    for given in $words[2..-1]
        if test -n "$option"
            switch $option
                case --profile
                    set profile $given
                case --region
                    set region $given
            end
            set option ''
            continue
        end
        if test -z "$ended"; and string match -q -- '-?*' $given
            switch $given
                case --
                    set ended 1
                case '--profile=*'
                    set profile (string replace -r '^[^=]*=' '' -- $given)
                case '--region=*'
                    set region (string replace -r '^[^=]*=' '' -- $given)
                case '--*=*'
                case '*'
                    __eicctl_takes "$command" $given >/dev/null
                    and set option $given
            end
            continue
        end
        if contains -- $given (string split ' ' -- (__eicctl_below "$command"))
            set command (string trim -- "$command $given")
        else
            set number (math $number + 1)
            test $number -gt 1
            and contains -- "$command" $__eicctl_ends
            and return
        end
    end
    if test -n "$option"
        __eicctl_kind (__eicctl_takes "$command" $option) '' "$word" "$profile" "$region"
    else if test -z "$ended"; and string match -q -- '--*=*' $word
        set option (string replace -r '=.*' '' -- $word)
        set -l kind (__eicctl_takes "$command" $option)
        and __eicctl_kind "$kind" "$option=" (string replace -r '^[^=]*=' '' -- $word) "$profile" "$region"
    else if test -z "$ended"; and string match -q -- '-*' $word
        __eicctl_options "$command"
    else if set -l below (__eicctl_below "$command"); and test -n "$below"
        __eicctl_commands "$command"
    else if set -l kind (__eicctl_argument "$command" $number)
        __eicctl_kind "$kind" '' "$word" "$profile" "$region"
    end
end
"""

_TAIL = """complete -c eicctl -e
complete -c eicctl -f -a '(__eicctl_complete)'
"""


def script(tree: Tree) -> str:
    """Return the script."""
    groups = [(one, tree.below(one)) for one in tree.commands if tree.below(one)]
    below = [([one.name], f"echo {quoted(in_words(rows))}") for one, rows in groups]
    commands = [([one.name], _lines((row.path[-1], row.summary) for row in rows)) for one, rows in groups]
    options = [([one.name], _lines(long_options(one))) for one in tree.commands]
    ends = " ".join(quoted(one.name) for one in tree.commands if one.ends)
    parts = [
        _HEAD,
        f"set -g __eicctl_regions {' '.join(tree.regions)}\nset -g __eicctl_ends {ends}\n",
        _function("__eicctl_below", below, subject="$argv[1]"),
        _function("__eicctl_commands", commands, subject="$argv[1]"),
        _function("__eicctl_options", options, subject="$argv[1]"),
        _function("__eicctl_takes", _kinds(tree.by_kind()), subject='"$argv"', otherwise="return 1"),
        _function("__eicctl_argument", _kinds(tree.arguments()), subject='"$argv"', otherwise="return 1"),
        _TAIL,
    ]
    return "\n".join(parts)


def quoted(text: str) -> str:
    """Return a word of fish that is this text and nothing else."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _lines(rows: Iterable[tuple[str, str]]) -> str:
    """Print candidates, each with what it is."""
    return "printf '%s\\t%s\\n' " + " ".join(f"{name} {quoted(what)}" for name, what in rows)


def _kinds(rows: list[tuple[str, list[str]]]) -> list[tuple[list[str], str]]:
    """What is particular comes first: the first pattern that fits counts."""
    found = [(keys, f"echo {quoted(kind)}") for kind, keys in rows]
    particular = [([key for key in keys if not key.startswith("*")], what) for keys, what in found]
    return particular + [([key for key in keys if key.startswith("*")], what) for keys, what in found]


def _function(name: str, rows: list[tuple[list[str], str]], *, subject: str, otherwise: str = "") -> str:
    lines = [f"        case {' '.join(map(quoted, keys))}\n            {what}" for keys, what in rows if keys]
    if otherwise:
        lines.append(f"        case '*'\n            {otherwise}")
    return "\n".join([f"function {name}", f"    switch {subject}", *lines, "    end", "end", ""])
