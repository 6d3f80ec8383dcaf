#include "fs/app/daemon.h"

#include "drivers/all_drivers.h"
#include "fs/app/background.h"
#include "fs/app/guardian.h"
#include "fs/app/mounter.h"
#include "fs/app/privileges.h"
#include "fs/app/service_notify.h"
#include "fs/fuse/fuse_mount.h"
#include "fs/fuse/own_dir.h"
#include "fs/fuse/session.h"
#include "util/fd_watcher.h"
#include "util/log.h"
#include "util/worker.h"
#include "vm/cache_budget.h"
#include "vm/vm_registry.h"

#include <algorithm>
#include <fmt/format.h>
#include <unistd.h>

namespace vmemfs {
namespace {

constexpr int kFailed = 1;
/// For work that waits for drivers: so many may hang before it stands still.
constexpr unsigned kJobThreads = 4;

/// The name of the VM's directory: what the user said, else the VM's own name, else the driver's.
std::string directory_name(const VmSpec& spec, const Driver& driver) {
  if (!spec.name.empty()) {
    return spec.name;
  }
  const std::string& own = driver.identity().name;
  return check_vm_name(own) ? own : spec.driver;
}

Result<std::shared_ptr<Vm>> attach(const VmSpec& spec, const VmOptionsTable& vm_options, VmRegistry& vms,
                                   const DriverContext& context) {
  auto driver = open_driver(spec, context);
  if (!driver) {
    return tl::unexpected{driver.error()};
  }
  std::string name = directory_name(spec, **driver);
  const VmOptions& options = vm_options.of(name);
  return vms.add(std::move(name), std::move(*driver), options);
}

/// Attaches every VM; what fails is said, and then nothing is mounted.
bool attach_all(const MountOptions& options, VmRegistry& vms, const DriverContext& context) {
  bool good = true;
  for (const VmSpec& spec : options.vms) {
    if (const auto vm = attach(spec, options.vm_options, vms, context)) {
      log::debug("{}: attached by driver {}", (*vm)->name(), spec.driver);
    } else {
      log::error("can't attach {}: {}", spec.name.empty() ? spec.driver : spec.name, vm.error().message());
      good = false;
    }
  }
  return good;
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

int serve(const MountOptions& options, Background& background, Mounter& mounter,
          const PrivilegeReport& privileges, const ServiceNotify& service) {
  FdWatcher watcher;
  Worker notifier;
  Worker jobs{kJobThreads};
  Guardian guardian{watcher};
  CacheBudget cache_budget{options.cache_size};
  VmRegistry vms{{.notifier = notifier, .jobs = jobs, .cache_budget = cache_budget, .guard = &guardian}};
  const OwnDir own_dir{{.drivers = all_drivers()}};
  Tree tree{vms, own_dir, {::getuid(), ::getgid(), root_mode(options)}};
  FileSystem file_system{tree};
  const StopAtEnd stop_jobs{jobs};
  const StopAtEnd stop_notifier{notifier};
  if (!attach_all(options, vms, {watcher, jobs})) {
    return kFailed;
  }
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

  const auto served = (*session)->serve();
  service.stopping();
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
