#include "drivers/libvirt/domain_listener.h"

namespace vmemfs::libvirt {

DomainListener::DomainListener(Domain& domain)
    : domain_{domain},
      subscription_{domain.connection().subscribe(domain.run(), [this](DomainNews news) { on_news(news); })} {
}

void DomainListener::set(VmListener* listener) {
  const std::scoped_lock lock{mutex_};
  listener_ = listener;
}

void DomainListener::emit(VmEvent event) {
  const std::scoped_lock lock{mutex_};
  if (listener_ != nullptr) {
    listener_->on_vm_event(event);
  }
}

std::optional<std::chrono::milliseconds> DomainListener::state_delay() const {
  return domain_.connection().link() ? std::optional<std::chrono::milliseconds>{Connection::kDeadAfter}
                                     : std::nullopt;
}

void DomainListener::on_news(DomainNews news) {
  switch (news) {
  case DomainNews::paused: emit(VmEvent::paused); break;
  case DomainNews::resumed: emit(VmEvent::resumed); break;
  case DomainNews::reset: emit(VmEvent::reset); break;
  case DomainNews::memory_changed:
  case DomainNews::state_unclear: emit(VmEvent::state_unclear); break;
  case DomainNews::ended:
    if (!ended_.exchange(true)) {
      emit(VmEvent::gone);
    }
    break;
  }
}

} // namespace vmemfs::libvirt
