// SPDX-License-Identifier: MIT
// The daemon's side of a worker process: requests with a deadline, one at a time.
#pragma once

#include "core/error.h"
#include "drivers/leechcore/client/worker_output.h"
#include "drivers/leechcore/client/worker_process.h"
#include "drivers/leechcore/wire/shared_area.h"
#include "drivers/leechcore/wire/worker_message.h"
#include "util/fd_watcher.h"
#include "util/unique_fd.h"

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

namespace vmemfs::leechcore {

struct WorkerSettings {
  std::string program;               ///< vmemfs-leechcore
  std::string name;                  ///< for the log
  std::chrono::milliseconds timeout; ///< of one request, opening included
};

/// One request at a time: its caller holds a lock of its own for it, and while it uses the area. A worker
/// that ends, does not answer in time, or answers what makes no sense, is killed and lost: a request fails
/// with vm_gone from then on.
class WorkerClient {
public:
  /// `on_lost` is called once, by any thread, when the worker is lost; never after the destructor. The lock
  /// of requests may be held then.
  static Result<std::unique_ptr<WorkerClient>> start(const WorkerSettings& settings, FdWatcher& watcher,
                                                     std::function<void()> on_lost);
  ~WorkerClient();
  WorkerClient(const WorkerClient&) = delete;
  WorkerClient& operator=(const WorkerClient&) = delete;

  struct Opened {
    Reply device;
    std::string map; ///< LeechCore's text, not trusted
  };
  /// Once. The error is what the worker reports, and what the library has printed.
  Result<Opened> open(const OpenRequest& request);

  /// Any thread may ask.
  [[nodiscard]] bool lost() const { return lost_.load(std::memory_order_acquire); }
  [[nodiscard]] pid_t pid() const { return process_->pid(); }

  /// A time by which a request that begins now has to be answered.
  [[nodiscard]] std::chrono::steady_clock::time_point deadline() const {
    return std::chrono::steady_clock::now() + settings_.timeout;
  }
  SharedArea& area() { return shared_.area(); }

  /// Of each element: 1 if it was read or written. Copied from the area.
  using Results = std::array<std::uint8_t, kMaxPages>;
  /// A scatter call for the first `count` elements of the area. vm_gone: the worker is lost. source_failed:
  /// the worker refuses it.
  tl::expected<void, ErrorKind> scatter(Operation operation, std::size_t count, Results& results);

private:
  WorkerClient(WorkerSettings settings, SharedMapping shared, UniqueFd socket,
               std::unique_ptr<WorkerProcess> process, std::function<void()> on_lost);

  Result<void> watch(UniqueFd output, FdWatcher& watcher);
  Result<Reply> ask(Request request);
  Result<Reply> exchange(const Request& request);
  std::string text_of(const Reply& reply);
  void lose(const std::string& reason);

  const WorkerSettings settings_;
  const SharedMapping shared_;
  UniqueFd socket_;
  const std::unique_ptr<WorkerProcess> process_;
  const std::function<void()> on_lost_;
  std::atomic<bool> lost_{false};
  std::shared_ptr<WorkerOutput> output_;
  std::uint64_t sequence_ = 0;
  FdWatcher::Watch end_watch_;
};

} // namespace vmemfs::leechcore
