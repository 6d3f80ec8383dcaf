// SPDX-License-Identifier: MIT
#include "drivers/leechcore/client/worker_process.h"

#include "drivers/leechcore/wire/worker_fds.h"
#include "util/unique_fd.h"

#include <cerrno>
#include <chrono>
#include <fcntl.h>
#include <string_view>
#include <utility>

namespace vmemfs::leechcore {
namespace {

constexpr std::string_view kOrigin = "leechcore";
constexpr std::chrono::seconds kClosing{1};

} // namespace

Result<std::unique_ptr<WorkerProcess>> WorkerProcess::start(const std::string& program, const Ends& ends) {
  const UniqueFd null{::open("/dev/null", O_RDONLY | O_CLOEXEC)};
  if (!null) {
    return fail_errno(errno, kOrigin, "cannot open /dev/null");
  }
  static_assert(kWorkerSocket == 3 && kWorkerMemory == 4);
  auto process =
      SpawnedProcess::start({.path = program,
                             .arguments = {"vmemfs-leechcore"},
                             .descriptors = {null.get(), ends.output, ends.output, ends.socket, ends.memory}},
                            kOrigin);
  if (!process) {
    process.error().text += "; the program is installed with vmemfs and loads LeechCore";
    return tl::unexpected{std::move(process.error())};
  }
  return std::make_unique<WorkerProcess>(std::move(*process));
}

WorkerProcess::~WorkerProcess() {
  const bool ended = process_->wait_for_end(kClosing);
  kill();
  if (!ended) {
    process_->wait_for_end(kClosing);
  }
}

std::string WorkerProcess::how_it_ended() const {
  return process_->how_it_ended().value_or("it closed its socket");
}

} // namespace vmemfs::leechcore
