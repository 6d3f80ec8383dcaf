// SPDX-License-Identifier: MIT
// Subjects that are domains of a real libvirtd, paused by virsh. The content of memory comes from a second
// monitor of the QEMU, past libvirt and past the driver.
#include "contract/driver_contract.h"

#ifdef VMEMFS_WITH_LIBVIRT

#include "drivers/all_drivers.h"
#include "support/libvirt_host.h"

#include <cstring>
#include <fmt/format.h>

namespace vmemfs::test {
namespace {

/// One for all tests of this process, and so is its domain as long as it lives: starting them takes long.
LibvirtHost& the_host() {
  static LibvirtHost host;
  return host;
}

class LibvirtSubject : public Subject {
public:
  explicit LibvirtSubject(const std::string& params) {
    if (host_.state_of("web01").empty()) {
      host_.create();
    }
    host_.virsh({"suspend", "web01"});
    monitor_ = std::make_unique<TestMonitor>(host_.monitor("web01"));
    auto driver = open_driver({"", "libvirt", fmt::format("uri={},domain=web01{}", host_.uri(), params)},
                              {watcher_, worker_});
    if (!driver) {
      throw std::runtime_error{driver.error().message()};
    }
    driver_ = std::move(*driver);
  }
  Driver& driver() override { return *driver_; }
  std::vector<std::byte> truth(Gpa gpa, std::size_t size) override {
    const std::string path = host_.dir() / "pmemsave";
    monitor_->execute("pmemsave", {{"val", gpa.value()}, {"size", size}, {"filename", path}});
    const std::string text = read_file(path);
    std::vector<std::byte> bytes(text.size());
    std::memcpy(bytes.data(), text.data(), text.size());
    return bytes;
  }
  bool end_vm() override {
    host_.virsh({"destroy", "web01"});
    return true;
  }

private:
  LibvirtHost& host_ = the_host();
  std::unique_ptr<TestMonitor> monitor_;
  std::unique_ptr<Driver> driver_;
};

} // namespace

std::vector<SubjectKind> libvirt_subjects() {
  if (!why_no_libvirt().empty()) {
    return {};
  }
  const auto subject = [](const std::string& name, const std::string& params) {
    return SubjectKind{name, [params] { return std::make_unique<LibvirtSubject>(params); }};
  };
  return {subject("libvirt_local", ""), subject("libvirt_peek", ",memory=peek,passthrough=on")};
}

} // namespace vmemfs::test

#else

namespace vmemfs::test {
std::vector<SubjectKind> libvirt_subjects() { return {}; }
} // namespace vmemfs::test

#endif
