// SPDX-License-Identifier: MIT
#include "drivers/libvirt/connection/handles.h"

#include "core/text.h"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <fmt/format.h>
#include <libvirt/virterror.h>

namespace vmemfs::libvirt {
namespace {

/// If a system call such as connect() failed, its errno is part of the message.
ErrorKind kind_of(const virError& error) {
  switch (error.code) {
  case VIR_ERR_SYSTEM_ERROR:
    return error.int1 == EACCES || error.int1 == EPERM ? ErrorKind::permission : ErrorKind::source_failed;
  case VIR_ERR_NO_DOMAIN: return ErrorKind::not_found;
  case VIR_ERR_NO_SUPPORT:
  case VIR_ERR_CONFIG_UNSUPPORTED:
  case VIR_ERR_OPERATION_UNSUPPORTED:
  case VIR_ERR_ARGUMENT_UNSUPPORTED: return ErrorKind::unsupported;
  case VIR_ERR_AUTH_FAILED:
  case VIR_ERR_AUTH_UNAVAILABLE:
  case VIR_ERR_AUTH_CANCELLED:
  case VIR_ERR_ACCESS_DENIED:
  case VIR_ERR_OPERATION_DENIED: return ErrorKind::permission;
  case VIR_ERR_OPERATION_TIMEOUT: return ErrorKind::timed_out;
  case VIR_ERR_RESOURCE_BUSY: return ErrorKind::busy;
  default: return ErrorKind::source_failed;
  }
}

} // namespace

Link adopt(virConnectPtr connection) {
  return connection != nullptr ? Link{connection, [](virConnectPtr open) { virConnectClose(open); }}
                               : nullptr;
}

DomainHandle adopt(virDomainPtr domain) {
  return domain != nullptr ? DomainHandle{domain, [](virDomainPtr handle) { virDomainFree(handle); }}
                           : nullptr;
}

std::string taken(char* text) {
  std::string copy{text != nullptr ? text : ""};
  std::free(text); // NOLINT(cppcoreguidelines-no-malloc)
  return copy;
}

tl::unexpected<Error> fail_vir(std::string_view what) {
  constexpr std::size_t kMaxMessage = 400;
  const virError* const error = virGetLastError();
  if (error == nullptr) {
    return fail(ErrorKind::source_failed, kOrigin, fmt::format("{}: failed without a message", what));
  }
  std::string message = error->message != nullptr ? error->message : "";
  std::ranges::replace_if(
      message, [](unsigned char c) { return std::iscntrl(c) != 0; }, ' '); // ssh prints several lines
  return fail(kind_of(*error), kOrigin, fmt::format("{}: {}", what, printable(trim(message), kMaxMessage)));
}

bool last_failure_is(int code) { return virGetLastErrorCode() == code; }

} // namespace vmemfs::libvirt
