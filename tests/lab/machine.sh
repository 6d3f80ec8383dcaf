# A run of a lab (tests/xen, tests/kvm_lab): what a machine of QEMU boots beside the lab's root, and its result. Sourced after
# scripts/lib.sh; the caller has the function `boot`, which starts QEMU with the options that it is given, and with its monitor at
# the socket `monitor`, for `limit` seconds.
# shellcheck shell=bash
libraries=usr/lib/x86_64-linux-gnu

lab=""    # the folder
limit=180 # seconds
interactive=false
programs=()
files=()
overlays=()

# copy_libraries_of PROGRAM TREE: those that it is linked with, but for those that the tree or the lab's root has.
copy_libraries_of() {
    local library
    ldd "$1" | awk '$3 ~ /^\// { print $3 }' | while read -r library; do
        [[ -e $2/$libraries/${library##*/} || -e $lab/root/$libraries/${library##*/} ]] ||
            cp -L "$library" "$2/$libraries/"
    done
}

# lay_over COMMAND: makes $work/initrd.
lay_over() {
    local top=$work/top program file overlay
    mkdir -p "$top/lab" "$top/bin" "$top/$libraries"
    $interactive || printf '%s\n' "$1" >"$top/lab/command"
    for overlay in "${overlays[@]}"; do
        cp -a "$overlay/." "$top/"
    done
    for program in "${programs[@]}"; do
        strip --strip-debug -o "$top/bin/${program##*/}" "$program" # all of it is in memory there
        mkdir -p "$top$(dirname "$program")"
        ln -sf "/bin/${program##*/}" "$top$program"
        copy_libraries_of "$program" "$top"
    done
    for file in "${files[@]}"; do
        mkdir -p "$top$(dirname "$file")"
        cp "$file" "$top$file"
    done
    # The kernel unpacks archives that follow each other one over the other.
    {
        cat "$lab/root.cpio"
        (cd "$top" && find . -mindepth 1 | cpio -o -H newc -R 0:0 --quiet)
    } >"$work/initrd"
    rm -rf "$top"
}

# Without the lines of tests that passed, among hundreds of which one that failed, or hung at the end, is not seen.
without_passed() {
    awk '
        /^\[ RUN      \]/ { printf "%s", test; test = $0 "\n"; next }
        /^\[       OK \]/ && test != "" { test = ""; next }
        /^\[----------\]/ && test == "" { next }
        test == "" { print; next }
        { test = test $0 "\n" }
        /^\[  (FAILED|SKIPPED)/ { printf "%s", test; test = "" }
        END { printf "%s", test }'
}

# In the background, prints where the CPU is a moment before the time is up: the machine may hang as a whole.
watch_machine() {
    python3 - "$limit" >hung 2>&1 <<'EOF' &
import socket, sys, time
time.sleep(int(sys.argv[1]) - 5)
monitor = socket.socket(socket.AF_UNIX)
monitor.settimeout(1)
monitor.connect('monitor')
for command in 2 * ('info registers', 'x/12i $pc'):
    monitor.sendall(command.encode() + b'\n')
    time.sleep(0.3)
    print(monitor.recv(65536).decode(errors='replace'))
EOF
}

# run_machine COMMAND: boots, prints what the command says, and ends with its exit code.
run_machine() {
    local code=0 result
    work=$(mktemp -d "$lab/run.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    lay_over "$1"
    cd "$work" || exit
    if $interactive; then
        boot -serial mon:stdio -serial null
        exit
    fi
    : >console
    : >output
    watch_machine
    boot -serial file:console -serial file:output </dev/null >qemu.log 2>&1 || code=$?
    kill $! 2>/dev/null || true
    tr -d '\r' <output | sed '/^LAB-EXIT:[0-9]*$/d' | sed '$ { /^$/d }' | without_passed
    result=$(tr -d '\r' <output | sed -n 's/^LAB-EXIT:\([0-9]*\)$/\1/p' | tail -n 1)
    if [[ -n $result ]]; then
        exit "$result"
    fi
    {
        say "no result (QEMU ended with $code); the end of the console:"
        tail -n 25 console
        cat qemu.log
        tr -d '\r' <hung | grep -E '^(R|CR0|EFER|0x)' || true
    } >&2
    [[ $code -eq 124 ]] && exit 124
    exit 125
}
