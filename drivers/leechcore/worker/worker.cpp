// SPDX-License-Identifier: MIT
#include "drivers/leechcore/worker/worker.h"

#include "drivers/leechcore/wire/shared_area.h"
#include "drivers/leechcore/wire/worker_fds.h"
#include "drivers/leechcore/wire/worker_message.h"
#include "drivers/leechcore/worker/device.h"
#include "util/unique_fd.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <linux/capability.h>
#include <memory>
#include <poll.h>
#include <string>
#include <string_view>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>
#include <utility>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define VMEMFS_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define VMEMFS_SANITIZED 1
#endif
#endif

namespace vmemfs::leechcore {
namespace {

constexpr std::chrono::seconds kClosing{2};
constexpr rlim_t kMaxFiles = 1024;
#ifndef VMEMFS_SANITIZED                       // their own memory counts
constexpr rlim_t kMaxMemory = rlim_t{1} << 30; ///< a scatter call's pages, which are shared, do not count
#endif

void set_limit(__rlimit_resource resource, rlim_t max) {
  rlimit limit{};
  if (::getrlimit(resource, &limit) == 0) {
    limit.rlim_max = std::min(limit.rlim_max, max);
    limit.rlim_cur = limit.rlim_max;
    static_cast<void>(::setrlimit(resource, &limit));
  }
}

/// The daemon's rights are those of all drivers; LeechCore needs no capability, and guest memory in its
/// buffers belongs to nobody else.
void limit_this_process() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  const std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> none{};
  static_cast<void>(::syscall(SYS_capset, &header, none.data()));
  static_cast<void>(::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0));
  static_cast<void>(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  set_limit(RLIMIT_CORE, 0);
  set_limit(RLIMIT_NOFILE, kMaxFiles);
#ifndef VMEMFS_SANITIZED
  set_limit(RLIMIT_DATA, kMaxMemory);
#endif
}

/// Ends this process when the daemon has closed the socket or has ended, even if the library hangs.
void end_with_the_daemon() {
  std::thread{[] {
    pollfd entry{kWorkerSocket, 0, 0}; // POLLHUP is always reported
    while (::poll(&entry, 1, -1) < 0 && errno == EINTR) {
    }
    std::this_thread::sleep_for(kClosing);
    ::_exit(EXIT_FAILURE);
  }}.detach();
}

class Server {
public:
  explicit Server(SharedMapping shared) : shared_{std::move(shared)} {}

  Reply serve(const Request& request) {
    Reply reply{};
    if (request.operation == Operation::open) {
      reply = open({shared_.area().text.data(), request.text_size});
    } else if (device_ == nullptr) {
      reply = refuse("no device is open");
    } else if (auto done = device_->scatter(shared_.area(), request.operation, request.count); !done) {
      reply = refuse(done.error().text);
    } else {
      reply.ok = true;
    }
    reply.sequence = request.sequence;
    static_cast<void>(std::fflush(nullptr)); // what was printed belongs to this request
    return reply;
  }

private:
  Reply open(std::string_view text) {
    if (device_ != nullptr) {
      return refuse("a device is open already");
    }
    const auto request = parse_open_request(text);
    if (!request) {
      return refuse(request.error().text);
    }
    auto device = Device::open(*request);
    if (!device) {
      return refuse(device.error().text);
    }
    const std::string map = (*device)->map();
    if (map.size() > kMaxText) {
      return refuse("the device has too many ranges of memory; name them with memmap=");
    }
    device_ = std::move(*device);
    Reply reply = device_->describe();
    reply.text_size = put(map);
    return reply;
  }

  Reply refuse(std::string_view reason) {
    Reply reply{};
    reply.text_size = put(reason);
    return reply;
  }

  std::uint32_t put(std::string_view text) {
    const std::size_t size = std::min(text.size(), kMaxText);
    std::copy_n(text.begin(), size, shared_.area().text.begin());
    return static_cast<std::uint32_t>(size);
  }

  const SharedMapping shared_;
  std::unique_ptr<Device> device_;
};

} // namespace

int run_worker() {
  limit_this_process();
  auto shared = SharedMapping::open(UniqueFd{kWorkerMemory});
  if (!shared) {
    std::fputs("vmemfs-leechcore is internal: vmemfs starts it for a VM of the driver leechcore\n", stderr);
    return EXIT_FAILURE;
  }
  // Line by line, as for a terminal: the last ones before a crash would be lost otherwise.
  static_cast<void>(std::setvbuf(stdout, nullptr, _IOLBF, BUFSIZ));
  end_with_the_daemon();
  Server server{std::move(*shared)};
  for (;;) {
    std::array<std::byte, kMessageSize + 1> packet; // one more shows a packet that is too long
    const ssize_t size = ::recv(kWorkerSocket, packet.data(), packet.size(), 0);
    if (size < 0 && errno == EINTR) {
      continue;
    }
    if (size <= 0) {
      return EXIT_SUCCESS;
    }
    const auto request = parse_request({packet.data(), static_cast<std::size_t>(size)});
    if (!request) {
      static_cast<void>(std::fprintf(stderr, "%s\n", request.error().text.c_str()));
      return EXIT_FAILURE;
    }
    const Message reply = to_message(server.serve(*request));
    if (::send(kWorkerSocket, reply.data(), reply.size(), MSG_NOSIGNAL) < 0) {
      return EXIT_FAILURE;
    }
  }
}

} // namespace vmemfs::leechcore
