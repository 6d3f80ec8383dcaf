// SPDX-License-Identifier: MIT
// A domain of the lab, made and looked at by Xen's own tools and libraries: nothing here is shared with the
// driver.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace vmemfs::test {

enum class GuestKind : unsigned char { pv, pvh, hvm };

/// "pv", "pvh" or "hvm".
[[nodiscard]] std::string to_string(GuestKind kind);

struct LabOptions {
  std::string name;                       ///< empty: one of its own
  std::vector<std::string> settings = {}; ///< more lines of its configuration, as "memory=64"
  bool run = true;                        ///< else it is left as made: paused, nothing of it has run
};

/// Throws std::runtime_error where something does not come about.
class LabDomain {
public:
  /// Returns when the guest has filled its memory and counts.
  explicit LabDomain(GuestKind kind, LabOptions options = {});
  ~LabDomain(); ///< destroys it
  LabDomain(const LabDomain&) = delete;
  LabDomain& operator=(const LabDomain&) = delete;

  [[nodiscard]] GuestKind kind() const { return kind_; }
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] std::uint32_t id() const { return id_; }
  [[nodiscard]] bool paused() const;
  [[nodiscard]] bool exists() const; ///< and is not on its way out
  [[nodiscard]] bool crashed() const;
  [[nodiscard]] std::uint64_t pages() const;
  /// Pages that wait to be populated on demand.
  [[nodiscard]] std::uint64_t pages_in_stock() const;

  void pause() const;
  void unpause() const;
  void destroy() const; ///< begins, and returns when Xen's tool has done what it can

  /// A word of the guest's status page (guests/layout.h).
  [[nodiscard]] std::uint64_t status(std::size_t offset) const;
  void set_status(std::size_t offset, std::uint64_t value) const;
  /// Which frames the guest filled: addresses, [start, end).
  struct Range {
    std::uint64_t start;
    std::uint64_t end;
  };
  [[nodiscard]] std::vector<Range> filled() const;

  /// One page, mapped by itself; of PV by the table of frames that the guest was given when it was built.
  [[nodiscard]] std::vector<std::byte> page(std::uint64_t gfn) const;

  // The toolstack's side of a balloon: takes this page away from the domain, or gives it one there, with what
  // the guest has in each that it filled. The PV guest's table stays as it was.
  void take_page(std::uint64_t gfn) const;
  void give_page(std::uint64_t gfn) const;

private:
  struct Xen;
  class Mapped;

  [[nodiscard]] std::uint64_t frame_of(std::uint64_t gfn) const;
  [[nodiscard]] std::uint64_t frame_at(std::uint64_t virtual_address) const; ///< of a PV guest

  GuestKind kind_;
  std::string name_;
  std::uint32_t id_ = 0;
  std::unique_ptr<Xen> xen_;
};

/// A domain that another test has kept, or a new one. Making one takes longer than most tests.
[[nodiscard]] std::unique_ptr<LabDomain> take_domain(GuestKind kind);
/// For the next test, if it still exists. It runs, and its guest has what it filled.
void keep_domain(std::unique_ptr<LabDomain> domain);

/// Domains that have ended, but are kept from going by somebody who has their memory mapped.
[[nodiscard]] std::size_t count_zombies();

/// Runs one of Xen's tools; throws with what it said where it fails.
std::string xl(const std::vector<std::string>& args);

} // namespace vmemfs::test
