#include "drivers/qemu/gdbstub.h"

#include "core/text.h"
#include "drivers/qemu/fd_wait.h"
#include "drivers/qemu/gdb_packets.h"
#include "util/unique_fd.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <fmt/format.h>
#include <optional>
#include <poll.h>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <utility>
#include <vector>

namespace vmemfs::qemu {
namespace {

constexpr std::string_view kOrigin = "gdbstub";
constexpr std::string_view kChardev = "vmemfs-gdb";
constexpr std::string_view kUserChardev = "gdb"; ///< what QEMU calls that of -s, -gdb and `gdbserver DEVICE`

/// How the stub knows a register.
struct StubRegister {
  Register reg;
  std::uint8_t number;
  std::uint8_t bits; ///< that are significant; up to 32 travel in 4 bytes, else 8
};

constexpr std::array kStubRegisters = std::to_array<StubRegister>({
    {Register::rax, 0, 64},          {Register::rbx, 1, 64},          {Register::rcx, 2, 64},
    {Register::rdx, 3, 64},          {Register::rsi, 4, 64},          {Register::rdi, 5, 64},
    {Register::rbp, 6, 64},          {Register::rsp, 7, 64},          {Register::r8, 8, 64},
    {Register::r9, 9, 64},           {Register::r10, 10, 64},         {Register::r11, 11, 64},
    {Register::r12, 12, 64},         {Register::r13, 13, 64},         {Register::r14, 14, 64},
    {Register::r15, 15, 64},         {Register::rip, 16, 64},         {Register::rflags, 17, 32},
    {Register::cs_selector, 18, 16}, {Register::ss_selector, 19, 16}, {Register::ds_selector, 20, 16},
    {Register::es_selector, 21, 16}, {Register::fs_selector, 22, 16}, {Register::gs_selector, 23, 16},
    {Register::fs_base, 24, 64},     {Register::gs_base, 25, 64},     {Register::kernel_gs_base, 26, 64},
    {Register::cr0, 27, 64},         {Register::cr2, 28, 64},         {Register::cr3, 29, 64},
    {Register::cr4, 30, 64},         {Register::cr8, 31, 64},         {Register::efer, 32, 64},
});

const StubRegister* stub_register(Register reg) {
  const auto found = std::ranges::find(kStubRegisters, reg, &StubRegister::reg);
  return found == kStubRegisters.end() ? nullptr : &*found;
}

struct Assignment {
  const StubRegister* reg;
  std::uint64_t value;
};

/// What is to be sent, each register once. Selectors come first: loading one changes the segment's base.
Result<std::vector<Assignment>> plan(std::span<const RegisterValue> values) {
  std::vector<Assignment> assignments;
  for (const auto& [reg, value] : values) {
    const StubRegister* known = stub_register(reg);
    if (known->bits < 64 && value >> known->bits != 0) {
      return fail(ErrorKind::invalid, kOrigin,
                  fmt::format("{} has {} bits, {:#x} does not fit", to_string(reg), known->bits, value));
    }
    std::erase_if(assignments, [&](const Assignment& earlier) { return earlier.reg == known; });
    assignments.push_back({known, value});
  }
  std::ranges::stable_partition(assignments, [](const Assignment& item) { return item.reg->bits == 16; });
  return assignments;
}

/// All packets of one visit, and how many replies they get.
struct Script {
  std::string bytes;
  std::size_t replies = 0;

  void add(std::string_view payload) {
    bytes += gdb_packet(payload);
    ++replies;
  }
};

Script write_script(VcpuId vcpu, std::span<const Assignment> assignments, bool resume) {
  Script script;
  script.add("qXfer:features:read:target.xml:0,400"); // else the stub serves no single registers
  script.add(fmt::format("Hg{:x}", vcpu.value() + 1));
  // All registers, for the side effect: only this makes QEMU fetch them from KVM. Without it a P changes
  // QEMU's stale copy, p confirms that, and the vCPU never hears of it (seen with 7.2).
  script.add("g");
  for (const auto& [reg, value] : assignments) {
    const std::size_t bytes = reg->bits > 32 ? 8 : 4;
    script.add(fmt::format("P{:x}={}", reg->number, gdb_number(value, bytes)));
  }
  for (const auto& item : assignments) {
    script.add(fmt::format("p{:x}", item.reg->number));
  }
  if (resume) {
    script.add("D;1"); // lets the VM run; any byte after this would stop it again, an ack too
  }
  return script;
}

/// Refuses where somebody else uses the gdbstub; clears away what an earlier process of ours left.
Result<void> claim_stub(MonitorSession& session) {
  const auto chardevs = session.chardevs();
  if (!chardevs) {
    return tl::unexpected{chardevs.error()};
  }
  if (std::ranges::find(*chardevs, kUserChardev, &Chardev::id) != chardevs->end()) {
    return fail(ErrorKind::busy, kOrigin,
                "the gdbstub of this QEMU is in use (-s, -gdb or the monitor command gdbserver); registers "
                "can be set once the monitor command 'gdbserver none' has ended that");
  }
  const auto ours = std::ranges::find(*chardevs, kChardev, &Chardev::id);
  if (ours == chardevs->end()) {
    return {};
  }
  if (!ours->filename.starts_with("disconnected:")) {
    return fail(ErrorKind::busy, kOrigin, "another vmemfs is setting registers of this VM; try again");
  }
  if (session.remove_chardev(ours->id)) {
    return {};
  }
  return session.human("gdbserver none").map([](const std::string&) {}); // it was the stub's already
}

/// Puts the stub on our chardev. If that succeeds QEMU works off what lies in the socket; if it fails,
/// `refused` tells whether QEMU said so (and nothing happened) or nobody knows.
Result<void> start_stub(MonitorSession& session, bool& refused) {
  const auto answer = session.human(fmt::format("gdbserver chardev:{}", kChardev));
  if (!answer) {
    return tl::unexpected{answer.error()};
  }
  if (answer->starts_with("Waiting for gdb connection")) {
    return {};
  }
  refused = true;
  return fail(ErrorKind::source_failed, kOrigin,
              fmt::format("QEMU did not start its gdbstub: {}", printable(trim(*answer), 200)));
}

/// A report of the stub that the VM stopped, which nobody asked for.
bool is_stop_report(std::string_view payload) {
  return payload.starts_with('T') || payload.starts_with('S') || payload.starts_with('W');
}

Result<std::vector<std::string>> read_replies(int socket, std::size_t count,
                                              std::chrono::milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  std::vector<std::string> replies;
  GdbPacketReader reader;
  while (replies.size() < count) {
    auto packet = reader.next();
    if (!packet) {
      return tl::unexpected{std::move(packet.error())};
    }
    if (*packet) {
      if (!is_stop_report(**packet)) {
        replies.push_back(std::move(**packet));
      }
      continue;
    }
    const auto ready = wait_for_fd(socket, POLLIN, deadline);
    if (!ready || !*ready) {
      return fail(ErrorKind::timed_out, kOrigin, "QEMU's gdbstub did not answer within the time limit");
    }
    std::array<char, 4096> bytes{};
    const ssize_t got = ::recv(socket, bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
      return fail(ErrorKind::source_failed, kOrigin, "QEMU closed the connection of its gdbstub");
    }
    reader.feed({bytes.data(), static_cast<std::size_t>(std::max<ssize_t>(got, 0))});
  }
  return replies;
}

Result<void> judge_value(const Assignment& item, std::string_view set, std::string_view read_back) {
  const std::string_view name = to_string(item.reg->reg);
  const auto value = parse_gdb_number(read_back);
  if (set != "OK" || !value) {
    return fail(ErrorKind::source_failed, kOrigin,
                fmt::format("QEMU's gdbstub refused to set {}: '{}', '{}'", name, printable(set),
                            printable(read_back)));
  }
  if (*value != item.value) {
    return fail(ErrorKind::source_failed, kOrigin,
                fmt::format("QEMU did not take {:#x} for {}, which is now {:#x}: outside 64-bit code it "
                            "takes 32 bits and no r8 to r15, and a selector only with a descriptor",
                            item.value, name, *value));
  }
  return {};
}

constexpr std::size_t kShortestRegisterDump = 16; ///< digits; an error is "E" and two

/// Replies in the order of write_script().
Result<void> judge(std::span<const std::string> replies, std::span<const Assignment> assignments) {
  constexpr std::size_t kPreamble = 3;
  if (!replies[0].starts_with('l') && !replies[0].starts_with('m')) {
    return fail(ErrorKind::unsupported, kOrigin, "QEMU's gdbstub does not describe its registers");
  }
  if (replies[1] != "OK") {
    return fail(ErrorKind::source_failed, kOrigin, "QEMU's gdbstub does not know that vCPU");
  }
  if (replies[2].size() < kShortestRegisterDump) {
    return fail(ErrorKind::source_failed, kOrigin, "QEMU's gdbstub does not read that vCPU's registers");
  }
  for (std::size_t i = 0; i < assignments.size(); ++i) {
    const std::string& set = replies[kPreamble + i];
    const std::string& read_back = replies[kPreamble + assignments.size() + i];
    if (auto judged = judge_value(assignments[i], set, read_back); !judged) {
      return judged;
    }
  }
  return {};
}

/// Removes the stub and sees to it that the VM is in the state it was in. Does as much as it can.
Result<void> put_back(MonitorSession& session, const RunStatus& before) {
  const auto ended = session.human("gdbserver none");
  const auto now = session.run_status();
  Result<void> state; // first of all the guest, whatever became of the stub
  if (!now) {
    state = tl::unexpected{now.error()};
  } else if (before.running && !now->running && now->detail == "paused") {
    // Another word than "paused" means that the VM stopped for a reason of its own.
    state = session.cont();
  } else if (!before.running && now->running) {
    state = session.stop();
  }
  if (!ended) {
    return tl::unexpected{ended.error()};
  }
  return state;
}

/// What must hold before anything is changed: a guest whose registers are known, and this vCPU.
Result<void> check_target(MonitorSession& session, VcpuId vcpu) {
  const auto architecture = session.architecture();
  if (!architecture) {
    return tl::unexpected{architecture.error()};
  }
  if (*architecture != "x86_64") {
    return fail(ErrorKind::unsupported, kOrigin,
                fmt::format("registers of {} guests can't be set", printable(*architecture)));
  }
  const auto vcpus = session.vcpus();
  if (!vcpus) {
    return tl::unexpected{vcpus.error()};
  }
  if (std::ranges::find(*vcpus, vcpu) == vcpus->end()) {
    return fail(ErrorKind::invalid, kOrigin, fmt::format("the VM has no vCPU {}", vcpu.value()));
  }
  return claim_stub(session);
}

/// A socket that holds the script, its other end given to QEMU as chardev.
Result<UniqueFd> offer_script(MonitorSession& session, const Script& script) {
  std::array<int, 2> fds{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds.data()) != 0) {
    return fail_errno(errno, kOrigin, "can't make a socket pair");
  }
  UniqueFd ours{fds[0]};
  const UniqueFd qemus{fds[1]};
  // A few kilobytes at most, which a fresh socket takes at once.
  const ssize_t sent =
      ::send(ours.get(), script.bytes.data(), script.bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent != static_cast<ssize_t>(script.bytes.size())) {
    return fail(ErrorKind::source_failed, kOrigin, "a new socket pair did not take the packets");
  }
  return session.add_socket_chardev(std::string{kChardev}, qemus.get()).map([&] { return std::move(ours); });
}

Result<void> run_script(MonitorSession& session, VcpuId vcpu, std::span<const Assignment> assignments) {
  const auto before = session.run_status();
  if (!before) {
    return tl::unexpected{before.error()};
  }
  const Script script = write_script(vcpu, assignments, before->running);
  const auto socket = offer_script(session, script);
  if (!socket) {
    return tl::unexpected{socket.error()};
  }
  bool refused = false;
  const auto replies = start_stub(session, refused).and_then([&] {
    return read_replies(socket->get(), script.replies, session.timeout());
  });
  if (refused) {
    static_cast<void>(session.remove_chardev(std::string{kChardev}));
    return tl::unexpected{replies.error()};
  }
  auto restored = put_back(session, *before);
  if (!replies) {
    return tl::unexpected{replies.error()};
  }
  if (auto judged = judge(*replies, assignments); !judged) {
    return judged;
  }
  return restored;
}

} // namespace

Result<void> check_settable(std::span<const RegisterValue> values) {
  std::string names;
  for (const auto& [reg, value] : values) {
    if (stub_register(reg) == nullptr) {
      names += names.empty() ? "" : ", ";
      names += to_string(reg);
    }
  }
  if (names.empty()) {
    return {};
  }
  return fail(
      ErrorKind::unsupported, kOrigin,
      fmt::format("QEMU can't set {}; it can set the general registers, rip, rflags, selectors, fs.base, "
                  "gs.base, kernel_gs_base, cr0 to cr8 and efer",
                  names));
}

Result<void> set_registers(MonitorSession& session, VcpuId vcpu, std::span<const RegisterValue> values) {
  if (auto settable = check_settable(values); !settable) {
    return settable;
  }
  const auto assignments = plan(values);
  if (!assignments) {
    return tl::unexpected{assignments.error()};
  }
  if (assignments->empty()) {
    return {};
  }
  return check_target(session, vcpu).and_then([&] { return run_script(session, vcpu, *assignments); });
}

} // namespace vmemfs::qemu
