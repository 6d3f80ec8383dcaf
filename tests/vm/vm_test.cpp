#include "driver/decorators/fault_driver.h"
#include "drivers/fake/fake_driver.h"
#include "vm/vm.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vmemfs {
namespace {

using testing::HasSubstr;

class VmTest : public testing::Test {
protected:
  VmTest() {
    auto fake = std::move(*FakeDriver::create({}));
    fake_ = fake.get();
    auto fault = std::make_unique<FaultDriver>(std::move(fake));
    fault_ = fault.get();
    vm_ = std::make_unique<Vm>(1, "vm", std::move(fault), [this](Vm&) { ++changes_; });
  }

  FakeDriver* fake_;
  FaultDriver* fault_;
  int changes_ = 0;
  std::unique_ptr<Vm> vm_;
};

TEST_F(VmTest, PauseAndResumeAreIdempotentAndNewEpochs) {
  const auto epoch = vm_->epoch();
  ASSERT_TRUE(vm_->pause().has_value());
  EXPECT_EQ(vm_->paused_by(), PausedBy::us);
  const auto paused = vm_->epoch();
  EXPECT_GT(paused, epoch);
  ASSERT_TRUE(vm_->pause().has_value());
  EXPECT_EQ(vm_->epoch(), paused);
  EXPECT_FALSE(vm_->run_status()->running);
  ASSERT_TRUE(vm_->resume().has_value());
  ASSERT_TRUE(vm_->resume().has_value());
  EXPECT_GT(vm_->epoch(), paused);
  EXPECT_TRUE(vm_->run_status()->running);
  EXPECT_EQ(vm_->paused_by(), PausedBy::nobody);
  EXPECT_GT(changes_, 0);
}

TEST_F(VmTest, AForeignPauseIsSeenAndNotTakenForOurs) {
  fake_->set_running(false);
  EXPECT_EQ(vm_->paused_by(), PausedBy::somebody_else);
  ASSERT_TRUE(vm_->pause().has_value());
  EXPECT_EQ(vm_->paused_by(), PausedBy::somebody_else);
  vm_->let_go();
  EXPECT_FALSE(vm_->run_status()->running);
}

TEST_F(VmTest, LetGoEndsOurOwnPause) {
  ASSERT_TRUE(vm_->pause().has_value());
  vm_->let_go();
  EXPECT_TRUE(vm_->run_status()->running);
}

TEST_F(VmTest, LastChangeStandsWhilePaused) {
  ASSERT_TRUE(vm_->pause().has_value());
  const auto since = vm_->last_change();
  EXPECT_EQ(vm_->last_change(), since);
  ASSERT_TRUE(vm_->resume().has_value());
  EXPECT_GT(vm_->last_change(), since);
}

TEST_F(VmTest, FailuresAreKeptInWords) {
  EXPECT_EQ(vm_->last_error(), "");
  for (const FaultPoint point : {FaultPoint::run_status, FaultPoint::pause}) {
    fault_->fail_nth(point, 1, ErrorKind::timed_out);
    const auto paused = vm_->pause();
    ASSERT_FALSE(paused.has_value());
    EXPECT_EQ(paused.error().kind, ErrorKind::timed_out);
    EXPECT_TRUE(vm_->run_status()->running);
    EXPECT_EQ(vm_->paused_by(), PausedBy::nobody);
  }
  EXPECT_THAT(vm_->last_error(), HasSubstr("injected failure"));
  fault_->fail_nth(FaultPoint::refresh, 1);
  EXPECT_FALSE(vm_->refresh().has_value());
  fault_->fail_nth(FaultPoint::resume, 1);
  EXPECT_FALSE(vm_->resume().has_value());
}

TEST_F(VmTest, APauseThatCameTooLateIsStillOurs) {
  fault_->fail_nth(FaultPoint::pause, 1, ErrorKind::timed_out);
  EXPECT_FALSE(vm_->pause().has_value());
  fake_->set_running(false); // QEMU did it after all
  EXPECT_EQ(vm_->paused_by(), PausedBy::us);
  vm_->let_go();
  EXPECT_TRUE(vm_->run_status()->running);
}

TEST_F(VmTest, AnEndedVmSaysSo) {
  fake_->die();
  EXPECT_EQ(vm_->pause().error().kind, ErrorKind::vm_gone);
  EXPECT_EQ(vm_->resume().error().kind, ErrorKind::vm_gone);
  EXPECT_EQ(vm_->read_registers(VcpuId{0}).error().kind, ErrorKind::vm_gone);
  EXPECT_GT(changes_, 0);
}

} // namespace
} // namespace vmemfs
