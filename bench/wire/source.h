// SPDX-License-Identifier: MIT
// Source of guest memory that is a millisecond away, with a count of the round trips to it.
//
// To add one: NAME_source.cpp with a function that is declared here, and its entry in source_kinds().
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace vmemfs::bench {

inline constexpr std::chrono::milliseconds kRoundTrip{1};

/// What a source has.
struct Memory {
  std::uint64_t mebibytes;
  std::string image{}; ///< a file with its bytes, for programs that make sense of them; empty: any bytes
};

/// A VM that one mount at a time shows. Throws std::runtime_error if it cannot be made.
class Source {
public:
  virtual ~Source() = default;
  [[nodiscard]] virtual std::string vm() const = 0; ///< DRIVER:KEY=VALUE,...
  [[nodiscard]] virtual std::uint64_t round_trips() = 0;
};

/// A way to mount it, one row of the table.
struct Way {
  std::string name;
  std::string params{};                ///< of the driver, with a comma before them
  std::vector<std::string> options{};  ///< of vmemfs
  std::vector<std::string> commands{}; ///< written to `control` before
};

struct SourceKind {
  std::string name;
  std::function<std::unique_ptr<Source>(const Memory& memory)> make;
  std::vector<Way> ways;
  /// MB/s of a client that only asks and drops what it gets; null: not measured.
  std::function<double()> limit{};
};

[[nodiscard]] SourceKind gdbstub_source();
[[nodiscard]] SourceKind kvmi_source();
[[nodiscard]] SourceKind pmemaccess_source();
[[nodiscard]] SourceKind leechcore_source();

/// All, in the order of the table.
[[nodiscard]] std::vector<SourceKind> source_kinds();

} // namespace vmemfs::bench
