// SPDX-License-Identifier: MIT
// What the contract suite is run against on a Xen host: a domain of each kind.
#include "contract/driver_contract.h"
#include "drivers/all_drivers.h"
#include "xen/lab_domain.h"

#include <fmt/format.h>
#include <stdexcept>

namespace vmemfs::test {
namespace {

class XenSubject : public Subject {
public:
  explicit XenSubject(GuestKind kind) : domain_{take_domain(kind)} {
    domain_->pause();
    auto driver = open_driver({"", "xen", fmt::format("domain={}", domain_->id())}, {watcher_, worker_});
    if (!driver) {
      throw std::runtime_error{driver.error().message()};
    }
    driver_ = std::move(*driver);
    static_cast<void>(driver_->refresh()); // what is found in the background, now
  }
  XenSubject(const XenSubject&) = delete;
  XenSubject& operator=(const XenSubject&) = delete;
  ~XenSubject() override {
    driver_.reset();
    keep_domain(std::move(domain_));
  }
  Driver& driver() override { return *driver_; }

  /// Each page mapped by itself by the test.
  std::vector<std::byte> truth(Gpa gpa, std::size_t size) override {
    std::vector<std::byte> bytes;
    for (Gfn gfn{gpa}; gfn.gpa() < gpa + size; gfn = Gfn{gfn.value() + 1}) {
      const auto page = domain_->page(gfn.value());
      bytes.insert(bytes.end(), page.begin(), page.end());
    }
    bytes.erase(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(gpa.page_offset()));
    bytes.resize(size);
    return bytes;
  }
  bool end_vm() override {
    domain_->destroy();
    return true;
  }

private:
  std::unique_ptr<LabDomain> domain_;
  std::unique_ptr<Driver> driver_;
};

SubjectKind xen_subject(GuestKind kind) {
  return {to_string(kind), [kind] { return std::make_unique<XenSubject>(kind); }};
}

} // namespace

const std::vector<SubjectKind>& subject_kinds() {
  static const std::vector<SubjectKind> kKinds{xen_subject(GuestKind::pv), xen_subject(GuestKind::pvh),
                                               xen_subject(GuestKind::hvm)};
  return kKinds;
}

} // namespace vmemfs::test
