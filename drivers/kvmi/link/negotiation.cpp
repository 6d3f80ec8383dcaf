// SPDX-License-Identifier: MIT
#include "drivers/kvmi/link/negotiation.h"

#include "core/gpa.h"
#include "core/vcpu_set.h"
#include "drivers/kvmi/wire/bytes.h"

#include <array>
#include <cerrno>
#include <fmt/format.h>
#include <utility>

namespace vmemfs::kvmi {
namespace {

constexpr std::string_view kOrigin = "kvmi";

/// KVMI's own errno for a command that it does not know.
constexpr std::int32_t kNoSuchCommand = 1000;

constexpr std::size_t kVersionSize = 8;
constexpr std::size_t kSecondAt = 4;

/// A command whose request and reply are small.
struct SmallExchange {
  std::array<std::byte, 16> data{};
  Request request;

  SmallExchange(std::uint16_t id, std::span<const std::byte> head) {
    request.id = id;
    request.head = head;
    request.into = data;
  }
  SmallExchange(const SmallExchange&) = delete;
  SmallExchange& operator=(const SmallExchange&) = delete;
  ~SmallExchange() = default;

  [[nodiscard]] Result<void> run(Connection& connection) { return connection.exchange({&request, 1}); }
};

tl::unexpected<Error> not_spoken(std::string_view what) {
  return fail(ErrorKind::unsupported, kOrigin,
              fmt::format("the VM speaks {}; vmemfs speaks the dialects of KVM-VMI's branches kvmi-v7 and "
                          "kvmi-v12",
                          what));
}

/// The status of CHECK_COMMAND.
Result<std::int32_t> check_command(Connection& connection, Dialect dialect, std::uint16_t id) {
  std::array<std::byte, 8> head{};
  store_le<std::uint16_t>(head, 0, id);
  SmallExchange check{numbers_of(dialect).check_command, head};
  return check.run(connection).map([&] { return check.request.status; });
}

/// GET_MAX_GFN of the tree is beyond the commands of the RFCs v7 and v8, which otherwise begin like the tree.
Result<void> check_tree(Connection& connection) {
  const auto status = check_command(connection, Dialect::tree, kTreeNumbers.max_gfn);
  if (!status) {
    return tl::unexpected{status.error()};
  }
  if (*status != 0 && *status != -EPERM) {
    return not_spoken("KVMI as posted in RFC v7 or v8");
  }
  return {};
}

Result<std::uint64_t> tree_memory_end(Connection& connection) {
  SmallExchange asked{kTreeNumbers.max_gfn, {}};
  if (auto done = asked.run(connection); !done) {
    return tl::unexpected{done.error()};
  }
  if (asked.request.status != 0) {
    return tl::unexpected{refused("ask for the size of its memory", asked.request.status)};
  }
  if (asked.request.size < sizeof(std::uint64_t)) {
    return fail(ErrorKind::source_failed, kOrigin, "the VM gave the size of its memory in too few bytes");
  }
  const auto frames = load_le<std::uint64_t>(asked.data, 0);
  return frames > kGpaLimit / kPageSize ? kGpaLimit : frames * kPageSize;
}

} // namespace

Error refused(std::string_view what, std::int32_t status) {
  switch (-status) {
  case EPERM:
    return {ErrorKind::permission, std::string{kOrigin},
            fmt::format("cannot {}: QEMU does not allow the command; see command= and event= of its "
                        "-object introspection",
                        what)};
  case EOPNOTSUPP:
  case kNoSuchCommand:
    return {ErrorKind::unsupported, std::string{kOrigin},
            fmt::format("cannot {}: the VM's kernel does not support it", what)};
  case EBUSY:
  case EAGAIN:
    return {ErrorKind::busy, std::string{kOrigin},
            fmt::format("cannot {}: the VM is busy (error {}); try again", what, -status)};
  default:
    return {ErrorKind::source_failed, std::string{kOrigin},
            fmt::format("cannot {}: the VM's kernel refused with error {}", what, -status)};
  }
}

Result<Dialect> find_dialect(Connection& connection) {
  SmallExchange asked{kGetVersion, {}};
  if (auto done = asked.run(connection); !done) {
    return tl::unexpected{done.error()};
  }
  if (asked.request.status == -ENOENT) { // there it is CHECK_COMMAND
    return not_spoken("KVMI as posted in RFC v9");
  }
  if (asked.request.status != 0) {
    return tl::unexpected{refused("ask for the version of KVMI", asked.request.status)};
  }
  if (asked.request.size < kVersionSize) {
    return fail(ErrorKind::source_failed, kOrigin, "the VM gave its version of KVMI in too few bytes");
  }
  const auto version = load_le<std::uint32_t>(asked.data, 0);
  const auto max_message = load_le<std::uint32_t>(asked.data, kSecondAt);
  if (version == 0 || (max_message != 0 && max_message != kMaxPayload)) {
    return not_spoken(fmt::format("an unknown KVMI: version {}, messages of {} bytes", version, max_message));
  }
  if (max_message == kMaxPayload) {
    return Dialect::v12;
  }
  return check_tree(connection).map([] { return Dialect::tree; });
}

Result<Facts> ask_facts(Connection& connection, Dialect dialect, const Greeting& greeting) {
  Facts facts;
  if (dialect == Dialect::tree) {
    const auto end = tree_memory_end(connection);
    if (!end) {
      return tl::unexpected{end.error()};
    }
    facts.memory_end = *end;
  } else {
    facts.memory_end = greeting.max_gpa / kPageSize * kPageSize;
  }
  if (facts.memory_end == 0 || facts.memory_end >= kGpaLimit) {
    return fail(ErrorKind::source_failed, kOrigin,
                fmt::format("the VM does not say how large its memory is ({:#x}); KVMI v10 and v11 are not "
                            "supported",
                            facts.memory_end));
  }
  SmallExchange asked{numbers_of(dialect).guest_info, {}};
  if (auto done = asked.run(connection); !done) {
    return tl::unexpected{done.error()};
  }
  if (asked.request.status != 0) {
    return tl::unexpected{refused("ask for the number of vCPUs", asked.request.status)};
  }
  facts.vcpus = load_le<std::uint32_t>(asked.data, 0);
  if (asked.request.size < sizeof(std::uint32_t) || facts.vcpus == 0 || facts.vcpus > VcpuSet::kMaxVcpus) {
    return fail(ErrorKind::source_failed, kOrigin,
                fmt::format("the VM gave {} as the number of its vCPUs", facts.vcpus));
  }
  return facts;
}

Result<OptionalCommands> ask_optional_commands(Connection& connection, Dialect dialect) {
  const Numbers& numbers = numbers_of(dialect);
  OptionalCommands commands;
  for (const auto& [id, allowed] : {std::pair{numbers.query_physical, &commands.query_physical},
                                    std::pair{numbers.map_token, &commands.map_token}}) {
    if (id == 0) {
      continue;
    }
    const auto status = check_command(connection, dialect, id);
    if (!status) {
      return tl::unexpected{status.error()};
    }
    *allowed = *status == 0; // EPERM: not allowed, or v6, which has it for commands that it does not know
  }
  return commands;
}

Result<bool> enable_unhook_event(Connection& connection, Dialect dialect) {
  std::array<std::byte, 8> head{};
  store_le<std::uint16_t>(head, 0, numbers_of(dialect).unhook_event);
  head[2] = std::byte{1};
  SmallExchange asked{numbers_of(dialect).control_vm_events, head};
  return asked.run(connection).map([&] { return asked.request.status == 0; });
}

} // namespace vmemfs::kvmi
