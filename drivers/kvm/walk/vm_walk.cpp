// SPDX-License-Identifier: MIT
#include "drivers/kvm/walk/vm_walk.h"

#include "drivers/kvm/bpf/vm_records.h"
#include "drivers/kvm/walk/load_error.h"

#include <algorithm>
#include <bpf/bpf.h>
#include <cerrno>
#include <chrono>
#include <fmt/format.h>
#include <iterator>
#include <span>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vm_slots.skel.h>

namespace vmemfs::kvm {
namespace {

constexpr std::string_view kOrigin = "kvm";

/// What one walk may write: many times what a host has, as VMs cost much more memory than their records.
constexpr std::size_t kMaxBytes = std::size_t{64} << 20U;
constexpr std::chrono::seconds kMaxTime{5};
/// KVM's own limit is below it.
constexpr std::size_t kMaxSlots = 65536;
/// A change of the slots takes some milliseconds.
constexpr int kTries = 20;
constexpr std::chrono::milliseconds kBetweenTries{2};

/// All that an iterator writes.
Result<std::vector<std::byte>> read_all(int iterator) {
  const auto limit = std::chrono::steady_clock::now() + kMaxTime;
  constexpr std::size_t kChunk = 32 << 10;
  std::vector<std::byte> bytes;
  for (;;) {
    const std::size_t size = bytes.size();
    if (size > kMaxBytes || std::chrono::steady_clock::now() > limit) {
      return fail(ErrorKind::source_failed, kOrigin,
                  "cannot list the VMs: there are too many open files of them; a process may hold them open "
                  "on purpose");
    }
    bytes.resize(size + kChunk);
    const ssize_t got = ::read(iterator, bytes.data() + size, kChunk);
    const int error = errno;
    bytes.resize(size + static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    if (got == 0) {
      return bytes;
    }
    // EAGAIN: after a million files without a VM; the next read goes on.
    if (got < 0 && error != EAGAIN && error != EINTR) {
      return fail_errno(error, kOrigin, "cannot list the VMs");
    }
  }
}

bool may_retry(const Error& error) { return error.kind == ErrorKind::busy; }

} // namespace

void VmWalk::Unload::operator()(vm_slots* skeleton) const { vm_slots::destroy(skeleton); }

VmWalk::VmWalk(Skeleton skeleton, UniqueFd link) : skeleton_{std::move(skeleton)}, link_{std::move(link)} {}

VmWalk::~VmWalk() = default;

Result<std::unique_ptr<VmWalk>> VmWalk::load() {
  if (auto may = check_before_load(); !may) {
    return tl::unexpected{std::move(may.error())};
  }
  const LoaderMessages messages;
  Skeleton skeleton{vm_slots::open()};
  if (skeleton == nullptr) {
    return load_error(errno, messages.last());
  }
  if (const int result = vm_slots::load(skeleton.get()); result != 0) {
    return load_error(-result, messages.last());
  }
  UniqueFd link{::bpf_link_create(::bpf_program__fd(skeleton->progs.list_vms), 0, BPF_TRACE_ITER, nullptr)};
  if (!link) {
    return load_error(errno, messages.last());
  }
  return std::unique_ptr<VmWalk>{new VmWalk{std::move(skeleton), std::move(link)}};
}

Result<UniqueFd> VmWalk::link_to(pid_t pid) const {
  bpf_iter_link_info info{};
  info.task.pid = static_cast<__u32>(pid); // of the process, all its threads
  LIBBPF_OPTS(bpf_link_create_opts, options, .iter_info = &info, .iter_info_len = sizeof(info));
  UniqueFd link{::bpf_link_create(::bpf_program__fd(skeleton_->progs.list_vms), 0, BPF_TRACE_ITER, &options)};
  if (link) {
    return link;
  }
  if (errno == ESRCH) {
    return fail(ErrorKind::not_found, kOrigin, fmt::format("there is no process {}", pid));
  }
  return fail_errno(errno, kOrigin, fmt::format("cannot list the VMs of process {}", pid));
}

Result<Listing> VmWalk::walk(int link, VmKey vm, std::uint64_t from_gfn) const {
  const UniqueFd iterator{::bpf_iter_create(link)};
  if (!iterator) {
    return fail_errno(errno, kOrigin, "cannot list the VMs");
  }
  const MutexLock lock{mutex_};
  skeleton_->bss->request = {
      .vm = vm, .from_gfn = from_gfn, .last_vm = 0, .last_process = 0, .slots_done = 0};
  return read_all(iterator.get()).and_then([](const auto& bytes) { return parse_listing(bytes); });
}

Result<std::vector<ListedVm>> VmWalk::list_all() const {
  return walk(link_.get(), 0, 0).map([](Listing&& listing) { return std::move(listing.vms); });
}

Result<std::vector<ListedVm>> VmWalk::list_of(pid_t pid) const {
  const auto link = link_to(pid);
  if (!link) {
    return link.error().kind == ErrorKind::not_found ? Result<std::vector<ListedVm>>{}
                                                     : tl::unexpected{link.error()};
  }
  return walk(link->get(), 0, 0).map([](Listing&& listing) { return std::move(listing.vms); });
}

/// As many walks as it takes for all slots. busy: they changed meanwhile.
Result<VmSlots> VmWalk::slots_once(int link, VmKey vm) const {
  VmSlots all;
  for (std::uint64_t from = 0;;) {
    auto part = walk(link, vm, from);
    if (!part) {
      return tl::unexpected{std::move(part.error())};
    }
    const auto listed = std::ranges::find(part->vms, vm, &ListedVm::key);
    if (listed == part->vms.end()) {
      return fail(ErrorKind::not_found, kOrigin, "the process does not have this VM any more");
    }
    all.generation = from == 0 ? listed->generation : all.generation;
    if (!part->end || !part->end->same_slots || is_changing(listed->generation) ||
        listed->generation != all.generation || part->end->generation != all.generation) {
      return fail(ErrorKind::busy, kOrigin, "the VM's memory slots kept changing; try again");
    }
    std::ranges::move(part->slots, std::back_inserter(all.slots));
    all.vcpus = std::move(part->vcpus);
    if (part->end->complete) {
      return all;
    }
    if (all.slots.size() > kMaxSlots || part->end->next_gfn <= from) {
      return fail(ErrorKind::source_failed, kOrigin, "the VM's memory slots have no end");
    }
    from = part->end->next_gfn;
  }
}

Result<VmSlots> VmWalk::slots_of(pid_t pid, VmKey vm) const {
  const auto link = link_to(pid);
  if (!link) {
    return tl::unexpected{link.error()};
  }
  auto slots = slots_once(link->get(), vm);
  for (int tries = 1; !slots && may_retry(slots.error()) && tries < kTries; ++tries) {
    std::this_thread::sleep_for(kBetweenTries);
    slots = slots_once(link->get(), vm);
  }
  return slots;
}

} // namespace vmemfs::kvm
