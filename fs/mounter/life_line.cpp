// SPDX-License-Identifier: MIT
#include "fs/mounter/life_line.h"

#include <cerrno>
#include <new>
#include <sys/mman.h>

namespace vmemfs {

Result<LifeLine> LifeLine::hold() {
  void* const memory =
      ::mmap(nullptr, sizeof(pthread_mutex_t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    return fail_errno(errno, "mount", "cannot allocate shared memory");
  }
  auto* const lock = new (memory) pthread_mutex_t;
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  int error = pthread_mutex_init(lock, &attributes);
  pthread_mutexattr_destroy(&attributes);
  if (error == 0) {
    error = pthread_mutex_lock(lock);
  }
  return error == 0 ? Result<LifeLine>{LifeLine{lock}}
                    : fail_errno(error, "mount", "cannot create a robust lock");
}

void LifeLine::wait() const {
  static_cast<void>(pthread_mutex_lock(lock_)); // EOWNERDEAD
}

} // namespace vmemfs
