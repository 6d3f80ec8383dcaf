// SPDX-License-Identifier: MIT
// SHA-256 of a sequence of bytes.
#pragma once

#include "core/error.h"

#include <cstddef>
#include <memory>
#include <span>
#include <string>

namespace vmemfs {

/// Not thread-safe. Its header names no type of OpenSSL, which has one door: sha256.cpp.
class Sha256 {
public:
  /// unsupported: OpenSSL of this host does not have it.
  [[nodiscard]] static Result<Sha256> create();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  [[nodiscard]] Result<void> add(std::span<const std::byte> bytes);
  /// Hex digits; nothing can be added afterwards.
  [[nodiscard]] Result<std::string> finish();

private:
  struct Context;
  explicit Sha256(std::unique_ptr<Context> context);

  std::unique_ptr<Context> context_;
};

} // namespace vmemfs
