// SPDX-License-Identifier: MIT
#include "fs/tree/mount_directory.h"

#include "fs/files/events_file.h"
#include "fs/files/mount_control_file.h"
#include "fs/files/text/driver_text.h"
#include "fs/files/text_file.h"

#include <memory>
#include <utility>

namespace vmemfs {
namespace {

/// Makes the nodes of the table, all of one mount.
class Nodes {
public:
  explicit Nodes(const MountOwner& mount) : mount_{mount} {}

  [[nodiscard]] NodePtr directory(std::vector<DirectoryEntry> table) const {
    return std::make_shared<TableDirectory>(mount_, std::move(table));
  }
  [[nodiscard]] NodePtr text(TextFile::Source source) const {
    return file({}, [source = std::move(source)] { return std::make_unique<TextFile>(source); });
  }
  [[nodiscard]] NodePtr file(FileTraits traits, MountFile::Open open) const {
    return std::make_shared<MountFile>(mount_, traits, std::move(open));
  }

private:
  const MountOwner& mount_;
};

NodePtr drivers_directory(std::span<const DriverType* const> drivers, const Nodes& nodes) {
  std::vector<DirectoryEntry> table;
  for (const DriverType* const type : drivers) {
    table.push_back({std::string{type->name()},
                     nodes.text([type]() -> Result<std::string> { return driver_text(*type); })});
  }
  return nodes.directory(std::move(table));
}

} // namespace

NodePtr mount_directory(const MountServices& services, const MountOwner& mount) {
  const Nodes nodes{mount};
  const auto control = [&vms = services.vms, &attacher = services.attacher, &finder = services.finder] {
    return std::make_unique<MountControlFile>(vms, attacher, finder);
  };
  const auto events = [&readers = services.events] { return std::make_unique<EventsFile>(readers); };
  return nodes.directory({
      {"control", nodes.file({.takes_commands = true}, control)},
      {"drivers", drivers_directory(services.drivers, nodes)},
      {"events", nodes.file({.stream = true}, events)},
      {"stats", nodes.text([stats = services.stats]() -> Result<std::string> { return stats(); })},
  });
}

} // namespace vmemfs
