# Shared by the scripts in this folder, after scripts/lib.sh.
# shellcheck shell=bash disable=SC2154

# apt_of SUITE: package lists of that suite of Debian alone, for all calls of apt, in build/guests/apt. Nothing is
# installed. Ends with 77 if the archive cannot be reached.
apt_of() {
    local dir=$root/build/guests/apt/$1
    mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian $1 main" >"$dir/sources"
    cat >"$dir/conf" <<CONF
Dir::Etc::sourcelist "$dir/sources";
Dir::Etc::sourceparts "/dev/null";
Dir::State::lists "$dir/lists";
Dir::Cache "$dir/cache";
APT::Sandbox::User "root";
CONF
    export APT_CONFIG=$dir/conf
    apt-get -q update >"$dir/log" 2>&1 || {
        tail -n 3 "$dir/log" >&2
        say "cannot reach the package archive, or it has no $1" >&2
        exit 77
    }
}
