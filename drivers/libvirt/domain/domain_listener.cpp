// SPDX-License-Identifier: MIT
#include "drivers/libvirt/domain/domain_listener.h"

namespace vmemfs::libvirt {

DomainListener::DomainListener(Domain& domain)
    : domain_{domain}, subscription_{domain.connection().subscribe(
                           domain.run(), [this](DomainEvent event) { on_event(event); })} {}

std::optional<std::chrono::milliseconds> DomainListener::state_delay() const {
  return domain_.connection().link() ? std::optional<std::chrono::milliseconds>{kDeadAfter} : std::nullopt;
}

void DomainListener::on_event(DomainEvent event) {
  switch (event) {
  case DomainEvent::paused: emit(VmEvent::paused); break;
  case DomainEvent::resumed: emit(VmEvent::resumed); break;
  case DomainEvent::reset: emit(VmEvent::reset); break;
  case DomainEvent::memory_changed:
  case DomainEvent::state_unclear: emit(VmEvent::state_unclear); break;
  case DomainEvent::ended:
    if (!ended_.exchange(true)) {
      emit(VmEvent::gone);
    }
    break;
  }
}

} // namespace vmemfs::libvirt
