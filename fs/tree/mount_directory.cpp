// SPDX-License-Identifier: MIT
#include "fs/tree/mount_directory.h"

#include "fs/files/control/mount_control_file.h"
#include "fs/files/events_file.h"
#include "fs/files/text/driver_text.h"
#include "fs/files/text_file.h"
#include "fs/files/text_size.h"

#include <functional>
#include <memory>
#include <string>
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
  /// `make` waits for nobody.
  [[nodiscard]] NodePtr text(const std::function<std::string()>& make,
                             const std::shared_ptr<TextSize>& size = std::make_shared<TextSize>()) const {
    return file(
        {},
        [make, size] {
          return std::make_unique<TextFile>([make]() -> Result<std::string> { return make(); }, size);
        },
        [make, size] { return size->promise(make().size()); });
  }
  [[nodiscard]] NodePtr file(FileTraits traits, MountFile::Open open, MountFile::Size size) const {
    return std::make_shared<MountFile>(mount_, traits, std::move(open), std::move(size));
  }

private:
  const MountOwner& mount_;
};

NodePtr drivers_directory(std::span<const DriverType* const> drivers, const Nodes& nodes) {
  std::vector<DirectoryEntry> table;
  for (const DriverType* const type : drivers) {
    table.push_back({std::string{type->name()}, nodes.text([type] { return driver_text(*type); })});
  }
  return nodes.directory(std::move(table));
}

} // namespace

NodePtr mount_directory(const MountServices& services, const MountOwner& mount) {
  const Nodes nodes{mount};
  const auto control_size = std::make_shared<TextSize>(TextSize::Varies::always);
  const auto failure = std::make_shared<LastFailure>();
  const auto control = [&vms = services.vms, &attacher = services.attacher, &finder = services.finder,
                        failure, control_size] {
    return std::make_unique<MountControlFile>(vms, attacher, finder, failure, control_size);
  };
  const auto control_bytes = [&vms = services.vms, &finder = services.finder, failure, control_size] {
    return control_size->promise(mount_status_text(vms, finder, *failure).size());
  };
  EventFeed& feed = services.events;
  const auto stats_size = std::make_shared<TextSize>(TextSize::Varies::always, TextSize::Padding::comment);
  return nodes.directory({
      {"control", nodes.file({.takes_commands = true}, control, control_bytes)},
      {"drivers", drivers_directory(services.drivers, nodes)},
      {"events",
       nodes.file(
           {}, [&feed] { return std::make_unique<EventsFile>(feed); }, [&feed] { return feed.size(); })},
      {"stats", nodes.text(services.stats, stats_size)},
  });
}

} // namespace vmemfs
