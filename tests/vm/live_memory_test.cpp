// SPDX-License-Identifier: MIT
#include "driver/decorators/forwarding_driver.h"
#include "vm_fixture.h"

#include <atomic>
#include <chrono>
#include <functional>
#include <gtest/gtest.h>
#include <latch>
#include <thread>

namespace vmemfs::test {
namespace {

using namespace std::chrono_literals;

/// The layout is in memory that does not answer before release().
class SilentLayout : public ForwardingDriver {
public:
  SilentLayout(std::unique_ptr<Driver> inner, std::atomic<int>& polls, std::latch& released)
      : ForwardingDriver{std::move(inner)}, polls_{polls}, released_{released} {}

  void poll_layout(bool /*missed*/) override {
    ++polls_;
    released_.wait();
  }

private:
  std::atomic<int>& polls_;
  std::latch& released_;
};

/// Else a few calls of `ls -l` would take all threads of the mount.
TEST(LiveMemory, LayoutDoesNotAnswer_OneThreadHangs) {
  std::atomic<int> polls = 0;
  std::latch released{1};
  VmFixture fixture{{}, {}, {}, [&](std::unique_ptr<Driver> inner) {
                      return std::make_unique<SilentLayout>(std::move(inner), polls, released);
                    }};
  AddressSpace& memory = fixture.vm->guest().memory();
  std::thread hanging{[&] { memory.poll_layout(); }};
  EXPECT_TRUE(eventually([&] { return polls == 1; }));
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 10; ++i) {
    memory.poll_layout();
    EXPECT_NE(memory.map()->data_bytes(), 0U);
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 20s);
  EXPECT_EQ(polls, 1);
  released.count_down();
  hanging.join();
  memory.poll_layout();
  EXPECT_EQ(polls, 2);
}

} // namespace
} // namespace vmemfs::test
