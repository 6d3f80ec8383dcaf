// SPDX-License-Identifier: MIT
#include "fs/fuse/node_id.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <vector>

namespace vmemfs {
namespace {

TEST(NodeId, EveryNode_HasAUniqueNumberAndRoundTrips) {
  std::vector<fuse_ino_t> seen;
  for (const VmId vm : {1U, 2U, 0x7fff'ffffU}) {
    for (unsigned kind = 1; kind < kNodeKindCount; ++kind) {
      for (const std::uint32_t vcpu : {0U, 1U, 0xff'ffffU}) {
        const NodeId node{static_cast<NodeKind>(kind), is_mount_node(static_cast<NodeKind>(kind)) ? 0 : vm,
                          VcpuId{vcpu}};
        if (node.vm == 0 && vm != 1) {
          continue; // there is only one of these
        }
        EXPECT_EQ(NodeId::from_ino(node.ino()), node);
        EXPECT_EQ(std::ranges::find(seen, node.ino()), seen.end());
        seen.push_back(node.ino());
      }
    }
  }
}

TEST(NodeId, RootAndNonsense) {
  EXPECT_EQ(NodeId{}.ino(), FUSE_ROOT_ID);
  EXPECT_EQ(NodeId::from_ino(FUSE_ROOT_ID), NodeId{});
  for (const fuse_ino_t bad :
       {fuse_ino_t{0}, fuse_ino_t{2}, fuse_ino_t{1} << 32U, (fuse_ino_t{1} << 32U) | 0xff000000U,
        NodeId{NodeKind::mem, 0, {}}.ino(), NodeId{NodeKind::events, 1, {}}.ino()}) {
    EXPECT_EQ(NodeId::from_ino(bad), std::nullopt) << bad;
  }
}

} // namespace
} // namespace vmemfs
