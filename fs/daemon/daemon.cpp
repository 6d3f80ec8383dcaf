// SPDX-License-Identifier: MIT
#include "fs/daemon/daemon.h"

#include "core/text.h"
#include "driver/driver_runtimes.h"
#include "drivers/all_drivers.h"
#include "fs/daemon/background.h"
#include "fs/daemon/mount_needs.h"
#include "fs/daemon/remount.h"
#include "fs/daemon/service_notify.h"
#include "fs/daemon/vm_service.h"
#include "fs/files/text/stats_text.h"
#include "fs/fuse/fuse_mount.h"
#include "fs/fuse/mount_watch.h"
#include "fs/fuse/session.h"
#include "fs/mounter/mounter.h"
#include "fs/privileges/privileges.h"
#include "fs/tree/tree.h"
#include "util/log.h"
#include "util/signals.h"

#include <chrono>
#include <csignal>
#include <fmt/format.h>
#include <future>
#include <malloc.h>
#include <memory>
#include <thread>
#include <unistd.h>
#include <utility>

namespace vmemfs {
namespace {

constexpr int kFailed = 1;
/// Limit of the wait for VMs that run at the start: they are in the mount from its first moment unless a
/// monitor or a host takes longer.
constexpr std::chrono::seconds kFirstScanLimit{5};
/// Limits of the end, from its begin: for resuming paused VMs, and for all.
constexpr std::chrono::milliseconds kVmsEndLimit{3500};
constexpr std::chrono::milliseconds kEndLimit{4700};
/// Time for dropping the kernel's pages.
constexpr std::chrono::milliseconds kPagesLimit{1000};
/// Time for requests under way to be answered by the VM at the end.
constexpr std::chrono::milliseconds kRequestGrace{300};
/// Time for the threads that serve the mount to end when it has gone.
constexpr std::chrono::milliseconds kLoopEndLimit{2000};

/// Large blocks, such as a monitor's answer, go back to the system when they are freed. By default, the first
/// one that is freed makes glibc keep all later ones of up to 32 MiB, for each thread.
void give_freed_memory_back() {
  constexpr int kLarge = 1 << 20;
  // NOLINTBEGIN(concurrency-mt-unsafe): there is no other thread yet
  ::mallopt(M_MMAP_THRESHOLD, kLarge);
  ::mallopt(M_TRIM_THRESHOLD, kLarge);
  // NOLINTEND(concurrency-mt-unsafe)
}

/// Parts that were created before privileges were given up.
struct RunContext {
  Background& background; ///< the calling process, which waits until the mount is ready
  Mounter& mounter;
  const ServiceNotify& service;
  const DriverRuntimes& runtimes;
  const PrivilegeReport& privileges;
};

/// The root directory must be accessible to every user who may use a file of a VM.
mode_t root_mode(const MountOptions& options) {
  return options.for_others() ? TreeOptions::kRootForAll : TreeOptions::kRootForMounter;
}

/// Not for those who write from the start: with shared mappings, a file of memory that is open for reading
/// and writing cannot be mapped at all. See FileSystem::keep().
bool shared_mappings(const MountOptions& options) { return !options.vm_options.general.writable; }

void log_privileges(const PrivilegeReport& report) {
  log::info("{}", report.summary);
  for (const std::string& problem : report.problems) {
    log::warning("{}", problem);
  }
}

/// Notifies the kernel of changes of VMs, because it caches names and pages.
VmRegistry::Callbacks kernel_notifications(Session& session, FileSystem& files) {
  Tree& tree = files.tree();
  const auto forget_pages = [&session, &files](const Vm& vm) {
    for (const Ino ino : files.tree().guest_memory(vm.id())) {
      files.kernel_pages().drop_all(ino, [&session, ino] { session.forget_pages(ino); });
    }
  };
  // First, as it waits for nothing: from then on the kernel asks before it reads what it has.
  const auto forget_attributes = [&session, &files](const Vm& vm) {
    for (const Ino ino : files.tree().guest_memory(vm.id())) {
      if (files.kernel_pages().has_readers(ino)) {
        session.forget_attributes(ino);
      }
    }
  };
  const auto drop_pages = [&files, forget_pages, forget_attributes](const Vm& vm) {
    forget_attributes(vm);
    return files.drop_pages(vm.id(), [&] { forget_pages(vm); });
  };
  return {.changed = drop_pages,
          .kept = [&files, forget_pages](
                      const Vm& vm) { return files.drop_kept_pages(vm.id(), [&] { forget_pages(vm); }); },
          .removed =
              [&session, &files, &tree, drop_pages](const Vm& vm) {
                files.end_requests(vm.id());
                static_cast<void>(
                    drop_pages(vm)); // of those that are to come, the kernel asks for attributes
                tree.remove_vm(vm.id());
                session.forget_name(vm.name());
              }};
}

/// After the mount has left this mount namespace: wakes those who poll the events, and ends serving when the
/// last file of a VM is closed. The kernel would keep the mount for a namespace that began while it
/// was there, and with it a guest that is paused.
std::unique_ptr<MountWatch> watch_mount(const std::string& mountpoint, EventFeed& feed, Session& session,
                                        FileSystem& files) {
  auto watch = MountWatch::start(mountpoint, [&feed, &session, &files] {
    feed.end();
    session.note_mount_gone();
    files.when_unused([] { ::kill(::getpid(), SIGTERM); }); // as if the user ended it
  });
  if (!watch) {
    log::warning("an unmount with -z, while a VM hangs, or while another mount namespace has the mount, will "
                 "not be noticed: {}",
                 watch.error().message());
    return nullptr;
  }
  return std::move(*watch);
}

/// Reports it if the mounter is killed.
FdWatcher::Watch watch_mounter(Mounter& mounter, VmService& vms) {
  auto watch = vms.watcher().watch_once(mounter.pidfd(), [&mounter, &events = vms.events()] {
    if (const auto killed = mounter.take_end()) {
      log::warning("{}", *killed);
      events.append(EventKind::error, "", *killed);
    }
  });
  if (!watch) {
    log::warning("a mounter that is killed will not be noticed: {}", watch.error().message());
    return {};
  }
  return std::move(*watch);
}

Result<std::unique_ptr<Session>> mount(FileSystem& file_system, const MountOptions& options,
                                       Mounter& mounter) {
  auto session = Session::create(file_system, options.fuse_options, options.debug);
  if (!session) {
    return session;
  }
  return mounter.mount()
      .and_then([&](UniqueFd device) {
        file_system.passthrough().use(mounter.backing_ids(device.get()));
        return (*session)->connect(std::move(device));
      })
      .map([&] { return std::move(*session); });
}

Result<void> serve(Session& session, FileSystem& files, VmService& vms, const MountOptions& options,
                   const RunContext& context) {
  vms.set_callbacks(kernel_notifications(session, files));
  const auto watch = watch_mount(options.mountpoint, vms.event_feed(), session, files);
  auto served = session.serve([&context] {
    context.background.ready();
    log_privileges(context.privileges);
    context.service.ready();
  });
  context.service.stopping();
  return served;
}

int fail_with(const Error& error) {
  log::error("{}", error.message());
  return kFailed;
}

struct EndingParts {
  Session& session;
  FileSystem& files;
  VmService& vms;
  Mounter& mounter;
};

/// Ends the process whatever hangs. The mounter unmounts and the guardian resumes what is left.
void limit_end(std::chrono::steady_clock::time_point deadline, int exit_code) {
  const SignalsBlocked blocked;
  std::thread{[deadline, exit_code] {
    std::this_thread::sleep_until(deadline);
    log::warning("vmemfs ends although a VM still hangs");
    ::_exit(exit_code);
  }}.detach();
}

/// Before guests run again: nobody would drop afterwards what the kernel has of their memory, and files that
/// are still mapped would show it.
void drop_last_pages(const EndingParts& parts) {
  parts.files.end_caching();
  for (const std::shared_ptr<Vm>& vm : parts.vms.registry().all()) {
    if (!vm->guest().frozen()) {
      parts.files.drop_last_pages(vm->id(), [&] {
        for (const Ino ino : parts.files.tree().guest_memory(vm->id())) {
          parts.session.forget_pages(ino);
        }
      });
    }
  }
}

/// Pages of guest memory are dropped, paused guests run again, requests are answered, the mount goes: in this
/// order, and none of it waits for a VM that hangs longer than the limit. Does not return if something still
/// hangs.
/// The exit code: not 0 if one may stay paused.
int end(const EndingParts& parts, int exit_code) {
  const auto begin = std::chrono::steady_clock::now();
  limit_end(begin + kEndLimit, exit_code);
  std::promise<void> pages_dropped;
  std::promise<bool> vms_ended;
  std::thread vms_end;
  {
    const SignalsBlocked blocked;
    vms_end = std::thread{[&] {
      drop_last_pages(parts); // while the session answers, as pages may be awaited
      parts.session.end_invalidation();
      pages_dropped.set_value();
      vms_ended.set_value(parts.vms.end()); // while the session exists, because it is notified
    }};
  }
  if (pages_dropped.get_future().wait_for(kPagesLimit) != std::future_status::ready) {
    log::warning("the kernel still has pages of guest memory, which mappings of files may show");
  }
  if (!parts.session.stop(kRequestGrace)) {
    parts.files.end_requests();
  }
  auto result = vms_ended.get_future();
  const bool ended = result.wait_until(begin + kVmsEndLimit) == std::future_status::ready;
  if (ended && !result.get()) {
    exit_code = kFailed;
  }
  parts.mounter.unmount();
  if (!ended || !parts.session.stop(kLoopEndLimit)) {
    log::warning("vmemfs ends although a VM still hangs");
    ::_exit(exit_code);
  }
  vms_end.join();
  return exit_code;
}

int run(const MountOptions& options, const RunContext& context) {
  VmService vms{options, context.runtimes};
  const MountServices services{
      .drivers = all_drivers(),
      .vms = vms.registry(),
      .attacher = vms.attacher(),
      .finder = vms.finder(),
      .events = vms.event_feed(),
      .stats = [&vms] { return stats_text(vms.registry(), vms.events(), vms.event_feed()); }};
  Tree tree{vms.registry(), services, {::getuid(), ::getgid(), root_mode(options)}};
  FileSystem file_system{tree, shared_mappings(options)};
  if (!vms.begin(kFirstScanLimit)) {
    return kFailed;
  }
  const auto session = mount(file_system, options, context.mounter);
  if (!session) {
    return fail_with(session.error());
  }
  auto mounter_watch = watch_mounter(context.mounter, vms);
  const auto served = serve(**session, file_system, vms, options, context);
  mounter_watch.end(); // from here on the mounter is expected to end
  const int exit_code = served ? 0 : fail_with(served.error());
  return end({**session, file_system, vms, context.mounter}, exit_code);
}

} // namespace

int run_daemon(const MountOptions& options) {
  give_freed_memory_back();
  if (options.debug) {
    log::set_level(log::Level::debug);
  }
  if (options.remount) {
    const auto done = remount(options.mountpoint, options.fuse_options);
    return done ? 0 : fail_with(done.error());
  }
  if (const auto mounted = find_vmemfs_mount(options.mountpoint)) {
    return fail_with(
        {ErrorKind::busy, "mount",
         fmt::format("a vmemfs is mounted on '{}' already; take another directory, or end it with: "
                     "fusermount3 -u '{}'",
                     printable(*mounted), printable(*mounted))});
  }
  if (const auto outside = check_outside_of_vmemfs(options.mountpoint); !outside) {
    return fail_with(outside.error());
  }
  if (const auto checked = check_mountpoint(options.mountpoint); !checked) {
    return fail_with(checked.error());
  }
  Background background;
  if (!options.foreground) {
    if (const auto exit_code = background.fork_and_wait()) {
      return *exit_code;
    }
  }
  auto mounter = Mounter::start({options.mountpoint, options.fuse_options});
  if (!mounter) {
    return fail_with(mounter.error());
  }
  const auto service = ServiceNotify::from_environment();
  const Needs needs = mount_needs(options);
  const DriverRuntimes runtimes{all_drivers()}; // may take rights that are given up next
  const PrivilegeReport privileges = give_up_privileges(needs);
  return run(options, {background, *mounter, service, runtimes, privileges});
}

} // namespace vmemfs
