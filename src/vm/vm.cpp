// SPDX-License-Identifier: MIT
#include "vm/vm.h"

#include <utility>

namespace vmemfs {

Vm::Vm(VmId id, std::string name, std::unique_ptr<Driver> driver, const VmServices& services,
       const VmOptions& options)
    : id_{id}, rights_{options.rights}, driver_{std::move(driver)}, events_{services.events, std::move(name)},
      jobs_{services.jobs, services.prefetch_jobs, services.slow_prefetch_jobs, services.state_polls},
      attachment_{*driver_},
      coherence_{[this, changed = services.changed] { changed(id_, gone()); },
                 [this] {
                   cache_.drop_pages();
                   guest_.memory().drop_prefetched();
                 },
                 [id, drop = services.drop_outer_caches] { drop(id); },
                 services.drop_kept_pages ? [id, drop = services.drop_kept_pages] { drop(id); }
                                          : std::function<void()>{}},
      cache_{*driver_,
             coherence_,
             events_,
             services.cache_budget,
             {.kernel = options.cache_kernel, .ttl = options.cache_ttl}},
      run_state_{{.driver = *driver_,
                  .attachment = attachment_,
                  .coherence = coherence_,
                  .events = events_,
                  .jobs = jobs_,
                  .guard = services.guard,
                  .vm_id = id}},
      write_gate_{{.driver = *driver_,
                   .attachment = attachment_,
                   .coherence = coherence_,
                   .run_state = run_state_,
                   .events = events_},
                  options.writable},
      guest_{{.driver = *driver_,
              .attachment = attachment_,
              .coherence = coherence_,
              .cache = cache_,
              .run_state = run_state_,
              .writes = write_gate_,
              .events = events_,
              .jobs = jobs_},
             services.kernel_budget} {
  if (driver_->frozen()) {
    static_cast<void>(coherence_.try_mark_stable(coherence_.epoch().load()));
  }
}

std::shared_ptr<Vm> Vm::create(VmId id, std::string name, std::unique_ptr<Driver> driver,
                               const VmServices& services, const VmOptions& options) {
  std::shared_ptr<Vm> vm{new Vm{id, std::move(name), std::move(driver), services, options}};
  vm->jobs_.set_owner(vm);
  vm->driver_->set_listener(vm.get());
  vm->run_state_.poll_soon();
  vm->guest_.vcpus_changed(); // while nobody listened yet
  return vm;
}

Vm::~Vm() { driver_->set_listener(nullptr); }

Result<void> Vm::detach() {
  attachment_.detach();
  auto released = run_state_.release();
  coherence_.changed(); // notifies the registry
  return released;
}

/// Only invalidation is done at once. Who paused the VM, and whether pages may be kept, is decided by a
/// query, because an event may be stale when it arrives.
void Vm::on_vm_event(VmEvent event) {
  switch (event) {
  case VmEvent::layout_changed:
    coherence_.changed();
    events_.report(EventKind::layout, "the memory map changed");
    break;
  case VmEvent::vcpus_changed: guest_.vcpus_changed(); break;
  case VmEvent::paused: run_state_.poll_soon(); break;
  case VmEvent::reset: events_.report(EventKind::reset, "the guest was reset"); [[fallthrough]];
  case VmEvent::resumed:
  case VmEvent::state_unclear:
    coherence_.may_change();
    run_state_.poll_soon();
    break;
  case VmEvent::gone: coherence_.may_change(); break;
  }
}

} // namespace vmemfs
