// SPDX-License-Identifier: MIT
// Subjects that need no hypervisor: fake, fake under all decorators, dump.
#include "contract/driver_contract.h"
#include "driver/decorators/delay_driver.h"
#include "driver/decorators/fault_driver.h"
#include "driver/decorators/metrics_driver.h"
#include "drivers/dump/dump_driver.h"
#include "drivers/fake/fake_driver.h"
#include "support/files.h"

#include <cstring>
#include <random>

namespace vmemfs::test {
namespace {

FakeOptions fake_options() {
  FakeOptions options;
  options.size = 16 << 20;
  options.vcpus = 2;
  options.holes = {{Gpa{0xa0000}, Gpa{0xc0000}}, {Gpa{0x800000}, Gpa{0x900000}}};
  options.roms = {{Gpa{0xf0000}, Gpa{0x100000}}};
  return options;
}

/// fake_word() once more, byte by byte.
std::vector<std::byte> fake_truth(Gpa gpa, std::size_t size) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) {
    const std::uint64_t address = gpa.value() + i;
    const std::uint64_t word = (address / 8) * 0x9e3779b97f4a7c15U ^ 0x766d656d66735f31U;
    bytes[i] = static_cast<std::byte>(word >> (8 * (address % 8)));
  }
  return bytes;
}

class FakeSubject : public Subject {
public:
  explicit FakeSubject(bool decorated) {
    auto fake = std::move(*FakeDriver::create(fake_options()));
    fake_ = fake.get();
    driver_ = std::move(fake);
    if (decorated) {
      driver_ = std::make_unique<FaultDriver>(std::move(driver_));
      driver_ = std::make_unique<MetricsDriver>(std::move(driver_));
      driver_ = std::make_unique<DelayDriver>(std::move(driver_), std::chrono::microseconds{50});
    }
  }
  Driver& driver() override { return *driver_; }
  std::vector<std::byte> truth(Gpa gpa, std::size_t size) override { return fake_truth(gpa, size); }
  std::optional<VcpuId> plug_vcpu() override {
    fake_->set_vcpus(VcpuSet::of({VcpuId{0}, VcpuId{1}, VcpuId{3}}, "test").value());
    return VcpuId{3};
  }
  bool end_vm() override {
    fake_->die();
    return true;
  }

private:
  std::unique_ptr<Driver> driver_;
  FakeDriver* fake_;
};

class DumpSubject : public Subject {
public:
  DumpSubject() : bytes_((3 << 20) + 123, '\0') {
    std::mt19937 random{1};
    for (char& byte : bytes_) {
      byte = static_cast<char>(random());
    }
    write_file(dir_ / "image.raw", bytes_);
    driver_ = std::move(*DumpDriver::open(dir_ / "image.raw"));
  }
  Driver& driver() override { return *driver_; }
  std::vector<std::byte> truth(Gpa gpa, std::size_t size) override {
    std::vector<std::byte> part(size);
    std::memcpy(part.data(), bytes_.data() + gpa.value(), size);
    return part;
  }
  bool end_vm() override { return false; }

private:
  TempDir dir_;
  std::string bytes_;
  std::unique_ptr<Driver> driver_;
};

} // namespace

SubjectKind fake_subject() {
  return {"fake", [] { return std::make_unique<FakeSubject>(false); }};
}
SubjectKind decorated_subject() {
  return {"decorated", [] { return std::make_unique<FakeSubject>(true); }};
}
SubjectKind dump_subject() {
  return {"dump", [] { return std::make_unique<DumpSubject>(); }};
}

} // namespace vmemfs::test
