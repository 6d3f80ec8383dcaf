// SPDX-License-Identifier: MIT
// POSIX shared memory object of another process, which is not trusted.
//
// It is neither made nor cut, and never accessed as memory, but for the exchange of single bytes: see
// byte_exchange.h. An object that is cut or removed under us is vm_gone, whatever is done with it.
#pragma once

#include "core/error.h"
#include "util/unique_fd.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <sys/types.h>

namespace vmemfs::vbox {

/// Thread-safe.
class SharedObject {
public:
  /// Which object a name leads to.
  struct Id {
    dev_t device = 0;
    ino_t inode = 0;
    friend bool operator==(const Id&, const Id&) = default;
  };

  /// Opens `name` for reading and writing if it is a regular file with one name and at least `size` bytes, of
  /// which these are used. invalid: no such name can exist. not_found. permission: access denied, or it is
  /// something else.
  [[nodiscard]] static Result<SharedObject> open(std::string_view name, std::size_t size);

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] const Id& id() const { return id_; }
  [[nodiscard]] uid_t owner() const { return owner_; }

  /// vm_gone: it was cut, or removed. One system call.
  [[nodiscard]] Result<void> check() const;
  /// The same, and whether its name still leads to it.
  [[nodiscard]] Result<void> check_name() const;

  // The range lies in the bytes that are used.
  [[nodiscard]] Result<void> read(std::size_t offset, std::span<std::byte> bytes) const;
  [[nodiscard]] Result<void> write(std::size_t offset, std::span<const std::byte> bytes) const;
  [[nodiscard]] Result<std::uint8_t> load(std::size_t offset) const;
  /// Atomic; orders the accesses before and after it.
  [[nodiscard]] Result<std::uint8_t> exchange(std::size_t offset, std::uint8_t value) const;

private:
  struct Unmap {
    std::size_t size;
    void operator()(std::uint8_t* begin) const;
  };
  using Mapping = std::unique_ptr<std::uint8_t, Unmap>;

  SharedObject(std::string name, std::size_t size, UniqueFd file, Mapping mapping, Id id, uid_t owner);
  [[nodiscard]] tl::unexpected<Error> removed() const;

  std::string name_;
  std::size_t size_;
  UniqueFd file_;
  Mapping mapping_;
  Id id_;
  uid_t owner_;
};

} // namespace vmemfs::vbox
