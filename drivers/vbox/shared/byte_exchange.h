// SPDX-License-Identifier: MIT
// Atomic exchange of a byte in a shared mapping that another process may cut at any time.
//
// Objects below /dev/shm take no seals, so whoever may write one may truncate it, also between a check of its
// size and an access, which is then a SIGBUS. All else of such an object is read and written by system calls,
// which merely fail; but there is none that exchanges a byte. So this is the only instruction of vmemfs that
// touches such a mapping. A handler of SIGBUS knows it by its address, as the kernel knows its own, needs no
// state for that, and makes it fail. Any other SIGBUS does what it did before.
//
// The alternative, a process of its own for the object, would cost a switch of processes for each request.
#pragma once

#include <cstdint>
#include <optional>

namespace vmemfs::vbox {

/// False where the instruction is not known: the host is no x86-64.
[[nodiscard]] bool can_exchange_bytes();

/// Sets the byte and returns what it was, as one atomic step that orders memory. nullopt: the mapping has no
/// such byte any more. Thread-safe; the signal may be blocked. `at` lies in a mapping of this process.
[[nodiscard]] std::optional<std::uint8_t> exchange_byte(std::uint8_t* at, std::uint8_t value);

} // namespace vmemfs::vbox
