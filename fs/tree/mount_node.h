// SPDX-License-Identifier: MIT
// Nodes of the mount itself: they belong to the user who mounted, and exist as long as the mount.
#pragma once

#include "fs/files/text_size.h"
#include "fs/tree/node.h"

#include <cstddef>
#include <ctime>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <utility>
#include <vector>

namespace vmemfs {

/// The user who mounted, and when.
struct MountOwner {
  uid_t uid;
  gid_t gid;
  timespec mounted_at;
};

/// Attributes that all nodes share. `type`: S_IFDIR or S_IFREG.
[[nodiscard]] struct stat node_attributes(const MountOwner& mount, mode_t type, mode_t permissions);

/// Sets the size of a file that is no guest memory.
void set_size(struct stat& attributes, std::size_t bytes);

/// A directory whose names never change.
class TableDirectory final : public Directory {
public:
  TableDirectory(const MountOwner& mount, std::vector<DirectoryEntry> table)
      : mount_{mount}, table_{std::move(table)} {}

  [[nodiscard]] Result<struct stat> attributes() const override;
  [[nodiscard]] Result<NodePtr> look_up(std::string_view name) const override;
  [[nodiscard]] Result<std::vector<DirectoryEntry>> list() const override { return table_; }

private:
  const MountOwner mount_;
  const std::vector<DirectoryEntry> table_;
};

class MountFile final : public File {
public:
  using Open = std::function<std::unique_ptr<OpenFile>()>;
  using Size = std::function<std::size_t()>;

  /// A file that takes commands is writable, all others are read-only. `size`: waits for nobody.
  MountFile(const MountOwner& mount, FileTraits traits, Open open, Size size)
      : mount_{mount}, traits_{traits}, open_{std::move(open)}, size_{std::move(size)} {}

  [[nodiscard]] Result<struct stat> attributes() const override;
  [[nodiscard]] const FileTraits& traits() const override { return traits_; }
  [[nodiscard]] Result<std::unique_ptr<OpenFile>> open(int flags) const override;

private:
  const MountOwner mount_;
  const FileTraits traits_;
  const Open open_;
  const Size size_;
};

} // namespace vmemfs
