// SPDX-License-Identifier: MIT
#include "fs/fuse/init_extension.h"

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <gtest/gtest.h>
#include <linux/fuse.h>
#include <poll.h>
#include <span>

namespace vmemfs {
namespace {

constexpr std::uint32_t kOffer = 1U << 4U; ///< bit 36 of the flags, in their second half
constexpr std::uint64_t kNumber = 2;

/// A request of the kernel, and an answer as libfuse makes it.
struct Exchange {
  struct {
    fuse_in_header header{};
    fuse_init_in init{};
  } request;
  fuse_out_header header{};
  fuse_init_out init{};

  Exchange() {
    request.header.opcode = FUSE_INIT;
    request.header.unique = kNumber;
    request.init.flags = FUSE_INIT_EXT | FUSE_ASYNC_READ;
    request.init.flags2 = kOffer | 1U;
    header.unique = kNumber;
    init.flags = FUSE_ASYNC_READ;
    init.flags2 = 2;
  }

  void pass(InitExtension& extension, std::size_t request_size = sizeof(request)) {
    extension.note_request(std::as_bytes(std::span{&request, 1}).first(request_size));
    answer(extension);
  }
  void answer(InitExtension& extension) {
    const std::array pieces{iovec{&header, sizeof(header)}, iovec{&init, sizeof(init)}};
    extension.complete(pieces);
  }
  [[nodiscard]] bool is_unchanged() const { return init.flags == FUSE_ASYNC_READ && init.flags2 == 2; }
};

TEST(InitExtension, KernelOffersSharedMappings_AreAccepted) {
  InitExtension extension{true};
  Exchange exchange;
  EXPECT_FALSE(extension.shared_mappings());
  exchange.pass(extension);
  EXPECT_TRUE(extension.shared_mappings());
  EXPECT_EQ(exchange.init.flags, FUSE_INIT_EXT | FUSE_ASYNC_READ);
  EXPECT_EQ(exchange.init.flags2, kOffer | 2U);
  EXPECT_EQ(exchange.init.max_readahead, 1U << 20U);
}

bool is_answered(const InitExtension& extension) {
  pollfd entry{extension.answered(), POLLIN, 0};
  return ::poll(&entry, 1, 0) == 1;
}

TEST(InitExtension, AnsweredOnceAnAnswerIsNoRefusal) {
  for (const std::uint32_t offered : {kOffer, 0U}) {
    InitExtension extension{true};
    Exchange exchange;
    exchange.request.init.flags2 = offered;
    EXPECT_FALSE(is_answered(extension));
    exchange.pass(extension);
    EXPECT_TRUE(is_answered(extension));
  }
  InitExtension refused{true};
  Exchange exchange;
  exchange.header.error = -EPROTO;
  exchange.pass(refused);
  EXPECT_FALSE(is_answered(refused));
}

/// The word behind the flags.
std::uint32_t stack_depth_of(const fuse_init_out& init) {
  std::uint32_t depth = 0;
  std::memcpy(&depth,
              reinterpret_cast<const char*>(&init) + offsetof(fuse_init_out, flags2) + sizeof(init.flags2),
              sizeof depth);
  return depth;
}

TEST(InitExtension, KernelOffersPassthrough_IsAccepted_WithAndWithoutMappings) {
  constexpr std::uint32_t kPassthrough = 1U << 5U; // bit 37
  for (const bool mappings : {false, true}) {
    InitExtension extension{mappings};
    Exchange exchange;
    exchange.request.init.flags2 = kOffer | kPassthrough;
    exchange.pass(extension);
    EXPECT_TRUE(extension.passthrough());
    EXPECT_EQ(extension.shared_mappings(), mappings);
    EXPECT_EQ(exchange.init.flags, FUSE_INIT_EXT | FUSE_ASYNC_READ);
    EXPECT_EQ(exchange.init.flags2, kPassthrough | 2U | (mappings ? kOffer : 0U));
    EXPECT_EQ(stack_depth_of(exchange.init), 1U);
  }
}

TEST(InitExtension, NoPassthroughOffered_StackDepthStaysAsItIs) {
  InitExtension extension{true};
  Exchange exchange;
  exchange.pass(extension);
  EXPECT_FALSE(extension.passthrough());
  EXPECT_EQ(stack_depth_of(exchange.init), 0U);
}

TEST(InitExtension, LaterAnswer_IsUnchanged) {
  InitExtension extension{true};
  Exchange{}.pass(extension);
  Exchange later;
  later.answer(extension);
  EXPECT_TRUE(later.is_unchanged());
  EXPECT_TRUE(extension.shared_mappings());
}

TEST(InitExtension, NotWanted_AnswerIsUnchanged) {
  InitExtension extension{false};
  Exchange exchange;
  exchange.pass(extension);
  EXPECT_FALSE(extension.shared_mappings());
  EXPECT_TRUE(exchange.is_unchanged());
}

TEST(InitExtension, KernelDoesNotOffer_AnswerIsUnchanged) {
  for (int i = 0; i < 4; ++i) {
    InitExtension extension{true};
    Exchange exchange;
    std::size_t size = sizeof(exchange.request);
    switch (i) {
    case 0: exchange.request.init.flags2 = 1; break;
    case 1: // then the second half means nothing
      exchange.request.init.flags = FUSE_ASYNC_READ;
      break;
    case 2: // before Linux 5.17
      size = sizeof(fuse_in_header) + 16;
      break;
    default: exchange.request.header.opcode = FUSE_WRITE;
    }
    exchange.pass(extension, size);
    EXPECT_FALSE(extension.shared_mappings()) << i;
    EXPECT_TRUE(exchange.is_unchanged()) << i;
  }
}

TEST(InitExtension, AnswerIsAnError_IsUnchanged) {
  InitExtension extension{true};
  Exchange exchange;
  exchange.header.error = -EPROTO;
  exchange.pass(extension);
  EXPECT_FALSE(extension.shared_mappings());
  EXPECT_TRUE(exchange.is_unchanged());
}

} // namespace
} // namespace vmemfs
