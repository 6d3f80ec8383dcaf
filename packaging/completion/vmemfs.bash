# SPDX-License-Identifier: MIT
# Completion of vmemfs for bash. What there is to be offered vmemfs itself knows.
# shellcheck shell=bash

_vmemfs() {
    local line=${COMP_LINE:0:COMP_POINT} words=() word candidate cut=""
    read -r -a words <<<"$line"
    if [[ $line == *[[:blank:]] ]]; then
        words+=("")
    fi
    word=${words[-1]}
    # What readline replaces begins behind the last of these.
    if [[ $COMP_WORDBREAKS == *=* && $word == *=* ]]; then
        cut=${word%"${word##*=}"}
    fi
    if [[ $COMP_WORDBREAKS == *:* && ${word#"$cut"} == *:* ]]; then
        cut=${word%"${word##*:}"}
    fi
    COMPREPLY=()
    while IFS= read -r candidate; do
        COMPREPLY+=("${candidate#"$cut"}")
        if [[ $candidate == *[=:,] ]]; then
            compopt -o nospace 2>/dev/null
        fi
    done < <("${words[0]}" __complete "${words[@]:1}" 2>/dev/null)
}

complete -o default -o bashdefault -F _vmemfs vmemfs
