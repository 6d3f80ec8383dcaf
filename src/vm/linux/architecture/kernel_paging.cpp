// SPDX-License-Identifier: MIT
#include "vm/linux/architecture/kernel_paging.h"

#include "arch/x86_64/page_walk.h"
#include "arch/x86_64/paging.h"

namespace vmemfs {
namespace {

template <typename Mapped> std::optional<KernelPlace> place_of(const std::optional<Mapped>& mapped) {
  return mapped ? std::optional{KernelPlace{mapped->gpa, mapped->left}} : std::nullopt;
}

x86_64::Paging with_root(x86_64::Paging paging, Gpa root) {
  paging.root = root.page_start();
  return paging;
}

/// A process has the other half of the addresses.
aarch64::Paging with_root(aarch64::Paging paging, Gpa root) {
  paging.root = root;
  paging.upper = false;
  return paging;
}

unsigned levels(const x86_64::Paging& paging) {
  return paging.mode == x86_64::PagingMode::level5 ? x86_64::PageTables::kLevelsWithLa57
                                                   : x86_64::PageTables::kLevels;
}

unsigned levels(const aarch64::Paging& paging) { return paging.levels(); }

} // namespace

std::optional<KernelPlace> walk(const KernelPaging& paging, std::uint64_t address, const ReadEntry& read) {
  return std::visit([&](const auto& tables) { return place_of(translate(tables, address, read)); }, paging);
}

KernelPaging paging_of_process(const KernelPaging& kernel, Gpa root) {
  return std::visit([&](const auto& tables) { return KernelPaging{with_root(tables, root)}; }, kernel);
}

Gpa root_of(const KernelPaging& paging) {
  return std::visit([](const auto& tables) { return tables.root; }, paging);
}

unsigned levels_of(const KernelPaging& paging) {
  return std::visit([](const auto& tables) { return levels(tables); }, paging);
}

} // namespace vmemfs
