// SPDX-License-Identifier: MIT
// libfuse's argument list, made from mount options.
#pragma once

#include <fuse_lowlevel.h>
#include <string>
#include <vector>

namespace vmemfs {

/// The arguments of every FUSE session of this program: the one that mounts and the one that serves must
/// agree.
class FuseArgs {
public:
  /// `options`: FUSE mount options, one each, such as "allow_other".
  explicit FuseArgs(const std::vector<std::string>& options) {
    add("vmemfs");
    // With default_permissions the kernel enforces owner and mode, also with allow_other.
    add("-ofsname=vmemfs,subtype=vmemfs,default_permissions");
    for (const std::string& option : options) {
      add("-o" + option);
    }
  }
  FuseArgs(const FuseArgs&) = delete;
  FuseArgs& operator=(const FuseArgs&) = delete;
  ~FuseArgs() { fuse_opt_free_args(&args_); }

  void add(const std::string& arg) { fuse_opt_add_arg(&args_, arg.c_str()); }
  [[nodiscard]] fuse_args* get() { return &args_; }

private:
  fuse_args args_{0, nullptr, 0};
};

} // namespace vmemfs
