// SPDX-License-Identifier: MIT
#include "vm/linux/kernel_budget.h"

#include <algorithm>

namespace vmemfs {

void KernelBudget::add(User& user) {
  const MutexLock lock{mutex_};
  users_.push_back(&user);
}

void KernelBudget::remove(User& user) {
  const MutexLock lock{mutex_};
  users_.remove(&user);
}

void KernelBudget::note_use(User& user) {
  const MutexLock lock{mutex_};
  const auto place = std::ranges::find(users_, &user);
  if (place != users_.end()) {
    users_.splice(users_.end(), users_, place);
  }
  std::size_t kept = total();
  for (User* const oldest : users_) {
    if (kept <= max_bytes_ || oldest == &user) {
      return;
    }
    kept -= std::min(kept, oldest->kept_bytes());
    oldest->drop_kept();
  }
}

std::size_t KernelBudget::kept_bytes() const {
  const MutexLock lock{mutex_};
  return total();
}

std::size_t KernelBudget::total() const {
  std::size_t bytes = 0;
  for (const User* const user : users_) {
    bytes += user->kept_bytes();
  }
  return bytes;
}

} // namespace vmemfs
