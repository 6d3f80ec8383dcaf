// SPDX-License-Identifier: MIT
// `linux/` of a Linux guest that replaces its kernel by kexec: memory keeps what the former kernel had, and
// QEMU reports nothing. The truth is what the guest prints of itself.
#include "kernel_files.h"

#include <cstddef>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <sys/stat.h>
#include <vector>

namespace vmemfs::test {
namespace {

class Kexec : public KernelFiles {
protected:
  /// With all that it needs to start the same kernel again.
  void boot_with_kexec() {
    const auto built = build_linux_guest();
    if (built.code != 0) {
      GTEST_SKIP() << "no Linux guest: " << built.text;
    }
    make_initrd();
    ASSERT_EQ(::mkfifo((dir_ / "port.in").c_str(), 0600), 0);
    ASSERT_EQ(::mkfifo((dir_ / "port.out").c_str(), 0600), 0);
    GuestOptions options = linux_guest({"-smp", "2"}, "vmemfs.truth vmemfs.modules vmemfs.kexec");
    options.extra.insert(options.extra.end(),
                         {"-initrd", dir_ / "initrd", "-serial", "pipe:" + (dir_ / "port")});
    guest_ = std::make_unique<QemuGuest>(options);
    mount_ = std::make_unique<Mount>(
        std::vector<std::string>{"--vm", fmt::format("vm=qemu:qmp={}", guest_->driver_socket())});
    ASSERT_TRUE(guest_->wait_for_serial(kLinuxIsUp, kLinuxBoot)) << guest_->serial();
  }
  /// Without the second vCPU, which stays stopped in the former kernel, with its page tables. From its first
  /// moment on the kernel prints on the serial port. Returns when it does.
  void start_next_kernel() {
    boot_begin_ = guest_->serial().size();
    ASSERT_EQ(try_write(dir_ / "port.in", "earlyprintk=ttyS0,115200 console=ttyS0 quiet maxcpus=1 "
                                          "vmemfs.truth vmemfs.modules\n"),
              0);
    ASSERT_TRUE(eventually([&] { return said().find("] Linux version ") != std::string::npos; }, kLinuxBoot))
        << said();
  }
  [[nodiscard]] bool is_up() const { return said().find(kLinuxIsUp) != std::string::npos; }

  /// Where a kernel lies: elsewhere at each boot.
  [[nodiscard]] static std::string place(const nlohmann::json& kernel) {
    return fmt::format("{} at {}", kernel["text"].get<std::string>(),
                       kernel["image"]["physical"].get<std::string>());
  }

private:
  /// What the kernel unpacks: the directory /kexec, and then the usual initrd.
  void make_initrd() const {
    const auto made =
        run({"/bin/sh", "-c",
             fmt::format("set -e; cd '{0}'; mkdir kexec; cp '{1}/vmlinuz' '{1}/initrd.gz' '{2}' kexec; "
                         "find kexec | cpio --quiet -o -H newc -R 0:0 >initrd; cat '{1}/initrd.gz' >>initrd",
                         dir_.path(), linux_guest_files(), VMEMFS_GUEST_KEXEC)});
    ASSERT_EQ(made.code, 0) << made.text;
  }

  const TempDir dir_;
};

TEST_F(Kexec, SameKernelAgain_TheFormerOneIsNotShown) {
  boot_with_kexec();
  if (IsSkipped() || HasFatalFailure()) {
    return;
  }
  expect_files_of_the_kernel();
  const std::string former = place(info());

  ASSERT_NO_FATAL_FAILURE(start_next_kernel());
  std::set<std::string> shown;
  bool up = false;
  ASSERT_TRUE(eventually(
      [&] {
        up = up || is_up();
        const nlohmann::json kernel = info();
        const bool found = kernel["found"] == true;
        if (found) {
          shown.insert(place(kernel));
        }
        return up && found;
      },
      kLinuxBoot))
      << said();
  EXPECT_NE(place(info()), former);
  EXPECT_EQ(shown, std::set<std::string>{place(info())}) << former << " was the former one";
  expect_files_of_the_kernel();
}

} // namespace
} // namespace vmemfs::test
