// SPDX-License-Identifier: MIT
// The driver of docs/writing-a-driver.md, over a process that only has memory.
#include "contract/driver_contract.h"
#include "driver/driver_list.h"
#include "support/forked_child.h"
#include "toy/toy_type.h"

#include <array>
#include <fmt/format.h>

namespace vmemfs::test {
namespace {

constexpr std::size_t kSize = 8 << 20;

std::byte pattern(std::uint64_t at) { return static_cast<std::byte>(at * 7 + at / 4096); }

ChildValues make_ram() {
  void* const ram = ::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  for (std::size_t i = 0; i < kSize; ++i) {
    static_cast<std::byte*>(ram)[i] = pattern(i);
  }
  return {reinterpret_cast<std::uint64_t>(ram)};
}

class ToySubject : public Subject {
public:
  ToySubject() {
    const VmSpec spec{"", "toy",
                      fmt::format("pid={},address={:#x},size={}", child_.pid(), child_.value(0), kSize)};
    const std::array<const DriverType*, 1> drivers{&toy_driver_type()};
    driver_ = std::move(*open_driver(drivers, spec, {watcher_, worker_}));
  }
  Driver& driver() override { return *driver_; }
  std::vector<std::byte> truth(Gpa gpa, std::size_t size) override {
    std::vector<std::byte> bytes(size);
    for (std::size_t i = 0; i < size; ++i) {
      bytes[i] = pattern(gpa.value() + i);
    }
    return bytes;
  }
  bool end_vm() override {
    child_.kill();
    return true;
  }

private:
  ForkedChild child_{make_ram};
  std::unique_ptr<Driver> driver_;
};

} // namespace

SubjectKind toy_subject() {
  return {"toy", [] { return std::make_unique<ToySubject>(); }};
}

} // namespace vmemfs::test
