// SPDX-License-Identifier: MIT
// `vcpus/N/virt`: memory as the page tables of a vCPU show it now; see VirtualView for its offsets.
//
// Its size is 0, as that of /proc/PID/mem, because no other size works: programs that copy or search a tree
// (tar, cp, rsync, grep -r) would read 2^63 bytes, or make a file of that size of what they took for a hole.
// Of a file of size 0 they read nothing, or from offset 0 to the end of file, while the kernel passes reads
// and seeks at any offset. So a read at offset 0, and reads that continue it without a gap, get the end of
// file at the first address that cannot be read, and at the latest after 16 MiB, or as many bytes as `mem`
// has, whatever the page tables say: a hostile guest cannot make a copy of the tree huge. All other reads get
// an error there.
#pragma once

#include "fs/files/guest_memory_file.h"
#include "vm/views/virtual_view.h"

#include <atomic>
#include <memory>

namespace vmemfs {

/// Takes no writes.
class VirtualFile final : public GuestMemoryFile {
public:
  VirtualFile(std::shared_ptr<Guest> guest, VcpuId vcpu);

private:
  tl::expected<std::size_t, ErrorKind> fetch(std::uint64_t offset, std::size_t size,
                                             ReadScratch& scratch) override;
  /// No holes are known: tools then read.
  tl::expected<std::uint64_t, ErrorKind> find(std::uint64_t offset, MemoryUse wanted) override;
  std::uint64_t size() override { return 0; }
  /// Failures of reading registers are passed on as `regs` does.
  [[nodiscard]] bool is_passed_on(ErrorKind failure) const override;

  static constexpr std::uint64_t kSought = ~std::uint64_t{0};
  static constexpr std::uint64_t kMaxFromStart = std::uint64_t{16} << 20U;

  VirtualView view_;
  std::atomic<std::uint64_t> read_from_start_{0}; ///< all bytes before this offset, or kSought
};

} // namespace vmemfs
