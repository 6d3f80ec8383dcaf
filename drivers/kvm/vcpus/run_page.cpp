// SPDX-License-Identifier: MIT
#include "drivers/kvm/vcpus/run_page.h"

#include <cerrno>
#include <cstddef>
#include <fmt/format.h>
#include <string>
#include <type_traits>
#include <unistd.h>

namespace vmemfs::kvm {
namespace {

constexpr std::uint64_t kWanted = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
constexpr std::size_t kRequested = offsetof(kvm_run, kvm_valid_regs);
constexpr std::size_t kChanged = offsetof(kvm_run, kvm_dirty_regs);
constexpr std::size_t kGeneral = offsetof(kvm_run, s) + offsetof(kvm_sync_regs, regs);
constexpr std::size_t kSystem = offsetof(kvm_run, s) + offsetof(kvm_sync_regs, sregs);

/// The mark takes the place of the local APIC's address, which is never that: its lowest bits are reserved.
constexpr std::size_t kMarked = kSystem + offsetof(kvm_sregs, apic_base);
constexpr std::uint64_t kMark = 0x76'6d'65'6d'66'73'00'ff;

/// KVM_RUN fails if more than KVM knows is requested, which ends most VMMs.
static_assert(kWanted == 3);

} // namespace

// The kernel alone gives files names without a directory.
std::optional<Hva> run_page_of(std::uint32_t vcpu, const std::vector<Vma>& maps) {
  const std::string name = fmt::format("anon_inode:kvm-vcpu:{}", vcpu);
  std::optional<Hva> found;
  for (const Vma& vma : maps) {
    if (vma.path == name && vma.file_offset == 0) {
      if (found) {
        return std::nullopt;
      }
      found = vma.range.begin;
    }
  }
  return found;
}

template <typename T> Result<T> RunPage::read(std::size_t offset) const {
  static_assert(std::is_trivially_copyable_v<T>);
  T value;
  const auto memory = space_->memory();
  if (!memory) {
    return tl::unexpected{memory.error()};
  }
  const ssize_t got = ::pread(*memory, &value, sizeof(value), static_cast<off_t>(at_ + offset));
  if (got == ssize_t{sizeof(value)}) {
    return value;
  }
  return got == 0 ? space_->gone() : fail_errno(got < 0 ? errno : EFAULT, "kvm", "cannot read a vCPU's page");
}

template <typename T> Result<void> RunPage::write(std::size_t offset, const T& value) const {
  static_assert(std::is_trivially_copyable_v<T>);
  const auto memory = space_->memory();
  if (!memory) {
    return tl::unexpected{memory.error()};
  }
  const ssize_t done = ::pwrite(*memory, &value, sizeof(value), static_cast<off_t>(at_ + offset));
  if (done == ssize_t{sizeof(value)}) {
    return {};
  }
  return done == 0 ? space_->gone()
                   : fail_errno(done < 0 ? errno : EFAULT, "kvm", "cannot write a vCPU's page");
}

Result<void> RunPage::request() {
  const auto before = read<std::uint64_t>(kRequested);
  const auto marked = read<std::uint64_t>(kMarked);
  if (!before || !marked) {
    return tl::unexpected{before ? marked.error() : before.error()};
  }
  marked_before_ = *marked;
  requested_before_ = *before;
  return write(kMarked, kMark).and_then([&] { return write(kRequested, *before | kWanted); });
}

Result<std::optional<StoredRegisters>> RunPage::stored() const {
  const auto general = read<kvm_regs>(kGeneral);
  const auto system = read<kvm_sregs>(kSystem);
  const auto reason = read<std::uint32_t>(offsetof(kvm_run, exit_reason));
  if (!general || !system || !reason) {
    return tl::unexpected{!general ? general.error() : !system ? system.error() : reason.error()};
  }
  if (system->apic_base == kMark) {
    return std::nullopt;
  }
  return StoredRegisters{*general, *system, *reason};
}

Result<void> RunPage::restore() {
  if (!requested_before_) {
    return {};
  }
  auto restored = write(kRequested, *requested_before_);
  requested_before_.reset();
  const auto marked = read<std::uint64_t>(kMarked);
  if (restored && marked && *marked == kMark) {
    restored = write(kMarked, marked_before_);
  }
  return restored;
}

Result<void> RunPage::set_general(const kvm_regs& general) {
  const auto changed = read<std::uint64_t>(kChanged);
  if (!changed) {
    return tl::unexpected{changed.error()};
  }
  return write(kGeneral, general).and_then([&] {
    return write(kChanged, *changed | std::uint64_t{KVM_SYNC_X86_REGS});
  });
}

Result<bool> RunPage::taken_in() const {
  return read<std::uint64_t>(kChanged).map(
      [](std::uint64_t changed) { return (changed & KVM_SYNC_X86_REGS) == 0; });
}

} // namespace vmemfs::kvm
