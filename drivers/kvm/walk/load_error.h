// SPDX-License-Identifier: MIT
// Why the BPF program cannot be loaded on this host, and what helps.
#pragma once

#include "core/error.h"

#include <string>
#include <string_view>

namespace vmemfs::kvm {

/// What is known without a try. permission, unsupported: the text names the remedy.
[[nodiscard]] Result<void> check_before_load();

/// Whether the calling thread has the capabilities that loading takes: CAP_SYS_ADMIN, or CAP_BPF and
/// CAP_PERFMON.
[[nodiscard]] bool may_load();

/// Keeps what libbpf says of failures while it exists, instead of printing it. One at a time.
class LoaderMessages {
public:
  LoaderMessages();
  LoaderMessages(const LoaderMessages&) = delete;
  LoaderMessages& operator=(const LoaderMessages&) = delete;
  ~LoaderMessages();

  /// The last message, one line; may be empty.
  [[nodiscard]] std::string last() const;
};

/// The error of a failed load: `os_errno`, and what libbpf said.
[[nodiscard]] tl::unexpected<Error> load_error(int os_errno, std::string_view message);

} // namespace vmemfs::kvm
