// SPDX-License-Identifier: MIT
#include "fs/mounter/mounter_backing_ids.h"

#include "fs/mounter/backing_message.h"

#include <array>
#include <cerrno>
#include <chrono>
#include <poll.h>
#include <span>
#include <sys/socket.h>

namespace vmemfs {
namespace {

constexpr std::string_view kOrigin = "mount";
constexpr std::chrono::seconds kMaxWait{1};

} // namespace

Result<std::int32_t> MounterBackingIds::open(int file) {
  const MutexLock lock{mutex_};
  if (refusal_) {
    return tl::unexpected{*refusal_};
  }
  const BackingRequest request{BackingCommand::open, ++last_number_, 0};
  const bool sent = send_backing_message(socket_.get(), std::as_bytes(std::span{&request, 1}),
                                         std::array{device_.get(), file});
  const auto result = sent ? await(request.number) : std::nullopt;
  if (!result) {
    refusal_ = Error{ErrorKind::timed_out, std::string{kOrigin}, "the process that mounts does not answer"};
    return tl::unexpected{*refusal_};
  }
  if (*result > 0) {
    return *result;
  }
  if (*result == -EPERM) {
    refusal_ = Error{ErrorKind::permission, std::string{kOrigin},
                     "the kernel takes backing files from root alone (CAP_SYS_ADMIN); mount as root"};
    return tl::unexpected{*refusal_};
  }
  return fail_errno(-*result, kOrigin, "the kernel does not take the memory file as a backing file");
}

/// The result of a request. Answers to former ones came too late: nobody uses their ids.
std::optional<std::int32_t> MounterBackingIds::await(std::uint32_t number) {
  const auto end = std::chrono::steady_clock::now() + kMaxWait;
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    pollfd entry{socket_.get(), POLLIN, 0};
    if (left.count() <= 0 || ::poll(&entry, 1, static_cast<int>(left.count())) == 0) {
      return std::nullopt;
    }
    BackingAnswer answer;
    const ssize_t size = ::recv(socket_.get(), &answer, sizeof(answer), MSG_DONTWAIT);
    if (size == 0 || (size < 0 && errno != EAGAIN && errno != EINTR)) {
      return std::nullopt;
    }
    if (size == sizeof(answer) && answer.number == number) {
      return answer.result;
    }
  }
}

void MounterBackingIds::close(std::int32_t id) {
  const BackingRequest request{BackingCommand::close, 0, id};
  static_cast<void>(
      send_backing_message(socket_.get(), std::as_bytes(std::span{&request, 1}), std::array{device_.get()}));
}

} // namespace vmemfs
