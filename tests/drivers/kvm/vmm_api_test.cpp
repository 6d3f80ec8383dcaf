// SPDX-License-Identifier: MIT
// Pause by the API of a VMM, against simulators of those of Firecracker and cloud-hypervisor in a real VMM.
#include "arch/x86_64/kvm_registers.h"
#include "arch/x86_64/registers.h"
#include "drivers/kvm/api/resume_ticket.h"
#include "drivers/kvm/api/vmm_api.h"
#include "drivers/kvm/kvm_driver.h"
#include "drivers/kvm/kvm_type.h"
#include "support/kvm/kvm_vmm.h"
#include "util/fd_watcher.h"
#include "util/worker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <unistd.h>

namespace vmemfs::kvm {
namespace {

using test::KvmVmm;
using testing::HasSubstr;
using namespace test::kvm_vmm;

TEST(HttpReply, WholeOnes_AreParsed) {
  const auto ok = parse_http_reply("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}x");
  ASSERT_TRUE(ok.has_value() && ok->has_value());
  EXPECT_EQ((*ok)->status, 200U);
  EXPECT_EQ((*ok)->body, "{}");
  const auto empty = parse_http_reply("HTTP/1.1 204 \r\nServer: x\r\n\r\n");
  ASSERT_TRUE(empty.has_value() && empty->has_value());
  EXPECT_EQ((*empty)->status, 204U);
  EXPECT_EQ((*empty)->body, "");
}

TEST(HttpReply, PartOfOne_IsNotOneYet) {
  const std::string whole = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde";
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const auto part = parse_http_reply(std::string_view{whole}.substr(0, size));
    ASSERT_TRUE(part.has_value()) << size;
    EXPECT_FALSE(part->has_value()) << size;
  }
}

TEST(HttpReply, OtherThings_AreRefused) {
  for (const char* const bytes : {"QMP\r\n\r\n", "HTTP/1.1 999 \r\n\r\n", "HTTP/1.1 2\r\n\r\n", "\r\n\r\n",
                                  "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
                                  "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n",
                                  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"}) {
    EXPECT_FALSE(parse_http_reply(bytes).has_value()) << bytes;
  }
  EXPECT_FALSE(parse_http_reply(std::string(kMaxHttpReply + 1, 'x')).has_value());
}

TEST(ResumeTicket, GoesThroughItsText) {
  const auto ticket = parse_resume_ticket(to_text({4711, 99, "/run/a\nb.sock"}));
  ASSERT_TRUE(ticket.has_value());
  EXPECT_EQ(ticket->pid, 4711);
  EXPECT_EQ(ticket->start_time, 99U);
  EXPECT_EQ(ticket->socket, "/run/a\nb.sock");
  EXPECT_FALSE(parse_resume_ticket("pid=0\nstarted=1\nsocket=/x").has_value());
  EXPECT_FALSE(parse_resume_ticket("").has_value());
}

class VmmApiTest : public testing::TestWithParam<const char*> {
protected:
  void SetUp() override {
    if (const auto why = test::why_no_kvm()) {
      GTEST_SKIP() << *why;
    }
    if (runtime_ == nullptr) {
      runtime_ = std::make_shared<KvmRuntime>();
    }
    vmm_ = std::make_unique<KvmVmm>(test::KvmVmmOptions{.vcpus = 2, .api = GetParam()});
  }

  Result<std::unique_ptr<KvmDriver>> attach(const std::string& api) {
    return KvmDriver::attach({vmm_->pid(), 0, api},
                             {.watcher = watcher_, .worker = worker_, .runtime = runtime_});
  }

  void wait_until_all_run() {
    for (unsigned vcpu = 0; vcpu < 2; ++vcpu) {
      const auto before = vmm_->truth(counter_of(vcpu), 4);
      EXPECT_TRUE(test::eventually([&] { return vmm_->truth(counter_of(vcpu), 4) != before; }));
    }
  }

  FdWatcher watcher_;
  Worker worker_;
  std::unique_ptr<KvmVmm> vmm_;
  inline static std::shared_ptr<KvmRuntime> runtime_; ///< of all tests, as loading takes a while
};

TEST_P(VmmApiTest, Pause_IsThePrograms_AndRegistersAreThere) {
  const auto driver = attach(vmm_->api_socket());
  ASSERT_TRUE(driver.has_value()) << driver.error().message();
  EXPECT_THAT((*driver)->access().run_control, HasSubstr("by the API of"));
  RunControl& control = *(*driver)->run_control();
  EXPECT_TRUE(control.can_keep());
  for (const bool running : {true, false, false, true, true, false}) {
    if (!running && control.run_status().value().running) {
      wait_until_all_run(); // else a vCPU has nothing that KVM could store
    }
    const auto done = running ? control.resume() : control.pause();
    ASSERT_TRUE(done.has_value()) << done.error().message();
    EXPECT_EQ(done->running, running);
    EXPECT_EQ(done->detail, running ? "Running" : "Paused");
  }
  const auto truth = vmm_->registers();
  const auto registers = (*driver)->register_reader()->read_vcpu(VcpuId{1});
  ASSERT_TRUE(registers.has_value()) << registers.error().message();
  EXPECT_EQ(to_text(*registers), to_text(x86_64::from_kvm(truth[1].general, truth[1].system)));
  ASSERT_TRUE(VmmApi::open(vmm_->api_socket(), vmm_->pid()).value().resume().has_value()); // by somebody else
  EXPECT_TRUE(control.run_status().value().running);
  EXPECT_TRUE((*driver)->register_reader()->read_vcpu(VcpuId{1}).has_value());
}

TEST_P(VmmApiTest, OrphanedPause_IsEndedByTheTicket) {
  std::string ticket;
  {
    const auto driver = attach(vmm_->api_socket());
    ASSERT_TRUE(driver.has_value()) << driver.error().message();
    ASSERT_TRUE((*driver)->run_control()->pause().has_value());
    ticket = (*driver)->run_control()->resume_ticket();
  }
  const VmmApi api = VmmApi::open(vmm_->api_socket(), vmm_->pid()).value();
  EXPECT_FALSE(api.status().value().running);
  ASSERT_TRUE(kvm_driver_type().resume_orphan(ticket, nullptr).has_value());
  EXPECT_TRUE(api.status().value().running);
  EXPECT_TRUE(kvm_driver_type().resume_orphan(ticket, nullptr).has_value()); // nothing to do
  EXPECT_FALSE(kvm_driver_type().resume_orphan("nonsense", nullptr).has_value());
}

TEST_P(VmmApiTest, SocketOfAnotherProcess_IsRefused) {
  KvmVmm other{{.api = GetParam()}};
  const auto driver = attach(other.api_socket());
  ASSERT_FALSE(driver.has_value());
  EXPECT_EQ(driver.error().kind, ErrorKind::permission);
  EXPECT_THAT(driver.error().text, HasSubstr("not process"));
  const auto missing = attach("/nowhere/api");
  ASSERT_FALSE(missing.has_value());
  EXPECT_EQ(missing.error().kind, ErrorKind::not_found);
}

INSTANTIATE_TEST_SUITE_P(Programs, VmmApiTest, testing::Values("firecracker", "cloud-hypervisor"),
                         [](const auto& program) {
                           return program.index == 0 ? std::string{"Firecracker"} : "CloudHypervisor";
                         });

} // namespace
} // namespace vmemfs::kvm
