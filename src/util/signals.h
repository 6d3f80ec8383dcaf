// Keeps signals away from our threads, so that the main thread gets them.
#pragma once

#include <csignal>

namespace vmemfs {

/// Blocks all signals for the calling thread while it lives. A thread that is started meanwhile
/// inherits that for good.
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
