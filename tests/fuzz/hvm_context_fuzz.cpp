// SPDX-License-Identifier: MIT
// The records in which Xen saves a vCPU of a PVH or HVM domain: the driver's sources with stand-ins for the
// library's calls, which hand out the input. It is: a byte with the calls that fail, the record of the vCPU,
// the one of its local APIC, the one of its MTRRs, and the whole state of the domain.
#include "arch/x86_64/registers.h"
#include "drivers/xen/registers/hvm_context.h"
#include "drivers/xen/registers/hvm_registers.h"
#include "fuzz/fuzz_target.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <vector>

namespace {

// Bits of the first byte: what fails.
constexpr unsigned kNoCpu = 1;
constexpr unsigned kNoApic = 2;
constexpr unsigned kNoMtrr = 4;
constexpr unsigned kNoSize = 8;
constexpr unsigned kNoState = 16;
constexpr unsigned kRefused = 32;

/// What the stand-ins hand out.
struct Domain {
  unsigned fails = 0;
  hvm_hw_cpu cpu{};
  hvm_hw_lapic_regs apic{};
  hvm_hw_mtrr mtrr{};
  std::string_view state;
  std::optional<hvm_hw_cpu> written;
};
Domain domain;

template <typename Record> Record take(std::string_view& text) {
  Record record{};
  const std::size_t size = std::min(sizeof(record), text.size());
  std::memcpy(&record, text.data(), size);
  text.remove_prefix(size);
  return record;
}

template <typename Record>
int hand_out(const Record& record, unsigned failing, void* to, std::uint32_t size) {
  vmemfs::fuzz::expect(size == sizeof(record), "a record is asked for with its size");
  if ((domain.fails & failing) != 0) {
    errno = ENODATA;
    return -1;
  }
  std::memcpy(to, &record, size);
  return 0;
}

} // namespace

extern "C" int xc_domain_hvm_getcontext_partial(xc_interface* /*xch*/, uint32_t /*domid*/, uint16_t typecode,
                                                uint16_t /*instance*/, void* to, uint32_t size) {
  switch (typecode) {
  case vmemfs::xen::kRecordCode<hvm_hw_cpu>: return hand_out(domain.cpu, kNoCpu, to, size);
  case vmemfs::xen::kRecordCode<hvm_hw_lapic_regs>: return hand_out(domain.apic, kNoApic, to, size);
  default: return hand_out(domain.mtrr, kNoMtrr, to, size);
  }
}

extern "C" int xc_domain_hvm_getcontext(xc_interface* /*xch*/, uint32_t /*domid*/, uint8_t* to,
                                        uint32_t size) {
  if ((domain.fails & (to == nullptr ? kNoSize : kNoState)) != 0) {
    errno = EINVAL;
    return -1;
  }
  const auto got = std::min<std::size_t>(size, domain.state.size());
  if (got > 0) {
    std::memcpy(to, domain.state.data(), got);
  }
  return static_cast<int>(to == nullptr ? domain.state.size() : got);
}

extern "C" int xc_domain_hvm_setcontext(xc_interface* /*xch*/, uint32_t /*domid*/, uint8_t* context,
                                        uint32_t size) {
  constexpr std::size_t kCpu = 2 * sizeof(hvm_save_descriptor) + sizeof(hvm_save_header);
  vmemfs::fuzz::expect(size == kCpu + sizeof(hvm_hw_cpu) + sizeof(hvm_save_descriptor),
                       "one record is loaded, between header and end");
  domain.written.emplace();
  std::memcpy(&*domain.written, context + kCpu, sizeof(hvm_hw_cpu));
  if ((domain.fails & kRefused) != 0) {
    errno = EINVAL;
    return -1;
  }
  return 0;
}

FUZZ_TARGET(text) {
  using vmemfs::fuzz::expect;
  namespace xen = vmemfs::xen;
  using vmemfs::x86_64::Register;
  domain = {};
  domain.fails = take<std::uint8_t>(text);
  domain.cpu = take<hvm_hw_cpu>(text);
  domain.apic = take<hvm_hw_lapic_regs>(text);
  domain.mtrr = take<hvm_hw_mtrr>(text);
  domain.state = text;

  const auto read = xen::read_hvm_registers(nullptr, 1, vmemfs::VcpuId{0});
  expect(read.has_value() == ((domain.fails & kNoCpu) == 0), "registers take the record of the vCPU alone");
  if (!read) {
    return;
  }
  std::vector<vmemfs::RegisterValue> values;
  for (std::uint16_t i = 0; i < read->layout().size(); ++i) {
    const vmemfs::RegisterIndex reg{i};
    const auto value = read->get(reg);
    if (value && reg != vmemfs::RegisterIndex{Register::cr8} && reg != vmemfs::RegisterIndex{Register::pat}) {
      values.push_back({reg, *value});
    }
  }
  errno = 0;
  const auto set = xen::write_hvm_registers(nullptr, 1, vmemfs::VcpuId{0}, values);
  expect(set || set.error().message().find("Success") == std::string::npos, "an error has a reason");
  if (!domain.written) {
    return;
  }
  // Once more with what was written: the same registers.
  domain.cpu = *domain.written;
  const auto again = xen::read_hvm_registers(nullptr, 1, vmemfs::VcpuId{0});
  expect(again && *again == *read, "what was read can be set");
}
