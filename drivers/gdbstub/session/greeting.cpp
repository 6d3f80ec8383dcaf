// SPDX-License-Identifier: MIT
#include "drivers/gdbstub/session/greeting.h"

#include "core/text.h"

#include <algorithm>
#include <cstdint>
#include <fmt/format.h>
#include <string_view>
#include <utility>

namespace vmemfs::gdbstub {
namespace {

constexpr std::string_view kOrigin = "gdbstub";
constexpr std::size_t kDefaultPacket = 400; ///< GDB's, for servers that do not say what they can take
constexpr std::size_t kMinPacket = 64;
constexpr std::size_t kReadUnit = 32;
static_assert(kMinPacket / 2 >= kReadUnit);
constexpr std::size_t kMaxPacket = std::size_t{128} << 10;
constexpr std::size_t kMaxThreads = VcpuSet::kMaxVcpus;
constexpr unsigned kMaxListPackets = 1024;

/// The value of a feature in the reply to qSupported; "+" if it is only said to be there; else empty.
std::string_view feature(std::string_view supported, std::string_view name) {
  for (std::string_view item : split(supported, ';')) {
    if (!item.starts_with(name)) {
      continue;
    }
    item.remove_prefix(name.size());
    if (item == "+") {
      return item;
    }
    if (item.starts_with('=')) {
      return item.substr(1);
    }
  }
  return {};
}

std::size_t packet_size(std::string_view supported) {
  const auto size = parse_hex(feature(supported, "PacketSize"));
  return size ? static_cast<std::size_t>(std::clamp<std::uint64_t>(*size, kMinPacket, kMaxPacket))
              : kDefaultPacket;
}

/// A whole object of the server, such as "features" with the annex "target.xml".
Result<std::string> read_object(ServerLink& link, std::string_view object, std::string_view annex,
                                std::size_t packet_bytes) {
  const auto cannot = [&](std::string_view why) {
    return fail(ErrorKind::source_failed, kOrigin,
                fmt::format("cannot read {} '{}' of the server: {}", object, printable(annex), why));
  };
  const std::size_t size = packet_bytes - kMinPacket / 2;
  std::string text;
  for (unsigned packets = 0; packets < kMaxListPackets; ++packets) {
    auto reply = link.ask(fmt::format("qXfer:{}:read:{}:{:x},{:x}", object, annex, text.size(), size));
    if (!reply) {
      return reply;
    }
    if (!reply->starts_with('m') && !reply->starts_with('l')) {
      return cannot(fmt::format("it answered '{}'", printable(*reply)));
    }
    text.append(*reply, 1);
    if (reply->front() == 'l') {
      return text;
    }
    if (reply->size() == 1 || text.size() > kMaxDescriptionBytes) {
      break;
    }
  }
  return cannot("it does not end");
}

Result<TargetDescription> read_description(ServerLink& link, std::size_t packet_bytes) {
  const FetchDescription fetch = [&](const std::string& name) {
    return read_object(link, "features", name, packet_bytes);
  };
  return fetch("target.xml").and_then([&](const std::string& text) {
    return parse_target_description(text, fetch);
  });
}

/// The first request: shows whether somebody answers at all.
Result<std::string> ask_features(ServerLink& link) {
  auto supported = link.ask("qSupported:xmlRegisters=i386");
  if (!supported && supported.error().kind == ErrorKind::timed_out) {
    supported.error().text += "; kgdb has to be stopped before, by SysRq g";
  }
  return supported;
}

Result<void> end_acknowledgements(ServerLink& link) {
  return link.ask("QStartNoAckMode").map([&](const std::string& reply) {
    LinkManners manners = link.manners();
    manners.acknowledges = reply != "OK";
    link.set_manners(manners);
  });
}

/// A thread ID as servers write it: "2", or "p1.2" with a process before it.
struct ThreadId {
  std::string_view process; ///< empty: the ID names none
  std::string_view thread;
};

ThreadId parse_thread_id(std::string_view id) {
  const std::size_t dot = id.find('.');
  if (!id.starts_with('p') || dot == std::string_view::npos) {
    return {{}, id};
  }
  return {id.substr(1, dot - 1), id.substr(dot + 1)};
}

/// Whether there is one, and the process that its reply names.
Result<std::string> learn_marker(ServerLink& link) {
  constexpr std::string_view kReply = "QC";
  return link.ask("qC").map([&](const std::string& reply) {
    LinkManners manners = link.manners();
    manners.has_marker = reply.starts_with(kReply);
    link.set_manners(manners);
    const std::string_view process =
        manners.has_marker ? parse_thread_id(std::string_view{reply}.substr(kReply.size())).process : "";
    return std::string{parse_hex(process) ? process : ""};
  });
}

/// QEMU takes the begin of a request as the acknowledgement of its last reply, so that many may be under way.
Result<bool> learn_physical_mode(ServerLink& link) {
  return link.ask("qqemu.PhyMemMode").map([&](const std::string& reply) {
    const bool is_qemu = reply == "0" || reply == "1";
    if (is_qemu) {
      LinkManners manners = link.manners();
      manners.acknowledges = false;
      manners.loses_request_when_stopped = true;
      link.set_manners(manners);
    }
    return is_qemu;
  });
}

Result<std::string> ask_why_stopped(ServerLink& link) {
  auto report = link.ask("?");
  if (!report) {
    return report;
  }
  if (report->starts_with('W') || report->starts_with('X')) {
    return fail(ErrorKind::vm_gone, kOrigin, "the server's target has ended");
  }
  if (!is_stop_report(*report)) {
    return fail(
        ErrorKind::source_failed, kOrigin,
        fmt::format("the server does not say why its target is stopped: '{}'; check that it is one of "
                    "GDB's remote protocol",
                    printable(*report)));
  }
  return report;
}

/// IDs as sent, by qfThreadInfo and qsThreadInfo; empty if the server does not list threads.
Result<std::vector<std::string>> thread_ids(ServerLink& link) {
  std::vector<std::string> ids;
  std::string_view request = "qfThreadInfo";
  for (unsigned packets = 0; packets < kMaxListPackets && ids.size() <= kMaxThreads; ++packets) {
    const auto reply = link.ask(request);
    if (!reply) {
      return tl::unexpected{reply.error()};
    }
    if (!reply->starts_with('m')) {
      break;
    }
    for (const std::string_view id : split(std::string_view{*reply}.substr(1), ',')) {
      ids.emplace_back(id);
    }
    request = "qsThreadInfo";
  }
  return ids;
}

} // namespace

Result<std::vector<ServerThread>> list_threads(ServerLink& link, bool by_id) {
  const auto ids = thread_ids(link);
  if (!ids) {
    return tl::unexpected{ids.error()};
  }
  std::vector<ServerThread> threads;
  for (const std::string& id : *ids) {
    const auto number = parse_hex(parse_thread_id(id).thread);
    if (!number || *number == 0 || *number > kMaxThreads) {
      threads.clear();
      break;
    }
    threads.push_back({VcpuId{static_cast<std::uint32_t>(*number - 1)}, id});
  }
  std::ranges::sort(threads, {}, &ServerThread::vcpu);
  const auto repeated = std::ranges::unique(threads, {}, &ServerThread::vcpu);
  threads.erase(repeated.begin(), repeated.end());
  const bool complete = !threads.empty() && threads.back().vcpu.value() + 1 == threads.size();
  if (threads.empty() || !(by_id || complete)) {
    // Threads of a kernel, such as kgdb's, are not vCPUs: what is there is the one that stopped.
    return std::vector<ServerThread>{{VcpuId{0}, "0"}};
  }
  return threads;
}

Result<VcpuSet> vcpus_of(const std::vector<ServerThread>& threads) {
  std::vector<VcpuId> vcpus;
  vcpus.reserve(threads.size());
  for (const ServerThread& thread : threads) {
    vcpus.push_back(thread.vcpu);
  }
  return VcpuSet::of(std::move(vcpus), kOrigin);
}

Result<ServerFacts> greet(ServerLink& link, std::optional<bool>& ran) {
  ServerFacts facts;
  const auto supported = ask_features(link);
  if (!supported) {
    return tl::unexpected{supported.error()};
  }
  const std::size_t packet_bytes = packet_size(*supported);
  // Two digits a byte, and for x at most two bytes for each. Boards read whole words faster than odd bytes.
  facts.read_bytes = packet_bytes / 2 / kReadUnit * kReadUnit;
  facts.binary_reads = feature(*supported, "binary-upload") == "+";
  auto learned = feature(*supported, "QStartNoAckMode") == "+" ? end_acknowledgements(link) : Result<void>{};
  learned = learned.and_then([&] { return learn_marker(link); })
                .map([&](std::string&& process) { facts.process = std::move(process); })
                .and_then([&] { return link.poll_stop(); })
                .map([&](const std::optional<std::string>& report) { ran = report.has_value(); })
                .and_then([&] { return ask_why_stopped(link); })
                .map([&](const std::string& report) { facts.stop_report = report; })
                .and_then([&] { return learn_physical_mode(link); })
                .map([&](bool physical) { facts.physical = physical; })
                .and_then([&] { return link.ask("vCont?"); })
                .map([&](const std::string& reply) {
                  const auto actions = split(reply, ';');
                  facts.steps_threads = std::ranges::find(actions, "c") != actions.end();
                })
                .and_then([&] { return list_threads(link, facts.physical); })
                .map([&](std::vector<ServerThread>&& threads) { facts.threads = std::move(threads); });
  if (!learned) {
    return tl::unexpected{std::move(learned.error())};
  }
  if (facts.physical) { // QEMU reports the stop by a connection, if there was something to stop
    facts.found_running = ran;
  }
  facts.description =
      feature(*supported, "qXfer:features:read") == "+"
          ? read_description(link, packet_bytes)
          : fail(ErrorKind::unsupported, kOrigin, "the server does not describe its registers");
  if (feature(*supported, "qXfer:memory-map:read") == "+") {
    auto map = read_object(link, "memory-map", "", packet_bytes);
    if (!map) {
      return tl::unexpected{std::move(map.error())};
    }
    facts.memory_map = std::move(*map);
  }
  if (link.broken()) {
    return tl::unexpected{facts.description.error()};
  }
  return facts;
}

} // namespace vmemfs::gdbstub
