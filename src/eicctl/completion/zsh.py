"""The completion script for zsh: a function for `fpath`, or to be sourced after compinit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from eicctl.completion.posix import function, lookups, quoted
from eicctl.completion.tree import Command, Tree, in_words, long_names, long_options

_HEAD = r"""#compdef eicctl
# zsh completion for eicctl. Made by `eicctl completion zsh`.

# compadd quotes what it inserts as the cursor's place wants it, and (Q) takes quotes away without expanding anything.
_eicctl_kind() {
    local kind=$1 line
    local -a lines values shown
    case $kind in
        '') return 1 ;;
        '='*) compadd -- ${(s: :)${kind#=}} ;;
        region) compadd -- $_eicctl_regions ;;
        file) _files ;;
        *)
            line=$(command eicctl --complete "$kind" "$_eicctl_profile" "$_eicctl_region" "${(Q)PREFIX}" 2>/dev/null)
            lines=("${(@f)line}")
            for line in "${(@)lines:#}"; do
                values+=("${line%%$'\t'*}")
                shown+=("${line%%$'\t'*}  ${line#*$'\t'}")
            done
            if [[ $kind == (copy|forward) ]]; then
                (( ${#values} )) && compadd -S '' -l -d shown -- "${(@)values}"
                [[ $kind == copy ]] && _files
            else
                (( ${#values} )) && compadd -l -d shown -- "${(@)values}"
            fi
            ;;
    esac
}

_eicctl() {
    local command= option= ended= word kind below
    local -i number=0 i
    local -a done list shown
    local _eicctl_profile= _eicctl_region=
    done=("${(@Q)words[2,CURRENT-1]}")
    for word in "${(@)done}"; do
        if [[ -n $option ]]; then
            case $option in
                --profile) _eicctl_profile=$word ;;
                --region) _eicctl_region=$word ;;
            esac
            option=
            continue
        fi
        if [[ -z $ended && $word == -?* ]]; then
            case $word in
                --) ended=1 ;;
                --profile=*) _eicctl_profile=${word#*=} ;;
                --region=*) _eicctl_region=${word#*=} ;;
                --*=*) ;;
                *) _eicctl_takes "$command" "$word" && option=$word ;;
            esac
            continue
        fi
        _eicctl_below "$command"
        if [[ " $below " == *" $word "* ]]; then
            command+=${command:+ }$word
        else
            (( number++ ))
            (( number > 1 )) && _eicctl_ends "$command" && return 1
        fi
    done
    if [[ -n $option ]]; then
        _eicctl_takes "$command" "$option" && _eicctl_kind "$kind"
    elif [[ -z $ended && $PREFIX == --*=* ]]; then
        option=${PREFIX%%=*}
        compset -P 1 '*='
        _eicctl_takes "$command" "$option" && _eicctl_kind "$kind"
    elif [[ -z $ended && $PREFIX == -* ]]; then
        _eicctl_options "$command"
        compadd -l -d shown -- "${(@)list}"
    else
        _eicctl_below "$command"
        if [[ -n $below ]]; then
            compadd -l -d shown -- ${(s: :)below}
        else
            _eicctl_argument "$command" "$number" && _eicctl_kind "$kind"
        fi
    fi
}
"""

_TAIL = """
if [[ ${funcstack[1]-} == _eicctl ]]; then
    _eicctl "$@"
else
    compdef _eicctl eicctl
fi
"""


def script(tree: Tree) -> str:
    """Return the script."""
    below = [([one.name], _below(tree.below(one))) for one in tree.commands if tree.below(one)]
    options = [([one.name], _options(one)) for one in tree.commands]
    parts = [
        _HEAD,
        f"typeset -ga _eicctl_regions=({' '.join(tree.regions)})\n",
        function("_eicctl_below", below, subject="$1", first="below= shown=()"),
        function("_eicctl_options", options, subject="$1", first="list=() shown=()"),
        *lookups(tree),
        _TAIL,
    ]
    return "\n".join(parts)


def _below(commands: Sequence[Command]) -> str:
    return f"below={quoted(in_words(commands))} shown=({_shown((one.path[-1], one.summary) for one in commands)})"


def _options(command: Command) -> str:
    return f"list=({' '.join(long_names(command))}) shown=({_shown(long_options(command))})"


def _shown(rows: Iterable[tuple[str, str]]) -> str:
    return " ".join(quoted(f"{name}  {what}") for name, what in rows)
