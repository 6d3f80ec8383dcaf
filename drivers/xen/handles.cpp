// SPDX-License-Identifier: MIT
#include "drivers/xen/handles.h"

#include "util/log.h"

#include <array>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <fmt/format.h>

namespace vmemfs::xen {
namespace {

void log_message(xentoollog_logger* /*logger*/, xentoollog_level /*level*/, int /*error*/,
                 const char* context, const char* format, va_list arguments) {
  if (!log::enabled(log::Level::debug)) {
    return;
  }
  std::array<char, 512> text{};
  std::vsnprintf(text.data(), text.size(), format, arguments);
  log::debug("xen: {}: {}", context != nullptr ? context : "", text.data());
}

void log_nothing(xentoollog_logger* /*logger*/, const char* /*context*/, const char* /*what*/,
                 int /*percent*/, unsigned long /*done*/, unsigned long /*total*/) {}

void destroy_nothing(xentoollog_logger* /*logger*/) {}

/// The error for an errno of opening one of Xen's devices.
tl::unexpected<Error> not_opened(int os_errno, std::string_view what) {
  switch (os_errno) {
  case ENOENT:
  case ENXIO:
  case ENODEV:
    return fail(
        ErrorKind::unsupported, kOrigin,
        fmt::format("this is not a Xen host: there is no {}; boot Xen with this system as its domain 0, and "
                    "load the module xen-privcmd",
                    what));
  case EACCES:
  case EPERM:
    return fail(ErrorKind::permission, kOrigin,
                fmt::format("cannot open {}: Xen domains are accessible only to root in domain 0", what));
  default: return fail_errno(os_errno, kOrigin, fmt::format("cannot open {}", what));
  }
}

} // namespace

xentoollog_logger* tool_log() {
  static xentoollog_logger logger{log_message, log_nothing, destroy_nothing};
  return &logger;
}

Result<Control> open_control() {
  errno = 0;
  Control control{xc_interface_open(tool_log(), tool_log(), 0)};
  if (control == nullptr) {
    return not_opened(errno, "/dev/xen/privcmd");
  }
  return control;
}

Result<ForeignMemoryHandle> open_foreign_memory() {
  errno = 0;
  ForeignMemoryHandle memory{xenforeignmemory_open(tool_log(), 0)};
  if (memory == nullptr) {
    return not_opened(errno, "/dev/xen/privcmd");
  }
  return memory;
}

Result<StoreHandle> open_store() {
  errno = 0;
  StoreHandle store{xs_open(0)};
  if (store == nullptr) {
    const int os_errno = errno;
    if (os_errno == EACCES || os_errno == EPERM) {
      return not_opened(os_errno, "xenstore");
    }
    return fail_errno(os_errno, kOrigin, "cannot connect to xenstore; is xenstored running?");
  }
  return store;
}

} // namespace vmemfs::xen
