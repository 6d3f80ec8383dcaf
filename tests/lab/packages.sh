# Debian's packages for the labs (tests/xen, tests/kvm_lab), unpacked below build/lab-packages and not installed. Sourced after
# scripts/lib.sh. Sets `packages`.
# shellcheck shell=bash
# shellcheck disable=SC2154 # `root`
packages=$root/build/lab-packages

no_packages() {
    say "cannot have the lab's packages: $1" >&2
    exit 77
}

# Lists that are missing, or older than what the archive has now.
refresh_lists() {
    local as_root=()
    [[ $EUID -eq 0 ]] || as_root=(sudo -n)
    say "reading the package lists"
    "${as_root[@]}" apt-get -q -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 update >/dev/null 2>&1 || true
}

# As root, apt would hand the download to the user _apt, who cannot write here.
download() {
    (cd "$packages/debs" && apt-get -q -o APT::Sandbox::User=root -o Acquire::Retries=3 download "$@" >apt.log 2>&1)
}

# fetch PACKAGE...: each is unpacked to $packages/PACKAGE, once.
fetch() {
    local package missing=()
    for package in "$@"; do
        [[ -d $packages/$package ]] || missing+=("$package")
    done
    if [[ ${#missing[@]} -eq 0 ]]; then
        return
    fi
    say "downloading ${#missing[@]} packages"
    rm -rf "$packages/debs"
    mkdir -p "$packages/debs"
    if ! download "${missing[@]}" && refresh_lists && ! download "${missing[@]}"; then
        cat "$packages/debs/apt.log" >&2
        no_packages "the download failed"
    fi
    for package in "${missing[@]}"; do
        rm -rf "$packages/unpacking"
        dpkg-deb -x "$packages/debs/$package"_*.deb "$packages/unpacking"
        mv "$packages/unpacking" "$packages/$package"
    done
    rm -rf "$packages/debs"
}

# The name of the package that linux-image-amd64 depends on at the moment; empty if apt does not know it.
kernel_package() {
    { apt-cache depends linux-image-amd64 2>/dev/null || true; } |
        awk '$1 == "Depends:" && $2 ~ /^linux-image-/ && !found { print $2; found = 1 }'
}

# Sets `kernel` to that name.
find_kernel() {
    kernel=$(kernel_package)
    if [[ -z $kernel ]]; then
        refresh_lists
        kernel=$(kernel_package)
    fi
    [[ -n $kernel ]] || no_packages "apt knows no linux-image-amd64"
}

# unpack_kernel FILE: the kernel as ELF, as emulated code would take long to unpack it.
unpack_kernel() {
    python3 - "$packages/$kernel"/boot/vmlinuz-* "$1.new" <<'EOF'
import lzma, struct, sys
image = open(sys.argv[1], 'rb').read()
begin = ((image[0x1f1] or 4) + 1) * 512 + struct.unpack_from('<I', image, 0x248)[0]
size = struct.unpack_from('<I', image, 0x24c)[0]
open(sys.argv[2], 'wb').write(lzma.LZMADecompressor().decompress(image[begin:begin + size]))
EOF
    mv "$1.new" "$1"
}

# copy_modules TREE MODULE...: to lib/modules of the tree, in the order in which they are loaded; a module is named by its path
# below kernel/, without .ko.
copy_modules() {
    local tree=$1 modules=("$packages/$kernel"/lib/modules/*/kernel) module
    mkdir -p "$tree/lib/modules"
    for module in "${@:2}"; do
        cp "${modules[0]}/$module.ko" "$tree/lib/modules/"
        basename "$module" >>"$tree/lib/modules/order"
    done
}

# copy_busybox TREE BUSYBOX: with a link for each of its programs that the tree does not have already.
copy_busybox() {
    local applet
    cp "$2" "$1/bin/busybox"
    for applet in $("$2" --list); do
        [[ -e $1/bin/$applet ]] || ln -s busybox "$1/bin/$applet"
    done
}

# pack TREE FILE: an initramfs, owned by root.
pack() {
    (cd "$1" && find . | LC_ALL=C sort | cpio -o -H newc -R 0:0 --quiet) >"$2.new"
    mv "$2.new" "$2"
}
