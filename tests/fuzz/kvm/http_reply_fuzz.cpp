// SPDX-License-Identifier: MIT
// Replies of a VMM's API server.
#include "drivers/kvm/api/http_reply.h"
#include "fuzz/fuzz_target.h"

FUZZ_TARGET(text) {
  const auto reply = vmemfs::kvm::parse_http_reply(text);
  if (reply && *reply) {
    vmemfs::fuzz::expect((*reply)->body.size() <= text.size(), "a body is a part of the reply");
    vmemfs::fuzz::expect((*reply)->status >= 100 && (*reply)->status < 600, "a status is one");
  }
}
