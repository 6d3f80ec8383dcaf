// SPDX-License-Identifier: MIT
#include "support/libvirt_session.h"

#include "support/qemu_guest.h"
#include "support/users.h"

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fmt/format.h>
#include <stdexcept>

namespace vmemfs::test {

LibvirtSession::LibvirtSession(uid_t user) : user_{user} {
  give(dir_.path(), user);
  for (const char* const name : {"run", "config", "cache", "data"}) {
    std::filesystem::create_directory(dir_ / name);
    give(dir_ / name, user);
    std::filesystem::permissions(dir_ / name, std::filesystem::perms::owner_all);
  }
  daemon_ = std::make_unique<ChildProcess>(joined(this->user(), {"libvirtd"}), dir_ / "output");
  const auto answers = [this] { return try_virsh({"version"}).code == 0; };
  const auto ended = [this] { return daemon_->wait({}).has_value(); };
  if (!eventually([&] { return answers() || ended(); }, std::chrono::seconds{60}) || ended()) {
    const std::string log = dir_ / "cache/libvirt/libvirtd.log";
    throw std::runtime_error{
        fmt::format("a user's libvirtd does not start; virsh says: {}its output: {}\nits log: {}",
                    try_virsh({"version"}).text, read_file(dir_ / "output"),
                    exists(log) ? read_file(log) : "there is none")};
  }
}

LibvirtSession::~LibvirtSession() {
  const RunResult names = try_virsh({"list", "--name"});
  std::string name;
  for (const char c : names.text) {
    if (c != '\n') {
      name += c;
    } else if (!name.empty()) {
      static_cast<void>(try_virsh({"destroy", name}));
      name.clear();
    }
  }
  daemon_->signal(SIGTERM);
  daemon_->wait(std::chrono::seconds{10});
}

std::vector<std::string> LibvirtSession::user() const {
  return joined(as_user(user_),
                {"env", "HOME=" + dir_.path(), "XDG_RUNTIME_DIR=" + (dir_ / "run"),
                 "XDG_CONFIG_HOME=" + (dir_ / "config"), "XDG_CACHE_HOME=" + (dir_ / "cache"),
                 "XDG_DATA_HOME=" + (dir_ / "data"), "LIBVIRT_AUTOSTART=0"}); // the daemon is ours to start
}

RunResult LibvirtSession::try_virsh(const std::vector<std::string>& args) const {
  return run(joined(joined(user(), {"virsh", "-q", "-c", "qemu:///session"}), args));
}

std::string LibvirtSession::virsh(const std::vector<std::string>& args) const {
  const RunResult result = try_virsh(args);
  if (result.code != 0) {
    throw std::runtime_error{fmt::format("virsh {}: {}", args.front(), result.text)};
  }
  return result.text;
}

void LibvirtSession::create(const std::string& name) {
  const std::string file = dir_ / (name + ".xml");
  const std::string serial = dir_ / (name + ".serial");
  write_file(file,
             fmt::format(R"(<domain type='qemu'><name>{}</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type><kernel>{}</kernel><cmdline>fill=page idle</cmdline></os>
<features><acpi/></features><cpu mode='maximum'/>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator><controller type='usb' model='none'/>
<memballoon model='none'/><serial type='file'><source path='{}'/></serial></devices></domain>)",
                         name, VMEMFS_TINY_GUEST, serial));
  give(file, user_);
  virsh({"create", file});
  if (!eventually(
          [&] { return exists(serial) && read_file(serial).find("vmemfs-guest ready") != std::string::npos; },
          kGuestBoot)) {
    throw std::runtime_error{"the guest of the session does not come up"};
  }
}

} // namespace vmemfs::test
