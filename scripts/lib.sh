# Shared by the scripts in this folder; each of them sources it. Sets `root` and goes there.
# shellcheck shell=bash
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

# Trees of the project in different places share the contents of ccache. It uses precompiled headers if it may ignore two
# things that our sources do not use: __TIME__ and macros that only headers see.
export CCACHE_BASEDIR=$root CCACHE_NOHASHDIR=1 CCACHE_SLOPPINESS=pch_defines,time_macros

presets="release dev asan tsan clang"

say() {
    echo "$(basename "$0"): $*"
}

die() {
    echo "$(basename "$0"): $*" >&2
    exit 1
}

# A wrong command line ends with 2.
usage_error() {
    echo "$(basename "$0"): $*; --help says more" >&2
    exit 2
}

# The comment at the top of a script is its help.
print_help() {
    awk 'NR > 1 && !/^#/ { exit } NR > 1 && !/SPDX|shellcheck/ { sub(/^# ?/, ""); print }' "$0"
}

# Headings with the time since the script began.
heading() {
    printf '\n== %s  [%d:%02d]\n' "$*" $((SECONDS / 60)) $((SECONDS % 60))
}

is_preset() {
    [[ " $presets " == *" $1 "* ]]
}
