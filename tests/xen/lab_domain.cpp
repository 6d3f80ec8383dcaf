// SPDX-License-Identifier: MIT
#include "xen/lab_domain.h"

#include "support/child_process.h"
#include "support/files.h"
#include "xen/guests/layout.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <span>
#include <stdexcept>
#include <sys/mman.h>
#include <system_error>
#include <utility>

extern "C" {
#include <xenctrl.h>
#include <xenforeignmemory.h>
}

namespace vmemfs::test {
namespace {

constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kPvBase = 0x60000000; ///< where the PV guest maps frame 0

[[noreturn]] void give_up(const std::string& what) {
  throw std::system_error{errno, std::generic_category(), what}; // is a std::runtime_error
}

std::string next_name(GuestKind kind) {
  static std::atomic<int> number{0};
  return to_string(kind) + "-" + std::to_string(++number);
}

} // namespace

std::string to_string(GuestKind kind) {
  switch (kind) {
  case GuestKind::pv: return "pv";
  case GuestKind::pvh: return "pvh";
  case GuestKind::hvm: return "hvm";
  }
  return "";
}

std::string xl(const std::vector<std::string>& args) {
  std::vector<std::string> command{"xl"};
  command.insert(command.end(), args.begin(), args.end());
  const auto result = run(command);
  if (result.code != 0) {
    throw std::runtime_error{"xl " + args.front() + ": " + result.text};
  }
  return result.text;
}

struct LabDomain::Xen {
  xc_interface* control = xc_interface_open(nullptr, nullptr, 0);
  xenforeignmemory_handle* memory = xenforeignmemory_open(nullptr, 0);

  Xen() {
    if (control == nullptr || memory == nullptr) {
      give_up("cannot open Xen's interfaces");
    }
  }
  ~Xen() {
    xenforeignmemory_close(memory);
    xc_interface_close(control);
  }
  Xen(const Xen&) = delete;
  Xen& operator=(const Xen&) = delete;

  [[nodiscard]] xc_domaininfo_t info(std::uint32_t id) const {
    xc_domaininfo_t info{};
    if (xc_domain_getinfolist(control, id, 1, &info) != 1 || info.domain != id) {
      info.flags = XEN_DOMINF_dying;
    }
    return info;
  }
};

class LabDomain::Mapped {
public:
  Mapped(const Xen& xen, std::uint32_t id, std::uint64_t frame, int protection = PROT_READ) : xen_{xen} {
    const xen_pfn_t wanted = frame;
    int error = 0;
    page_ = xenforeignmemory_map(xen_.memory, id, protection, 1, &wanted, &error);
    if (page_ != nullptr && error != 0) {
      xenforeignmemory_unmap(xen_.memory, page_, 1);
      page_ = nullptr;
      errno = std::abs(error);
    }
    if (page_ == nullptr) {
      give_up("cannot map frame " + std::to_string(frame));
    }
  }
  ~Mapped() { xenforeignmemory_unmap(xen_.memory, page_, 1); }
  Mapped(const Mapped&) = delete;
  Mapped& operator=(const Mapped&) = delete;
  [[nodiscard]] std::byte* bytes() const { return static_cast<std::byte*>(page_); }

private:
  const Xen& xen_;
  void* page_;
};

LabDomain::LabDomain(GuestKind kind, LabOptions options)
    : kind_{kind}, name_{options.name.empty() ? next_name(kind) : options.name},
      xen_{std::make_unique<Xen>()} {
  std::vector<std::string> args{"create", "-q"};
  if (!options.run) {
    args.emplace_back("-p");
  }
  args.push_back("/lab/" + to_string(kind) + ".cfg");
  args.push_back("name=\"" + name_ + "\"");
  args.insert(args.end(), options.settings.begin(), options.settings.end());
  xl(args);
  id_ = static_cast<std::uint32_t>(std::stoul(xl({"domid", name_})));
  const auto ready = [this] {
    try {
      return status(XG_OFF_MAGIC) == XG_READY;
    } catch (const std::runtime_error&) { // it has not come so far
      return false;
    }
  };
  if (options.run && !eventually(ready, std::chrono::seconds{120})) {
    throw std::runtime_error{name_ + " does not get ready"};
  }
}

LabDomain::~LabDomain() { static_cast<void>(run({"xl", "destroy", std::to_string(id_)})); }

bool LabDomain::paused() const { return (xen_->info(id_).flags & XEN_DOMINF_paused) != 0; }
bool LabDomain::exists() const { return (xen_->info(id_).flags & XEN_DOMINF_dying) == 0; }
std::uint64_t LabDomain::pages() const { return xen_->info(id_).tot_pages; }

bool LabDomain::crashed() const { return (xen_->info(id_).flags & XEN_DOMINF_shutdown) != 0; }

std::uint64_t LabDomain::pages_in_stock() const {
  std::uint64_t all = 0;
  std::uint64_t in_stock = 0;
  std::uint64_t missing = 0;
  if (xc_domain_get_pod_target(xen_->control, id_, &all, &in_stock, &missing) != 0) {
    give_up("cannot ask for pages populated on demand");
  }
  return in_stock;
}

// By the hypercall that `xl` makes, which takes half a second to start.
void LabDomain::pause() const {
  if (xc_domain_pause(xen_->control, id_) != 0) {
    give_up("cannot pause " + name_);
  }
}
void LabDomain::unpause() const {
  if (xc_domain_unpause(xen_->control, id_) != 0) {
    give_up("cannot unpause " + name_);
  }
}
void LabDomain::destroy() const { xl({"destroy", std::to_string(id_)}); }

std::uint64_t LabDomain::frame_at(std::uint64_t virtual_address) const {
  const std::uint64_t frame = xc_translate_foreign_address(xen_->control, id_, 0, virtual_address);
  if (frame == 0) {
    give_up("cannot translate an address of " + name_);
  }
  return frame;
}

std::uint64_t LabDomain::frame_of(std::uint64_t gfn) const {
  if (kind_ != GuestKind::pv) {
    return gfn;
  }
  if (gfn < XG_FILL_START / kPage) { // mapped at the start
    return frame_at(kPvBase + gfn * kPage);
  }
  const std::uint64_t entry = status(XG_OFF_P2M) + gfn * sizeof(std::uint64_t);
  const Mapped table{*xen_, id_, frame_at(entry)};
  std::uint64_t frame = 0;
  std::memcpy(&frame, table.bytes() + entry % kPage, sizeof(frame));
  return frame;
}

std::vector<std::byte> LabDomain::page(std::uint64_t gfn) const {
  const Mapped mapped{*xen_, id_, frame_of(gfn)};
  return {mapped.bytes(), mapped.bytes() + kPage};
}

std::uint64_t LabDomain::status(std::size_t offset) const {
  const Mapped mapped{*xen_, id_, frame_of(XG_STATUS / kPage)};
  std::uint64_t value = 0;
  std::memcpy(&value, mapped.bytes() + offset, sizeof(value));
  return value;
}

void LabDomain::set_status(std::size_t offset, std::uint64_t value) const {
  const Mapped mapped{*xen_, id_, frame_of(XG_STATUS / kPage), PROT_READ | PROT_WRITE};
  std::memcpy(mapped.bytes() + offset, &value, sizeof(value));
}

std::vector<LabDomain::Range> LabDomain::filled() const {
  const Mapped mapped{*xen_, id_, frame_of(XG_STATUS / kPage)};
  xg_status status{};
  std::memcpy(&status, mapped.bytes(), sizeof(status));
  std::vector<Range> ranges;
  for (std::size_t i = 0; i < std::min<std::size_t>(status.range_count, XG_MAX_RANGES); ++i) {
    ranges.push_back({status.ranges[i].start, status.ranges[i].end});
  }
  return ranges;
}

void LabDomain::take_page(std::uint64_t gfn) const {
  xen_pfn_t frame = frame_of(gfn);
  if (xc_domain_decrease_reservation_exact(xen_->control, id_, 1, 0, &frame) != 0) {
    give_up("cannot take a page");
  }
}

void LabDomain::give_page(std::uint64_t gfn) const {
  xen_pfn_t frame = gfn; // of PV it becomes the machine frame
  xc_domain_setmaxmem(xen_->control, id_, (pages() + 256) * (kPage / 1024));
  if (xc_domain_populate_physmap_exact(xen_->control, id_, 1, 0, 0, &frame) != 0) {
    give_up("cannot give a page");
  }
  const Mapped mapped{*xen_, id_, frame, PROT_READ | PROT_WRITE};
  for (const std::uint64_t offset : {std::uint64_t{0}, kPage - 8}) {
    const std::uint64_t word = tg_pattern(gfn * kPage + offset);
    std::memcpy(mapped.bytes() + offset, &word, sizeof(word));
  }
}

namespace {

std::unique_ptr<LabDomain>& kept(GuestKind kind) {
  static std::array<std::unique_ptr<LabDomain>, 3> domains;
  return domains.at(static_cast<std::size_t>(kind));
}

} // namespace

std::unique_ptr<LabDomain> take_domain(GuestKind kind) {
  auto domain = std::move(kept(kind));
  return domain != nullptr ? std::move(domain) : std::make_unique<LabDomain>(kind);
}

void keep_domain(std::unique_ptr<LabDomain> domain) {
  if (domain->exists()) {
    if (domain->paused()) {
      domain->unpause();
    }
    kept(domain->kind()) = std::move(domain);
  }
}

std::size_t count_zombies() {
  xc_interface* const control = xc_interface_open(nullptr, nullptr, 0);
  std::array<xc_domaininfo_t, 256> domains{};
  const int count = xc_domain_getinfolist(control, 0, domains.size(), domains.data());
  xc_interface_close(control);
  if (count < 1) {
    give_up("cannot list the domains");
  }
  return static_cast<std::size_t>(std::ranges::count_if(
      std::span{domains}.first(static_cast<std::size_t>(count)),
      [](const xc_domaininfo_t& info) { return (info.flags & XEN_DOMINF_dying) != 0; }));
}

} // namespace vmemfs::test
