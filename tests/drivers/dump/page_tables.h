// SPDX-License-Identifier: MIT
// The page tables of the tiny guest in a dump of it.
#pragma once

#include "arch/x86_64/paging.h"
#include "drivers/dump/dump_driver.h"
#include "guests/tiny/layout.h"

#include <cstddef>
#include <cstdint>
#include <gtest/gtest.h>
#include <optional>
#include <span>

namespace vmemfs::test {

/// That the registers of vCPU 0 lead to them: the guest maps memory one to one.
inline void expect_page_tables(Driver& dump) {
  const auto registers = dump.register_reader()->read_vcpu(VcpuId{0});
  ASSERT_TRUE(registers);
  const auto paging = x86_64::paging_of(*registers);
  ASSERT_TRUE(paging);
  const auto mapped = x86_64::translate(*paging, TG_INFO_GPA + 0x123, [&](Gpa gpa) {
    std::uint64_t entry = 0;
    ReadPiece piece{gpa, std::as_writable_bytes(std::span{&entry, 1}), 0, {}};
    dump.read({&piece, 1});
    return piece.failure ? std::nullopt : std::optional{entry};
  });
  ASSERT_TRUE(mapped);
  EXPECT_EQ(mapped->gpa, Gpa{TG_INFO_GPA + 0x123});
}

} // namespace vmemfs::test
