// SPDX-License-Identifier: MIT
// The driver `leechcore` over a library with LeechCore's ABI: a live device, a saved one, one that takes a
// millisecond for each call; and a real LeechCore, if the environment names one in VMEMFS_LEECHCORE.
#include "contract/driver_contract.h"
#include "drivers/leechcore/stand_in.h"
#include "support/child_process.h"

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <unistd.h>

namespace vmemfs::test {
namespace {

class LeechcoreSubject : public Subject {
public:
  LeechcoreSubject(const std::string& library, const std::string& type, const std::string& script)
      : counts_{library == VMEMFS_LEECHCORE_STAND_IN} {
    const std::string logged = counts_ ? fmt::format("{}log={}", script.empty() ? "" : ",", log_) : "";
    auto driver = open_leechcore(
        fmt::format("library={},device=\"{}\",timeout=60s", library, image_.device(type, script + logged)),
        {watcher_, worker_});
    if (!driver) {
      throw std::runtime_error{driver.error().message()};
    }
    driver_ = std::move(*driver);
  }
  Driver& driver() override { return *driver_; }
  std::vector<std::byte> truth(Gpa gpa, std::size_t size) override { return image_.truth(gpa.value(), size); }
  /// Calls of the library.
  std::optional<std::uint64_t> round_trips() override {
    if (!counts_) {
      return std::nullopt;
    }
    const std::string calls = read_file(log_);
    return static_cast<std::uint64_t>(std::ranges::count(calls, '\n'));
  }
  bool end_vm() override {
    for (const pid_t worker : children_of(::getpid(), std::string{kLeechcoreComm})) {
      ::kill(worker, SIGKILL);
    }
    return true;
  }

private:
  LeechcoreImage image_;
  const std::string log_ = image_.dir() / "calls";
  const bool counts_; ///< the stand-in does
  std::unique_ptr<Driver> driver_;
};

SubjectKind kind(const std::string& name, const std::string& library, const std::string& type,
                 const std::string& script) {
  return {"leechcore_" + name, [=] { return std::make_unique<LeechcoreSubject>(library, type, script); }};
}

const RegisteredSubject kLive{kind("live", VMEMFS_LEECHCORE_STAND_IN, "fpga", "")};
const RegisteredSubject kSaved{kind("saved", VMEMFS_LEECHCORE_STAND_IN, "file", "")};
const RegisteredSubject kSlow{kind("slow", VMEMFS_LEECHCORE_STAND_IN, "fpga", "latency=1000")};

std::optional<RegisteredSubject> real() {
  const char* const library = std::getenv("VMEMFS_LEECHCORE");
  return library == nullptr
             ? std::nullopt
             : std::optional{RegisteredSubject{kind("real", library, "file", "volatile=1,write=1")}};
}
const auto kReal = real();

} // namespace
} // namespace vmemfs::test
