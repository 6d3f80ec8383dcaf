// SPDX-License-Identifier: MIT
// Blocking of signals in vmemfs' threads, so that the main thread receives them.
#pragma once

#include <csignal>

namespace vmemfs {

/// Blocks all signals for the calling thread during its lifetime. A thread that is started meanwhile
/// inherits the mask permanently.
class SignalsBlocked {
public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

private:
  sigset_t before_;
};

} // namespace vmemfs
