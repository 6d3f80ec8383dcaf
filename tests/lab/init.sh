# SPDX-License-Identifier: MIT
# Parts of the first programs of the labs (tests/xen/init, tests/kvm_lab/init), which source it.
# shellcheck shell=sh

mount_system() {
    mount -t proc proc /proc
    mount -t sysfs sys /sys
    mount -t devtmpfs dev /dev
    mkdir -p /dev/pts /dev/shm
    mount -t devpts pts /dev/pts
    mount -t tmpfs tmp /run
    # The links by which programs find each other lie there, too, where they were built below /tmp.
    mkdir -p /tmp
    mv /tmp /tmp.links
    mkdir /tmp
    mount -t tmpfs -o size=90% tmp /tmp
    cp -a /tmp.links/. /tmp/
}

load_modules() {
    while read -r module; do
        insmod "/lib/modules/$module.ko" || echo "LAB: no module $module"
    done </lib/modules/order
}

# run_command CONSOLE: runs /lab/command, reports its exit code on the second serial port, and ends QEMU; without a command it
# gives a shell on CONSOLE.
run_command() {
    echo "LAB: up after $(cut -d' ' -f1 /proc/uptime) s" >/dev/console
    if [ -f /lab/command ]; then
        stty -F /dev/ttyS1 raw 115200 2>/dev/null
        (cd /lab && sh /lab/command) >/dev/ttyS1 2>&1 </dev/null
        code=$?
        printf '\nLAB-EXIT:%d\n' $code >/dev/ttyS1
        stty -F /dev/ttyS1 -a >/dev/null 2>&1 # waits until all is sent
        sync
        sleep 0.3
        printf '\001' | dd of=/dev/port bs=1 seek=244 conv=notrunc 2>/dev/null # QEMU's isa-debug-exit
        sleep 1
    else
        cd /lab && setsid sh -c "exec sh -i <$1 >$1 2>&1"
    fi
    reboot -f
}
