// SPDX-License-Identifier: MIT
#include "vm/linux/architecture/kernel_architecture.h"

#include <algorithm>
#include <bit>

namespace vmemfs {
namespace {

using aarch64::Paging;

/// Segments of the image are aligned to this, and its header takes one before the code.
constexpr std::uint64_t kSegment = 65536;
/// Max size of what was only needed at boot, between constants and data.
constexpr std::uint64_t kMaxHole = std::uint64_t{32} << 20U;

/// What TCR_EL1 has, else what the kernel was built for: it may run with fewer.
unsigned address_bits(const Vmcoreinfo& info) {
  constexpr std::uint64_t kWord = 64;
  constexpr std::uint64_t kUsual = 48;
  const auto unused = info.number("TCR_EL1_T1SZ");
  const std::uint64_t bits =
      unused ? kWord - std::min(*unused, kWord) : info.number("VA_BITS").value_or(kUsual);
  return bits <= Paging::kMaxAddressBits ? static_cast<unsigned>(bits) : 0;
}

/// nullopt: there are no such tables.
std::optional<Paging> paging_of(const Vmcoreinfo& info, Gpa swapper) {
  constexpr std::uint64_t kUsualPage = 4096;
  const std::uint64_t page = info.page_bytes.value_or(kUsualPage);
  Paging paging{.root = swapper,
                .page_shift = std::has_single_bit(page) ? static_cast<unsigned>(std::countr_zero(page)) : 0,
                .address_bits = address_bits(info),
                .upper = true};
  if (!paging.is_valid()) {
    return std::nullopt;
  }
  // With 64 KiB pages the table of a kernel for 52 bits keeps its size if the CPU has 48, and its last part
  // is used.
  constexpr unsigned kShift64K = 16;
  constexpr std::uint64_t kUnused = (1024 - 64) * sizeof(std::uint64_t);
  if (paging.page_shift == kShift64K && paging.address_bits == 48 && info.number("VA_BITS") == 52U) {
    paging.root = swapper + kUnused;
  }
  return paging;
}

class ArmKernel final : public KernelArchitecture {
public:
  [[nodiscard]] std::string_view name() const override { return "aarch64"; }
  [[nodiscard]] ElfMachine machine() const override { return ElfMachine::aarch64; }

  [[nodiscard]] std::optional<KernelSpace> space(const Vmcoreinfo& info) const override {
    if (!info.kimage_voffset) {
      return std::nullopt;
    }
    KernelSpace space{.paging = Paging{}, .offset = *info.kimage_voffset, .bounds = {0, ~std::uint64_t{0}}};
    const Gpa swapper = space.physical(info.swapper_pg_dir);
    const auto paging = paging_of(info, swapper);
    if (!paging || swapper.page_offset() != 0) {
      return std::nullopt;
    }
    space.paging = *paging;
    space.bounds.begin = ~std::uint64_t{0} << paging->address_bits;
    return space.contains(info.swapper_pg_dir) ? std::optional{space} : std::nullopt;
  }

  /// No source gives TTBR1_EL1 and TCR_EL1.
  [[nodiscard]] std::optional<KernelPaging> run_by(const RegisterSet& /*vcpu*/, const KernelSpace& /*space*/,
                                                   const ReadEntry& /*read*/) const override {
    return std::nullopt;
  }

  /// The lowest addresses of the kernel, whatever KASLR has done to them, are those of the memory.
  [[nodiscard]] std::optional<DirectMap> direct_map(const KernelPaging& paging,
                                                    const ReadEntry& read) const override {
    const auto first = aarch64::first_mapped(std::get<Paging>(paging), read);
    return first ? std::optional{DirectMap{first->address - first->gpa.value(), first->gpa}} : std::nullopt;
  }

  /// From the image's header to the last segment that is where it belongs as a whole: what else the kernel
  /// maps follows.
  [[nodiscard]] KernelImageRange image(const KernelSpace& space, std::uint64_t text,
                                       const ReadEntry& read) const override {
    KernelImageRange image{(text - 1) & ~(kSegment - 1), text & ~(kSegment - 1)};
    const std::uint64_t last = image.begin + std::min(kMaxKernelImage, ~image.begin);
    std::uint64_t address = image.end;
    image.end = image.begin;
    for (; address < last && address - image.end <= kMaxHole; address += kSegment) {
      if (is_at_its_place(space, address, read)) {
        image.end = address + kSegment;
      }
    }
    return image;
  }

private:
  static bool is_at_its_place(const KernelSpace& space, std::uint64_t segment, const ReadEntry& read) {
    std::uint64_t done = 0;
    while (done < kSegment) {
      const auto place = walk(space.paging, segment + done, read);
      if (!place || place->gpa != space.physical(segment + done)) {
        return false;
      }
      done += place->left;
    }
    return true;
  }
};

} // namespace

const KernelArchitecture& aarch64_kernels() {
  static const ArmKernel kKernels;
  return kKernels;
}

} // namespace vmemfs
