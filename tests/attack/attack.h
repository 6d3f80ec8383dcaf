// SPDX-License-Identifier: MIT
// Attacks on the mounted program: by other users of the host, as themselves, and by programs that only look
// like VMs.
#pragma once

#include <gtest/gtest.h>
#include <string>
#include <sys/types.h>

namespace vmemfs::test {

inline constexpr uid_t kVictim = 45001;   ///< has VMs and files that are nobody else's business
inline constexpr uid_t kAttacker = 45002; ///< an ordinary user of the host

/// The path of a program of tests/attack/hostile, such as hostile("silent_sockets").
[[nodiscard]] std::string hostile(const std::string& name);

/// Attacks take root, who becomes the users above and mounts.
class AttackTest : public testing::Test {
protected:
  void SetUp() override;
};

} // namespace vmemfs::test
