// SPDX-License-Identifier: MIT
#include "drivers/libvirt/connection/connections.h"

#include "drivers/libvirt/connection/connection_keeper.h"

#include <cstdlib>
#include <string_view>
#include <utility>

namespace vmemfs::libvirt {
namespace {

/// A process of ours has few rights, and so would a libvirtd that it starts. Besides, discovery must not
/// start anything.
void forbid_autostart() {
  constexpr const char* kName = "LIBVIRT_AUTOSTART";
  const char* const value = std::getenv(kName); // NOLINT(concurrency-mt-unsafe): see Connections()
  if (value == nullptr || value != std::string_view{"0"}) {
    ::setenv(kName, "0", 1); // NOLINT(concurrency-mt-unsafe)
  }
}

} // namespace

Connections::Connections() { forbid_autostart(); }

Result<std::shared_ptr<Connection>> Connections::to(const std::string& uri) {
  const MutexLock lock{mutex_};
  if (loop_ == nullptr) {
    auto started = EventLoop::shared();
    if (!started) {
      return tl::unexpected{std::move(started.error())};
    }
    loop_ = std::move(*started);
  }
  auto& [known, known_keeper] = by_uri_[uri];
  if (auto connection = known.lock()) {
    return connection;
  }
  auto keeper = known_keeper.lock();
  if (keeper == nullptr || !keeper->begin_use()) {
    auto started = ConnectionKeeper::start(uri);
    if (!started) {
      return tl::unexpected{std::move(started.error())};
    }
    keeper = std::move(*started);
    known_keeper = keeper;
  }
  auto connection = std::make_shared<Connection>(uri, std::move(keeper), shared_from_this());
  known = connection;
  return connection;
}

} // namespace vmemfs::libvirt
