// rights_daemon MOUNTPOINT OWNER GROUP MODE [OPTION...]: the daemon over one VM `vm` of the fake driver whose
// files have these rights (numbers; MODE in octal). OPTION: mount options, as allow_other. Stays in the
// foreground.
#include "fs/app/daemon.h"

#include <cstdio>
#include <cstdlib>

namespace vmemfs {
namespace {

constexpr int kOctal = 8;

int run(int argc, char** argv) {
  MountOptions options;
  options.vms.push_back(parse_vm_spec("vm=fake:size=1M").value());
  options.discover = false;
  options.mountpoint = argv[1];
  options.fuse_options.assign(argv + 5, argv + argc);
  options.foreground = true;
  options.vm_options.general.writable = true;
  options.vm_options.general.rights = {static_cast<uid_t>(std::strtoul(argv[2], nullptr, 10)),
                                       static_cast<gid_t>(std::strtoul(argv[3], nullptr, 10)),
                                       static_cast<mode_t>(std::strtoul(argv[4], nullptr, kOctal))};
  return run_daemon(options);
}

} // namespace
} // namespace vmemfs

int main(int argc, char** argv) { return argc < 5 ? 2 : vmemfs::run(argc, argv); }
