// SPDX-License-Identifier: MIT
#include "arch/aarch64/registers.h"
#include "arch/riscv64/registers.h"
#include "arch/x86_64/registers.h"
#include "vm/views/virtual_paging.h"

#include <cstdint>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <optional>
#include <variant>

namespace vmemfs {
namespace {

using testing::HasSubstr;

RegisterSet riscv64_set(std::uint64_t satp, std::uint64_t privilege) {
  RegisterSet registers{riscv64::register_layout()};
  registers.set(riscv64::Register::satp, satp);
  registers.set(riscv64::Register::priv, privilege);
  return registers;
}

TEST(VirtualPaging, IsThatOfTheArchitectureOfTheRegisters) {
  const auto riscv = virtual_paging_of(riscv64_set(9ULL << 60U | 0x81234, 1));
  ASSERT_TRUE(riscv);
  EXPECT_EQ(std::get<riscv64::Paging>(*riscv),
            (riscv64::Paging{riscv64::PagingMode::sv48, Gpa{0x8123'4000}}));
  RegisterSet registers{x86_64::register_layout()};
  registers.set(x86_64::Register::cr3, 0x5000);
  const auto x86 = virtual_paging_of(registers);
  ASSERT_TRUE(x86);
  EXPECT_EQ(std::get<x86_64::Paging>(*x86).root, Gpa{0x5000});
}

TEST(VirtualPaging, Unknown_SaysWhy) {
  const auto nested = virtual_paging_of(riscv64_set(9ULL << 60U, 4 | 1));
  ASSERT_FALSE(nested);
  EXPECT_EQ(nested.error().kind, ErrorKind::unsupported);
  EXPECT_THAT(nested.error().text, HasSubstr("a guest of its own"));
  const auto none = virtual_paging_of(RegisterSet{x86_64::register_layout()});
  ASSERT_FALSE(none);
  EXPECT_THAT(none.error().text, HasSubstr("does not report the registers"));
}

TEST(VirtualPaging, Aarch64_IsNotKnown) {
  EXPECT_TRUE(has_known_paging(x86_64::register_layout()));
  EXPECT_TRUE(has_known_paging(riscv64::register_layout()));
  EXPECT_FALSE(has_known_paging(aarch64::register_layout()));
  RegisterSet registers{aarch64::register_layout()};
  registers.set(aarch64::Register::ttbr1_el1, 0x1000);
  EXPECT_FALSE(can_have_virtual_paging(registers));
  EXPECT_FALSE(virtual_paging_of(registers));
}

/// The walk of the architecture, in the form that the view needs.
TEST(VirtualPaging, Walk_IsThatOfTheArchitecture) {
  const VirtualPaging paging = riscv64::Paging{riscv64::PagingMode::sv39, Gpa{0x1000}};
  const ReadEntry read = [](Gpa gpa) -> std::optional<std::uint64_t> {
    return gpa == Gpa{0x1010} ? 0x8000'0000ULL >> 2U | 0xc7U : 0;
  };
  const auto page = translate(paging, 0x8000'0123, read);
  ASSERT_TRUE(page);
  EXPECT_EQ(page->gpa, Gpa{0x8000'0123});
  EXPECT_EQ(page->left, (1ULL << 30U) - 0x123);
  EXPECT_FALSE(translate(paging, 0, read));
}

} // namespace
} // namespace vmemfs
