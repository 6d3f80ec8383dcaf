#include "fs/app/daemon.h"

#include "core/text.h"
#include "drivers/all_drivers.h"
#include "fs/app/background.h"
#include "fs/app/guardian.h"
#include "fs/app/mounter.h"
#include "fs/app/privileges.h"
#include "fs/app/service_notify.h"
#include "fs/files/event_readers.h"
#include "fs/files/stats_text.h"
#include "fs/fuse/fuse_mount.h"
#include "fs/fuse/mount_watch.h"
#include "fs/fuse/own_dir.h"
#include "fs/fuse/session.h"
#include "util/fd_watcher.h"
#include "util/log.h"
#include "util/worker.h"
#include "vm/attacher.h"
#include "vm/cache_budget.h"
#include "vm/event_log.h"
#include "vm/lookout.h"
#include "vm/vm_registry.h"

#include <algorithm>
#include <fmt/format.h>
#include <unistd.h>

namespace vmemfs {
namespace {

constexpr int kFailed = 1;
/// For work that waits for drivers: so many may hang before it stands still.
constexpr unsigned kJobThreads = 4;
/// What is there at the start is in the mount from its first moment, unless a monitor takes too long.
constexpr std::chrono::seconds kForFirstLook{5};

/// Attaches every VM that was named; what fails is said, and then nothing is mounted.
bool attach_named(const std::vector<VmSpec>& specs, Attacher& attacher) {
  bool good = true;
  for (const VmSpec& spec : specs) {
    if (const auto vm = attacher.attach(spec)) {
      log::debug("{}: attached by driver {}", (*vm)->name(), spec.driver);
    } else {
      log::error("can't attach {}: {}", spec.name.empty() ? spec.driver : spec.name, vm.error().message());
      good = false;
    }
  }
  return good;
}

std::vector<Lookout::Source> discoveries(const MountOptions& options) {
  std::vector<Lookout::Source> sources;
  for (const DriverType* const type : all_drivers()) {
    auto discovery = options.discover && type->available() ? type->discovery() : nullptr;
    if (discovery != nullptr) {
      sources.push_back({std::string{type->name()}, std::move(discovery)});
    }
  }
  return sources;
}

void tell_refusal(const Refusal& refusal, EventLog& events) {
  events.append(EventKind::error, refusal.name, refusal.reason);
  log::warning("can't attach {} {} ({}): {}", refusal.driver, refusal.number, printable(refusal.name),
               refusal.reason);
}

/// Jobs use the registry and the session: none may run once these begin to end.
class StopAtEnd {
public:
  explicit StopAtEnd(Worker& worker) : worker_{worker} {}
  StopAtEnd(const StopAtEnd&) = delete;
  StopAtEnd& operator=(const StopAtEnd&) = delete;
  ~StopAtEnd() { worker_.stop(); }

private:
  Worker& worker_;
};

/// Whoever may use a file of a VM has to come through the root directory.
mode_t root_mode(const MountOptions& options) {
  const bool for_others =
      std::ranges::find(options.fuse_options, "allow_other") != options.fuse_options.end();
  return for_others ? TreeOptions::kRootForAll : TreeOptions::kRootForMounter;
}

void log_privileges(const PrivilegeReport& report) {
  log::info("{}", report.summary);
  for (const std::string& problem : report.problems) {
    log::warning("{}", problem);
  }
}

/// Who waits for an event must not keep a mount alive that nobody can get to any more.
std::unique_ptr<MountWatch> watch_mount(const std::string& mountpoint, EventReaders& readers) {
  auto watch = MountWatch::start(mountpoint, [&readers] { readers.end(); });
  if (!watch) {
    log::warning("reads of events will not end by an unmount with -z: {}", watch.error().message());
    return nullptr;
  }
  return std::move(*watch);
}

int serve(const MountOptions& options, Background& background, Mounter& mounter,
          const PrivilegeReport& privileges, const ServiceNotify& service) {
  FdWatcher watcher;
  Worker notifier;
  Worker jobs{kJobThreads};
  Guardian guardian{watcher};
  CacheBudget cache_budget{options.cache_size};
  EventLog events;
  const auto event_readers = EventReaders::create(events);
  VmRegistry vms{{.notifier = notifier,
                  .jobs = jobs,
                  .cache_budget = cache_budget,
                  .guard = &guardian,
                  .events = &events}};
  const DriverContext context{watcher, jobs};
  Attacher attacher{[&context](const VmSpec& spec) { return open_driver(spec, context); }, vms,
                    options.vm_options};
  Lookout lookout{discoveries(options),
                  options.wanted,
                  attacher,
                  [&events](const Refusal& refusal) { tell_refusal(refusal, events); },
                  {}};
  const OwnDir own_dir{{.drivers = all_drivers(),
                        .vms = vms,
                        .attacher = attacher,
                        .lookout = lookout,
                        .events = *event_readers,
                        .stats = [&] { return stats_text(vms, events, *event_readers); }}};
  Tree tree{vms, own_dir, {::getuid(), ::getgid(), root_mode(options)}};
  FileSystem file_system{tree};
  const StopAtEnd stop_jobs{jobs};
  const StopAtEnd stop_notifier{notifier};
  if (!attach_named(options.vms, attacher)) {
    return kFailed;
  }
  lookout.start();
  lookout.wait_for_first_look(kForFirstLook);
  const auto session = Session::create(file_system, options.fuse_options, options.debug);
  const auto mounted = session.and_then([&](const std::unique_ptr<Session>& created) {
    return mounter.mount().and_then([&](UniqueFd device) { return created->connect(std::move(device)); });
  });
  if (!mounted) {
    log::error("{}", mounted.error().message());
    return kFailed;
  }
  notifier.post([&vms, mount = session->get()] {
    vms.set_callbacks({.changed =
                           [mount](const Vm& vm) {
                             mount->forget_pages({NodeKind::mem, vm.id(), {}});
                             mount->forget_pages({NodeKind::mem_padded, vm.id(), {}});
                           },
                       .removed = [mount](const Vm& vm) { mount->forget_name(vm.name()); }});
  });
  background.ready();
  log_privileges(privileges);
  service.ready();

  auto watch = watch_mount(options.mountpoint, *event_readers);
  const auto served = (*session)->serve();
  service.stopping();
  lookout.stop();
  watch.reset();
  event_readers->end();
  for (const auto& vm : vms.all()) {
    vm->let_go();
  }
  jobs.stop();
  notifier.stop(); // it may be telling the session things
  mounter.unmount();
  if (!served) {
    log::error("{}", served.error().message());
    return kFailed;
  }
  return 0;
}

} // namespace

int run_daemon(const MountOptions& options) {
  if (options.debug) {
    log::set_level(log::Level::debug);
  }
  if (const auto checked = check_mountpoint(options.mountpoint); !checked) {
    log::error("{}", checked.error().message());
    return kFailed;
  }
  Background background;
  if (!options.foreground) {
    if (const auto exit_code = background.fork_and_wait()) {
      return *exit_code;
    }
  }
  auto mounter = Mounter::start({options.mountpoint, options.fuse_options});
  if (!mounter) {
    log::error("{}", mounter.error().message());
    return kFailed;
  }
  const auto service = ServiceNotify::from_environment();
  const PrivilegeReport privileges = give_up_privileges();
  return serve(options, background, *mounter, privileges, service);
}

} // namespace vmemfs
