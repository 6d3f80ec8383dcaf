// SPDX-License-Identifier: MIT
// Run state of a VirtualBox guest: pause, resume, and what others do.
//
// The mark of a changed state is only looked at, so that another client that waits for it gets it. As nobody
// may ever clear it, a change is certain to be seen only by asking, which poll() does.
#pragma once

#include "driver/driver.h"
#include "driver/kit/listener_slot.h"
#include "drivers/vbox/link/fdp_link.h"

#include <atomic>
#include <string>

namespace vmemfs::vbox {

/// Thread-safe.
class GuestControl final : public RunControl {
public:
  using Clock = FdpLink::Clock;

  /// Both outlive it. `state`: as the greeting found it.
  GuestControl(FdpLink& link, ListenerSlot& listener, const GuestState& state)
      : link_{link}, listener_{listener}, paused_{state.paused} {}

  [[nodiscard]] Result<RunStatus> run_status() override;
  [[nodiscard]] Result<RunStatus> pause() override;
  [[nodiscard]] Result<RunStatus> resume() override;
  [[nodiscard]] std::string resume_ticket() const override;

  /// busy: the guest runs.
  [[nodiscard]] Result<void> require_paused(Clock::time_point deadline);

  /// Asks for the state, and reports a change.
  void poll();

private:
  [[nodiscard]] Clock::time_point deadline() const { return Clock::now() + link_.timeout(); }
  [[nodiscard]] Result<GuestState> state(Clock::time_point deadline);
  [[nodiscard]] Result<GuestState> wait_for(bool paused);
  [[nodiscard]] RunStatus status_of(const GuestState& state) const;

  FdpLink& link_;
  ListenerSlot& listener_;
  std::atomic<bool> paused_;              ///< as last seen
  std::atomic<bool> paused_by_us_{false}; ///< until it is seen to run
};

} // namespace vmemfs::vbox
