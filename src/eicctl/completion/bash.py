"""The completion script for bash (4.1 or newer)."""

from __future__ import annotations

from eicctl.completion.posix import function, lookups, quoted
from eicctl.completion.tree import Tree, in_words, long_names

_HEAD = r"""# bash completion for eicctl. Made by `eicctl completion bash`.

# Reads the line up to the cursor as bash would, and expands nothing: _eicctl_words are its words without their quotes,
# the last one that of the cursor. _eicctl_open is the quote that is open there, and _eicctl_kept what of the word
# readline does not replace.
_eicctl_read() {
    local line=${COMP_LINE:0:COMP_POINT} blank=$' \t\n' char word= some= i
    _eicctl_words=() _eicctl_open= _eicctl_kept=
    for ((i = 0; i < ${#line}; i++)); do
        char=${line:i:1}
        case $_eicctl_open$char in
            "''" | '""') _eicctl_open= ;;
            "'"?) word+=$char ;;
            '"\')
                ((i++))
                [[ ${line:i:1} == [\$\`\"\\] ]] || word+='\'
                word+=${line:i:1}
                ;;
            '"'?) word+=$char ;;
            "'" | '"') _eicctl_open=$char some=1 _eicctl_kept=$word ;;
            '\')
                ((i++))
                word+=${line:i:1} some=1
                ;;
            *)
                if [[ $blank == *"$char"* ]]; then
                    [[ $some ]] && _eicctl_words+=("$word")
                    word= some= _eicctl_kept=
                else
                    word+=$char some=1
                    # readline keeps what stands before a word's break, but for @, which it takes for a prefix.
                    [[ $COMP_WORDBREAKS == *"$char"* ]] && _eicctl_kept=${word%@}
                fi
                ;;
        esac
    done
    _eicctl_words+=("$word")
}

# Offers values, quoted as the cursor's place wants it: what is between quotes is not read again by bash.
_eicctl_offer() {
    local value rest
    for value; do
        rest=${value:${#_eicctl_kept}}
        case $_eicctl_open in
            "'") [[ $rest == *\'* ]] && continue ;;
            '"')
                [[ $rest == *'!'* ]] && continue
                rest=${rest//\\/\\\\}
                rest=${rest//\"/\\\"}
                rest=${rest//\$/\\\$}
                rest=${rest//\`/\\\`}
                ;;
            *) [[ $rest ]] && printf -v rest %q "$rest" ;;
        esac
        COMPREPLY+=("$rest")
    done
}

_eicctl_offer_words() {
    local prefix=$1 value
    shift
    for value; do
        [[ $value == "$_eicctl_word"* ]] && _eicctl_offer "$prefix$value"
    done
}

# Offers values of a kind. $1: the kind; $2: what stands before the value in its word (`--option=`).
_eicctl_kind() {
    local line
    case $1 in
        '') ;;
        =*) _eicctl_offer_words "$2" ${1#=} ;;
        region) _eicctl_offer_words "$2" $_eicctl_regions ;;
        file) compopt -o default -o bashdefault ;;
        *)
            while IFS= read -r line; do
                _eicctl_offer "$2${line%%$'\t'*}"
            done < <(command eicctl --complete "$1" "$_eicctl_profile" "$_eicctl_region" "$_eicctl_word" 2>/dev/null)
            case $1 in
                copy)
                    compopt -o nospace
                    [[ ${COMPREPLY[0]+some} ]] || compopt -o default -o bashdefault
                    ;;
                forward) compopt -o nospace ;;
            esac
            ;;
    esac
}

_eicctl() {
    local path= number=0 option= ended= word kind below list i
    local _eicctl_words _eicctl_open _eicctl_kept _eicctl_word _eicctl_profile= _eicctl_region=
    local IFS=$' \t\n'
    COMPREPLY=()
    _eicctl_read
    for ((i = 0; i < ${#_eicctl_words[@]} - 1; i++)); do
        [[ ${_eicctl_words[i]} == eicctl || ${_eicctl_words[i]} == */eicctl ]] && break
    done
    for ((i++; i < ${#_eicctl_words[@]} - 1; i++)); do
        word=${_eicctl_words[i]}
        if [[ $option ]]; then
            case $option in
                --profile) _eicctl_profile=$word ;;
                --region) _eicctl_region=$word ;;
            esac
            option=
            continue
        fi
        if [[ ! $ended && $word == -?* ]]; then
            case $word in
                --) ended=1 ;;
                --profile=*) _eicctl_profile=${word#*=} ;;
                --region=*) _eicctl_region=${word#*=} ;;
                --*=*) ;;
                *) _eicctl_takes "$path" "$word" && option=$word ;;
            esac
            continue
        fi
        _eicctl_below "$path"
        if [[ " $below " == *" $word "* ]]; then
            path+=${path:+ }$word
        else
            ((number++))
            ((number > 1)) && _eicctl_ends "$path" && return
        fi
    done
    _eicctl_word=${_eicctl_words[i]}
    if [[ $option ]]; then
        _eicctl_takes "$path" "$option" && _eicctl_kind "$kind" ''
    elif [[ ! $ended && $_eicctl_word == --*=* ]]; then
        option=${_eicctl_word%%=*}
        _eicctl_word=${_eicctl_word#*=}
        _eicctl_takes "$path" "$option" && _eicctl_kind "$kind" "$option="
    elif [[ ! $ended && $_eicctl_word == -* ]]; then
        _eicctl_options "$path"
        _eicctl_offer_words '' $list
    else
        _eicctl_below "$path"
        if [[ $below ]]; then
            _eicctl_offer_words '' $below
        elif _eicctl_argument "$path" "$number"; then
            _eicctl_kind "$kind" ''
        fi
    fi
}
"""

_TAIL = """complete -F _eicctl eicctl
"""


def script(tree: Tree) -> str:
    """Return the script."""
    below = [([one.name], f"below={quoted(in_words(tree.below(one)))}") for one in tree.commands if tree.below(one)]
    options = [([one.name], f"list={quoted(' '.join(long_names(one)))}") for one in tree.commands]
    parts = [
        _HEAD,
        f"_eicctl_regions={quoted(' '.join(tree.regions))}\n",
        function("_eicctl_below", below, subject="$1", first="below="),
        function("_eicctl_options", options, subject="$1", first="list="),
        *lookups(tree),
        _TAIL,
    ]
    return "\n".join(parts)
