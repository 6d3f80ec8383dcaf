// SPDX-License-Identifier: MIT
#include "fs/errno_map.h"

#include <cerrno>
#include <gtest/gtest.h>

namespace vmemfs {
namespace {

struct Row {
  ErrorKind kind;
  int expected;
};
class ErrnoMap : public testing::TestWithParam<Row> {};

TEST_P(ErrnoMap, IsThatOfTheContract) { EXPECT_EQ(errno_of(GetParam().kind), GetParam().expected); }

INSTANTIATE_TEST_SUITE_P(
    Kinds, ErrnoMap,
    testing::Values(Row{ErrorKind::not_found, ENOENT}, Row{ErrorKind::vm_gone, ENODEV},
                    Row{ErrorKind::vcpu_gone, ENODEV}, Row{ErrorKind::hole, EIO},
                    Row{ErrorKind::past_end, ENXIO}, Row{ErrorKind::bad_page, EIO},
                    Row{ErrorKind::unsupported, EOPNOTSUPP}, Row{ErrorKind::read_only, EROFS},
                    Row{ErrorKind::not_permitted, EPERM}, Row{ErrorKind::permission, EACCES},
                    Row{ErrorKind::busy, EBUSY}, Row{ErrorKind::timed_out, ETIMEDOUT},
                    Row{ErrorKind::interrupted, EINTR}, Row{ErrorKind::invalid, EINVAL},
                    Row{ErrorKind::no_memory, ENOMEM}, Row{ErrorKind::source_failed, EIO}));

} // namespace
} // namespace vmemfs
