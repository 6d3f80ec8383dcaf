// SPDX-License-Identifier: MIT
// The contract of every driver: one suite, run against each with its real counterpart.
#pragma once

#include "driver/driver.h"
#include "driver/driver_type.h"
#include "util/fd_watcher.h"
#include "util/worker.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace vmemfs::test {

/// A driver together with what it is attached to. The guest is paused, so that bytes can be compared.
class Subject {
public:
  virtual ~Subject() = default;
  [[nodiscard]] virtual Driver& driver() = 0;

  /// The guest's memory from an independent source; [gpa, gpa + size) lies in one region.
  [[nodiscard]] virtual std::vector<std::byte> truth(Gpa gpa, std::size_t size) = 0;

  /// Plugs in one more vCPU, with a gap before it, and gives its index; nullopt if this VM cannot, or its
  /// driver cannot see it.
  virtual std::optional<VcpuId> plug_vcpu() { return std::nullopt; }

  /// Round trips to the source since it was attached, counted on its side; nullopt: it is near, or nobody
  /// counts.
  [[nodiscard]] virtual std::optional<std::uint64_t> round_trips() { return std::nullopt; }
  /// Limit of them for a read of 1 MiB. One of 4 KiB takes one.
  [[nodiscard]] virtual unsigned max_trips_per_mebibyte() const { return 1; }

  /// Ends the VM; false where it is of a kind that cannot end.
  virtual bool end_vm() = 0;

protected:
  FdWatcher watcher_;
  Worker worker_;
};

struct SubjectKind {
  std::string name;
  std::function<std::unique_ptr<Subject>()> make;
};

/// The kinds that this program tests, each defined beside its driver's tests.
[[nodiscard]] const std::vector<SubjectKind>& subject_kinds();

/// Adds a kind to contract_test: defined at namespace scope in NAME_subject.cpp, so that a driver needs no
/// entry in a list.
class RegisteredSubject {
public:
  explicit RegisteredSubject(SubjectKind kind);
};

[[nodiscard]] SubjectKind fake_subject();
[[nodiscard]] SubjectKind decorated_subject();
[[nodiscard]] SubjectKind dump_subject();
[[nodiscard]] SubjectKind toy_subject();
[[nodiscard]] SubjectKind qemu_private_subject();
[[nodiscard]] SubjectKind qemu_shared_subject();
[[nodiscard]] SubjectKind qemu_without_monitor_subject();
/// Empty where there is no libvirt to test with.
[[nodiscard]] std::vector<SubjectKind> libvirt_subjects();

} // namespace vmemfs::test
